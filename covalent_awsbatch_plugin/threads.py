"""Blocking calls beside the event loop that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


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
