"""The event loop of plain Python: one for the process, in a thread of its own, for whoever has none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread_id: int | None = None


def event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop, started on first use; it ends with the process."""
    global _loop, _thread_id  # clients are shared by loop, so there must be one
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_loop.run_forever, name="awsbatch", daemon=True)
            thread.start()
            _thread_id = thread.ident
        return _loop


def start(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Run a coroutine on the loop; the future is its result."""
    return asyncio.run_coroutine_threadsafe(coroutine, event_loop())


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop and return its result.

    Raises RuntimeError in the loop's own thread, where callbacks of jobs run: it would wait for itself.
    """
    if threading.get_ident() == _thread_id:
        coroutine.close()
        raise RuntimeError("A job's callback must not wait for AWS: let another thread do that.")
    future = start(coroutine)
    try:
        return future.result()
    except BaseException:  # Ctrl-C, above all
        future.cancel()
        raise
