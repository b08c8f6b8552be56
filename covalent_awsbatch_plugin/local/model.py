"""Check requests and responses against botocore's own models of AWS's services."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import unquote

import botocore.session
from botocore.model import ServiceModel, Shape

from .jobs import Json

SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float),
}

LENIENT_ENUMS = frozenset({"ResourceStatus", "RetryAction"})
"""Enums that AWS does not keep to: it takes actions in any case, and tells other states of a stack."""

LENIENT_REQUIRED = frozenset({("JobDetail", "startedAt")})
"""Members that the model calls required and AWS leaves out: a job that never ran has no start."""


@cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of a service."""
    model: ServiceModel = botocore.session.get_session().get_service_model(service)
    return model


def batch_model() -> ServiceModel:
    """Return botocore's model of AWS Batch."""
    return service_model("batch")


@dataclass(frozen=True)
class Route:
    """How an operation is called over HTTP."""

    operation: str
    method: str
    pattern: re.Pattern[str]


@cache
def _routes() -> tuple[Route, ...]:
    model = batch_model()
    https = ((name, model.operation_model(name).http) for name in model.operation_names)
    return tuple(Route(name, http["method"], _pattern(http["requestUri"])) for name, http in https)


def _pattern(uri: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>.+)", uri))


def find_operation(method: str, raw_path: str) -> tuple[str, dict[str, str]] | None:
    """Return the operation that a request calls and the parameters in its path, None if there is none."""
    for route in _routes():
        match = route.pattern.fullmatch(raw_path)
        if match is not None and route.method == method:
            return route.operation, {name: unquote(value) for name, value in match.groupdict().items()}
    return None


def query_parameters(operation: str, query: list[tuple[str, str]]) -> Json:
    """Return the request's members that travel in the query string."""
    shape = batch_model().operation_model(operation).input_shape
    found: Json = {}
    for member, member_shape in shape.members.items() if shape is not None else ():
        if member_shape.serialization.get("location") == "querystring":
            values = [value for name, value in query if name == member_shape.serialization["name"]]
            if values:
                found[member] = values if member_shape.type_name == "list" else values[0]
    return found


def request_problems(operation: str, request: Json, service: str = "batch") -> list[str]:
    """Return what is wrong with a request, by the model's input shape."""
    shape = service_model(service).operation_model(operation).input_shape
    return list(_problems(request, shape, "request")) if shape is not None else []


def response_problems(operation: str, response: Json, service: str = "batch") -> list[str]:
    """Return what is wrong with a response, by the model's output shape."""
    shape = service_model(service).operation_model(operation).output_shape
    return list(_problems(response, shape, "response")) if shape is not None else []


def _problems(value: Any, shape: Shape, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        yield from _structure_problems(value, shape, path)
    elif kind == "list":
        yield from _list_problems(value, shape, path)
    elif kind == "map":
        yield from _map_problems(value, shape, path)
    else:
        yield from _scalar_problems(value, shape, path)


def _structure_problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} must be a structure"
        return
    members = shape.members
    for name in shape.required_members:
        if name not in value and (shape.name, name) not in LENIENT_REQUIRED:
            yield f"{path}.{name} is missing"
    for name, member in value.items():
        if name in members:
            yield from _problems(member, members[name], f"{path}.{name}")
        else:
            yield f"{path}.{name} is unknown"


def _list_problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path} must be a list"
        return
    for index, member in enumerate(value):
        yield from _problems(member, shape.member, f"{path}[{index}]")


def _map_problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} must be a map"
        return
    for key, member in value.items():
        yield from _problems(key, shape.key, f"{path} key")
        yield from _problems(member, shape.value, f"{path}.{key}")


def _scalar_problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if not isinstance(value, SCALARS[kind]) or (kind != "boolean" and isinstance(value, bool)):
        yield f"{path} must be of type {kind}"
        return
    if isinstance(value, str):
        yield from _text_problems(value, shape, path)


def _text_problems(value: str, shape: Any, path: str) -> Iterator[str]:
    if shape.enum and shape.name not in LENIENT_ENUMS and value not in shape.enum:
        yield f"{path} must be one of {', '.join(shape.enum)}"
    if not shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", len(value)):
        yield f"{path} has a length outside the limits"
