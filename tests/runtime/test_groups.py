"""Several tasks in one job, as Covalent packs them."""

from __future__ import annotations

import os

import pytest

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.contract import (
    EXIT_RUNTIME_FAULT,
    EXIT_USER_EXCEPTION,
    EXIT_VALUE,
    Input,
    OutcomeStatus,
)


def test_values_go_from_task_to_task_as_fresh_copies(jobs):
    def change(items):
        items.append("changed")
        return items

    draft = jobs.draft()
    draft.task(lambda: ["made"])
    draft.task(change, Input(node_id=0))
    draft.task(lambda first, second: (first, second), Input(node_id=0), second=Input(node_id=1))
    job = jobs.run(draft)
    assert job.exit_code == EXIT_VALUE, job.stderr
    assert [job.outcomes[node_id].value for node_id in range(3)] == [
        ["made"],
        ["made", "changed"],
        (["made"], ["made", "changed"]),
    ]


def test_each_task_has_streams_and_times_of_its_own(jobs):
    draft = jobs.draft()
    for number in range(3):
        draft.task(lambda number=number: print(f"task {number}"))
    job = jobs.run(draft)
    outcomes = [job.outcomes[number] for number in range(3)]
    assert [each.stdout for each in outcomes] == ["task 0\n", "task 1\n", "task 2\n"]
    times = [time for each in outcomes for time in (each.outcome.started_at, each.outcome.finished_at)]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("middle", "exit_code"), [(lambda: 1 / 0, EXIT_USER_EXCEPTION), (lambda: os.abort(), 128 + 6)]
)
def test_after_a_failure_in_the_middle_the_rest_is_skipped(jobs, middle, exit_code):
    draft = jobs.draft()
    draft.task(lambda: "first")
    draft.task(middle)
    draft.task(lambda: print("must not run"))
    draft.task(lambda value: value, Input(node_id=1))
    job = jobs.run(draft)
    assert job.exit_code == exit_code
    assert [job.outcomes[node_id].status for node_id in range(4)] == [
        OutcomeStatus.VALUE,
        OutcomeStatus.EXCEPTION,
        OutcomeStatus.SKIPPED,
        OutcomeStatus.SKIPPED,
    ]
    assert "earlier task of the same job" in job.outcomes[3].failure.message
    assert "must not run" not in job.stdout


def test_outcome_is_there_as_soon_as_its_task_has_ended(jobs, tmp_path, s3_endpoint):
    """The second task looks for the first one's outcome in the bucket."""
    draft = jobs.draft()
    prefix = contract.outcome_prefix(draft.dispatch_id, 0)

    def look():
        import urllib.request

        url = f"{s3_endpoint}/runtime-tests?list-type=2&prefix={prefix}"
        with urllib.request.urlopen(url) as answer:
            return answer.read().decode()

    draft.task(lambda: None)
    draft.task(look)
    job = jobs.run(draft)
    assert f"{prefix}001" in job.outcomes[1].value


def test_value_of_a_task_that_comes_later_is_a_fault_of_the_payload(jobs):
    draft = jobs.draft()
    draft.task(lambda value: value, Input(node_id=1))
    draft.task(lambda: 1)
    job = jobs.run(draft)
    assert job.exit_code == EXIT_RUNTIME_FAULT
    assert job.outcomes[0].status is OutcomeStatus.FAULT
    assert "takes the value of task 1, which did not run before it" in job.outcomes[0].failure.message
    assert job.outcomes[1].status is OutcomeStatus.SKIPPED
