"""What supervisor and worker tell each other: JSON, one message a line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from covalent_awsbatch_plugin.contract import Container, Failure


@dataclass(frozen=True)
class HookFiles:
    """A hook whose pickles lie in files; the fields are paths."""

    function: str
    args: str
    kwargs: str
    retval_keyword: str = ""


@dataclass(frozen=True)
class Call:
    """One function call: paths of the pickles to read, and of the files to write."""

    function: str
    value: str
    object_string: str
    exception: str
    args: list[str] = field(default_factory=list)
    kwargs: dict[str, str] = field(default_factory=dict)
    call_before: list[HookFiles] = field(default_factory=list)
    call_after: list[HookFiles] = field(default_factory=list)

    def to_line(self) -> bytes:
        """Return the message as a line of JSON."""
        return _line(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> Call:
        """Rebuild the message from its line."""
        data = json.loads(line)
        hooks = {name: [HookFiles(**each) for each in data[name]] for name in ("call_before", "call_after")}
        return cls(**{**data, **hooks})


@dataclass(frozen=True)
class Hello:
    """The worker's first message; its cloudpickle's version is None where that cannot be imported."""

    python_version: str
    cloudpickle_version: str | None

    def to_line(self) -> bytes:
        """Return the message as a line of JSON."""
        return _line({"hello": asdict(self)})


@dataclass(frozen=True)
class Report:
    """How a call ended: without a failure, the value and its string are in the files that `Call` names.

    With one, there is a file of the exception only if that can be pickled.
    `is_interrupted` tells that SIGTERM was raised in the user's code, which may have swallowed it.
    """

    failure: Failure | None = None
    container: Container | None = None
    is_interrupted: bool = False

    def to_line(self) -> bytes:
        """Return the message as a line of JSON."""
        return _line({"report": asdict(self)})


def answer_from_line(line: bytes) -> Hello | Report:
    """Rebuild what the worker said from its line."""
    data = json.loads(line)
    if "hello" in data:
        return Hello(**data["hello"])
    failure, container = data["report"]["failure"], data["report"]["container"]
    return Report(
        None if failure is None else Failure(**failure),
        None if container is None else Container(**container),
        data["report"]["is_interrupted"],
    )


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode() + b"\n"
