"""Much work on one event loop: in turns, by a crew, and waiting for the same thing."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.fairness import TURN_SIZE, Crew, Turnstile, in_turns
from covalent_awsbatch_plugin.milestone import Milestone


async def rounds_of_the_loop(seen: list[int]) -> None:
    """Count the event loop's rounds until cancelled."""
    while True:
        seen[0] += 1
        await asyncio.sleep(0)


async def test_a_long_loop_lets_others_in():
    rounds = [0]
    other = asyncio.create_task(rounds_of_the_loop(rounds))
    items = [item async for item in in_turns(range(10 * TURN_SIZE))]
    other.cancel()
    assert items == list(range(10 * TURN_SIZE))
    assert rounds[0] >= 9


@given(count=st.integers(0, 5 * TURN_SIZE), given_up=st.sets(st.integers(0, 5 * TURN_SIZE)))
def test_a_turnstile_keeps_the_order_and_lets_a_turns_worth_through_in_a_round(count, given_up):
    async def everybody() -> tuple[list[int], dict[int, int]]:
        turnstile, passed, of_round, rounds = Turnstile(), [], {}, [0]
        clock = asyncio.create_task(rounds_of_the_loop(rounds))

        async def go_through(number: int) -> None:
            await turnstile.pass_through()
            passed.append(number)
            of_round[rounds[0]] = of_round.get(rounds[0], 0) + 1

        tasks = [asyncio.create_task(go_through(number)) for number in range(count)]
        await asyncio.sleep(0)
        waiting = [number for number in given_up if number < count and not tasks[number].done()]
        for number in waiting:
            tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        clock.cancel()
        assert passed == [number for number in range(count) if number not in waiting]
        return passed, of_round

    _, of_round = asyncio.run(everybody())
    assert max(of_round.values(), default=0) <= TURN_SIZE


@given(count=st.integers(0, 50), size=st.integers(1, 7))
def test_a_crew_does_all_of_it_in_order_and_so_many_at_a_time(count, size):
    async def everything() -> tuple[list[int], int]:
        crew, begun, at_once, most = Crew(size), [], [0], [0]
        done = asyncio.Semaphore(0)

        async def work(number: int) -> None:
            begun.append(number)
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            await asyncio.sleep(0)
            at_once[0] -= 1
            done.release()

        for number in range(count):
            crew.add(partial(work, number))
        for _ in range(count):
            await done.acquire()
        return begun, most[0]

    begun, most = asyncio.run(everything())
    assert begun == list(range(count))
    assert most == min(count, size)


async def test_who_gives_up_waiting_takes_nothing_from_the_others():
    milestone: Milestone[str] = Milestone()
    called: list[str] = []
    milestone.then(lambda: called.append("before"))
    patient, impatient = (asyncio.create_task(milestone.wait()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    milestone.reach("first")
    milestone.reach("second")
    milestone.then(lambda: called.append("after"))
    assert await patient == "first"
    assert await milestone.wait() == "first"
    assert called == ["before", "after"]
    with pytest.raises(asyncio.CancelledError):
        await impatient
