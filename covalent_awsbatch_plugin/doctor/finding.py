"""What a check has found, and the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """How something stands."""

    OK = "ok"
    WARNING = "warning"
    """Jobs run, but not as they should; or nobody lets us look."""
    FAILED = "failed"
    """No job would run."""
    SKIPPED = "skipped"
    """Not looked at, for what it stands on has failed, or it does not apply."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """The name of what was looked at, such as "bucket"."""
    state: State
    seen: str
    """What was seen, in a sentence without a full stop."""
    why: str = ""
    """Why it matters; empty where all is well."""
    mend: str = ""
    """The command that mends it; empty where nothing is to be mended, or no command can."""


def ok(check: str, seen: str, mend: str = "") -> Finding:
    """Return a finding that nothing is wrong; a command may yet make something better."""
    return Finding(check, State.OK, seen, mend=mend)


def warning(check: str, seen: str, why: str, mend: str = "") -> Finding:
    """Return a finding that jobs run with."""
    return Finding(check, State.WARNING, seen, why, mend)


def failed(check: str, seen: str, why: str, mend: str) -> Finding:
    """Return a finding that no job runs with."""
    return Finding(check, State.FAILED, seen, why, mend)


def skipped(check: str, why: str) -> Finding:
    """Return a finding that nothing was looked at."""
    return Finding(check, State.SKIPPED, "not looked at", why)
