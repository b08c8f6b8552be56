"""What the Docker engine says while it builds and pushes: how far it is, and why it failed, in words."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import BuildError, PushError
from .environment import WRONG_PYTHON
from .progress import Progress, Report, Stage

TAIL_LINES = 15
MAX_PIP_ERRORS = 3

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_TERMINAL_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_DISK_FULL = "no space left on device"
_FOREIGN_PROCESSOR = "exec format error"
_REFUSED_LOGIN = re.compile(
    "authorization token|no basic auth|unauthorized|authentication required|denied:", re.IGNORECASE
)
_NO_REPOSITORY = re.compile("name unknown|repository with name .* does not exist", re.IGNORECASE)


class LoginRefusedError(PushError):
    """The registry does not accept the login that it gave out itself; another may do."""


@dataclass(frozen=True)
class Pushed:
    """An image as the registry knows it."""

    digest: str
    size_bytes: int
    """What had to be sent, compressed or not as the engine counts it; layers that were there cost nothing."""


def follow_build(name: str, items: Iterable[dict[str, Any]], report: Report) -> None:
    """Read a build's output to its end.

    Raises BuildError where it fails.
    """
    lines: deque[str] = deque(maxlen=TAIL_LINES)
    pip_errors: list[str] = []
    step, steps = 0, 0
    for item in items:
        if "error" in item:
            raise BuildError(_build_failure(name, pip_errors, list(lines), item["error"]))
        for line in _lines(item.get("stream", "")):
            if found := _STEP.match(line):
                step, steps = int(found[1]), int(found[2])
                lines.clear()
            lines.append(line)
            if line.startswith("ERROR:"):
                pip_errors.append(line)
            report(Progress(Stage.BUILD, name, step, steps, line))


def _lines(stream: str) -> list[str]:
    return [line for line in _TERMINAL_COLOUR.sub("", stream).splitlines() if line.strip()]


def _build_failure(name: str, pip_errors: list[str], tail: list[str], error: str) -> str:
    """Say what a build failed of: pip's own words where it was pip, and the last lines in any case."""
    headline = " ".join(pip_errors[:MAX_PIP_ERRORS]) or error.strip().splitlines()[-1]
    said = "\n".join([*tail, error])
    last_lines = "The last lines of the build:\n" + "\n".join(f"  {line}" for line in tail)
    return f"The image {name} could not be built: {headline}\nNext step: {_advice(said)}.\n\n{last_lines}"


def _advice(said: str) -> str:
    if _DISK_FULL in said:
        return "the Docker engine's disk is full: free some, for example with `docker system prune`"
    if WRONG_PYTHON in said:
        return "set base_image to an image with the client's Python, or leave it out"
    if _FOREIGN_PROCESSOR in said:
        return (
            "this engine cannot run programs for that cpu_architecture: build on a machine that has it, "
            "with `covalent-awsbatch image build`, or install QEMU's binfmt support"
        )
    return "correct requirements, DepsPip or base_image, and try again"


def follow_push(target: str, items: Iterable[dict[str, Any]], report: Report) -> Pushed:
    """Read a push's output to its end.

    Raises LoginRefusedError or PushError.
    """
    sent: dict[str, tuple[int, int]] = {}
    digest = ""
    for item in items:
        if "error" in item:
            raise _push_failure(target, item["error"])
        digest = item.get("aux", {}).get("Digest", digest)
        detail = item.get("progressDetail") or {}
        if item.get("status") == "Pushing" and "current" in detail:
            sent[item["id"]] = (detail["current"], detail.get("total", detail["current"]))
        done, total = (sum(each) for each in zip(*sent.values(), strict=True)) if sent else (0, 0)
        report(Progress(Stage.PUSH, target, done, max(done, total), item.get("status", "")))
    if digest == "":
        raise PushError(f"The image {target} could not be pushed: the registry did not confirm it.")
    return Pushed(digest, sum(done for done, _ in sent.values()))


def _push_failure(target: str, error: str) -> PushError:
    what = f"The image {target} could not be pushed: {error.strip().rstrip('.')}."
    if _NO_REPOSITORY.search(error):
        return PushError(f"{what} Create the repository, or correct ecr_repo_name.")
    if _REFUSED_LOGIN.search(error):
        text = "Check ecr:InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload and PutImage."
        return LoginRefusedError(f"{what} {text}")
    if _DISK_FULL in error:
        return PushError(f"{what} The disk is full: free some, and try again.")
    if "500 Internal Server Error" in error:
        return PushError(f"{what} The registry could not store it: its disk is full, or it is not well.")
    return PushError(f"{what} Try again when that is mended.")
