"""What is pickled on the way to a job, and opened on the way back."""

from __future__ import annotations

import io
import logging
import pickle
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cloudpickle

from ..errors import FunctionRaisedError, JobKilledError
from ..outcome import Pickle
from ..payload import PART_BYTES
from ..plain_text import harmless

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pickled:
    """An object that was pickled here."""

    data: bytes
    python_version: str = platform.python_version()
    cloudpickle_version: str = cloudpickle.__version__

    @property
    def in_memory(self) -> bytes:
        """The whole pickle."""
        return self.data

    @property
    def length(self) -> int:
        """Bytes of the pickle."""
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        """Yield the pickle piece by piece."""
        view = memoryview(self.data)
        for start in range(0, len(view), PART_BYTES):
            yield bytes(view[start : start + PART_BYTES])

    def pickle_bytes(self) -> bytes:
        """Return the whole pickle."""
        return self.data


def pickled(value: Any) -> Pickled:
    """Pickle an object here and now; functions of `__main__` travel whole, of other modules by name.

    Raises what cloudpickle raises: TypeError, AttributeError, PicklingError.
    """
    return Pickled(cloudpickle.dumps(value))


class _Stream(io.RawIOBase):
    """A pickle as a file, so that a large value is read straight into the object that it becomes."""

    def __init__(self, chunks: Iterator[bytes | memoryview]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        length = min(len(buffer), len(self._rest))
        buffer[:length] = self._rest[:length]
        self._rest = self._rest[length:]
        return length


def unpickled(pickled: Pickle) -> Any:
    """Return what a job has pickled.

    Raises what the object's own class raises, ImportError where it is not here, BucketError where S3 does
    not give it.
    """
    return pickle.load(io.BufferedReader(_Stream(pickled.chunks())))


def unpickled_exception(pickled: Pickle) -> Exception | None:
    """Return the user's exception; None where this process cannot have it, or it would end this process."""
    try:
        error = unpickled(pickled)
    except Exception as problem:  # noqa: BLE001 — its class may not be here, or its own code may fail
        # Of what its own code raises only the type: the text may have the user's data.
        is_pickles = isinstance(problem, (ImportError, AttributeError, pickle.UnpicklingError))
        reason = repr(problem) if is_pickles else type(problem).__name__
        log.info("The exception of a job cannot be had here: %s", reason)
        return None
    return error if isinstance(error, Exception) else None


@dataclass(frozen=True)
class Raised:
    """An item that has no value."""

    error: Exception


def entry(item: dict[str, Any]) -> Any:
    """Return the value of an item of a chunk; Raised where it has none."""
    if "value" in item:
        return pickle.loads(item["value"])
    text = f"{item['type']}: {item['message']}\n\n{item['traceback']}".rstrip()
    # What is raised has a traceback; the death of a process has none.
    failure = (FunctionRaisedError if item["traceback"] else JobKilledError)(harmless(text))
    data = item["exception"]
    original = unpickled_exception(Pickle(len(data), data)) if data else None
    if original is None:
        return Raised(failure)
    failure.__cause__, original.__cause__ = original.__cause__, failure
    return Raised(original)
