"""Blocking work beside the event loop, in threads of our own."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")

MAX_THREADS = 8
"""Our own threads, so that the pool which Covalent's server shares with everyone stays free."""

_thread_limits: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, anyio.CapacityLimiter]] = (
    weakref.WeakKeyDictionary()
)


async def in_thread(function: Callable[[], T]) -> T:
    """Run short blocking work in a thread of our own and return its result."""
    return await anyio.to_thread.run_sync(function, limiter=_thread_limit("short", MAX_THREADS))


async def in_background(function: Callable[[], T], *, lane: str, at_once: int) -> T:
    """Run blocking work of minutes in a thread, `at_once` of a lane, and return its result.

    Neither a cancelled task nor the end of the process waits for it: who interrupts a build wants it to end.
    """
    async with _thread_limit(lane, at_once):
        return await in_daemon_thread(function, lane)


def _thread_limit(lane: str, at_once: int) -> anyio.CapacityLimiter:
    lanes = _thread_limits.setdefault(asyncio.get_running_loop(), {})
    return lanes.setdefault(lane, anyio.CapacityLimiter(at_once))


def in_daemon_thread(function: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Start a function in a new thread; the future is its result on the running event loop.

    Not a pool, whose threads long calls would fill. Neither a cancelled task nor the end of the process
    waits for the thread.
    """
    outcome: Future[T] = Future()
    threading.Thread(target=_fulfil, args=(outcome, function), name=name, daemon=True).start()
    return asyncio.wrap_future(outcome)


def _fulfil(outcome: Future[T], function: Callable[[], T]) -> None:
    if not outcome.set_running_or_notify_cancel():
        return
    try:
        outcome.set_result(function())
    except BaseException as error:  # noqa: BLE001 — it belongs to whoever waits for the result
        outcome.set_exception(error)
