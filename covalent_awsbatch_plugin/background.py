"""The event loop of plain Python: one for the process, in a thread of its own, for whoever has none."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

EXIT_PATIENCE_S = 5
"""How long the end of the process waits for the end of the loop."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop, started on first use; it ends with the process."""
    global _loop, _thread  # clients are shared by loop, so there must be one
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="awsbatch", daemon=True)
            _thread.start()
            # What is registered later, to use the loop once more, comes before.
            atexit.register(_end, _loop, _thread)
        return _loop


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """End the loop with all that runs on it.

    Threads of obstore hand their results to it; where they find Python gone, the process is aborted.
    """
    asyncio.run_coroutine_threadsafe(_cancel_others(), loop).add_done_callback(
        lambda _: loop.call_soon_threadsafe(loop.stop)
    )
    thread.join(EXIT_PATIENCE_S)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def start(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Run a coroutine on the loop; the future is its result."""
    return asyncio.run_coroutine_threadsafe(coroutine, event_loop())


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop and return its result.

    Raises RuntimeError in the loop's own thread, where callbacks of jobs run: it would wait for itself.
    """
    if threading.current_thread() is _thread:
        coroutine.close()
        raise RuntimeError("A job's callback must not wait for AWS: let another thread do that.")
    future = start(coroutine)
    try:
        return future.result()
    except BaseException:  # Ctrl-C, above all
        future.cancel()
        raise
