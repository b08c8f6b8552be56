"""The payload: what a job is to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from covalent_awsbatch_plugin.contract.envelopes import EnvelopeError


@dataclass(frozen=True)
class Input:
    """One argument, from one of three sources.

    A pickle in a section of the payload; a pickle that is an object of its own in the payload's bucket, of
    `length` bytes; or the value of an earlier task of the same job.
    """

    section: str | None = None
    key: str | None = None
    node_id: int | None = None
    length: int | None = None


@dataclass(frozen=True)
class Hook:
    """A call before or after the function: sections with the pickled callable, args and kwargs."""

    function: str
    args: str
    kwargs: str
    retval_keyword: str = ""


@dataclass(frozen=True)
class Task:
    """One function call.

    `function_key` is the S3 key of the raw pickle, in the payload's bucket, and ends with its SHA-256;
    `python_version` and `cloudpickle_version` are those that wrote it.
    """

    node_id: int
    function_key: str
    python_version: str
    cloudpickle_version: str
    args: list[Input] = field(default_factory=list)
    kwargs: dict[str, Input] = field(default_factory=dict)
    call_before: list[Hook] = field(default_factory=list)
    call_after: list[Hook] = field(default_factory=list)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Task:
        """Rebuild a task from the JSON of a payload's header."""
        return cls(
            node_id=data["node_id"],
            function_key=data["function_key"],
            python_version=data["python_version"],
            cloudpickle_version=data["cloudpickle_version"],
            args=[Input(**each) for each in data["args"]],
            kwargs={name: Input(**each) for name, each in data["kwargs"].items()},
            call_before=[Hook(**each) for each in data["call_before"]],
            call_after=[Hook(**each) for each in data["call_after"]],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value for a payload's header; by hand, for `asdict` takes longer than all else."""
        return {
            **vars(self),
            "args": [vars(each) for each in self.args],
            "kwargs": {name: vars(each) for name, each in self.kwargs.items()},
            "call_before": [vars(each) for each in self.call_before],
            "call_after": [vars(each) for each in self.call_after],
        }


@dataclass(frozen=True)
class Payload:
    """The header of a job's payload: its tasks in the order in which they run, and how outcomes are written.

    They are sealed with `origin_key`, and encrypted with `kms_key_id`; empty: as the bucket itself does.
    """

    dispatch_id: str
    tasks: list[Task]
    origin_key: bytes = field(repr=False)
    kms_key_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value for an envelope's header."""
        return {
            "dispatch_id": self.dispatch_id,
            "tasks": [each.to_json() for each in self.tasks],
            "origin_key": self.origin_key.hex(),
            "kms_key_id": self.kms_key_id,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Payload:
        """Rebuild a payload from an envelope's header.

        Raises EnvelopeError where a field is missing.
        """
        try:
            return cls(
                data["dispatch_id"],
                [Task.from_json(each) for each in data["tasks"]],
                bytes.fromhex(data["origin_key"]),
                data["kms_key_id"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise EnvelopeError(f"the payload lacks a field: {error}") from error
