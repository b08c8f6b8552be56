"""One call as Covalent makes it: hooks, the function, hooks, and what came of it."""

from __future__ import annotations

import importlib
import os
import pickle
import site
import sys
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin.contract import Container
from covalent_awsbatch_plugin.runtime import exception, value
from covalent_awsbatch_plugin.runtime.failure import Unusable, describe
from covalent_awsbatch_plugin.runtime.messages import Call, HookFiles, Report

FILES_KEYWORD = "files"
"""Covalent's keyword for file transfers: its value is a list, even of one."""


def perform(call: Call) -> Report:
    """Run the call; whatever it raises becomes a report.

    In a process that the user's code forked and let run out of the function, it raises what ends that
    process as Python would.
    """
    worker_pid = os.getpid()
    try:
        return Report(container=_run(call, worker_pid))
    except BaseException as error:  # SystemExit ends the task, not the runtime
        if os.getpid() != worker_pid:
            raise
        failure = describe(error)
        exception.leave(error, Path(call.exception))
        return Report(failure)


def _run(call: Call, worker_pid: int) -> Container | None:
    injected = _call_before(call.call_before)
    function = _load(call.function, "The function")
    args = [_load(path, f"Argument {index}") for index, path in enumerate(call.args)]
    kwargs = {name: _load(path, f"Argument {name!r}") for name, path in call.kwargs.items()}
    returned = function(*args, **{**kwargs, **injected})
    if os.getpid() != worker_pid:
        sys.exit()
    for hook in call.call_after:
        _call_hook(hook)
    value.write_pickle(returned, Path(call.value))
    value.write_object_string(returned, Path(call.object_string))
    return value.container_of(returned)


def _call_before(hooks: list[HookFiles]) -> dict[str, Any]:
    """Call the hooks and return the keyword arguments that they give the function."""
    returned: dict[str, list[Any]] = {}
    for hook in hooks:
        result = _call_hook(hook)
        if hook.retval_keyword != "":
            returned.setdefault(hook.retval_keyword, []).append(result)
    return {
        keyword: results[0] if len(results) == 1 and keyword != FILES_KEYWORD else results
        for keyword, results in returned.items()
    }


def _call_hook(hook: HookFiles) -> Any:
    function = _load(hook.function, "A hook")
    args = _load(hook.args, "A hook's arguments")
    kwargs = _load(hook.kwargs, "A hook's keyword arguments")
    result = function(*args, **kwargs)
    _find_new_packages()
    return result


def _find_new_packages() -> None:
    """Let imports see what a hook installed, also in a user directory that did not exist at start-up."""
    importlib.invalidate_caches()
    if site.ENABLE_USER_SITE:
        directory = site.getusersitepackages()
        if directory not in sys.path and os.path.isdir(directory):
            site.addsitedir(directory)


def _load(path: str, what: str) -> Any:
    """Unpickle from the file.

    Raises Unusable, which says what it was and, for a module, that the container lacks it.
    """
    try:
        with open(path, "rb") as file:
            return pickle.load(file)
    except ModuleNotFoundError as error:
        raise Unusable(
            f"{what} needs the module {error.name!r}, which the container lacks: "
            "add its package to the image, or to the task's DepsPip"
        ) from error
    except Exception as error:
        kind = type(error).__qualname__
        raise Unusable(f"{what} could not be unpickled in the container: {kind}") from error
