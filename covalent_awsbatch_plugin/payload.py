"""Function and arguments on their way to S3: raw pickles, streamed, the function stored once.

The payload's layout is `contract.py`'s; here a group of calls becomes one file, and the file an object.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from . import contract, requirements
from .errors import BucketError
from .session import Session, in_thread
from .transportable import Transportable


@dataclass(frozen=True)
class HookCall:
    """A call that Covalent asks for before or after the function."""

    function: Transportable
    args: Transportable
    kwargs: Transportable
    retval_keyword: str = ""
    pip_packages: tuple[str, ...] | None = None
    """What the hook would install, where that is all it does: an image that has it needs no such call."""


@dataclass(frozen=True)
class Call:
    """One function call; an argument that is an int is the node of an earlier call of the same group."""

    node_id: int
    function: Transportable
    args: list[Transportable | int] = field(default_factory=list)
    kwargs: dict[str, Transportable | int] = field(default_factory=dict)
    call_before: list[HookCall] = field(default_factory=list)
    call_after: list[HookCall] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    """The calls that one job runs, in order: one, or as many as Covalent packed together."""

    dispatch_id: str
    group_id: int
    calls: list[Call]


def without_pip(group: Group) -> tuple[Group, tuple[str, ...]]:
    """Return a group without its hooks that only install packages, and those packages, for its image.

    Where two of its calls want different versions of a package, one image cannot have both: they stay.
    """
    hooks = [hook for call in group.calls for hook in call.call_before]
    lists = [hook.pip_packages for hook in hooks if hook.pip_packages is not None]
    if not requirements.are_compatible(lists):
        return group, ()
    calls = [
        replace(call, call_before=[hook for hook in call.call_before if hook.pip_packages is None])
        for call in group.calls
    ]
    packages = requirements.normalised(line for each in lists for line in each)
    return replace(group, calls=calls), tuple(packages)


async def upload(session: Session, bucket: str, group: Group, spool_dir: Path) -> str:
    """Bring a group's functions and arguments into the bucket and return the payload's s3:// address.

    Raises BucketError where the bucket does not take them.
    """
    store = await session.store(bucket)
    function_keys = []
    for call in group.calls:
        function = await in_thread(call.function.pickle_bytes)
        key = function_key(group.dispatch_id, function)
        await session.once(("function", bucket, key), partial(_put, store, bucket, key, function))
        function_keys.append(key)
    key = contract.payload_key(group.dispatch_id, group.group_id)
    path = spool_dir / "payload"
    try:
        await in_thread(partial(write, group, function_keys, path))
        await _put(store, bucket, key, path)
    finally:
        await in_thread(partial(path.unlink, missing_ok=True))
    return f"s3://{bucket}/{key}"


async def _put(store: Any, bucket: str, key: str, content: bytes | Path) -> None:
    import obstore
    from obstore.exceptions import BaseError

    try:
        await obstore.put_async(store, key, content)
    except BaseError as error:
        raise BucketError(
            f"The S3 bucket {bucket!r} did not take the object {key!r}: {error}. Check s3:PutObject."
        ) from error


def function_key(dispatch_id: str, function: bytes) -> str:
    """Return the key under which a pickled function stands."""
    return contract.function_key(dispatch_id, hashlib.sha256(function).hexdigest())


def write(group: Group, function_keys: list[str], path: Path) -> None:
    """Write a group's payload to a file, pickle by pickle, without holding any of them whole.

    `function_keys` are the S3 keys of the calls' functions, in the order of the calls.
    """
    sections = _Sections()
    tasks = [_task(call, key, sections) for call, key in zip(group.calls, function_keys, strict=True)]
    header = contract.Payload(group.dispatch_id, tasks).to_json()
    with path.open("wb") as file:
        file.write(contract.pack_header(header, sections.lengths))
        for chunk in sections.chunks():
            file.write(chunk)


class _Sections:
    """The pickles of a payload in the order in which they are written."""

    def __init__(self) -> None:
        self.lengths: dict[str, int] = {}
        self._sources: list[Callable[[], Iterator[bytes]]] = []

    def add(self, content: Transportable) -> str:
        name = str(len(self._sources))
        self.lengths[name] = content.length
        self._sources.append(content.chunks)
        return name

    def chunks(self) -> Iterator[bytes]:
        for source in self._sources:
            yield from source()


def _task(call: Call, function_key: str, sections: _Sections) -> contract.Task:
    return contract.Task(
        node_id=call.node_id,
        function_key=function_key,
        python_version=call.function.python_version,
        cloudpickle_version=call.function.cloudpickle_version,
        args=[_input(each, sections) for each in call.args],
        kwargs={name: _input(each, sections) for name, each in call.kwargs.items()},
        call_before=[_hook(each, sections) for each in call.call_before],
        call_after=[_hook(each, sections) for each in call.call_after],
    )


def _input(source: Transportable | int, sections: _Sections) -> contract.Input:
    if isinstance(source, int):
        return contract.Input(node_id=source)
    return contract.Input(section=sections.add(source))


def _hook(hook: HookCall, sections: _Sections) -> contract.Hook:
    return contract.Hook(
        function=sections.add(hook.function),
        args=sections.add(hook.args),
        kwargs=sections.add(hook.kwargs),
        retval_keyword=hook.retval_keyword,
    )
