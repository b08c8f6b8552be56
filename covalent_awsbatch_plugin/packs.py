"""Where the groups of a dispatch lie in S3, as their packs tell: what is left of a process that is gone."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import contract
from .errors import BucketError
from .payload import Parcel
from .refusals import store_message
from .session import Session

log = logging.getLogger(__name__)

READS_AT_ONCE = 64
"""Payloads that are read again at a time."""


@dataclass(frozen=True)
class Packed:
    """A group's place: its pack, named by the pack's first group and rung, and where in it."""

    first_group_id: int
    index: int
    size: int
    """Groups in the pack."""
    rung: int = 0
    section: contract.Section | None = None


async def find(session: Session, bucket: str, dispatch_id: str, group_id: int) -> list[Packed]:
    """Return where a group was packed, the newest rung first; nothing where it never came so far.

    Raises BucketError where the bucket cannot be read.
    """
    key = _key(bucket, dispatch_id)
    for _ in range(2):  # the second time anew: packs are added while a workflow runs
        found: dict[int, list[Packed]] = await session.once(key, partial(read, session, bucket, dispatch_id))
        if group_id in found:
            return found[group_id]
        session.forget(key)
    return []


def forget(session: Session, bucket: str, dispatch_id: str) -> None:
    """Look for a dispatch's packs anew the next time: there is a new one."""
    session.forget(_key(bucket, dispatch_id))


def _key(bucket: str, dispatch_id: str) -> tuple[str, str, str]:
    return "packs", bucket, dispatch_id


async def read(session: Session, bucket: str, dispatch_id: str) -> dict[int, list[Packed]]:
    """Return where the groups of a dispatch are packed, of each the newest rung first.

    Raises BucketError where the bucket cannot be read.
    """
    import obstore
    from obstore.exceptions import BaseError

    store = await session.store(bucket)
    found: dict[int, list[Packed]] = {}
    try:
        listing = obstore.list(store, contract.pack_prefix(dispatch_id))
        for meta in [meta async for batch in listing for meta in batch]:
            rung = contract.rung_of_pack(meta["path"])
            entries = await _entries(store, meta)
            for index, (group_id, section) in enumerate(entries):
                packed = Packed(entries[0][0], index, len(entries), rung, section)
                found.setdefault(group_id, []).append(packed)
    except (BaseError, FileNotFoundError) as error:
        said = store_message(error)
        raise BucketError(f"The packs of {dispatch_id} cannot be read from {bucket!r}: {said}") from None
    for each in found.values():
        each.sort(key=lambda packed: packed.rung, reverse=True)
    return found


async def take_out(session: Session, bucket: str, dispatch_id: str, group_id: int) -> Parcel | None:
    """Return a group as it lies in its pack, to be submitted again; None where that is gone.

    Raises BucketError where the bucket cannot be read.
    """
    import obstore
    from obstore.exceptions import BaseError

    found = await find(session, bucket, dispatch_id, group_id)
    if not found or found[0].section is None:
        return None
    packed, section = found[0], found[0].section
    key = contract.pack_key(dispatch_id, packed.first_group_id, packed.rung)
    store = await session.store(bucket)
    try:
        data = await obstore.get_range_async(store, key, start=section.offset, length=section.length)
    except (BaseError, FileNotFoundError) as error:
        raise BucketError(f"The pack {key!r} cannot be read: {store_message(error)}") from None
    return Parcel(dispatch_id, group_id, bytes(data), {}, {})


async def _entries(store: Any, meta: Any) -> list[tuple[int, contract.Section]]:
    """Return the groups of a pack; none where the object is no pack, as it hides no other."""
    import obstore

    key, size_bytes = meta["path"], meta["size"]

    async def read_range(start: int, end: int) -> bytes:
        if size_bytes < end:
            raise contract.EnvelopeError("it is cut short")
        return bytes(await obstore.get_range_async(store, key, start=start, end=end))

    try:
        count = contract.pack_size(await read_range(0, contract.PACK_PREAMBLE_BYTES))
        return contract.parse_entries(await read_range(*contract.entries_range(0, count)))
    except contract.EnvelopeError as error:
        log.warning("The object %r cannot be read as a pack: %s", key, error)
        return []
