"""`map`: arrays in order and as they come, their children, and chunks of many items a job."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import pytest

from covalent_awsbatch_plugin.client import AWSBatch, JobArray
from covalent_awsbatch_plugin.errors import JobFailedError
from tests.client.surroundings import LONG_S, Gate
from tests.e2e.surroundings import AWS, Counted


def halving() -> Callable[[int], int]:
    """Halves a number; 1 is refused, and 3 kills its process."""

    # A function within a function travels whole: jobs need not import the tests.
    def half(number: int) -> int:
        import os
        import signal

        if number == 1:
            raise ValueError("odd")
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number // 2

    return half


# --- arrays ---------------------------------------------------------------------------------------------


def test_results_come_in_order_or_as_they_are_there(batch: AWSBatch, gate: Gate, counted: Counted):
    hold = gate.hold
    array = batch.map(lambda number: hold(number) if number == 0 else number, range(4))
    as_they_come = array.results(as_completed=True, timeout=LONG_S)
    assert {next(as_they_come) for _ in range(3)} == {1, 2, 3}
    assert not array.done()
    gate.open()
    assert list(as_they_come) == [0]
    assert list(array.results()) == [0, 1, 2, 3]
    assert [job.index for job in array] == [0, 1, 2, 3]
    assert counted("batch", "SubmitJob") == 1


def test_children_tell_their_results_exit_codes_and_reasons(aws: AWS, batch: AWSBatch):
    array = batch.map(halving(), range(5))
    found = list(array.results(return_exceptions=True, timeout=LONG_S))
    assert [found[index] for index in (0, 2, 4)] == [0, 1, 2]
    assert (type(found[1]), str(found[1])) == (ValueError, "odd")
    assert isinstance(found[3], JobFailedError)
    assert "SIGKILL" in str(found[3])
    codes = [
        aws.batch.describe_jobs(jobs=[job.batch_id])["jobs"][0]["container"]["exitCode"] for job in array
    ]
    assert array.exit_codes == codes
    assert (codes[0], codes[1]) == (0, 101)
    assert [index for index, reason in enumerate(array.status_reasons) if reason] == [1, 3]
    assert [job.succeeded for job in array] == [True, False, True, False, True]


def test_without_return_exceptions_the_first_in_order_is_raised(batch: AWSBatch):
    results = batch.map(halving(), range(3)).results(timeout=LONG_S)
    assert next(results) == 0
    with pytest.raises(ValueError, match="odd"):
        next(results)


def test_who_waits_in_vain_for_an_array_is_told(batch: AWSBatch, gate: Gate):
    array = batch.map(gate.hold, range(2))
    for wait in (
        lambda: array.wait(0.01),
        lambda: list(array.results(timeout=0.01)),
        lambda: list(array.as_completed(timeout=0.01)),
    ):
        with pytest.raises(TimeoutError):
            wait()
    gate.open()
    array.wait(LONG_S)


async def test_nothing_to_do_is_an_empty_array(batch: AWSBatch, counted: Counted):
    array: JobArray[int] = batch.map(pow, [], [])
    assert (list(array.results()), await array, array.done(), len(array)) == ([], [], True, 0)
    array.wait()
    array.cancel()
    assert counted("batch", "SubmitJob") == 0


def test_one_item_is_a_job_of_its_own(batch: AWSBatch):
    array = batch.map(pow, [2], [5])
    assert list(array.results(timeout=LONG_S)) == [32]
    assert ":" not in array[0].batch_id


def test_iterables_are_taken_side_by_side_to_the_end_of_the_shortest(batch: AWSBatch):
    array = batch.map(pow, (number for number in (2, 3, 4)), iter([3, 2]))
    assert list(array.results(timeout=LONG_S)) == [8, 9]
    assert [array[-1].result(), len(array[:1])] == [9, 1]


async def test_an_array_can_be_awaited(batch: AWSBatch):
    assert await batch.map(lambda number: -number, range(3)) == [0, -1, -2]
    with pytest.raises(ValueError, match="odd"):
        await batch.map(halving(), range(2))


def test_who_gives_up_awaiting_is_not_held_and_the_jobs_go_on(batch: AWSBatch, gate: Gate):
    array = batch.map(gate.hold, range(2))

    async def give_up() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(array, 0.01)

    asyncio.run(give_up())  # it ends although the gate is closed
    assert not array.done()
    gate.open()
    assert list(array.results(timeout=LONG_S)) == [0, 1]


# --- chunks ---------------------------------------------------------------------------------------------


def test_chunks_give_the_values_of_all_items_in_order(batch: AWSBatch, counted: Counted):
    array = batch.map(math.sqrt, [number**2 for number in range(7)], chunk_size=3)
    assert list(array.results(timeout=LONG_S)) == list(range(7))
    assert [job.result() for job in array] == [[0, 1, 2], [3, 4, 5], [6]]
    assert counted("batch", "SubmitJob") == 1


def test_an_item_that_fails_or_is_killed_leaves_the_others_of_its_chunk_alone(batch: AWSBatch):
    array = batch.map(halving(), range(5), chunk_size=4)
    found = list(array.results(return_exceptions=True, timeout=LONG_S))
    assert [found[index] for index in (0, 2, 4)] == [0, 1, 2]
    assert (type(found[1]), str(found[1])) == (ValueError, "odd")
    assert isinstance(found[1].__cause__, JobFailedError)
    assert isinstance(found[3], JobFailedError)
    assert "SIGKILL" in str(found[3])


def test_the_result_of_a_chunk_is_its_items_or_the_first_exception_among_them(batch: AWSBatch):
    (job,) = batch.map(halving(), range(4), chunk_size=4)
    with pytest.raises(ValueError, match="odd"):
        job.result(LONG_S)
    assert (job.exception(), job.exit_code) == (None, 0)  # the job itself has ended well


def test_values_that_look_like_a_chunk_are_not_taken_for_one(batch: AWSBatch):
    values = [[{"value": b"x"}], {"value": b"x"}, []]
    assert list(batch.map(lambda value: value, values).results(timeout=LONG_S)) == values
    assert list(batch.map(lambda value: value, values, chunk_size=2).results(timeout=LONG_S)) == values


def test_a_chunk_size_below_one_is_refused(batch: AWSBatch):
    with pytest.raises(ValueError, match="chunk_size=0 is refused: the minimum is 1"):
        batch.map(math.sqrt, [1], chunk_size=0)
