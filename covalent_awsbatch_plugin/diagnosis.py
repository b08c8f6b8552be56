"""Why a job ended without a value, and what to do: a table over AWS's own texts, without any I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .contract import EXIT_RUNTIME_FAULT, EXIT_TERMINATED
from .job import Job
from .settings import MIB_PER_GB


@dataclass(frozen=True)
class Diagnosis:
    """A cause, in words that follow "the job", and the next step."""

    cause: str
    advice: str


@dataclass(frozen=True)
class _Rule:
    matches: Callable[[Job], bool]
    diagnosis: Diagnosis


def _status_reason(pattern: str) -> Callable[[Job], bool]:
    return lambda job: re.search(pattern, job.status_reason) is not None


def _container_reason(pattern: str) -> Callable[[Job], bool]:
    return lambda job: re.search(pattern, job.container_reason) is not None


def _exit_code(*codes: int) -> Callable[[Job], bool]:
    return lambda job: job.exit_code in codes


_README = "leave container_image_uri empty, or give that image the four lines of the README"
_OUT_OF_MEMORY = Diagnosis("ran out of memory", "raise memory")

# The first match counts: AWS's reasons say more than an exit code.
_RULES = [
    _Rule(
        _status_reason("Job attempt duration exceeded timeout"),
        Diagnosis("ran into its time limit", "raise time_limit, or give the job more vCPUs"),
    ),
    _Rule(
        lambda job: ran_out_of_memory(job),
        _OUT_OF_MEMORY,
    ),
    _Rule(
        _status_reason("^Host EC2|Spot Task was interrupted"),
        Diagnosis("lost its host, and all its attempts with it", "raise retry_attempts or use on-demand"),
    ),
    _Rule(
        _container_reason("exec format error|no matching manifest"),
        Diagnosis(
            "has an image for another processor than its instance's",
            "set cpu_architecture (or build container_image_uri) for the queue's instances",
        ),
    ),
    _Rule(
        _container_reason('"python": executable file not found'),
        Diagnosis("found no `python` in its image", _README),
    ),
    _Rule(
        lambda job: could_not_pull(job),
        Diagnosis(
            "could not get its image",
            "check the execution role's rights, the route to ECR and, if it is set, container_image_uri; an "
            "image that was built for the task and deleted since is built again by the next dispatch",
        ),
    ),
    _Rule(
        _container_reason("^Cannot(Start|Create)Container"),
        Diagnosis("could not start its container", "check the image's Python and architecture"),
    ),
    _Rule(
        _status_reason("unable to assume the role"),
        Diagnosis("could not get its role", "let ecs-tasks.amazonaws.com assume the role (trust policy)"),
    ),
    _Rule(
        _status_reason("^Dependent Job failed"),
        Diagnosis("waited for a job that failed", "see that job"),
    ),
    _Rule(
        _status_reason("^JobQueue deleted"),
        Diagnosis("lost its queue", "set another batch_queue"),
    ),
    _Rule(
        _exit_code(137),
        Diagnosis(
            "was killed (SIGKILL)",
            "if nobody killed it, it most likely needed more memory than it had: raise memory",
        ),
    ),
    _Rule(
        _exit_code(EXIT_TERMINATED),
        Diagnosis("was told to stop (SIGTERM)", "see who terminated it in the status reason"),
    ),
    _Rule(
        _exit_code(EXIT_RUNTIME_FAULT),
        Diagnosis("could not do its work around your function", "see the last log lines"),
    ),
    _Rule(
        _exit_code(132, 134, 136, 139),
        Diagnosis(
            "crashed in native code",
            "check that the image has the client's Python and the processor that its packages are built for",
        ),
    ),
    _Rule(
        _exit_code(126, 127),
        Diagnosis("did not find its program", "check that the image has Python and this package"),
    ),
    _Rule(
        _exit_code(0),
        Diagnosis(
            "ended well but left no outcome",
            "check that its image has no ENTRYPOINT, which would run something else than the task, and that "
            "nobody deletes from the bucket",
        ),
    ),
    _Rule(
        _exit_code(1),
        Diagnosis(
            "ended before it could read its task",
            "check that the image has this package, cloudpickle and obstore; see the last log lines",
        ),
    ),
]

_IN_LOG = [
    (
        1,
        re.compile(r"No module named '?covalent_awsbatch_plugin"),
        Diagnosis("ran in an image without this package's runtime", _README),
    ),
    (
        EXIT_RUNTIME_FAULT,
        re.compile(r"^covalent-awsbatch: The image has no obstore"),
        Diagnosis("ran in an image without an obstore that can be used", _README),
    ),
    (
        2,
        re.compile(r"can't open file '.*\bpython'"),
        Diagnosis(
            "ran in an image with an ENTRYPOINT that takes the job's command for its own arguments",
            "leave container_image_uri empty, or end that image's Dockerfile with `ENTRYPOINT []`",
        ),
    ),
]
"""What keeps a user's own image from leaving an outcome, by its exit code and its log.

The exit code tells that the log is Python's or the runtime's: what user code prints proves nothing.
"""

_UNKNOWN = Diagnosis("ended without leaving an outcome", "see the reasons and the last log lines")


def ran_out_of_memory(job: Job) -> bool:
    """Tell whether the kernel ended something in the job's container for its memory, as ECS reports it."""
    return "OutOfMemoryError" in job.container_reason


def could_not_pull(job: Job) -> bool:
    """Tell whether a job could not get its image, which may have been deleted."""
    return job.container_reason.startswith("CannotPull")


def diagnose(job: Job, log_lines: Sequence[str] = ()) -> Diagnosis:
    """Return why a job ended without a value, from AWS's texts, its exit code and its last log lines."""
    for exit_code, pattern, diagnosis in _IN_LOG:
        if job.exit_code == exit_code and any(pattern.search(line) for line in log_lines):
            return diagnosis
    found = next((rule.diagnosis for rule in _RULES if rule.matches(job)), _UNKNOWN)
    if found is _OUT_OF_MEMORY and job.memory_mib is not None:
        limit = f"its limit was {job.memory_mib} MiB (memory={job.memory_mib / MIB_PER_GB:g})"
        return replace(found, advice=f"{found.advice}: {limit}")
    return found
