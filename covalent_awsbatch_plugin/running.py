"""A task group on its way: what is known of it, how its job is followed, and how it is ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import contract, submit
from .diagnosis import CANCELLED_IN_COVALENT
from .gather import Waiting
from .milestone import Milestone
from .payload import Call, Parcel
from .plain_text import harmless
from .session import Session, open_session
from .settings import Settings
from .shipment import Kind
from .verdict import Verdict
from .vigil import attended
from .watch import Followed

log = logging.getLogger(__name__)

CANCEL_REASON = CANCELLED_IN_COVALENT

CANCEL_PATIENCE_S = 60
"""How long a cancelled task waits for its job's end: SIGTERM, AWS's 30 s, SIGKILL, and some slack."""


@dataclass(slots=True, eq=False)
class Running:
    """A task group on its way; `cancel()` may come at any moment."""

    settings: Settings
    dispatch_id: str
    group_id: int
    node_ids: Sequence[int]
    calls: Sequence[Call] = ()
    """What is to run, until it is in the parcel: ten thousand tasks must not hold all of it to their end."""
    cancel_reason: str = CANCEL_REASON
    started_s: float = field(default_factory=time.monotonic)
    notes: Sequence[str] = ()
    """What was done for the task outside its job; it goes before the task's stderr."""
    remarks_path: str = ""
    """The file that its user wants to read remarks in while it runs; empty: none."""
    may_be_known: bool = False
    """Whether an earlier process may have submitted it: its names are not made here."""
    rung: int = 0
    """How often it was submitted before, with less memory, say."""
    is_cancelled: bool = False
    submitted: Milestone[None] = field(default_factory=Milestone)
    """Reached when AWS Batch has its job, or when it has ended without."""
    kind: Kind | None = None
    """What its job is like."""
    runner: asyncio.Task[Any] | None = None
    """What walks its way; until the task waits for its submission it may be given up at any moment."""
    when_cancelled: Callable[[], object] | None = None
    """What learns of a cancellation while its array is prepared, which goes on for the others."""
    waiting: Waiting[Parcel] | None = None
    followed: Followed | None = None
    ending: asyncio.Task[None] | None = None
    verdicts: Milestone[list[Verdict]] = field(default_factory=Milestone)

    @property
    def job_id(self) -> str:
        """Return the id of the group's job, or child of an array; empty before its submission."""
        return "" if self.followed is None else self.followed.id

    def cancel(self) -> None:
        """End the job, or keep it from being submitted; the verdicts follow when that is done.

        While it is being submitted nothing is given up: a job whose id we never saw could not be ended.
        """
        self.is_cancelled = True
        if self.followed is not None:
            self.end_job()
        elif self.waiting is not None:
            self.waiting.withdraw()
        elif self.runner is not None:
            self.runner.cancel()
        elif self.when_cancelled is not None:
            self.when_cancelled()

    def note(self, text: str) -> None:
        """Tell the task's user what was done outside its job."""
        self.notes = (*self.notes, f"covalent-awsbatch: {harmless(text)}")

    def end_job(self) -> None:
        """Terminate the job, in the background of this event loop."""
        if self.ending is None and self.followed is not None:
            self.ending = asyncio.create_task(end(self, self.followed.id, [self.followed]))


async def follow(session: Session, task: Running, job_id: str) -> Followed:
    """Begin to watch a group's job."""
    watcher = await attended(session)
    task.followed = watcher.follow(
        job_id,
        bucket=task.settings.s3_bucket_name,
        dispatch_id=task.dispatch_id,
        node_ids=task.node_ids,
        kind="recovered" if task.kind is None else task.kind.of_any_dispatch,
        poll_interval_limit_s=task.settings.poll_freq,
        after_attempt=contract.MAX_ATTEMPTS * task.rung,
        runnable_timeout_s=task.settings.runnable_timeout,
        remarks_path=task.remarks_path,
    )
    task.submitted.reach(None)
    return task.followed


async def end(task: Running, job_id: str, cancelled: Sequence[Followed]) -> None:
    """Terminate a job, or a whole array, and see to it that nobody waits for its end for ever."""
    try:
        await submit.terminate(open_session(task.settings), job_id, task.cancel_reason)
        for each in cancelled:
            each.expect_end()
        all_ended = asyncio.gather(*(each.ended.wait() for each in cancelled))
        await asyncio.wait_for(all_ended, CANCEL_PATIENCE_S)
    except (TimeoutError, asyncio.TimeoutError):
        late = [each for each in cancelled if not each.ended.is_reached]
        text = "%d cancelled jobs have not ended after %d s, %s among them"
        log.warning(text, len(late), CANCEL_PATIENCE_S, late[0].id if late else job_id)
        for each in late:
            each.give_up()
    except Exception as error:  # noqa: BLE001 — nobody waits for this task, but for the job's end
        for each in cancelled:
            each.fail(error)
