"""What the driver under measurement asked for, and when its jobs ran: the harness computes with this.

Times are of CLOCK_MONOTONIC, which on Linux is the same in all processes.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Submission:
    """A SubmitJob that was accepted."""

    name: str
    size: int
    at_s: float


@dataclass
class Records:
    """Counts and times since the start of this AWS."""

    calls: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    throttled: Counter[str] = field(default_factory=Counter)
    submissions: dict[str, Submission] = field(default_factory=dict)
    ends: defaultdict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    """By task: when an outcome of it was stored, and by which job."""

    def count(self, service: str, operation: str) -> None:
        """Count a call."""
        self.calls[service][operation] += 1

    def submitted(self, job_id: str, name: str, size: int) -> None:
        """Note a job, or an array of `size` jobs."""
        self.submissions[job_id] = Submission(name, size, time.monotonic())

    def ended(self, job_id: str, task: str) -> None:
        """Note that a job has stored what became of a task."""
        self.ends[task].append((time.monotonic(), job_id))

    def to_json(self) -> dict[str, Any]:
        """Return the report: counts, submissions by name, and each task's times."""
        names = Counter(each.name for each in self.submissions.values())
        return {
            "calls": self.calls,
            "throttled": self.throttled,
            "submissions": names,
            "jobs": sum(each.size for each in self.submissions.values()),
            "tasks": {task: [self._times(*end) for end in ends] for task, ends in self.ends.items()},
        }

    def _times(self, ended_s: float, job_id: str) -> dict[str, Any]:
        submission = self.submissions[job_id.partition(":")[0]]
        return {"submitted_s": submission.at_s, "ended_s": ended_s, "job": job_id}
