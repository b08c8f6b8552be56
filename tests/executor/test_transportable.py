"""Covalent's archives are read and written byte for byte, without Covalent and without opening them."""

import base64
import json
import pickle
from pathlib import Path

import cloudpickle
import pytest
from covalent._workflow.transportable_object import TransportableObject
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.transportable import (
    CHUNK_BYTES,
    MAX_STRING_CHARS,
    base64_chunks,
    from_archive,
    from_attributes,
    plain_value,
    reference_in,
    write_archive,
)

objects = st.binary() | st.text() | st.lists(st.integers()) | st.none()


@given(objects)
def test_an_archive_of_covalents_is_read_as_it_was_meant(tmp_path_factory, value):
    carried = TransportableObject(value)
    path = tmp_path_factory.mktemp("archive") / "object"
    path.write_bytes(carried.serialize())
    for read in (from_archive(path), from_attributes(vars(carried))):
        assert read.header == carried.header
        assert read.object_string == carried.object_string[:MAX_STRING_CHARS]
        assert pickle.loads(read.pickle_bytes()) == value
        assert read.length == len(read.pickle_bytes())


@given(objects, st.integers(1, 7))
def test_covalent_reads_an_archive_of_ours(tmp_path_factory, value, chunk_bytes):
    path = tmp_path_factory.mktemp("archive") / "object"
    data = pickle.dumps(value)
    chunks = (data[start : start + chunk_bytes] for start in range(0, len(data), chunk_bytes))
    size_bytes = write_archive(path, {"py_version": "3.11.7", "attrs": {}}, b"text", chunks)
    read = TransportableObject.deserialize(path.read_bytes())
    assert read.get_deserialized() == value
    assert read.object_string == "text"
    assert path.stat().st_size == size_bytes


def test_a_large_object_is_read_in_pieces(tmp_path):
    value = bytes(range(256)) * (3 * CHUNK_BYTES // 256)
    path = tmp_path / "object"
    write_archive(path, {}, b"", iter([pickle.dumps(value)]))
    pieces = list(from_archive(path).chunks())
    assert len(pieces) > 2
    assert pickle.loads(b"".join(pieces)) == value


@given(st.lists(st.binary()))
def test_base64_does_not_depend_on_how_the_bytes_come(pieces):
    assert b"".join(base64_chunks(iter(pieces))) == base64.b64encode(b"".join(pieces))


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 100])
def test_what_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "object"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no archive"):
        from_archive(path)


def test_an_archive_that_is_cut_short_is_found_out(tmp_path):
    path = tmp_path / "object"
    write_archive(path, {}, b"", iter([b"x" * 10 * CHUNK_BYTES]))
    read = from_archive(path)
    path.write_bytes(path.read_bytes()[:CHUNK_BYTES])
    with pytest.raises(ValueError, match="cut short"):
        read.pickle_bytes()


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(plain_values, st.integers(0, 5))
def test_a_plain_value_is_read(value, protocol):
    assert plain_value(pickle.dumps(value, protocol)) == value


class Bomb:
    """Leaves a trace where it is opened."""

    def __reduce__(self):
        return opened.append, (True,)


opened: list[bool] = []


@pytest.mark.parametrize("value", [Bomb(), [Bomb()], {"a": [Bomb()]}, print, Path()])
def test_what_would_import_or_call_anything_is_never_opened(value):
    with pytest.raises(ValueError, match="no plain value"):
        plain_value(cloudpickle.dumps(value))
    assert opened == []


@given(st.binary())
def test_what_is_no_pickle_is_no_plain_value_or_a_harmless_one(data):
    try:
        value = plain_value(data)
    except ValueError:
        return
    assert type(value).__module__ == "builtins"


def test_a_reference_is_told_from_everything_else():
    assert reference_in(pickle.dumps(Path.cwd().joinpath)) is None
    assert reference_in(pickle.dumps(json.dumps, 4)) == ("json", "dumps")
    assert reference_in(pickle.dumps([json.dumps], 4)) is None
