"""Covalent's side of a task: its asset files and objects, turned into the core's records and back."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from . import requirements
from .payload import Call, HookCall
from .transportable import (
    Transportable,
    base64_chunks,
    from_archive,
    from_attributes,
    plain_value,
    reference_in,
    write_archive,
)
from .verdict import Value, Verdict

log = logging.getLogger(__name__)

DEPS_IN_ORDER = ("bash", "pip")
"""Covalent runs them in this order, before every other hook."""

MAX_DEPS_BYTES = 64 << 10
"""The pickles of a DepsPip have a few hundred bytes; larger ones are not looked at."""

_PIP_FUNCTION = ("covalent._workflow.depspip", "apply_pip_deps")
"""What Covalent's own hook for DepsPip calls."""


def calls_from_files(task_specs: Iterable[Any], resources: Any) -> list[Call]:
    """Return the calls of a task group from the files that Covalent's server has uploaded for it.

    An argument that is no uploaded file is the result of another node of the same group.
    """
    return [_call_from_files(spec, resources) for spec in task_specs]


def _call_from_files(spec: Any, resources: Any) -> Call:
    node_id = spec.electron_id
    argument = partial(_argument, resources.inputs)
    hooks = json.loads(path_of(resources.hooks[node_id]).read_text())
    deps = hooks.get("deps", {})
    before = [deps[name] for name in DEPS_IN_ORDER if name in deps] + hooks.get("call_before", [])
    return Call(
        node_id=node_id,
        function=from_archive(path_of(resources.functions[node_id])),
        args=[argument(each) for each in spec.args],
        kwargs={name: argument(each) for name, each in spec.kwargs.items()},
        call_before=[_hook_from_json(each) for each in before],
        call_after=[_hook_from_json(each) for each in hooks.get("call_after", [])],
    )


def _argument(inputs: Mapping[int, str], node_id: int) -> Transportable | int:
    return from_archive(path_of(inputs[node_id])) if node_id in inputs else node_id


def _hook_from_json(hook: Mapping[str, Any]) -> HookCall:
    attributes = hook["attributes"]
    return _hook(
        from_attributes(attributes["apply_fn"]["attributes"]),
        from_attributes(attributes["apply_args"]["attributes"]),
        from_attributes(attributes["apply_kwargs"]["attributes"]),
        attributes.get("retval_keyword", ""),
    )


def _hook(
    function: Transportable, args: Transportable, kwargs: Transportable, retval_keyword: str
) -> HookCall:
    call = HookCall(function, args, kwargs, retval_keyword)
    return replace(call, pip_packages=_pip_packages(call))


def _pip_packages(hook: HookCall) -> tuple[str, ...] | None:
    """Return what a hook installs if it is Covalent's own for DepsPip, and an image can hold it.

    Its arguments are the list of packages and the text of a requirements file, which wins.
    """
    if max(hook.function.length, hook.args.length) > MAX_DEPS_BYTES:
        return None
    if reference_in(hook.function.pickle_bytes()) != _PIP_FUNCTION:
        return None
    try:
        packages, content = plain_value(hook.args.pickle_bytes())
        return tuple(requirements.normalised(requirements.lines_of(content) if content else packages))
    except (ValueError, TypeError, AttributeError) as error:
        # Covalent then installs them at the task's start, in the container.
        log.info("The packages of a DepsPip cannot be in the image: %s", error)
        return None


def call_from_objects(node_id: int, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Call:
    """Return the call that Covalent hands to `run()`: a partial of its wrapper, and TransportableObjects."""
    target, call_before, call_after = function.args
    return Call(
        node_id=node_id,
        function=from_attributes(vars(target)),
        args=[from_attributes(vars(each)) for each in args],
        kwargs={name: from_attributes(vars(each)) for name, each in kwargs.items()},
        call_before=[_hook_from_objects(*each) for each in call_before],
        call_after=[_hook_from_objects(*each) for each in call_after],
    )


def _hook_from_objects(function: Any, args: Any, kwargs: Any, retval_keyword: str) -> HookCall:
    return _hook(
        from_attributes(vars(function)),
        from_attributes(vars(args)),
        from_attributes(vars(kwargs)),
        retval_keyword,
    )


def object_attributes(value: Value) -> dict[str, Any]:
    """Return the attributes of the TransportableObject that carries a value, unopened."""
    return {
        "_object": b"".join(base64_chunks(value.pickle.chunks())).decode("ascii"),
        "_object_string": value.object_string.decode("utf-8"),
        "_header": value.header,
    }


def write_assets(verdict: Verdict, directory: Path) -> dict[str, dict[str, Any]]:
    """Write a verdict as asset files for Covalent's server to fetch, and return what they are.

    The server copies `file://` addresses without any credentials.
    """
    assets: dict[str, dict[str, Any]] = {}
    if verdict.value is not None:
        path = directory / f"output-{verdict.node_id}.tobj"
        value = verdict.value
        size_bytes = write_archive(path, value.header, value.object_string, value.pickle.chunks())
        assets["output"] = {"remote_uri": uri_of(path), "size": size_bytes}
    for name in ("error", "stdout", "stderr"):
        text: str = getattr(verdict, name)
        path = directory / f"{name}-{verdict.node_id}.txt"
        path.write_text(text, encoding="utf-8")
        assets[name] = {"remote_uri": uri_of(path), "size": path.stat().st_size}
    return assets


def spool_dir(cache_path: Path, dispatch_id: str, group_id: int) -> Path:
    """Return, and make, the directory for a group's files on their way to and from Covalent's server."""
    directory = cache_path / dispatch_id / str(group_id)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def clear(directory: Path) -> None:
    """Delete a group's files, and the dispatch's directory after its last group."""
    shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):  # other groups still have files there
        directory.parent.rmdir()


def uri_of(path: Path) -> str:
    """Return a file's address as Covalent's server takes it."""
    return f"file://{path}"


def path_of(uri: str) -> Path:
    """Return the file at an address of `uri_of`."""
    return Path(unquote(urlparse(uri).path))
