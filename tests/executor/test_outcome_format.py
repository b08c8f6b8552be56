"""The format of outcomes: what was written is read again, and nothing else is taken for an outcome."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from benchmarks.fuzz_outcomes import DAMAGES, fuzz
from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.contract import (
    OUTCOME_SECTIONS,
    Container,
    Detached,
    EnvelopeError,
    Failure,
    ForeignEnvelopeError,
    Outcome,
    OutcomeStatus,
    chunk_bytes_of,
    detached_key,
    pack_outcome,
    parse_outcome,
)

texts = st.text(max_size=30)
times_s = st.floats(0, 4e9)
keys = st.binary(min_size=1, max_size=64)
containers = st.builds(
    Container,
    st.sampled_from(["list", "tuple", "dict"]),
    st.integers(0, 10**9),
    st.lists(st.one_of(texts, st.integers()), max_size=4),
)
failures = st.builds(Failure, texts, texts, texts)


@st.composite
def outcomes(draw):
    """Draw an outcome's header and sections, some of them detached."""
    dispatch_id, node_id = draw(st.text("abc-0", min_size=1, max_size=36)), draw(st.integers(0, 10**7))
    detached = {}
    for name in draw(st.sets(st.sampled_from(OUTCOME_SECTIONS))):
        length = draw(st.integers(1, 10**9))
        checksums = ["ab" * 32] * -(-length // chunk_bytes_of(length))
        detached[name] = Detached(detached_key(dispatch_id, node_id, 1, name, "0f"), length, checksums)
    outcome = Outcome(
        dispatch_id,
        node_id,
        draw(st.sampled_from(OutcomeStatus)),
        draw(texts),
        draw(st.integers(1, 99)),
        draw(times_s),
        draw(times_s),
        draw(texts),
        draw(texts),
        draw(st.one_of(st.none(), failures)),
        draw(st.one_of(st.none(), containers)),
        detached,
    )
    sections = {
        name: draw(st.binary(max_size=60)) if name not in detached else b"" for name in OUTCOME_SECTIONS
    }
    return outcome, sections


@given(outcomes(), keys)
def test_what_was_written_is_read(left, key):
    assert parse_outcome(pack_outcome(*left, key), key) == left


@given(outcomes(), keys)
def test_the_checksum_alone_is_enough_where_no_key_is_asked_for(left, key):
    assert parse_outcome(pack_outcome(*left, key), None) == left


@given(outcomes(), keys, keys)
def test_another_key_is_found_out(left, key, other):
    assume(key.ljust(64, b"\0") != other.ljust(64, b"\0"))  # so blake2b fills a key up
    with pytest.raises(ForeignEnvelopeError):
        parse_outcome(pack_outcome(*left, other), key)


@given(outcomes(), keys, st.data())
def test_any_truncation_is_found_out(left, key, data):
    whole = pack_outcome(*left, key)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for asked in (key, None):
        with pytest.raises(EnvelopeError):
            parse_outcome(cut, asked)


@given(outcomes(), keys, st.data())
def test_any_flipped_bit_is_found_out(left, key, data):
    damaged = bytearray(pack_outcome(*left, key))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(EnvelopeError):
        parse_outcome(bytes(damaged), key)


@given(outcomes(), keys, st.data(), st.integers(0, 50), st.binary(max_size=50))
def test_bytes_put_in_or_taken_out_are_found_out(left, key, data, taken, put):
    whole = pack_outcome(*left, key)
    at = data.draw(st.integers(0, len(whole)))
    changed = whole[:at] + put + whole[at + taken :]
    assume(changed != whole)
    with pytest.raises(EnvelopeError):
        parse_outcome(changed, key)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, st.just("\ud800")),
    lambda each: st.one_of(st.lists(each, max_size=3), st.dictionaries(texts, each, max_size=3)),
    max_leaves=8,
)
ODD = 10**400
"""More than a float can be."""


@given(outcomes(), keys, st.data())
def test_a_header_of_anybodys_is_refused_or_has_the_types_that_it_is_to_have(left, key, data):
    """Without a verified origin, a header may say anything at all, and its checksum be right."""
    header = left[0].to_json()
    where = data.draw(
        st.sampled_from([header, *(each for each in header.values() if isinstance(each, dict))])
    )
    if where:
        name = data.draw(st.sampled_from(sorted(where)))
        where[name] = data.draw(st.one_of(json_values, st.just(ODD)))
    try:
        outcome = Outcome.from_json(header)
    except EnvelopeError:
        return
    assert all(type(each) is str for each in (outcome.dispatch_id, outcome.job_id, outcome.python_version))
    assert 0 <= outcome.started_at < 3e11
    if outcome.failure is not None:
        assert outcome.failure.type + outcome.failure.message + outcome.failure.traceback is not None
    for each in outcome.detached.values():
        assert each.key.startswith(contract.detached_prefix(outcome.dispatch_id, outcome.node_id))


def test_some_thousands_of_damaged_outcomes_of_every_kind():
    report = fuzz(6_000, seed=7)
    assert report.kinds.total() == 6_000
    assert set(report.kinds) == {each.__name__ for each in DAMAGES}
    assert set(report.answers) == {"EnvelopeError", "ForeignEnvelopeError"}
    assert (report.accepted, report.crashed) == ([], [])


@given(st.integers(1, 5 << 40))
def test_a_detached_section_has_no_more_chunks_than_s3_takes(length):
    chunk_bytes = chunk_bytes_of(length)
    assert -(-length // chunk_bytes) <= 10_000
    assert chunk_bytes >= 5 << 20  # S3's least for a part
