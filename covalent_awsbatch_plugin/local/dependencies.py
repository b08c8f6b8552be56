"""Which job waits for which: untyped, N_TO_N and SEQUENTIAL dependencies of AWS Batch.

Each job that runs counts its open dependencies and stands in the list of those it waits for; nothing
polls.
"""

from __future__ import annotations

from collections.abc import Mapping

from covalent_awsbatch_plugin.job import JobStatus

from .jobs import Job

N_TO_N = "N_TO_N"
SEQUENTIAL = "SEQUENTIAL"


def connect(job: Job, jobs: Mapping[str, Job]) -> None:
    """Enter a new job's dependencies; the ids in them must be known."""
    for dependency in job.spec.depends_on:
        kind = dependency.get("type")
        if kind == SEQUENTIAL and "jobId" not in dependency:
            for earlier, later in zip(job.children, job.children[1:], strict=False):
                _wait(later, earlier)
        elif kind == N_TO_N:
            for ours, theirs in zip(job.children, jobs[dependency["jobId"]].children, strict=True):
                _wait(ours, theirs)
        else:
            for leaf in job.leaves:
                _wait(leaf, jobs[dependency["jobId"]])


def _wait(dependent: Job, awaited: Job) -> None:
    if awaited.status is JobStatus.FAILED:
        dependent.dependency_failed = True
    elif awaited.status is not JobStatus.SUCCEEDED:
        dependent.unmet += 1
        awaited.dependents.append(dependent)


def settle(job: Job) -> list[Job]:
    """Count a finished job off for those that wait for it, and return them."""
    waiting, job.dependents = job.dependents, []
    for dependent in waiting:
        dependent.unmet -= 1
        dependent.dependency_failed |= job.status is JobStatus.FAILED
    return waiting
