"""What is gathered to be submitted together: nothing is lost or mixed, and nobody waits longer than agreed.

Time is virtual, so that hundreds of streams are looked at in seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covalent_awsbatch_plugin import gather
from covalent_awsbatch_plugin.gather import LONE_WINDOW_S, SHARE_OF_TURNAROUND, Gatherer, Waiting
from tests.local.virtual import VirtualTimeLoop

TICK_S = 1e-9
SLACK_S = 1e-5
"""For sums of floating-point numbers, and of ticks."""

AFTERWARDS_S = 100
"""Until all that was withdrawn too late, or only just, has come to its end."""


@dataclass(frozen=True)
class Kind:
    name: str = "a"
    gather_window_s: float = 1.0
    of_any_dispatch: str = "such tasks"
    max_array_size: int = 10_000
    max_bytes: int = 1_000_000


@dataclass(frozen=True)
class Item:
    """What is to be gathered; it comes so long after the one before it."""

    kind: Kind = Kind()
    gap_s: float = 0.0
    size_bytes: int = 1
    withdrawn_after_s: float | None = None


@dataclass
class Sent:
    kind: Kind
    at_s: float
    together: list[Waiting[int]]

    @property
    def contents(self) -> list[int]:
        return [each.content for each in self.together]


@dataclass
class Post:
    """Takes what is sent; it takes a while, and every so often is refused."""

    takes_s: float = 0.0
    refused: set[int] = field(default_factory=set)
    sent: list[Sent] = field(default_factory=list)

    async def send(self, kind: Kind, together: list[Waiting[int]]) -> None:
        self.sent.append(Sent(kind, now_s(), together))
        number = len(self.sent) - 1
        await asyncio.sleep(self.takes_s)
        for index, each in enumerate(together):
            if number in self.refused:
                each.fail(ConnectionError(f"refused {number}"))
            else:
                each.submitted_as(f"{number}:{index}")

    @property
    def sizes(self) -> list[int]:
        return [len(each.together) for each in self.sent]


@dataclass
class Stream:
    """Items in their order, with what became of them."""

    items: list[Item]
    waiting: list[Waiting[int]] = field(default_factory=list)
    added_s: list[float] = field(default_factory=list)
    withdrawn: set[int] = field(default_factory=set)
    refused_withdrawals: set[int] = field(default_factory=set)

    async def flow(self, gatherer: Gatherer[Kind, int]) -> None:
        """Add all items when their time has come, and wait until each has an answer."""
        for number, item in enumerate(self.items):
            if item.gap_s:
                await asyncio.sleep(item.gap_s)
            self.waiting.append(gatherer.add(item.kind, number, item.size_bytes))
            self.added_s.append(now_s())
            if item.withdrawn_after_s is not None:
                asyncio.get_running_loop().call_later(item.withdrawn_after_s, self.withdraw, number)
        await asyncio.wait([each.job_id for each in self.waiting])

    def withdraw(self, number: int) -> None:
        is_out = self.waiting[number].withdraw()
        (self.withdrawn if is_out else self.refused_withdrawals).add(number)


def now_s() -> float:
    return asyncio.get_running_loop().time()


def gathered(
    items: list[Item], post: Post | None = None, turnaround_s: float | None = None
) -> tuple[Stream, Post]:
    """Let items flow through a gatherer, and return what became of them."""
    stream, post = Stream(items), post or Post()

    async def main() -> None:
        await stream.flow(Gatherer(post.send, lambda _: turnaround_s))
        await asyncio.sleep(AFTERWARDS_S)

    loop = VirtualTimeLoop()
    mishaps: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: mishaps.append(context))
    ticks = count()
    # A clock moves on between two looks: at the loop's own time a rest of 1e-17 s would never end.
    clock = SimpleNamespace(monotonic=lambda: loop.time() + next(ticks) * TICK_S)
    with closing(loop), mock.patch.object(gather, "time", clock):
        loop.run_until_complete(main())
    assert mishaps == []
    return stream, post


def longest_wait_s(kind: Kind, turnaround_s: float | None) -> float:
    """How long somebody may wait for others, as the module promises it."""
    share_s = (turnaround_s or 0.0) * SHARE_OF_TURNAROUND
    return min(max(share_s, LONE_WINDOW_S), kind.gather_window_s)


# --- any stream -----------------------------------------------------------------------------------------

kinds = st.builds(
    Kind,
    name=st.sampled_from("ab"),
    gather_window_s=st.sampled_from([0.0, 0.05, 1.0, 3.0]),
    max_array_size=st.sampled_from([1, 2, 5, 10_000]),
    max_bytes=st.sampled_from([10, 1_000_000]),
)
gaps_s = st.sampled_from([0.0, 0.0, 0.001, 0.05, 0.09, 0.11, 0.3, 2.0])


@st.composite
def streams(draw: Callable[..., list[Item]]) -> list[Item]:
    some_kinds = st.sampled_from(draw(st.lists(kinds, min_size=1, max_size=3)))
    items = st.builds(
        Item,
        kind=some_kinds,
        gap_s=gaps_s,
        size_bytes=st.integers(0, 12),
        withdrawn_after_s=st.none() | st.sampled_from([0.0, 0.01, 0.08, 0.5, 5.0]),
    )
    return draw(st.lists(items, min_size=1, max_size=40))


posts = st.builds(Post, takes_s=st.sampled_from([0.0, 0.2]), refused=st.sets(st.integers(0, 10)))
turnarounds_s = st.none() | st.sampled_from([0.5, 5.0, 60.0])


@settings(max_examples=300)
@given(streams(), posts, turnarounds_s)
def test_nothing_is_lost_doubled_or_mixed_and_nobody_waits_too_long(items, post, turnaround_s):
    stream, post = gathered(items, Post(post.takes_s, post.refused), turnaround_s)
    numbers = [number for sent in post.sent for number in sent.contents]
    assert sorted([*numbers, *stream.withdrawn]) == list(range(len(items)))
    for sent in post.sent:
        assert sent.contents == sorted(sent.contents)
        assert {items[number].kind for number in sent.contents} == {sent.kind}
        assert len(sent.contents) <= sent.kind.max_array_size
        sizes_bytes = [items[number].size_bytes for number in sent.contents]
        assert len(sizes_bytes) == 1 or sum(sizes_bytes) <= sent.kind.max_bytes
        for number in sent.contents:
            waited_s = sent.at_s - stream.added_s[number]
            assert waited_s <= longest_wait_s(sent.kind, turnaround_s) + SLACK_S


@settings(max_examples=100)
@given(streams(), posts)
def test_each_learns_its_own_job_or_why_there_is_none(items, post):
    stream, post = gathered(items, Post(post.takes_s, post.refused))
    for call, sent in enumerate(post.sent):
        for index, number in enumerate(sent.contents):
            answer = stream.waiting[number].job_id
            if call in post.refused:
                assert str(answer.exception()) == f"refused {call}"
            else:
                assert answer.result() == f"{call}:{index}"
    for number, each in enumerate(stream.waiting):
        assert each.job_id.cancelled() == (number in stream.withdrawn)


# --- the rules, one by one ------------------------------------------------------------------------------


@pytest.mark.parametrize(("window_s", "waits_s"), [(1.0, LONE_WINDOW_S), (0.02, 0.02), (0.0, 0.0)])
@pytest.mark.parametrize("turnaround_s", [None, 0.1, 600.0])
def test_a_lone_one_waits_a_tenth_of_a_second_at_most(window_s, waits_s, turnaround_s):
    _, post = gathered([Item(Kind(gather_window_s=window_s), gap_s=5.0)], turnaround_s=turnaround_s)
    assert [each.at_s for each in post.sent] == [pytest.approx(5.0 + waits_s, abs=SLACK_S)]


def test_those_of_one_moment_go_together_however_short_the_window():
    _, post = gathered([Item(Kind(gather_window_s=0.0))] * 7)
    assert (post.sizes, post.sent[0].at_s) == ([7], 0.0)


def test_a_burst_leaves_in_arrays_of_the_largest_size():
    _, post = gathered([Item(Kind(max_array_size=100))] * 250)
    assert sorted(post.sizes) == [50, 100, 100]
    assert [each.at_s for each in post.sent if len(each.together) == 100] == [0.0, 0.0]


def test_alone_is_what_is_larger_than_a_pack():
    kind = Kind(max_bytes=10)
    _, post = gathered([Item(kind, size_bytes=size_bytes) for size_bytes in (4, 11, 4, 6, 1)])
    assert sorted(each.contents for each in post.sent) == [[0], [1], [2, 3], [4]]


def test_different_kinds_do_not_wait_for_each_other():
    short, long = Kind("a", gather_window_s=0.0), Kind("b")
    _, post = gathered([Item(long), Item(short), Item(long, gap_s=0.05)])
    assert [(each.kind.name, each.contents) for each in post.sent] == [("a", [1]), ("b", [0, 2])]


@pytest.mark.parametrize(("turnaround_s", "fewest", "most"), [(60.0, 7, 12), (1.0, 80, 80), (None, 80, 80)])
def test_a_stream_is_gathered_where_its_jobs_take_long(turnaround_s, fewest, most):
    """Eight a second, as Covalent's dispatcher gives them."""
    _, post = gathered([Item(gap_s=0.125)] * 80, turnaround_s=turnaround_s)
    assert fewest <= len(post.sent) <= most


def test_a_stream_that_has_ended_is_not_waited_for():
    stream, post = gathered([Item(Kind(gather_window_s=10.0), gap_s=0.01)] * 30, turnaround_s=100.0)
    assert post.sizes == [30]
    assert post.sent[0].at_s == pytest.approx(stream.added_s[-1] + LONE_WINDOW_S, abs=SLACK_S)


def test_what_is_on_its_way_cannot_be_withdrawn():
    items = [Item(withdrawn_after_s=after_s) for after_s in (0.05, 0.2, 0.4, None)]
    stream, post = gathered(items, Post(takes_s=0.5))
    assert [each.contents for each in post.sent] == [[1, 2, 3]]
    assert (stream.withdrawn, stream.refused_withdrawals) == ({0}, {1, 2})
    assert stream.waiting[1].job_id.result() == "0:0"


def test_nothing_is_sent_where_all_have_withdrawn():
    _, post = gathered([Item(withdrawn_after_s=0.05)] * 3)
    assert post.sent == []
