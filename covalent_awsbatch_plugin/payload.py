"""Function and arguments on their way to S3: raw pickles, the function stored once, payloads in packs.

The layout is `contract`'s. A group of calls becomes a parcel: its payload, and what travels beside it
because it is large or shared. The payloads of all jobs that are submitted together become one object.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from . import contract, requirements
from .errors import BucketError
from .refusals import store_message
from .session import Session
from .settings import Settings
from .threads import in_thread

log = logging.getLogger(__name__)

INLINE_BYTES = 128 << 10
"""A larger argument is an object of its own, and streams; so packs stay small and are cheap to hold."""

MAX_PACK_BYTES = 64 << 20
"""What a pack may hold; more goes into the next one."""

PART_BYTES = 8 << 20
"""Of a multipart upload; with S3's 10,000 parts it carries 80 GB."""

PARTS_AT_ONCE = 12
"""As many as obstore itself has at a time; each holds a part in memory only where the source is a stream."""


class Pickled(Protocol):
    """A pickled object whose bytes are read only when they are asked for."""

    @property
    def python_version(self) -> str:
        """The version of Python that wrote the pickle, such as "3.11.7"."""

    @property
    def cloudpickle_version(self) -> str:
        """The version of cloudpickle that wrote the pickle."""

    @property
    def length(self) -> int:
        """Bytes of the raw pickle."""

    @property
    def in_memory(self) -> bytes | None:
        """The whole pickle, where it is held in memory anyway."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the raw pickle piece by piece."""

    def pickle_bytes(self) -> bytes:
        """Return the whole raw pickle; for what is known to be small."""


@dataclass(frozen=True)
class HookCall:
    """A call that Covalent asks for before or after the function."""

    function: Pickled
    args: Pickled
    kwargs: Pickled
    retval_keyword: str = ""
    pip_packages: tuple[str, ...] | None = None
    """What the hook would install, where that is all it does: an image that has it needs no such call."""


@dataclass(frozen=True)
class Call:
    """One function call; an argument that is an int is the node of an earlier call of the same group."""

    node_id: int
    function: Pickled
    args: Sequence[Pickled | int] = field(default_factory=list)
    kwargs: dict[str, Pickled | int] = field(default_factory=dict)
    call_before: list[HookCall] = field(default_factory=list)
    call_after: list[HookCall] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    """The calls that one job runs, in order: one, or as many as Covalent packed together."""

    dispatch_id: str
    group_id: int
    calls: list[Call]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A group as it travels: `payload` in a pack, the functions and large arguments by their S3 keys."""

    dispatch_id: str
    group_id: int
    payload: bytes = field(repr=False)
    functions: dict[str, bytes] = field(repr=False)
    large_inputs: dict[str, Pickled] = field(repr=False)


def without_pip(group: Group) -> tuple[Group, tuple[str, ...]]:
    """Return a group without its hooks that only install packages, and those packages, for its image.

    Where two of its calls want different versions of a package, one image cannot have both: they stay.
    """
    hooks = [hook for call in group.calls for hook in call.call_before]
    lists = [hook.pip_packages for hook in hooks if hook.pip_packages is not None]
    if not lists or not requirements.are_compatible(lists):
        return group, ()
    calls = [
        replace(call, call_before=[hook for hook in call.call_before if hook.pip_packages is None])
        for call in group.calls
    ]
    packages = requirements.normalised(line for each in lists for line in each)
    return replace(group, calls=calls), tuple(packages)


# --- from a group to its parcel ---------------------------------------------------------------------------


def length_of(group: Group) -> int:
    """Return the bytes of all pickles of a group."""
    pickles: list[Pickled] = []
    for call in group.calls:
        arguments = (*call.args, *call.kwargs.values())
        pickles += [call.function, *(each for each in arguments if not isinstance(each, int))]
        for hook in (*call.call_before, *call.call_after):
            pickles += [hook.function, hook.args, hook.kwargs]
    return sum(each.length for each in pickles)


def parcel(group: Group, origin_key: bytes, kms_key_id: str) -> Parcel:
    """Return a group as it travels; reads all of its pickles but the large ones.

    Its outcomes are to be sealed and encrypted with these keys. Raises ValueError where a pickle cannot be
    read.
    """
    contents = _Contents(group.dispatch_id)
    tasks = [contents.task(call) for call in group.calls]
    header = contract.Payload(group.dispatch_id, tasks, origin_key, kms_key_id).to_json()
    lengths = {str(number): len(each) for number, each in enumerate(contents.sections)}
    payload = b"".join([contract.pack_header(header, lengths), *contents.sections])
    return Parcel(group.dispatch_id, group.group_id, payload, contents.functions, contents.large_inputs)


class _Contents:
    """The pickles of a group, sorted by how they travel, while its tasks are described."""

    def __init__(self, dispatch_id: str) -> None:
        self.sections: list[bytes] = []
        self.functions: dict[str, bytes] = {}
        self.large_inputs: dict[str, Pickled] = {}
        self._dispatch_id = dispatch_id

    def task(self, call: Call) -> contract.Task:
        """Describe a call."""
        function = call.function
        return contract.Task(
            node_id=call.node_id,
            function_key=self._function(function.pickle_bytes()),
            python_version=function.python_version,
            cloudpickle_version=function.cloudpickle_version,
            args=[self._input(call, str(number), each) for number, each in enumerate(call.args)],
            kwargs={name: self._input(call, f"_{name}", each) for name, each in call.kwargs.items()},
            call_before=[self._hook(each) for each in call.call_before],
            call_after=[self._hook(each) for each in call.call_after],
        )

    def _function(self, pickled: bytes) -> str:
        key = function_key(self._dispatch_id, pickled)
        self.functions[key] = pickled
        return key

    def _input(self, call: Call, name: str, source: Pickled | int) -> contract.Input:
        if isinstance(source, int):
            return contract.Input(node_id=source)
        if source.length <= INLINE_BYTES:
            return contract.Input(section=self._section(source))
        key = contract.input_key(self._dispatch_id, call.node_id, name)
        self.large_inputs[key] = source
        return contract.Input(key=key, length=source.length)

    def _hook(self, hook: HookCall) -> contract.Hook:
        return contract.Hook(
            function=self._section(hook.function),
            args=self._section(hook.args),
            kwargs=self._section(hook.kwargs),
            retval_keyword=hook.retval_keyword,
        )

    def _section(self, content: Pickled) -> str:
        self.sections.append(content.pickle_bytes())
        return str(len(self.sections) - 1)


def function_key(dispatch_id: str, function: bytes) -> str:
    """Return the key under which a pickled function stands."""
    return contract.function_key(dispatch_id, hashlib.sha256(function).hexdigest())


# --- into the bucket --------------------------------------------------------------------------------------


async def upload_contents(session: Session, settings: Settings, groups: Sequence[Parcel]) -> list[Parcel]:
    """Bring what travels beside payloads into the bucket, a function once for all groups that share it.

    Returns what is left to travel in a pack. Raises BucketError where the bucket does not take it,
    ValueError where an argument cannot be read.
    """
    bucket, kms_key_id = settings.s3_bucket_name, settings.kms_key_id
    store = await session.store(bucket, kms_key_id)
    functions = {key: function for group in groups for key, function in group.functions.items()}
    for key, function in functions.items():
        put = partial(_put, store, bucket, key, function)
        await session.once(("function", bucket, kms_key_id, key), put)
    large = [each for group in groups for each in group.large_inputs.items()]
    uploads = (in_thread(partial(_put_stream, store, bucket, key, each)) for key, each in large)
    await asyncio.gather(*uploads)
    return [Parcel(each.dispatch_id, each.group_id, each.payload, {}, {}) for each in groups]


def forget_functions(session: Session, bucket: str, dispatch_id: str) -> None:
    """Upload the functions of a dispatch again when they are needed: they were deleted."""
    prefix = contract.function_key(dispatch_id, "")
    session.forget_all(lambda key: key[:2] == ("function", bucket) and key[-1].startswith(prefix))


async def upload_pack(session: Session, settings: Settings, groups: Sequence[Parcel], rung: int = 0) -> str:
    """Bring the payloads of jobs that are submitted together into the bucket, in their order.

    Returns the pack's s3:// address. Raises BucketError where the bucket does not take it.
    """
    first, bucket = groups[0], settings.s3_bucket_name
    store = await session.store(bucket, settings.kms_key_id)
    key = contract.pack_key(first.dispatch_id, first.group_id, rung)
    pack = await in_thread(partial(_pack, groups))
    await _put(store, bucket, key, pack)
    return f"s3://{bucket}/{key}"


def _pack(groups: Sequence[Parcel]) -> bytes:
    payloads = [each.payload for each in groups]
    start = contract.pack_start([each.group_id for each in groups], [len(each) for each in payloads])
    return b"".join([start, *payloads])


async def _put(store: Any, bucket: str, key: str, content: bytes) -> None:
    import obstore
    from obstore.exceptions import BaseError

    try:
        await obstore.put_async(store, key, content, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
    except (BaseError, FileNotFoundError) as error:
        raise _refusal(bucket, key, error) from None


def _put_stream(store: Any, bucket: str, key: str, content: Pickled) -> None:
    """Store an object piece by piece, from a thread: reading the pieces blocks."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        obstore.put(
            store,
            key,
            content.chunks() if content.in_memory is None else content.in_memory,
            use_multipart=True,
            chunk_size=PART_BYTES,
            max_concurrency=PARTS_AT_ONCE,
        )
    except (BaseError, FileNotFoundError) as error:
        raise _refusal(bucket, key, error) from None


def _refusal(bucket: str, key: str, error: Exception) -> BucketError:
    return BucketError(
        f"The S3 bucket {bucket!r} did not take the object {key!r}: {store_message(error)} "
        f"Check s3:PutObject."
    )
