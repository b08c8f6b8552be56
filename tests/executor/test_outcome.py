"""Outcomes as the driver finds them in a bucket: taken where they are whole and of this machine."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from covalent_awsbatch_plugin import contract, origin, outcome
from covalent_awsbatch_plugin.client.pickles import unpickled
from covalent_awsbatch_plugin.contract import Detached, ForeignEnvelopeError, Outcome, OutcomeStatus
from covalent_awsbatch_plugin.errors import BucketError, OutcomeDamagedError, SetupError
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.outcome import Found, Stored
from covalent_awsbatch_plugin.session import Session, open_session
from covalent_awsbatch_plugin.settings import Settings

OUTCOME = Outcome("", 0, OutcomeStatus.VALUE, "job-7", 1, 0.0, 1.0, "3.11.7", "3.1.2")
CHUNK_BYTES = contract.CHUNK_BYTES


@dataclass
class Machine:
    """A machine that reads outcomes: its settings, and so its key. What lies in the bucket is put by hand."""

    settings: Settings
    session: Session
    loop: asyncio.AbstractEventLoop
    s3: Any

    def key(self, dispatch_id: str) -> bytes:
        return self.loop.run_until_complete(origin.dispatch_key(self.settings, dispatch_id))

    def put(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=self.settings.s3_bucket_name, Key=key, Body=content)

    def leave(
        self, dispatch_id: str, sections: dict[str, bytes], by: Machine | None = None, **fields: Any
    ) -> None:
        """Put an outcome where a job's attempt does, by the machine that submitted it."""
        left = replace(OUTCOME, dispatch_id=dispatch_id, **fields)
        content = contract.pack_outcome(left, sections, (by or self).key(dispatch_id))
        self.put(contract.outcome_key(dispatch_id, left.node_id, left.attempt), content)

    def find(self, dispatch_id: str, attempts: Collection[int] = (1,)) -> Found:
        return self.loop.run_until_complete(
            outcome.find(self.session, self.settings, dispatch_id, 0, attempts)
        )

    def like(self, **settings: Any) -> Machine:
        return replace(self, settings=self.settings.model_copy(update=settings))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with LocalAWS(vcpus=1, memory_mib=512) as aws, pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "local")
        settings = Settings(**{**aws.settings, "cache_dir": str(tmp_path_factory.mktemp("cache"))})
        loop = asyncio.new_event_loop()

        async def session() -> Session:
            return open_session(settings)

        s3 = boto3.client("s3", endpoint_url=aws.endpoint_url, region_name=aws.region)
        yield Machine(settings, loop.run_until_complete(session()), loop, s3)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()


@pytest.fixture
def dispatch_id() -> str:
    return uuid4().hex


def value_of(found: Found) -> Any:
    assert isinstance(found, Stored), found
    return unpickled(found.value)


# --- whose it is ----------------------------------------------------------------------------------------


def test_an_outcome_of_this_machine_is_taken(machine, dispatch_id):
    machine.leave(dispatch_id, {"value": pickle.dumps("mine"), "stdout": b"said"})
    found = machine.find(dispatch_id)
    assert value_of(found) == "mine"
    assert found.streams() == {"stdout": "said", "stderr": ""}


def test_an_outcome_of_another_machine_is_found_out_and_the_way_to_take_it_is_told(
    machine, dispatch_id, tmp_path
):
    other = machine.like(cache_dir=str(tmp_path))
    machine.leave(dispatch_id, {"value": pickle.dumps("theirs")}, by=other)
    found = machine.find(dispatch_id)
    assert isinstance(found, ForeignEnvelopeError)
    assert "not sealed with this machine's key" in str(found)
    assert str(Path(machine.settings.cache_dir) / "origin.key") in str(found)
    assert value_of(machine.like(verify_origin=False).find(dispatch_id)) == "theirs"
    assert value_of(other.find(dispatch_id)) == "theirs"


def test_with_the_other_machines_key_file_its_outcomes_are_taken(machine, dispatch_id, tmp_path):
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    other = machine.like(cache_dir=str(elsewhere))
    machine.leave(dispatch_id, {"value": pickle.dumps("theirs")}, by=other)
    here.mkdir()
    (here / origin.FILE_NAME).write_bytes((elsewhere / origin.FILE_NAME).read_bytes())
    assert value_of(machine.like(cache_dir=str(here)).find(dispatch_id)) == "theirs"


def test_an_outcome_of_another_dispatch_of_this_machine_is_not_taken(machine, dispatch_id):
    """As a writer to the bucket may copy it, whole and sealed."""
    machine.leave("original", {"value": pickle.dumps("old")})
    source = {"Bucket": machine.settings.s3_bucket_name, "Key": contract.outcome_key("original", 0, 1)}
    target = contract.outcome_key(dispatch_id, 0, 1)
    machine.s3.copy_object(Bucket=machine.settings.s3_bucket_name, Key=target, CopySource=source)
    assert isinstance(machine.find(dispatch_id), ForeignEnvelopeError)
    unverified = machine.like(verify_origin=False).find(dispatch_id)
    assert isinstance(unverified, contract.EnvelopeError)
    assert "belongs to another task" in str(unverified)


def test_a_foreign_outcome_does_not_hide_the_value_of_another_attempt(machine, dispatch_id, tmp_path):
    machine.leave(dispatch_id, {"value": pickle.dumps("first")})
    machine.leave(dispatch_id, {"value": b""}, by=machine.like(cache_dir=str(tmp_path)), attempt=2)
    assert value_of(machine.find(dispatch_id, attempts=(1, 2))) == "first"


def test_a_key_that_cannot_be_read_is_the_reason_that_is_given(machine, dispatch_id, tmp_path):
    (tmp_path / origin.FILE_NAME).write_bytes(b"short")
    machine.leave(dispatch_id, {"value": pickle.dumps("mine")})
    found = machine.like(cache_dir=str(tmp_path)).find(dispatch_id)
    assert isinstance(found, SetupError)
    assert "has 5 bytes, not 32" in str(found)


def test_an_object_that_is_larger_than_any_outcome_is_not_read(machine, dispatch_id):
    machine.put(contract.outcome_key(dispatch_id, 0, 1), bytes(contract.MAX_OUTCOME_BYTES + 1))
    found = machine.find(dispatch_id)
    assert isinstance(found, contract.EnvelopeError)
    assert "larger than any outcome" in str(found)


# --- what is detached -----------------------------------------------------------------------------------


def detach(machine: Machine, dispatch_id: str, name: str, content: bytes) -> dict[str, Detached]:
    """Store a section by itself, as the runtime does."""
    chunks = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)]
    key = contract.detached_key(dispatch_id, 0, 1, name, "0f")
    machine.put(key, content)
    return {name: Detached(key, len(content), [hashlib.sha256(each).hexdigest() for each in chunks])}


LARGE = pickle.dumps([bytes([number]) * 1_000_000 for number in range(18)])
"""Two chunks and a bit; a list, so that its opening begins before its end has come."""


@pytest.mark.parametrize("length", [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES])
def test_a_detached_value_is_read_whole_whatever_its_length(machine, dispatch_id, length):
    content = b"\xab" * length
    machine.leave(dispatch_id, {}, detached=detach(machine, dispatch_id, "value", content))
    found = machine.find(dispatch_id)
    assert isinstance(found, Stored)
    assert found.value.length == length
    assert b"".join(found.value.chunks()) == content


def test_a_detached_text_is_read_with_the_outcome(machine, dispatch_id):
    text = b"printed\n" * 1_500_000
    machine.leave(dispatch_id, {"value": b"x"}, detached=detach(machine, dispatch_id, "stdout", text))
    found = machine.find(dispatch_id)
    assert isinstance(found, Stored)
    assert found.streams()["stdout"].encode() == text


@pytest.mark.parametrize("at", [0, CHUNK_BYTES, len(LARGE) - 1])
@pytest.mark.parametrize("alter", ["one byte", "cut short", "longer"])
def test_no_byte_of_an_altered_chunk_comes_out(machine, dispatch_id, at, alter):
    detached = detach(machine, dispatch_id, "value", LARGE)
    machine.leave(dispatch_id, {}, detached=detached)
    altered = {
        "one byte": LARGE[:at] + bytes([LARGE[at] ^ 1]) + LARGE[at + 1 :],
        "cut short": LARGE[:at],
        "longer": LARGE[:at] + b"\0" + LARGE[at:],
    }[alter]
    machine.put(detached["value"].key, altered)
    found = machine.find(dispatch_id)
    assert isinstance(found, Stored)
    came = bytearray()
    with pytest.raises(OutcomeDamagedError, match="cut short or altered in S3: it is not what the job job-7"):
        deque(map(came.extend, found.value.chunks()))
    assert LARGE.startswith(came)
    assert len(came) <= at // CHUNK_BYTES * CHUNK_BYTES
    with pytest.raises(OutcomeDamagedError):
        unpickled(found.value)


def test_a_damaged_text_is_the_reason_that_is_given(machine, dispatch_id):
    detached = detach(machine, dispatch_id, "stdout", b"x" * CHUNK_BYTES)
    machine.leave(dispatch_id, {"value": b"x"}, detached=detached)
    machine.put(detached["stdout"].key, b"y" * CHUNK_BYTES)
    assert isinstance(machine.find(dispatch_id), OutcomeDamagedError)


def test_a_detached_value_that_is_gone_is_named(machine, dispatch_id):
    detached = detach(machine, dispatch_id, "value", LARGE)
    machine.leave(dispatch_id, {}, detached=detached)
    machine.s3.delete_object(Bucket=machine.settings.s3_bucket_name, Key=detached["value"].key)
    with pytest.raises(BucketError, match=f"'{detached['value'].key}' of the job job-7 cannot be read"):
        value_of(machine.find(dispatch_id))
