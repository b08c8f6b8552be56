"""The order of steps with a stack: it is made ready, planned, worked on and followed to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..errors import StackError
from ..session import Session
from . import change_set, events
from . import stack as stacks
from .change_set import Change, ChangeSet
from .events import Event
from .parameters import InfraParameters
from .stack import IN_REVIEW, NEVER_MADE, Stack

Report = Callable[[Event], object]
"""Told of each event as it comes."""

Say = Callable[[str], object]

UP_AGAIN = "Mend the cause and run `covalent-awsbatch infra up` again"
DOWN_AGAIN = "Mend the cause and run `covalent-awsbatch infra down` again"

NEXT_STEPS = {
    NEVER_MADE: f"What was made was taken back. {UP_AGAIN}: it deletes what is left of the stack first.",
    "UPDATE_ROLLBACK_COMPLETE": f"All is again as it was before. {UP_AGAIN}.",
    "UPDATE_ROLLBACK_FAILED": (
        "CloudFormation could not take its changes back: `aws cloudformation continue-update-rollback "
        "--stack-name {name}` tries that again once the cause is mended."
    ),
    "CREATE_FAILED": f"{DOWN_AGAIN}, and then `infra up`.",
    "ROLLBACK_FAILED": f"What was made could not be taken back. {DOWN_AGAIN}, and then `infra up`.",
    "DELETE_FAILED": f"{DOWN_AGAIN}: it goes on with what is left.",
}
"""By the states in which a stack is left; the text may name the stack."""

STUCK = frozenset({"CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_FAILED", "UPDATE_ROLLBACK_FAILED"})
"""States out of which no change set leads."""


@dataclass(frozen=True)
class Proposal:
    """A stack as it is, None where it is to be made; and what is to be done, None where nothing is."""

    present: Stack | None
    change_set: ChangeSet | None


async def preview(session: Session, wanted: InfraParameters, given: Iterable[str]) -> list[Change]:
    """Return what would be done to have the stack as wanted, and leave nothing behind.

    Raises StackError where the stack is somebody else's, or in no state to be changed.
    """
    present = await stacks.find(session, wanted.stack_name)
    if present is not None:
        _refuse_unready(present)
    planned = await change_set.create(session, wanted, given, present)
    if planned is None:
        return []
    await change_set.discard(session, planned)
    return planned.changes


async def propose(
    session: Session, wanted: InfraParameters, given: Iterable[str], report: Report, say: Say
) -> Proposal:
    """Return what is to be done to have the stack as wanted; it is there to be carried out or discarded.

    Waits for work that is going on, and deletes what a creation that failed has left. Raises StackError
    where the stack is somebody else's, or stuck.
    """
    present = await _ready(session, wanted.stack_name, report, say)
    return Proposal(present, await change_set.create(session, wanted, given, present))


async def _ready(session: Session, name: str, report: Report, say: Say) -> Stack | None:
    present = await settled(session, name, report, say)
    if present is None:
        return None
    if present.is_ours and present.status == NEVER_MADE:
        say(f"the stack {name} is what a creation that failed has left ({present.status}): deleting it")
        await delete(session, present, report)
        return None
    _refuse_unready(present)
    return present


def _refuse_unready(present: Stack) -> None:
    """Raise StackError where no change set can be made for a stack, or may not be."""
    status, name = present.status, present.name
    if status != IN_REVIEW:  # there is nothing in it that could be anybody's
        stacks.refuse_foreign(present)
    if present.is_in_progress:
        raise StackError(f"CloudFormation is at work on the stack {name!r} ({status}): wait for its end.")
    if status == NEVER_MADE:
        raise StackError(
            f"The stack {name!r} is what a creation that failed has left ({status}): `covalent-awsbatch "
            f"infra up` deletes it, and makes everything anew."
        )
    if status in STUCK:
        raise StackError(f"The stack {name!r} is stuck in {status}. {_next_step(present, status)}")


async def settled(session: Session, name: str, report: Report, say: Say) -> Stack | None:
    """Return a stack when nothing is going on with it; None where there is none."""
    stack = await stacks.find(session, name)
    if stack is None or not stack.is_in_progress:
        return stack
    stacks.refuse_foreign(stack)
    say(f"CloudFormation is at work on the stack {name} already ({stack.status}): following it")
    async for each in events.follow(session, stack, await events.before_present_work(session, stack)):
        report(each)
    return await stacks.find(session, name)


async def doomed(session: Session, name: str, report: Report, say: Say) -> Stack | None:
    """Return the stack when it can be deleted, None where there is none.

    Waits for work that is going on. Raises StackError where the stack is somebody else's.
    """
    present = await settled(session, name, report, say)
    if present is None:
        return None
    if present.status != IN_REVIEW or not await change_set.is_ours(session, present):
        stacks.refuse_foreign(present)
    return present


async def carry_out(session: Session, planned: ChangeSet, report: Report) -> Stack:
    """Do what was planned, tell of it, and return the stack as it is then.

    Raises StackError with the first resource that failed.
    """
    after = await events.newest(session, planned.stack)
    await change_set.execute(session, planned)
    await _to_the_end(session, planned.stack, after, report)
    done = await stacks.find(session, planned.stack.id)
    if done is None:
        raise StackError(f"The stack {planned.stack.name!r} went away after it was made: run it again.")
    return done


async def delete(session: Session, stack: Stack, report: Report) -> None:
    """Delete a stack and tell of it.

    Raises StackError with the first resource that failed.
    """
    after = await events.newest(session, stack)
    await stacks.delete(session, stack)
    await _to_the_end(session, stack, after, report)


async def _to_the_end(session: Session, stack: Stack, after: str, report: Report) -> None:
    seen: list[Event] = []
    async for each in events.follow(session, stack, after):
        seen.append(each)
        report(each)
    if not seen[-1].is_success:
        raise StackError(_trouble(stack, seen))


def _trouble(stack: Stack, seen: list[Event]) -> str:
    """Say with which resource it began, why, and what to do next."""
    last = seen[-1]
    failure = events.first_failure(seen) or last
    reason = failure.reason or "CloudFormation gives no reason"
    right = events.missing_right(failure)
    return " ".join(
        [
            f"The stack {stack.name!r} ended in {last.status}. It began with {failure.logical_id} "
            f"({failure.type}), {failure.status}: {reason.rstrip('.')}.",
            *([f"These credentials need the right {right}."] if right else []),
            _next_step(stack, last.status),
        ]
    )


def _next_step(stack: Stack, status: str) -> str:
    return NEXT_STEPS.get(status, f"{UP_AGAIN}.").format(name=stack.name)
