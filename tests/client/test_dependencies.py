"""Jobs that wait for others: all of them, one by one, and index by index."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.client import AWSBatch, JobArray
from covalent_awsbatch_plugin.errors import DependencyFailedError, JobFailedError
from tests.client.surroundings import LONG_S, Gate
from tests.e2e.surroundings import AWS, Counted


def marking(directory: Path, hold: Callable[[], None] | None = None) -> Callable[[int], bool]:
    """A function that leaves a file for its number, after `hold`, and tells whether it was the first."""
    path = str(directory)

    def mark(number: int) -> bool:
        from pathlib import Path

        if hold is not None:
            hold()
        marker = Path(path, str(number))
        was_there = marker.exists()
        marker.touch()
        return not was_there

    return mark


def test_a_job_starts_when_what_it_waits_for_has_succeeded(
    aws: AWS, batch: AWSBatch, gate: Gate, tmp_path: Path
):
    first = batch.submit(marking(tmp_path, gate.hold), 0)
    others = batch.map(marking(tmp_path), [1, 2])
    last = batch.submit(
        lambda path: sorted(__import__("os").listdir(path)), str(tmp_path), depends_on=[first, others]
    )
    others.wait(LONG_S)
    last.wait_until_submitted()
    assert not last.done()
    gate.open()
    assert [name for name in last.result(LONG_S) if name.isdigit()] == ["0", "1", "2"]
    (detail,) = aws.batch.describe_jobs(jobs=[last.batch_id])["jobs"]
    array_id = others[0].batch_id.split(":")[0]
    assert [each["jobId"] for each in detail["dependsOn"]] == [first.batch_id, array_id]


def test_a_job_fails_with_what_it_waits_for(batch: AWSBatch):
    first = batch.submit(lambda: 1 // 0)
    last = batch.submit(lambda: 1, depends_on=[first])
    array = batch.map(lambda number: number, range(2), depends_on=[first])
    for job in (last, *array):
        with pytest.raises(JobFailedError, match="Dependent Job failed"):
            job.result(LONG_S)
        assert job.exit_code is None


def test_a_job_fails_where_what_it_waits_for_was_never_submitted(
    aws: AWS, batch: AWSBatch, unanswered: AWSBatch
):
    nowhere = AWSBatch(**{**aws.settings, "s3_bucket_name": "no-such-bucket"})
    cancelled = unanswered.submit(lambda: 1)
    cancelled.cancel()
    for first in (nowhere.submit(lambda: 1), nowhere.map(lambda number: number, range(2)), cancelled):
        last = batch.submit(lambda: 1, depends_on=[first])
        with pytest.raises(JobFailedError, match=f"It was to wait for {first.id}, which was not submitted"):
            last.result(LONG_S)


def test_a_job_fails_where_the_array_that_it_waits_for_was_cancelled_before_its_submission(batch: AWSBatch):
    array = batch.map(lambda number: number, range(2))
    array.cancel()
    last = batch.submit(lambda: 1, depends_on=[array])
    with pytest.raises(JobFailedError):
        last.result(LONG_S)


def test_more_dependencies_than_aws_takes_are_refused_at_the_call(batch: AWSBatch, counted: Counted):
    firsts = [batch.submit(lambda: 1) for _ in range(21)]
    with batch, pytest.raises(ValueError, match="21 dependencies are refused: AWS Batch takes 20"):
        batch.submit(lambda: 1, depends_on=firsts)
    with batch, pytest.raises(ValueError, match="21 dependencies are refused"):
        batch.map(lambda number: number, range(2), depends_on=firsts[:20], sequential=True)
    assert batch.submit(lambda: 2, depends_on=firsts[:20]).result(LONG_S) == 2


@pytest.mark.parametrize("max_array_size", [10_000, 2, 1])
def test_sequential_children_run_one_after_the_other(aws: AWS, max_array_size: int):
    batch = AWSBatch(**{**aws.settings, "max_array_size": max_array_size})
    array = batch.map(lambda number: number, range(3), sequential=True)
    assert list(array.results(timeout=LONG_S)) == [0, 1, 2]
    for before, after in pairwise(array):
        assert before.stopped_at is not None
        assert after.started_at is not None
        assert before.stopped_at <= after.started_at


def test_sequential_children_behind_one_that_failed_do_not_run(batch: AWSBatch, tmp_path: Path):
    path = str(tmp_path)

    def fail_at_one(number: int) -> int:
        from pathlib import Path

        Path(path, str(number)).touch()
        return 1 // (1 - number)

    array = batch.map(fail_at_one, range(3), sequential=True)
    found = list(array.results(return_exceptions=True, timeout=LONG_S))
    assert [type(each) for each in found] == [int, ZeroDivisionError, DependencyFailedError]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["0", "1"]


def test_one_item_is_sequential_by_itself(batch: AWSBatch):
    assert list(batch.map(lambda number: number, [1], sequential=True).results(timeout=LONG_S)) == [1]


def test_children_wait_for_those_of_their_index(batch: AWSBatch, gate: Gate, tmp_path: Path):
    mark, hold = marking(tmp_path), gate.hold

    def first(number: int) -> None:
        if number == 2:
            hold()
        if number == 1:
            raise ValueError("one")
        mark(number)

    parents: JobArray[None] = batch.map(first, range(3))
    children = batch.map(mark, range(3), n_to_n=[parents])
    assert children[0].result(LONG_S) is False  # its parent was there before it, and 2 waits at the gate
    with pytest.raises(JobFailedError, match="Dependent Job failed"):
        children[1].result(LONG_S)
    assert not children[2].done()
    gate.open()
    assert children[2].result(LONG_S) is False


def test_arrays_of_unequal_length_do_not_go_index_by_index(batch: AWSBatch):
    parents = batch.map(lambda number: number, range(2))
    with batch, pytest.raises(ValueError, match=rf"n_to_n is refused: {parents.id} has 2 jobs, this array 3"):
        batch.map(lambda number: number, range(3), n_to_n=[parents])


def test_arrays_that_became_several_do_not_go_index_by_index(aws: AWS):
    batch = AWSBatch(**{**aws.settings, "max_array_size": 2})
    parents = batch.map(lambda number: number, range(3))
    array = batch.map(lambda number: number, range(3), n_to_n=[parents])
    with pytest.raises(JobFailedError, match="became several array jobs: n_to_n needs a single one"):
        array[0].result(LONG_S)


def test_a_job_waits_for_all_arrays_that_an_array_became(aws: AWS, gate: Gate):
    batch = AWSBatch(**{**aws.settings, "max_array_size": 2})
    parents = batch.map(gate.hold, range(3))
    last = batch.submit(lambda: 1, depends_on=[parents])
    last.wait_until_submitted()
    (detail,) = aws.batch.describe_jobs(jobs=[last.batch_id])["jobs"]
    assert [each["jobId"] for each in detail["dependsOn"]] == [
        parents[0].batch_id.split(":")[0],
        parents[2].batch_id,
    ]
    gate.open()
    assert last.result(LONG_S) == 1
