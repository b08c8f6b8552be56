"""Whoever asks, from wherever and whenever: AWS's rate is kept, urgent calls come first, nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import threading
import time
import weakref
from bisect import bisect_right
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covalent_awsbatch_plugin.pace import BURST, GONE_AFTER_S, RATE_PER_S, SLOWEST_PER_S, Lane, Pace, pace_for
from tests.local.virtual import run_virtual

PUBLISHED_PER_S = 50
"""AWS Batch's service limit for SubmitJob, written out independently of the code."""

FAST = 100
"""How many seconds pass in a thread's world in one of ours."""

TIMES_S = st.floats(0, 3)
LANES = st.sampled_from(Lane)
BURSTS = st.lists(st.tuples(TIMES_S, LANES, st.integers(1, 80)), min_size=1, max_size=6)


def in_virtual_time(main: Callable[[Pace], Coroutine[Any, Any, None]]) -> None:
    async def with_pace() -> None:
        await main(Pace(clock=asyncio.get_running_loop().time, chance=random.Random(0).random))

    run_virtual(with_pace)


def now_s() -> float:
    return asyncio.get_running_loop().time()


def most_in_a_second(sent_s: Sequence[float]) -> int:
    """Return the number of calls in the worst second, both of its ends included."""
    times_s = sorted(sent_s)
    return max(bisect_right(times_s, begin_s + 1) - first for first, begin_s in enumerate(times_s))


async def take(pace: Pace, turns: int) -> None:
    for _ in range(turns):
        await pace.turn(Lane.SUBMIT)


@settings(max_examples=200)
@given(BURSTS)
def test_no_second_has_more_calls_than_aws_takes(bursts: list[tuple[float, Lane, int]]):
    sent_s: list[float] = []

    async def ask(pace: Pace, delay_s: float, lane: Lane) -> None:
        await asyncio.sleep(delay_s)
        await pace.turn(lane)
        sent_s.append(now_s())
        pace.succeeded()

    async def main(pace: Pace) -> None:
        asked = [(delay_s, lane) for delay_s, lane, number in bursts for _ in range(number)]
        await asyncio.gather(*(ask(pace, *each) for each in asked))

    in_virtual_time(main)
    assert len(sent_s) == sum(number for *_, number in bursts)
    assert most_in_a_second(sent_s) <= PUBLISHED_PER_S


@settings(max_examples=100)
@given(BURSTS, st.lists(TIMES_S, max_size=5))
def test_refusals_let_no_more_through(bursts: list[tuple[float, Lane, int]], refused_at_s: list[float]):
    sent_s: list[float] = []

    async def ask(pace: Pace, delay_s: float, lane: Lane) -> None:
        await asyncio.sleep(delay_s)
        sent_s.append(await pace.turn(lane))
        pace.succeeded()

    async def refuse(pace: Pace, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        pace.throttled(now_s())

    async def main(pace: Pace) -> None:
        asked = [(delay_s, lane) for delay_s, lane, number in bursts for _ in range(number)]
        refusals = [refuse(pace, delay_s) for delay_s in refused_at_s]
        await asyncio.gather(*(ask(pace, *each) for each in asked), *refusals)
        assert SLOWEST_PER_S <= pace.rate_per_s <= RATE_PER_S

    in_virtual_time(main)
    assert most_in_a_second(sent_s) <= PUBLISHED_PER_S


@given(st.integers(1, 400))
def test_a_burst_has_all_of_the_rate(number: int):
    async def main(pace: Pace) -> None:
        await asyncio.gather(*(pace.turn(Lane.SUBMIT) for _ in range(number)))
        assert now_s() <= number / (0.9 * PUBLISHED_PER_S) + 0.01

    in_virtual_time(main)


def test_threads_and_loops_share_one_pace():
    pace = Pace(clock=lambda: time.monotonic() * FAST, sleep=lambda wait_s: asyncio.sleep(wait_s / FAST))
    sent_s: list[float] = []

    async def submit_many() -> None:
        sent_s.extend(await asyncio.gather(*(pace.turn(Lane.SUBMIT) for _ in range(100))))

    threads = [threading.Thread(target=asyncio.run, args=(submit_many(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent_s) == 400
    assert most_in_a_second(sent_s) <= PUBLISHED_PER_S


@settings(max_examples=50)
@given(st.lists(st.floats(0.01, 4), min_size=1, max_size=10))
def test_an_urgent_call_overtakes_all_submissions(asked_at_s: list[float]):
    sent: list[tuple[Lane, float, float]] = []

    async def ask(pace: Pace, delay_s: float, lane: Lane) -> None:
        await asyncio.sleep(delay_s)
        asked_s = now_s()
        sent.append((lane, asked_s, await pace.turn(lane)))

    async def main(pace: Pace) -> None:
        submissions = [ask(pace, 0, Lane.SUBMIT) for _ in range(250)]
        await asyncio.gather(*submissions, *(ask(pace, each, Lane.DESCRIBE) for each in asked_at_s))

    in_virtual_time(main)
    urgent = [(asked_s, sent_s) for lane, asked_s, sent_s in sent if lane is Lane.DESCRIBE]
    submitted_s = [sent_s for lane, _, sent_s in sent if lane is Lane.SUBMIT]
    assert len(submitted_s) == 250
    for asked_s, sent_s in urgent:
        assert not [each for each in submitted_s if asked_s < each < sent_s]
        assert sent_s - asked_s <= len(urgent) / RATE_PER_S + 0.01


class TwoLoops:
    """A submission that waits here and an urgent call that waits there, in a time passed by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pace = Pace(clock=lambda: self.now_s, sleep=lambda _: asyncio.sleep(0))
        self.here, self.there = asyncio.new_event_loop(), asyncio.new_event_loop()
        self.here.run_until_complete(take(self.pace, BURST))
        self.submission = self.here.create_task(self.pace.turn(Lane.SUBMIT))
        self.urgent = self.there.create_task(self.pace.turn(Lane.DESCRIBE))
        self.run(self.here)
        self.run(self.there)

    def run(self, loop: asyncio.AbstractEventLoop) -> None:
        async def some_steps() -> None:
            for _ in range(10):
                await asyncio.sleep(0)

        loop.run_until_complete(some_steps())


@pytest.fixture
def loops() -> Iterator[TwoLoops]:
    two = TwoLoops()
    yield two
    for task, loop in (two.submission, two.here), (two.urgent, two.there):
        task.cancel()
        two.run(loop)
        loop.close()


def test_an_urgent_call_of_another_loop_overtakes_too(loops: TwoLoops):
    loops.now_s += 2 / RATE_PER_S
    loops.run(loops.here)
    assert not loops.submission.done()
    loops.run(loops.there)
    assert loops.urgent.done()
    loops.run(loops.here)
    assert loops.submission.done()


def test_a_loop_that_stands_still_holds_up_nobody(loops: TwoLoops):
    loops.now_s += GONE_AFTER_S + 0.1
    loops.run(loops.here)
    assert loops.submission.done()
    assert not loops.urgent.done()


@settings(max_examples=100)
@given(st.lists(st.tuples(LANES, st.floats(0.001, 3)), min_size=1, max_size=150))
def test_who_gives_up_loses_nothing_and_holds_up_nobody(asked: list[tuple[Lane, float]]):
    """Half of the callers are patient; the others leave at some time, at the head of the line or within."""
    order: dict[Lane, list[int]] = {lane: [] for lane in Lane}

    async def ask(pace: Pace, number: int, lane: Lane, patience_s: float) -> None:
        with anyio.move_on_after(patience_s):
            await pace.turn(lane)
            order[lane].append(number)

    async def main(pace: Pace) -> None:
        patience_s = [each if number % 2 else 1e9 for number, (_, each) in enumerate(asked)]
        callers = [ask(pace, number, lane, patience_s[number]) for number, (lane, _) in enumerate(asked)]
        await asyncio.gather(*callers)
        served = sum(map(len, order.values()))
        last_left_s = max((each for each in patience_s if each < 1e9), default=0)
        # Had a token or a place been lost, those who stay would be served later than this.
        assert now_s() <= max(served / RATE_PER_S, last_left_s) + 0.05
        await asyncio.gather(*(pace.turn(lane) for lane in Lane))

    in_virtual_time(main)
    for lane in Lane:
        patient = {number for number, (its, _) in enumerate(asked) if its is lane and number % 2 == 0}
        assert patient <= set(order[lane])
        assert order[lane] == sorted(order[lane])


def test_a_thousand_waiters_do_not_wake_together():
    sleeps = 0

    async def counted(wait_s: float) -> None:
        nonlocal sleeps
        sleeps += 1
        await asyncio.sleep(wait_s)

    async def main() -> None:
        pace = Pace(clock=asyncio.get_running_loop().time, sleep=counted)
        await asyncio.gather(*(pace.turn(Lane.SUBMIT) for _ in range(1000)))

    run_virtual(main)
    assert sleeps < 3000  # a herd would need half a million


def test_a_refusal_halves_the_rate_once_for_all_calls_of_its_moment():
    async def main(pace: Pace) -> None:
        sent_s = [await pace.turn(Lane.SUBMIT) for _ in range(20)]
        for each in sent_s:
            pace.throttled(each)
        assert pace.rate_per_s == RATE_PER_S / 2
        for each in sent_s:  # answers that took longer
            await asyncio.sleep(0.01)
            pace.throttled(each)
        assert pace.rate_per_s == RATE_PER_S / 2
        pace.throttled(await pace.turn(Lane.DESCRIBE))
        assert pace.rate_per_s == RATE_PER_S / 4

    in_virtual_time(main)


@given(LANES, LANES)
def test_after_a_refusal_nobody_sends_for_a_while_and_then_at_the_lower_rate(refused: Lane, other: Lane):
    async def main(pace: Pace) -> None:
        pace.throttled(await pace.turn(refused))
        begin_s = now_s()
        sent_s = await asyncio.gather(*(pace.turn(other) for _ in range(100)))
        assert begin_s + 0.5 < sent_s[0] < begin_s + 2
        gaps_s = [after_s - before_s for before_s, after_s in itertools.pairwise(sent_s)]
        assert gaps_s == pytest.approx([2 / RATE_PER_S] * 99, abs=0.002)

    in_virtual_time(main)


def test_the_rate_has_a_floor_and_recovers_with_success():
    async def main(pace: Pace) -> None:
        for _ in range(20):
            pace.throttled(await pace.turn(Lane.SUBMIT))
        assert pace.rate_per_s == SLOWEST_PER_S
        rates_per_s, begin_s = [pace.rate_per_s], now_s()
        while pace.rate_per_s < RATE_PER_S:
            await pace.turn(Lane.SUBMIT)
            pace.succeeded()
            rates_per_s.append(pace.rate_per_s)
        assert rates_per_s == sorted(rates_per_s)
        assert 30 < now_s() - begin_s < 60  # by addition: not within a second, and not in many minutes

    in_virtual_time(main)


def test_without_success_the_rate_stays_low():
    async def main(pace: Pace) -> None:
        pace.throttled(await pace.turn(Lane.SUBMIT))
        await asyncio.sleep(3600)
        assert pace.rate_per_s == RATE_PER_S / 2

    in_virtual_time(main)


@given(st.integers(1, 30), st.floats(0, 1))
def test_one_call_backs_off_longer_with_every_failure(failures: int, chance: float):
    async def main() -> None:
        await Pace(clock=asyncio.get_running_loop().time, chance=lambda: chance).back_off(failures)
        assert now_s() == pytest.approx(chance * min(2 ** (failures - 1), 20))

    run_virtual(main)


def test_a_pace_holds_no_loop_that_has_ended():
    pace = Pace()

    async def crowd() -> weakref.ref[asyncio.AbstractEventLoop]:
        await asyncio.gather(*(pace.turn(lane) for lane in Lane for _ in range(5)))
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(crowd())
    gc.collect()
    assert loop() is None


def test_there_is_one_pace_for_each_key():
    assert pace_for(("account", "region")) is pace_for(("account", "region"))
    assert pace_for(("account", "region")) is not pace_for(("account", "elsewhere"))
