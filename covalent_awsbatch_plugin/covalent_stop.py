"""Covalent's server is stopped: how that is known, and how jobs are ended although the server goes away.

`covalent stop` sends SIGTERM. The server, which is uvicorn's, then has Covalent call `cancel()` for every
node of all dispatches, as if the user had cancelled them, and does not wait for any of these calls: some
milliseconds later uvicorn raises the signal again, with its default action, which ends the process. What is
still to be done goes to the event loop of a thread of our own; until it is done SIGTERM is held back, and
the end of uvicorn's event loop waits.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time

from . import arrays, background, departure, pipeline
from .departure import Known, Unseen
from .running import Running
from .settings import Settings

log = logging.getLogger(__name__)

PATIENCE_S = 60
"""How long the server's end waits for AWS; service managers kill after 90 s."""

GATHER_S = 0.2
"""How long nodes are collected: Covalent takes some milliseconds for each dispatch."""

_has_begun = False

_tasks: dict[int, Running] = {}
_unseen: list[Unseen] = []
"""Whose jobs have to end: those whose ids are known, and the others."""

_staying: set[asyncio.Task[None]] = set()


def has_begun() -> bool:
    """Tell whether the server was told to stop.

    uvicorn says so itself: its `Server` handles SIGTERM and SIGINT, and notes `should_exit`. Covalent's calls
    do not tell: `cancel()` gets the same for a user's cancellation. Where something else serves Covalent's
    application, the answer is always no.
    """
    global _has_begun  # when its event loop ends uvicorn's handlers are gone
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    _has_begun = _has_begun or getattr(server, "should_exit", False) is True
    return _has_begun


def is_cancelled(dispatch_id: str, node_id: int) -> bool:
    """Tell whether the user has cancelled a node before the server was stopped, and its job has not ended."""
    task = pipeline.running.get((dispatch_id, node_id))
    return task is not None and task.is_cancelled


def end_job_of(settings: Settings, dispatch_id: str, node_id: int, group_id: int | None) -> None:
    """End the job of a node although the server goes away, together with those of other nodes.

    Covalent calls for all nodes of all dispatches one after the other; an array is ended with one call.
    """
    task = pipeline.running.get((dispatch_id, node_id))
    if task is None and group_id is not None:
        _unseen.append(Unseen(settings, dispatch_id, group_id))
    elif task is not None and task.followed is not None:
        task.is_cancelled = True
        _tasks[id(task)] = task
    elif task is not None:
        if task.waiting is not None:
            _unseen.append(Unseen(settings, dispatch_id, task.group_id, is_coming=True))
        task.cancel()
    if (_tasks or _unseen) and not _staying:
        _hold_back_the_signal()
        _staying.add(stay := asyncio.create_task(_end_them()))
        stay.add_done_callback(_go)


async def _end_them() -> None:
    while True:
        await _persist(asyncio.ensure_future(asyncio.sleep(GATHER_S)))
        if not _tasks and not _unseen:
            return
        ends = arrays.jobs_to_end(list(_tasks.values()))
        known = [Known(members[0].settings, job_id) for job_id, members in ends.items()]
        unseen = list(_unseen)
        _tasks.clear()
        _unseen.clear()
        log.info("%d jobs end with the server, and what %d tasks have submitted", len(known), len(unseen))
        ending = asyncio.wrap_future(background.start(departure.end(known, unseen)))
        await _persist(ending)
        if ending.done() and (error := ending.exception()):
            log.error("Jobs that should have ended with this server run on", exc_info=error)


# --- to outlive the server ----------------------------------------------------------------------------------


async def _persist(work: asyncio.Future[None]) -> None:
    """Wait for something even where the event loop, which ends its tasks before it closes, wants to end."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not work.done() and time.monotonic() < deadline_s:
        try:
            await asyncio.wait([work], timeout=deadline_s - time.monotonic())
        except asyncio.CancelledError:
            continue
    if not work.done():
        text = "AWS Batch did not take all terminations in %d s; `covalent-awsbatch recover` finds the jobs"
        log.error(text, PATIENCE_S)


def _hold_back_the_signal() -> None:
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises it in this thread; one that comes from outside finds another thread, and works.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _go(stay: asyncio.Task[None]) -> None:
    _staying.discard(stay)
    if threading.current_thread() is threading.main_thread():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
