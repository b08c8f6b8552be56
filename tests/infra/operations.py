"""Which operations of AWS the source of a room calls, in every literal way in which this package asks."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name

import covalent_awsbatch_plugin

PACKAGE = Path(covalent_awsbatch_plugin.__file__).parent

APART = {"doctor", "infra", "local", "runtime"}
"""Rooms that ask with other rights than the submitter's, or that are the AWS of one's own machine."""

Operation = tuple[str, str]
"""A service and an operation of it as its API has it, such as ("s3", "HeadBucket")."""


def sources(room: str) -> list[Path]:
    """Return the files of a room with its command; "core" is all that submits, whatever leads to it."""
    files = sorted(PACKAGE.rglob("*.py"))
    return [each for each in files if room_of(each) == room]


def room_of(path: Path) -> str:
    parts = [part.removesuffix(".py") for part in path.relative_to(PACKAGE).parts]
    named = parts[1] if parts[0] == "cli" else parts[0]
    return named if named in APART else "core"


def operations(paths: Iterable[Path]) -> set[Operation]:
    return {found for path in paths for found in _calls(ast.parse(path.read_text()))}


def store_functions(paths: Iterable[Path]) -> set[str]:
    """Return the functions of obstore that are called; `get_async` is `get`."""
    calls = [node for path in paths for node in _nodes(ast.parse(path.read_text()), ast.Call)]
    return {
        call.func.attr.removesuffix("_async")
        for call in calls
        if isinstance(call.func, ast.Attribute) and _name(call.func.value) == "obstore"
    }


@cache
def names(service: str) -> dict[str, str]:
    """Return a service's operations by the names that botocore gives them in Python."""
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(each): each for each in model.operation_names}


def _nodes(tree: ast.AST, kind: Any) -> list[Any]:
    return [node for node in ast.walk(tree) if isinstance(node, kind)]


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _text(node: ast.AST | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _calls(tree: ast.Module) -> Iterator[Operation]:
    calls = [node for node in _nodes(tree, ast.Call) if isinstance(node.func, ast.Attribute)]
    clients = {_text(call.args[0]) for call in calls if call.func.attr == "client" and call.args} - {
        "",
        "batch",
    }
    for call in calls:
        first, second = ([_text(each) for each in call.args] + ["", ""])[:2]
        if call.func.attr in {"batch", "batch_pages"} and first:
            yield "batch", names("batch")[first]
        elif call.func.attr == "ask":
            yield from _asked(tree, first, second)
        else:
            wanted = first if call.func.attr == "get_paginator" else call.func.attr
            yield from ((each, names(each)[wanted]) for each in clients if wanted in names(each))


def _asked(tree: ast.Module, service: str, operation: str) -> Iterator[Operation]:
    """Yield what is asked for by name; where that is not in the call, any name in its file may be meant."""
    wanted = [operation] if operation else {_text(each) for each in _nodes(tree, ast.Constant)}
    yield from ((service, names(service)[each]) for each in wanted if operation or each in names(service))
