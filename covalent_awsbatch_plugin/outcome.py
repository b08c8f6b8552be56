"""What a task's container left in S3: found by the task's names, read and checked, its pickle unopened."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import contract
from .contract import OutcomeStatus
from .errors import AWSBatchError, BucketError
from .plain_text import encodable
from .refusals import store_message
from .session import Session
from .settings import Settings

IN_MEMORY_BYTES = 4 << 20
"""Outcomes up to this size are read in one piece; of larger ones the value stays in S3 until it is used."""

CHUNK_BYTES = 8 << 20
"""Of a large value, read at a time."""

OUTCOME_SECTIONS = {
    contract.SECTION_VALUE,
    contract.SECTION_OBJECT_STRING,
    contract.SECTION_STDOUT,
    contract.SECTION_STDERR,
}


@dataclass(frozen=True, slots=True)
class Pickle:
    """A raw pickle, read from where it is whenever it is asked for; reading may block."""

    length: int
    data: bytes = b""
    download: Callable[[], Iterator[bytes | memoryview]] | None = None
    """Where it is too large to be held: yields it from S3."""

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the pickle piece by piece."""
        return iter([self.data]) if self.download is None else self.download()


@dataclass(frozen=True, slots=True)
class Stored:
    """An outcome as it was fetched: its header, its texts, and a way to its value."""

    outcome: contract.Outcome
    texts: dict[str, bytes]
    value: Pickle

    def belongs_to(self, dispatch_id: str, node_id: int) -> bool:
        """Tell whether the outcome is that of a task, as it says itself."""
        return (self.outcome.dispatch_id, self.outcome.node_id) == (dispatch_id, node_id)

    @property
    def has_value(self) -> bool:
        """Whether the task returned a value."""
        return self.outcome.status is OutcomeStatus.VALUE

    def text(self, name: str) -> str:
        """Return a section as text."""
        return encodable(self.texts[name].decode("utf-8", errors="replace"))

    def streams(self) -> dict[str, str]:
        """Return what the task printed, by the names that a verdict has for it."""
        return {
            "stdout": self.text(contract.SECTION_STDOUT),
            "stderr": self.text(contract.SECTION_STDERR),
        }


Found = Stored | AWSBatchError | contract.EnvelopeError | None
"""An outcome; or why it cannot be read; or None where there is none."""


async def find(
    session: Session, settings: Settings, dispatch_id: str, node_id: int, attempts: Collection[int]
) -> Found:
    """Return the outcome of an attempt that gave a value, or else of the last of these attempts.

    The last attempt is looked at first: nearly always there is no other.
    """
    bucket = settings.s3_bucket_name
    last: Found = None
    for attempt in sorted(attempts, reverse=True):
        key = contract.outcome_key(dispatch_id, node_id, attempt)
        try:
            found = await _get(await session.store(bucket), key)
            if found is not None and not found.belongs_to(dispatch_id, node_id):
                raise contract.EnvelopeError("it belongs to another task")
        except (BucketError, contract.EnvelopeError) as error:
            last = last or error
            continue
        if found is not None and found.has_value:
            return found
        last = last or found
    return last


async def attempts_of(session: Session, bucket: str, dispatch_id: str, node_id: int) -> list[int]:
    """Return which attempts of a task have left an outcome.

    Raises BucketError where the bucket cannot be listed.
    """
    import obstore
    from obstore.exceptions import BaseError

    store = await session.store(bucket)
    prefix = contract.outcome_prefix(dispatch_id, node_id)
    try:
        keys = [meta["path"] async for batch in obstore.list(store, prefix) for meta in batch]
    except (BaseError, FileNotFoundError) as error:
        said = store_message(error)
        raise BucketError(f"The task's outcome cannot be looked for in {bucket!r}: {said}") from error
    return [contract.outcome_of(key)[1] for key in keys]


async def _get(store: Any, key: str) -> Stored | None:
    """Return an outcome; of a large one only what comes before and after its value is read."""
    import obstore
    from obstore.exceptions import BaseError, NotFoundError

    try:
        answer = await obstore.get_async(store, key)
        size_bytes = answer.meta["size"]
        if size_bytes <= IN_MEMORY_BYTES:
            start = bytes(await answer.bytes_async())
        else:
            start = bytes(await anext(aiter(answer.stream(min_chunk_size=IN_MEMORY_BYTES))))
        header, sections = contract.read_header(io.BytesIO(start))
        _check(sections, size_bytes)
        value = sections.pop(contract.SECTION_VALUE)
        value_end = value.offset + value.length
        rest = b""
        if len(start) < size_bytes and value_end < size_bytes:
            rest = bytes(await obstore.get_range_async(store, key, start=value_end, end=size_bytes))
    except (NotFoundError, FileNotFoundError):
        return None
    except BaseError as error:
        said = store_message(error)
        raise BucketError(f"The task's outcome {key!r} cannot be read from S3: {said}") from error

    def text(section: contract.Section) -> bytes:
        data, at = (rest, section.offset - value_end) if rest else (start, section.offset)
        return data[at : at + section.length]

    texts = {name: text(section) for name, section in sections.items()}
    if value_end <= len(start):
        pickled = Pickle(value.length, start[value.offset : value_end])
    else:
        pickled = Pickle(value.length, download=partial(_download, store, key, value.offset, value_end))
    return Stored(contract.Outcome.from_json(header), texts, pickled)


def _check(sections: dict[str, contract.Section], size_bytes: int) -> None:
    if missing := OUTCOME_SECTIONS - set(sections):
        raise contract.EnvelopeError(f"it lacks {', '.join(sorted(missing))}")
    if next(iter(sections)) != contract.SECTION_VALUE:
        raise contract.EnvelopeError("its sections are not in their order")
    if size_bytes < max(section.offset + section.length for section in sections.values()):
        raise contract.EnvelopeError("it is cut short")


def _download(store: Any, key: str, start: int, end: int) -> Iterator[memoryview]:
    """Yield a part of an object, from a thread: waiting for it blocks."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        answer = obstore.get(store, key, options={"range": (start, end)})
        missing = end - start
        for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
            missing -= len(chunk)
            yield memoryview(chunk)
        if missing:
            raise contract.EnvelopeError(f"the value {key!r} is cut short")
    except (BaseError, FileNotFoundError) as error:
        raise BucketError(f"The value {key!r} cannot be read from S3: {error}") from error
