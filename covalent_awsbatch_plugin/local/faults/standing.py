"""A fault of the plan in force, with what it has seen and how often it has struck."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..calls import Call
from ..jobs import Job
from .plan import JobFault, RequestFault, Span

F = TypeVar("F", RequestFault, JobFault)


@dataclass(eq=False)
class Standing(Generic[F]):
    """A fault that waits for its moment.

    `seen` counts the calls that it could have struck; `submissions` is how many jobs there were before the
    plan. `looks` has the jobs whose answers it changes, and how often it has kept them from being seen.
    """

    name: str
    fault: F
    submissions: int
    seen: int = 0
    struck: int = 0
    looks: dict[str, int] = field(default_factory=dict)

    @property
    def is_used_up(self) -> bool:
        """Tell whether the fault has struck as often as it may."""
        return self.fault.times is not None and self.struck >= self.fault.times


def concerns(fault: RequestFault, call: Call) -> bool:
    """Tell whether a call is one of those that a fault counts."""
    return (
        fault.operation == call.operation
        and fault.key_contains in call.key
        and fault.caller in ("any", "job" if call.by_job else "driver")
    )


def is_chosen(fault: RequestFault, number: int) -> bool:
    """Tell whether the fault strikes the call of this number, from 1 on."""
    if isinstance(fault.calls, Span):
        return fault.calls.first <= number < fault.calls.first + fault.calls.count
    return fault.calls is None or number in fault.calls


def takes(standing: Standing[JobFault], job: Job) -> bool:
    """Tell whether a fault strikes the attempt that a job makes or waits for, and count it."""
    target = standing.fault.job
    taken = not standing.is_used_up and (
        target.nth in (None, job.submission - standing.submissions)
        and target.index in (None, job.index)
        and target.attempt in (None, len(job.attempts) + 1)
        and target.name_contains in job.spec.name
    )
    standing.struck += taken
    return taken
