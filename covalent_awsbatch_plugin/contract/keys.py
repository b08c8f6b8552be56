"""S3 keys and job names: each follows from dispatch, node, attempt and rung."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from covalent_awsbatch_plugin.contract.names import ENV_ATTEMPT, ENV_RUNG

KEY_PREFIX = "covalent-awsbatch"


def dispatch_prefix(dispatch_id: str) -> str:
    """Everything that one dispatch puts into the bucket stands under this prefix."""
    return f"{KEY_PREFIX}/{dispatch_id}/"


def function_key(dispatch_id: str, sha256: str) -> str:
    """Return the key of a pickled function, stored once for each content."""
    return f"{dispatch_prefix(dispatch_id)}functions/{sha256}"


def input_prefix(dispatch_id: str, node_id: int) -> str:
    """Return the prefix under which a task's large arguments stand."""
    return f"{dispatch_prefix(dispatch_id)}inputs/{_sortable(node_id)}/"


def input_key(dispatch_id: str, node_id: int, name: str) -> str:
    """Return the key of a large argument, which does not travel in its payload."""
    return f"{input_prefix(dispatch_id, node_id)}{name}"


def pack_prefix(dispatch_id: str) -> str:
    """Return the prefix under which a dispatch's packs stand."""
    return f"{dispatch_prefix(dispatch_id)}packs/"


def pack_key(dispatch_id: str, group_id: int, rung: int = 0) -> str:
    """Return the key of the pack whose first payload is this task group's, submitted for this time."""
    return f"{pack_prefix(dispatch_id)}{_sortable(group_id)}{f'r{rung}' if rung else ''}"


def rung_of_pack(key: str) -> int:
    """Return how often a pack's groups were submitted before it."""
    _, _, rung = key.rpartition("/")[2].partition("r")
    return int(rung) if rung.isdecimal() else 0


def group_of_pack(key: str) -> int:
    """Return the task group that a pack is named by: its first one.

    Raises ValueError for any other key.
    """
    return int(key.rpartition("/")[2].partition("r")[0])


def outcomes_prefix(dispatch_id: str) -> str:
    """Return the prefix under which the outcomes of all tasks of a dispatch stand, in the nodes' order."""
    return f"{dispatch_prefix(dispatch_id)}outcomes/"


def outcome_prefix(dispatch_id: str, node_id: int) -> str:
    """Return the prefix under which a task's outcomes stand, one for each attempt."""
    return f"{outcomes_prefix(dispatch_id)}{_sortable(node_id)}/"


def outcome_key(dispatch_id: str, node_id: int, attempt: int) -> str:
    """Return the key of a task's outcome; attempts count as in `attempt_of`, and sort as text."""
    return f"{outcome_prefix(dispatch_id, node_id)}{attempt:03d}"


def detached_prefix(dispatch_id: str, node_id: int) -> str:
    """Return the prefix under which the detached sections of a task's outcomes stand."""
    return f"{dispatch_prefix(dispatch_id)}values/{_sortable(node_id)}/"


def detached_key(dispatch_id: str, node_id: int, attempt: int, section: str, token: str) -> str:
    """Return the key of a detached section; with a `token` of its own, two writers never meet."""
    return f"{detached_prefix(dispatch_id, node_id)}{attempt:03d}-{section}-{token}"


def claim_prefix(dispatch_id: str, node_id: int) -> str:
    """Return the prefix under which the claims of the jobs stand whose first task this is."""
    return f"{dispatch_prefix(dispatch_id)}claims/{_sortable(node_id)}/"


def claim_key(dispatch_id: str, node_id: int, rung: int) -> str:
    """Return the key with the id of the one job that may do a submission's tasks, of which this is the first.

    All attempts of a job share it: of two jobs that AWS Batch made of one submission, either may be the one
    that starts first, or that is started again.
    """
    return f"{claim_prefix(dispatch_id, node_id)}{rung:03d}"


MAX_ATTEMPTS = 10
"""AWS Batch's limit for one job."""


def rung_of(environment: Mapping[str, str]) -> int:
    """Return how often a job's tasks were submitted before it."""
    return int(environment.get(ENV_RUNG, "0"))


def attempt_of(environment: Mapping[str, str]) -> int:
    """Return which attempt of its task a job is: from 1; from 11 where it was submitted anew, and so on."""
    return MAX_ATTEMPTS * rung_of(environment) + int(environment.get(ENV_ATTEMPT, "1"))


def outcome_of(key: str) -> tuple[int, int]:
    """Return node and attempt of an outcome's key.

    Raises ValueError for any other key.
    """
    node_id, attempt = key.split("/")[-2:]
    return int(node_id), int(attempt)


def _sortable(number: int) -> str:
    return f"{number:08d}"  # S3 lists keys as text; so a listing can begin behind what is known


JOB_NAME_PREFIX = "covalent-"


def job_name(dispatch_id: str, group_id: int, rung: int = 0) -> str:
    """Return the name of the job, or array, whose first payload is this task group's.

    Batch allows 128 characters of [A-Za-z0-9_-].
    """
    return f"{JOB_NAME_PREFIX}{dispatch_id}-{group_id}{f'r{rung}' if rung else ''}"


class JobName(NamedTuple):
    """What the name of a job, or array, tells: its dispatch, its first task group, and the rung."""

    dispatch_id: str
    group_id: int
    rung: int


def run_of(job_name: str) -> JobName:
    """Return what a job's, or array's, name tells.

    Raises ValueError for any other name.
    """
    dispatch_id, _, last = job_name.removeprefix(JOB_NAME_PREFIX).rpartition("-")
    group_id, again, rung = last.partition("r")
    if again and not rung.isdecimal():
        raise ValueError(f"{job_name!r} is no name of a job of ours")
    if not (job_name.startswith(JOB_NAME_PREFIX) and dispatch_id and group_id.isdecimal()):
        raise ValueError(f"{job_name!r} is no name of a job of ours")
    return JobName(dispatch_id, int(group_id), int(rung or 0))
