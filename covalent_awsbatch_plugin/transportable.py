"""Covalent's TransportableObject, read and written without Covalent and without opening its pickle.

On disk such an object is an *archive*: two 8-byte big-endian offsets (of the object's string and of its
data), a JSON header, `str(object)`, and the pickle in base64. Nothing here ever imports or calls what a
pickle names: the server must not run what a client, or whoever can write to the bucket, has sent.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

_OFFSET_BYTES = 8
_PREAMBLE_BYTES = 2 * _OFFSET_BYTES

MAX_STRING_CHARS = 10_000
"""Covalent keeps `str(object)` whole, four characters a byte for raw bytes; we only ever show its start."""

CHUNK_BYTES = 3 << 20
"""Read and written at a time; a multiple of 3, so that each chunk is whole base64 groups."""


@dataclass(frozen=True)
class Transportable:
    """A pickled object with its header; the pickle is read from its source only when asked for."""

    header: dict[str, Any]
    object_string: str
    """The start of `str(object)`."""
    length: int
    """Bytes of the raw pickle."""
    open_base64: Callable[[], tuple[BinaryIO, int]]
    """Opens the base64 text: a file at the text's start, and the text's length."""

    @property
    def python_version(self) -> str:
        """Return the version of Python that wrote the pickle, such as "3.11.7"."""
        return str(self.header.get("py_version", ""))

    @property
    def cloudpickle_version(self) -> str:
        """Return the version of cloudpickle that wrote the pickle."""
        return str(self.header.get("cloudpickle_version", ""))

    @property
    def in_memory(self) -> None:
        """Nothing: what Covalent holds in memory is base64."""
        return None

    def chunks(self) -> Iterator[bytes]:
        """Yield the raw pickle piece by piece."""
        file, remaining = self.open_base64()
        with file:
            while remaining > 0:
                wanted = min(remaining, CHUNK_BYTES // 3 * 4)
                text = file.read(wanted)
                if len(text) < wanted:
                    raise ValueError("this archive of Covalent's is cut short")
                remaining -= len(text)
                yield base64.b64decode(text)

    def pickle_bytes(self) -> bytes:
        """Return the whole raw pickle; for what is known to be small."""
        return b"".join(self.chunks())


def from_archive(path: Path) -> Transportable:
    """Return the object that stands in one of Covalent's asset files.

    Raises ValueError where the file is no archive.
    """
    with path.open("rb") as file:
        preamble = file.read(_PREAMBLE_BYTES)
        string_offset = int.from_bytes(preamble[:_OFFSET_BYTES], "big")
        data_offset = int.from_bytes(preamble[_OFFSET_BYTES:], "big")
        size_bytes = path.stat().st_size
        if not _PREAMBLE_BYTES <= string_offset <= data_offset <= size_bytes:
            raise ValueError(f"{path.name} is no archive of Covalent's")
        header = json.loads(file.read(string_offset - _PREAMBLE_BYTES))
        object_string = file.read(min(data_offset - string_offset, MAX_STRING_CHARS)).decode(errors="replace")
        text_length = size_bytes - data_offset
        file.seek(max(data_offset, size_bytes - 2))
        padding = file.read().count(b"=")

    def open_base64() -> tuple[BinaryIO, int]:
        source = path.open("rb")
        source.seek(data_offset)
        return source, text_length

    return Transportable(header, object_string, text_length // 4 * 3 - padding, open_base64)


def from_attributes(attributes: Mapping[str, Any]) -> Transportable:
    """Return the object whose TransportableObject has these attributes, as Covalent keeps it in memory."""
    text: bytes = attributes["_object"].encode()
    return Transportable(
        header=attributes["_header"],
        object_string=attributes.get("_object_string", "")[:MAX_STRING_CHARS],
        length=len(text) // 4 * 3 - text[-2:].count(b"="),
        open_base64=lambda: (io.BytesIO(text), len(text)),
    )


_REFERENCE_OPCODES = {"SHORT_BINUNICODE", "BINUNICODE", "STACK_GLOBAL"}
_SILENT_OPCODES = {"PROTO", "FRAME", "MEMOIZE", "STOP"}


def reference_in(pickled: bytes) -> tuple[str, str] | None:
    """Return module and name of the one thing that a pickle is a reference to; None where it is more."""
    opcodes = [each for each in pickletools.genops(pickled) if each[0].name not in _SILENT_OPCODES]
    texts = [argument for _, argument, _ in opcodes if isinstance(argument, str)]
    if len(opcodes) == 3 and len(texts) == 2 and {each[0].name for each in opcodes} <= _REFERENCE_OPCODES:
        return texts[0], texts[1]
    return None


class _PlainUnpickler(pickle.Unpickler):
    """Opens lists, texts and numbers; without imports a pickle has nothing that it could call."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")


def plain_value(pickled: bytes) -> Any:
    """Return what a pickle holds that holds nothing but lists, dicts, texts and numbers.

    Raises ValueError for any other; nothing is imported or called.
    """
    try:
        return _PlainUnpickler(io.BytesIO(pickled)).load()
    except Exception as error:
        # A damaged pickle raises whatever comes to it: KeyError, TypeError, EOFError …
        raise ValueError(f"the pickle is no plain value: {error}") from error


def write_archive(
    path: Path, header: dict[str, Any], object_string: bytes, chunks: Iterator[bytes | memoryview]
) -> int:
    """Write an asset file for Covalent from a raw pickle and return its size in bytes.

    The chunks may have any length; they are brought to whole base64 groups here.
    """
    header_json = json.dumps(header).encode()
    string_offset = _PREAMBLE_BYTES + len(header_json)
    data_offset = string_offset + len(object_string)
    with path.open("wb") as file:
        file.write(string_offset.to_bytes(_OFFSET_BYTES, "big") + data_offset.to_bytes(_OFFSET_BYTES, "big"))
        file.write(header_json)
        file.write(object_string)
        for text in base64_chunks(chunks):
            file.write(text)
        return file.tell()


def base64_chunks(chunks: Iterator[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the base64 of a byte stream, whatever the lengths of its chunks."""
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        whole = len(data) // 3 * 3
        rest = data[whole:]
        yield base64.b64encode(data[:whole])
    yield base64.b64encode(rest)
