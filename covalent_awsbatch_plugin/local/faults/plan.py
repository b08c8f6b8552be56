"""The plan of faults: which requests and which jobs are struck, when, how often, and by what.

In JSON a plan is `{"faults": [ … ]}`. A fault with an `operation` strikes requests, one without it strikes
jobs; `effects` has what can happen. docs/local-faults.md shows both with examples.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from ..model import service_model
from .effects import (
    Ends,
    HalfBody,
    HalfWritten,
    JobEffect,
    JobEffects,
    Part,
    RequestEffect,
    RequestEffects,
    kinds_of,
)

SERVICES = ("batch", "s3", "logs", "sts", "iam", "ecr", "cloudformation", "sqs", "events", "ec2")
"""The services whose requests can be struck."""

WRITES_OBJECT = ("PutObject", "CompleteMultipartUpload")

Count = Annotated[int, Field(ge=1)]


class PlanError(Exception):
    """A plan that cannot be; the message names the fault, the field and what would do."""


class Span(Part):
    """The calls from the `first` on, so many."""

    first: Count
    count: Count


class RequestFault(Part):
    """Strikes requests of an operation.

    `calls` says which: a list of numbers, or a Span. Counted from 1 are the calls of this operation, since
    the plan was set, whose key in S3 (of a listing: whose prefix) holds `key_contains` and which come from
    `caller`. `times` is how often at most; without both, every call is struck.
    """

    name: str = ""
    operation: str
    effect: RequestEffect
    calls: (
        Annotated[
            Annotated[list[Count], Tag("numbers")] | Annotated[Span, Tag("span")],
            Discriminator(lambda value: "numbers" if isinstance(value, list | tuple) else "span"),
        ]
        | None
    ) = None
    times: Count | None = None
    key_contains: str = ""
    caller: Literal["driver", "job", "any"] = "any"

    @model_validator(mode="after")
    def _check(self) -> RequestFault:
        if not any(self.operation in service_model(each).operation_names for each in SERVICES):
            raise PydanticCustomError("operation", "{text}", {"text": _unknown_operation(self.operation)})
        if isinstance(self.effect, HalfBody) and self.operation != "GetObject":
            raise ValueError("half_body is for GetObject")
        if isinstance(self.effect, HalfWritten) and self.operation not in WRITES_OBJECT:
            raise ValueError(f"half_written is for {' and '.join(WRITES_OBJECT)}")
        return self


class Target(Part):
    """Which jobs: all of what is set here must hold.

    `nth` counts submissions from 1 since the plan was set, an array as one; `index` is that of an array's
    child; `attempt` is AWS's number of the attempt, from 1 on.
    """

    nth: Count | None = None
    name_contains: str = ""
    index: Annotated[int, Field(ge=0)] | None = None
    attempt: Count | None = None


class JobFault(Part):
    """Strikes the attempts of jobs, or what clients see of jobs; `times` is how many of them at most."""

    name: str = ""
    job: Target = Target()
    effect: JobEffect
    times: Count | None = None


Fault = Annotated[
    Annotated[RequestFault, Tag("request fault")] | Annotated[JobFault, Tag("job fault")],
    Discriminator(
        lambda value: (
            "request fault"
            if isinstance(value, RequestFault) or (isinstance(value, dict) and "operation" in value)
            else "job fault"
        )
    ),
]


class Plan(Part):
    """Faults in the order in which they are tried."""

    faults: list[Fault] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_names(self) -> Plan:
        names = [fault.name for fault in self.faults if fault.name]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two faults have the name {twice!r}: choose another for one of them")
        return self

    def named(self) -> Iterator[tuple[str, Fault]]:
        """Yield the faults with their names; one without a name is called by its place, such as `fault 2`."""
        for number, fault in enumerate(self.faults, 1):
            yield fault.name or f"fault {number}", fault


def read_plan(text: str | bytes) -> Plan:
    """Return the plan in a JSON text; raises PlanError where it is none."""
    try:
        return Plan.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # A field that is missing is often one that was misspelt.
        first = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
        more = f" ({len(problems) - 1} more after it)" if len(problems) > 1 else ""
        raise PlanError(f"{_sentence(first)}{more}") from error


def _sentence(problem: ErrorDetails) -> str:
    parts = list(problem["loc"])
    where = [part for before, part in zip(["", *parts], parts, strict=False) if not _is_tag(before, part)]
    text = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        text = f"there is no such field; there are {', '.join(_fields(problem['loc']))}"
    if where[:1] != ["faults"] or len(where) < 2:
        return f"{_path(where)}{text}"
    return f"fault {int(where[1]) + 1}{', ' if where[2:] else ': '}{_path(where[2:])}{text}"


def _is_tag(before: int | str, part: int | str) -> bool:
    """Tell whether a step of pydantic's path is one that the plan itself does not have."""
    return part in _TAGS or (before == "effect" and part in _EFFECTS)


def _path(where: list[int | str]) -> str:
    return ".".join(map(str, where)) + ": " if where else ""


def _fields(location: tuple[int | str, ...]) -> list[str]:
    """Return the fields of that part of a plan in which something unknown stands."""
    if location[-3:-1] == ("end_with", "end_with"):
        return list(Ends.model_fields)
    holder = next((_PARTS[part] for part in reversed(location[:-1]) if part in _PARTS), Plan)
    return list(holder.model_fields)


def _unknown_operation(name: str) -> str:
    known = [each for service in SERVICES for each in service_model(service).operation_names]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; {near[0]} would do" if near else ""
    return f"{name!r} is no operation of {', '.join(SERVICES)}{hint}"


_EFFECTS = {**kinds_of(RequestEffects), **kinds_of(JobEffects)}
_TAGS: set[Any] = {"request fault", "job fault", "numbers", "span"}
_PARTS: dict[Any, type[Part]] = {
    **_EFFECTS,
    "request fault": RequestFault,
    "job fault": JobFault,
    "job": Target,
    "span": Span,
}
