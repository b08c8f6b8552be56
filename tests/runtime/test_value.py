from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.contract import Chunk, Container
from covalent_awsbatch_plugin.runtime.value import (
    LONGEST_OBJECT_STRING_CHARACTERS,
    MOST_KEYS,
    container_of,
    write_object_string,
)


class Broken:
    def __str__(self):
        raise ValueError("no text")


class Shouting(str):
    __slots__ = ()

    def __str__(self):
        return self.upper()


@pytest.mark.parametrize(
    ("value", "container"),
    [
        ([], Container("list", length=0)),
        ([1, 2], Container("list", length=2)),
        ((None,), Container("tuple", length=1)),
        ({}, Container("dict")),
        ({"a": 1, 0: 2, -7: 3}, Container("dict", keys=["a", 0, -7])),
        ({True: 1}, None),
        ({1.0: 1}, None),
        ({("a",): 1}, None),
        ({2**63: 1}, None),
        ({"x" * 60_000: 1}, None),
        (dict.fromkeys(range(MOST_KEYS)), Container("dict", keys=list(range(MOST_KEYS)))),
        (dict.fromkeys(range(MOST_KEYS + 1)), None),
        (OrderedDict(a=1), None),
        ({1, 2}, None),
        ("text", None),
        (b"bytes", None),
        (range(3), None),
        (None, None),
    ],
)
def test_container(value, container):
    assert container_of(value) == container


def _object_string(value, tmp_path):
    path = tmp_path / "object_string"
    write_object_string(value, path)
    return path.read_bytes().decode()


@pytest.mark.parametrize(
    "value", [None, 3, [1, "two", b"3"], {"a": (1, {2})}, "", b"bytes", 2**70, float("inf")]
)
def test_object_string_of_short_values_is_their_own(value, tmp_path):
    assert _object_string(value, tmp_path) == str(value)


@given(st.text(max_size=200), st.integers(min_value=1, max_value=40))
def test_object_string_of_a_string_is_complete(tmp_path_factory, text, repeats):
    value = text * repeats
    shown = _object_string(value, tmp_path_factory.getbasetemp())
    assert shown == value.encode("utf-8", "backslashreplace").decode()


def test_object_string_of_a_long_string_is_complete(tmp_path):
    value = "\N{SNOWMAN}\r\n" * 2_000_000
    assert _object_string(value, tmp_path) == value


def test_object_string_of_a_subclass_of_str_is_what_str_makes_of_it(tmp_path):
    assert _object_string(Shouting("quiet"), tmp_path) == "QUIET"


@pytest.mark.parametrize(
    "value",
    [
        list(range(1_000_000)),
        [b"\0" * 50_000_000] * 3,
        b"\0" * 50_000_000,
        bytearray(50_000_000),
        {"key": "x" * 50_000_000},
        [[list(range(1000))] * 1000] * 1000,
        Chunk([{"value": b"\0" * 50_000_000}] * 3),
    ],
    ids=["long list", "list of bytes", "bytes", "bytearray", "dict of long string", "nested", "chunk"],
)
def test_object_string_of_long_values_is_short(value, tmp_path):
    shown = _object_string(value, tmp_path)
    assert 0 < len(shown) <= LONGEST_OBJECT_STRING_CHARACTERS


def test_object_string_that_is_cut_ends_with_an_ellipsis(tmp_path):
    class Talkative:
        def __str__(self):
            return "x" * 20_000

    shown = _object_string(Talkative(), tmp_path)
    assert len(shown) == LONGEST_OBJECT_STRING_CHARACTERS
    assert shown.endswith("x…")


def test_object_string_of_a_value_that_knows_itself(tmp_path):
    value = [{}]
    value[0]["self"] = (value,)
    assert _object_string(value, tmp_path) == str(value)


plain_values = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.binary().map(bytearray)),
    lambda each: st.one_of(
        st.lists(each),
        st.lists(each).map(tuple),
        st.dictionaries(st.text(), each),
        st.sets(st.integers()),
        st.frozensets(st.text()),
    ),
)


@given(plain_values)
def test_object_string_of_plain_values_is_what_python_says(tmp_path_factory, value):
    shown = _object_string(value, tmp_path_factory.getbasetemp())
    assert shown == str(value).encode("utf-8", "backslashreplace").decode()


def test_object_string_of_a_long_list_begins_as_the_list_does(tmp_path):
    shown = _object_string([{"number": number} for number in range(10_000)], tmp_path)
    assert shown.startswith("[{'number': 0}, {'number': 1}, ")
    assert shown.endswith("…")


@pytest.mark.parametrize(
    ("value", "name"), [(Broken(), "Broken"), (10**5000, "builtins.int")], ids=["str", "int"]
)
def test_object_string_that_cannot_be_had_is_the_type(value, name, tmp_path):
    shown = _object_string(value, tmp_path)
    assert shown.startswith("<")
    assert name in shown
