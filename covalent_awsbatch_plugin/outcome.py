"""What a task's container left in S3: found by the task's names, read and checked, its pickle unopened."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import contract, origin
from .contract import ForeignEnvelopeError, OutcomeStatus
from .errors import AWSBatchError, BucketError, JobFacts, OutcomeDamagedError, SetupError
from .plain_text import encodable
from .refusals import store_message
from .session import Session
from .settings import Settings
from .threads import in_thread

SMALL_BYTES = 256 << 10
"""An outcome of this size is checked sooner than a thread takes it over."""

CHUNKS_AHEAD = 2
"""Of a large value, read and summed while the one before is used."""

PIECE_BYTES = 1 << 20
"""Of a large value, read at a time."""


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

    def belongs_to(self, dispatch_id: str, node_id: int, attempt: int) -> bool:
        """Tell whether the outcome is that of a task's attempt, as it says itself."""
        outcome = self.outcome
        return (outcome.dispatch_id, outcome.node_id, outcome.attempt) == (dispatch_id, node_id, attempt)

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
    try:
        origin_key = await origin.dispatch_key(settings, dispatch_id) if settings.verify_origin else None
    except SetupError as error:
        return error
    for attempt in sorted(attempts, reverse=True):
        key = contract.outcome_key(dispatch_id, node_id, attempt)
        try:
            found = await _get(await session.store(bucket), key, origin_key)
            if found is not None and not found.belongs_to(dispatch_id, node_id, attempt):
                raise contract.EnvelopeError("it belongs to another task or attempt")
        except ForeignEnvelopeError:
            last = last or ForeignEnvelopeError(_foreign(settings))
            continue
        except (AWSBatchError, contract.EnvelopeError) as error:
            last = last or error
            continue
        if found is not None and found.has_value:
            return found
        last = last or found
    return last


def _foreign(settings: Settings) -> str:
    return (
        f"it is not sealed with this machine's key: either somebody else has written it, or the task was "
        f"submitted from another machine; then copy that machine's file {origin.FILE_NAME} to "
        f"{origin.key_path(settings)}, or set verify_origin=False, which takes it by its checksum alone"
    )


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
        raise BucketError(f"The task's outcome cannot be looked for in {bucket!r}: {said}") from None
    return [contract.outcome_of(key)[1] for key in keys]


async def _get(store: Any, key: str, origin_key: bytes | None) -> Stored | None:
    """Return an outcome; the value of a large one stays in S3 until it is used.

    Raises BucketError, OutcomeDamagedError or EnvelopeError where it cannot be had.
    """
    data = await _read(store, key)
    if data is None:
        return None
    parse = partial(contract.parse_outcome, data, origin_key)
    outcome, sections = parse() if len(data) <= SMALL_BYTES else await in_thread(parse)
    pickled = Pickle(len(sections[contract.SECTION_VALUE]), sections.pop(contract.SECTION_VALUE))
    for name, detached in outcome.detached.items():
        download = partial(_download, store, detached, outcome.job_id)
        if name == contract.SECTION_VALUE:
            pickled = Pickle(detached.length, download=download)
        else:
            sections[name] = await in_thread(partial(_joined, download))
    return Stored(outcome, sections, pickled)


async def _read(store: Any, key: str) -> bytes | None:
    import obstore
    from obstore.exceptions import BaseError, NotFoundError

    try:
        answer = await obstore.get_async(store, key)
        if answer.meta["size"] > contract.MAX_OUTCOME_BYTES:
            raise contract.EnvelopeError("it is larger than any outcome")
        return bytes(await answer.bytes_async())
    except (NotFoundError, FileNotFoundError):
        return None
    except BaseError as error:
        said = store_message(error)
        raise BucketError(f"The task's outcome {key!r} cannot be read from S3: {said}") from None


def _joined(download: Callable[[], Iterator[memoryview]]) -> bytes:
    return b"".join(download())


def _download(store: Any, detached: contract.Detached, job_id: str) -> Iterator[memoryview]:
    """Yield a detached section, each chunk only when its checksum fits; from a thread: waiting for it blocks.

    A chunk is summed while the next one is read. Raises OutcomeDamagedError where it is not what the job
    wrote, BucketError where S3 does not give it.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    read: deque[tuple[list[memoryview], Future[str]]] = deque()
    checksums = iter(detached.checksums)
    summing = ThreadPoolExecutor(1, "checksums")

    def checked() -> list[memoryview]:
        pieces, checksum = read.popleft()
        if checksum.result() != next(checksums):
            raise _damaged(detached, job_id)
        return pieces

    try:
        for pieces in _chunks(_stream(store, detached, job_id), contract.chunk_bytes_of(detached.length)):
            read.append((pieces, summing.submit(_sha256, pieces)))
            if len(read) > CHUNKS_AHEAD:
                yield from checked()
        while read:
            yield from checked()
    finally:
        summing.shutdown()


def _stream(store: Any, detached: contract.Detached, job_id: str) -> Iterator[memoryview]:
    """Yield an object as it comes; its whole length, if it ends."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        answer = obstore.get(store, detached.key)
        missing = detached.length
        if answer.meta["size"] != missing:
            raise _damaged(detached, job_id)
        for piece in answer.stream(min_chunk_size=PIECE_BYTES):
            missing -= len(piece)
            yield memoryview(piece)
    except (BaseError, FileNotFoundError) as error:
        said = store_message(error)
        raise BucketError(
            f"The object {detached.key!r} of the job {job_id} cannot be read from S3: {said} "
            f"Check s3:GetObject; the job's id finds it again."
        ) from None
    if missing:
        raise BucketError(f"S3 did not give the whole object {detached.key!r}: {missing} bytes are missing.")


def _chunks(pieces: Iterator[memoryview], chunk_bytes: int) -> Iterator[list[memoryview]]:
    """Yield, of pieces of any length, those that are a chunk together; nothing is copied."""
    chunk: list[memoryview] = []
    missing = chunk_bytes
    for piece in pieces:
        while len(piece) >= missing:
            yield [*chunk, piece[:missing]]
            chunk, piece, missing = [], piece[missing:], chunk_bytes
        if len(piece):
            chunk.append(piece)
            missing -= len(piece)
    if chunk:
        yield chunk


def _sha256(pieces: list[memoryview]) -> str:
    summed = hashlib.sha256()
    for piece in pieces:
        summed.update(piece)
    return summed.hexdigest()


def _damaged(detached: contract.Detached, job_id: str) -> OutcomeDamagedError:
    return OutcomeDamagedError(
        f"The object {detached.key!r} was cut short or altered in S3: it is not what the job {job_id} wrote. "
        f"Run the task again.",
        JobFacts(job_id=job_id),
    )
