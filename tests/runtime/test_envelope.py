"""The envelope and its headers survive the way, whatever they hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.contract import (
    PREAMBLE_BYTES,
    EnvelopeError,
    Hook,
    Input,
    Payload,
    Section,
    Task,
    header_length,
    pack_header,
    parse_header,
)
from covalent_awsbatch_plugin.runtime.messages import Call, HookFiles, Report, answer_from_line

names = st.text(min_size=1, max_size=20)
sections = st.dictionaries(names, st.binary(max_size=200), max_size=8)
inputs = st.one_of(
    st.builds(Input, section=names),
    st.builds(Input, key=names),
    st.builds(Input, node_id=st.integers(0, 10**6)),
)
hooks = st.builds(Hook, names, names, names, retval_keyword=st.text(max_size=10))
tasks = st.builds(
    Task,
    node_id=st.integers(0, 10**6),
    function_key=names,
    python_version=names,
    cloudpickle_version=names,
    args=st.lists(inputs, max_size=3),
    kwargs=st.dictionaries(names, inputs, max_size=3),
    call_before=st.lists(hooks, max_size=2),
    call_after=st.lists(hooks, max_size=2),
)


def read_header(envelope: bytes) -> tuple[dict[str, Any], dict[str, Section]]:
    end = PREAMBLE_BYTES + header_length(envelope[:PREAMBLE_BYTES])
    return parse_header(envelope[PREAMBLE_BYTES:end])


@given(st.builds(Payload, names, st.lists(tasks, max_size=3), st.binary(max_size=64), st.text()), sections)
def test_payload_round_trip(payload, contents):
    header = pack_header(payload.to_json(), {name: len(each) for name, each in contents.items()})
    body = header + b"".join(contents.values())
    read, places = read_header(body)
    assert Payload.from_json(read) == payload
    assert {name: body[each.offset : each.offset + each.length] for name, each in places.items()} == contents


@given(sections, st.data())
def test_header_that_is_cut_short_is_refused(contents, data):
    header = pack_header({"a": 1}, {name: len(each) for name, each in contents.items()})
    cut = data.draw(st.integers(min_value=0, max_value=len(header) - 1))
    with pytest.raises(EnvelopeError):
        read_header(header[:cut])


hook_files = st.builds(HookFiles, names, names, names, st.text(max_size=10))
calls = st.builds(
    Call,
    names,
    names,
    names,
    names,
    args=st.lists(names, max_size=3),
    kwargs=st.dictionaries(names, names, max_size=3),
    call_before=st.lists(hook_files, max_size=2),
    call_after=st.lists(hook_files, max_size=2),
)


@given(calls)
def test_call_is_one_line_and_survives(call):
    line = call.to_line()
    assert line.index(b"\n") == len(line) - 1
    assert Call.from_line(line) == call


@given(st.from_type(Report))
def test_report_is_one_line_and_survives(report):
    line = report.to_line()
    assert line.index(b"\n") == len(line) - 1
    assert answer_from_line(line) == report
