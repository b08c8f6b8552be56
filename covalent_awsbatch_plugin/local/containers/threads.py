"""Blocking calls beside the event loop, each in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_thread(function: Callable[[], T]) -> asyncio.Future[T]:
    """Start a function in a new thread; the future is its result on the running event loop.

    Not a pool: a call may last as long as a job, and all the pool's threads would be taken by jobs when
    one of them is to be killed. The threads are daemons, so that a job keeps no program from ending.
    """
    outcome: Future[T] = Future()
    threading.Thread(target=_settle, args=(outcome, function), name="local-aws-call", daemon=True).start()
    return asyncio.wrap_future(outcome)


def _settle(outcome: Future[T], function: Callable[[], T]) -> None:
    outcome.set_running_or_notify_cancel()  # from now on nobody can cancel it
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - raised again where the future is awaited
        outcome.set_exception(error)
    else:
        outcome.set_result(result)
