"""Writing an outcome: header and sections, streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from covalent_awsbatch_plugin.contract import Outcome, outcome_key, pack_header
from covalent_awsbatch_plugin.runtime.store import CHUNK_BYTES, Store


def leave(store: Store, outcome: Outcome, sections: Mapping[str, Path | str]) -> None:
    """Store an outcome under its key; a section is a file or a text.

    Raises RuntimeFault where S3 does not take it.
    """
    contents = {name: _content(each) for name, each in sections.items()}
    lengths = {name: _length_bytes(each) for name, each in contents.items()}
    header = pack_header(outcome.to_json(), lengths)
    key = outcome_key(outcome.dispatch_id, outcome.node_id, outcome.attempt)
    store.upload(key, _chunks(header, contents), len(header) + sum(lengths.values()))


def _content(section: Path | str) -> Path | bytes:
    return section if isinstance(section, Path) else section.encode("utf-8", "backslashreplace")


def _length_bytes(content: Path | bytes) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _chunks(header: bytes, contents: Mapping[str, Path | bytes]) -> Iterator[bytes]:
    yield header
    for content in contents.values():
        if isinstance(content, bytes):
            yield content
            continue
        with open(content, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
