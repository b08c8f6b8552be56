"""Calls on their way to a job: whatever is packed here is what the runtime reads there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covalent_awsbatch_plugin import contract, packs, payload
from covalent_awsbatch_plugin.contract import Hook, Input, Task
from covalent_awsbatch_plugin.errors import BucketError
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.payload import INLINE_BYTES, Call, Group, HookCall, Parcel
from covalent_awsbatch_plugin.runtime.payload import Location, PayloadReader
from covalent_awsbatch_plugin.runtime.store import Store
from covalent_awsbatch_plugin.session import Session
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.shipment import shares

T = TypeVar("T")

ORIGIN_KEY = bytes(range(32))


@dataclass(frozen=True)
class Raw:
    """Bytes that are taken for a pickle; nobody here opens any."""

    data: bytes
    python_version: str = "3.11.7"
    cloudpickle_version: str = "3.1.2"
    reads: list[str] = field(default_factory=list, compare=False)

    @property
    def length(self) -> int:
        return len(self.data)

    @property
    def in_memory(self) -> None:
        return None

    def chunks(self) -> Iterator[bytes]:
        self.reads.append("chunks")
        return (self.data[start : start + 100_000] for start in range(0, self.length, 100_000))

    def pickle_bytes(self) -> bytes:
        self.reads.append("whole")
        return self.data


def parcel_of(group: Group) -> Parcel:
    return payload.parcel(group, ORIGIN_KEY, kms_key_id="")


@dataclass
class Bucket:
    """The bucket of a local AWS: through a session, as the core writes, and as it is."""

    name: str
    settings: Settings
    session: Session
    loop: asyncio.AbstractEventLoop
    s3: Any

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def keys(self, dispatch_id: str) -> list[str]:
        listing = self.s3.list_objects_v2(Bucket=self.name, Prefix=contract.dispatch_prefix(dispatch_id))
        return [each["Key"] for each in listing.get("Contents", [])]

    def upload(self, groups: list[Group], rung: int = 0) -> str:
        """Upload groups as one pack and return its key."""
        parcels = self.run(payload.upload_contents(self.session, self.settings, list(map(parcel_of, groups))))
        uri = self.run(payload.upload_pack(self.session, self.settings, parcels, rung))
        return uri.removeprefix(f"s3://{self.name}/")


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with LocalAWS(vcpus=1, memory_mib=512) as aws, pytest.MonkeyPatch.context() as patch:
        access = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
        for name, value in {**access, "AWS_ENDPOINT_URL": aws.endpoint_url, "AWS_REGION": aws.region}.items():
            patch.setenv(name, value)  # the runtime's way to S3
        loop = asyncio.new_event_loop()

        async def open_session() -> Session:
            from covalent_awsbatch_plugin.session import open_session

            return open_session(Settings(**aws.settings))

        session = loop.run_until_complete(open_session())
        yield Bucket(
            aws.settings["s3_bucket_name"], Settings(**aws.settings), session, loop, boto3.client("s3")
        )
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()


# --- any group ------------------------------------------------------------------------------------------

raws = st.builds(Raw, st.binary(min_size=1, max_size=30))
large_raws = st.builds(
    lambda byte, more: Raw(byte * (INLINE_BYTES + more)), st.binary(min_size=1, max_size=1), st.integers(0, 2)
)
hooks = st.builds(HookCall, raws, raws, raws, st.sampled_from(["", "files", "x"]))
names = st.sampled_from(["x", "size", "größe", "_"])


@st.composite
def calls(draw: Any, node_id: int, earlier: list[int]) -> Call:
    sources = st.one_of(raws, raws, large_raws, *([st.sampled_from(earlier)] if earlier else []))
    return Call(
        node_id,
        draw(raws),
        draw(st.lists(sources, max_size=3)),
        draw(st.dictionaries(names, sources, max_size=2)),
        draw(st.lists(hooks, max_size=2)),
        draw(st.lists(hooks, max_size=2)),
    )


@st.composite
def groups_of_a_dispatch(draw: Any) -> list[Group]:
    dispatch_id, next_id, groups = uuid4().hex, draw(st.integers(0, 1000)), []
    for _ in range(draw(st.integers(1, 4))):
        node_ids = list(range(next_id, next_id + draw(st.integers(1, 3))))
        next_id = node_ids[-1] + draw(st.integers(1, 10))
        members = [draw(calls(each, node_ids[:at])) for at, each in enumerate(node_ids)]
        groups.append(Group(dispatch_id, node_ids[0], members))
    return draw(st.permutations(groups))


@settings(max_examples=25)
@given(groups=groups_of_a_dispatch())
def test_the_runtime_reads_what_was_packed(bucket: Bucket, tmp_path_factory: Any, groups: list[Group]):
    key = bucket.upload(groups)
    assert key == contract.pack_key(groups[0].dispatch_id, groups[0].group_id)
    for index, group in enumerate(groups):
        reader = PayloadReader(Store(bucket.name), Location(bucket.name, key, index))
        assert reader.payload.dispatch_id == group.dispatch_id
        seen = Seen(reader, tmp_path_factory.mktemp("read"))
        assert [seen.call(task) for task in reader.payload.tasks] == [plain(each) for each in group.calls]
    alone = PayloadReader(Store(bucket.name), Location(bucket.name, key))
    assert [each.node_id for each in alone.payload.tasks] == [each.node_id for each in groups[0].calls]


@dataclass
class Seen:
    """Calls as the runtime sees them, with the bytes that it reads for them."""

    reader: PayloadReader
    directory: Path

    def call(self, task: Task) -> Call:
        function = Raw(self.object(task.function_key), task.python_version, task.cloudpickle_version)
        return Call(
            task.node_id,
            function,
            [self.input(each) for each in task.args],
            {name: self.input(each) for name, each in task.kwargs.items()},
            [self.hook(each) for each in task.call_before],
            [self.hook(each) for each in task.call_after],
        )

    def input(self, source: Input) -> Raw | int:
        if source.node_id is not None:
            return source.node_id
        return Raw(self.object(source.key) if source.key is not None else self.section(str(source.section)))

    def hook(self, hook: Hook) -> HookCall:
        parts = [Raw(self.section(each)) for each in (hook.function, hook.args, hook.kwargs)]
        return HookCall(*parts, hook.retval_keyword)

    def section(self, name: str) -> bytes:
        self.reader.write_section(name, self.directory / "read")
        return (self.directory / "read").read_bytes()

    def object(self, key: str) -> bytes:
        self.reader.write_object(key, self.directory / "read")
        return (self.directory / "read").read_bytes()


def plain(call: Call) -> Call:
    """A call that compares with what was read: a drawn sequence may be of any kind."""
    return Call(call.node_id, call.function, list(call.args), call.kwargs, call.call_before, call.call_after)


# --- what travels beside --------------------------------------------------------------------------------


def test_a_large_argument_is_an_object_of_its_own_and_is_never_held_whole(bucket: Bucket):
    small, large = Raw(b"s" * INLINE_BYTES), Raw(b"l" * (INLINE_BYTES + 1))
    group = Group(uuid4().hex, 7, [Call(7, Raw(b"f"), [small, large], {"größe": large})])
    parcel = parcel_of(group)
    assert large.reads == []
    assert INLINE_BYTES < len(parcel.payload) < 2 * INLINE_BYTES
    bucket.upload([group])
    assert large.reads == ["chunks", "chunks"]
    inputs = [key for key in bucket.keys(group.dispatch_id) if "/inputs/" in key]
    assert inputs == [contract.input_key(group.dispatch_id, 7, name) for name in ("1", "_größe")]


def test_all_that_is_written_is_encrypted_with_the_key_that_the_user_names(bucket: Bucket):
    encrypting = replace(bucket, settings=bucket.settings.model_copy(update={"kms_key_id": "alias/mine"}))
    group = Group(uuid4().hex, 0, [Call(0, Raw(b"f"), [Raw(b"l" * (INLINE_BYTES + 1))])])
    plain = replace(group, dispatch_id=uuid4().hex)
    encrypting.upload([group])
    bucket.upload([plain])
    assert [each.split("/")[2] for each in bucket.keys(group.dispatch_id)] == ["functions", "inputs", "packs"]
    assert kms_keys(bucket, group.dispatch_id) == {"alias/mine"}
    assert kms_keys(bucket, plain.dispatch_id) == {None}


def kms_keys(bucket: Bucket, dispatch_id: str) -> set[str | None]:
    found = [bucket.s3.head_object(Bucket=bucket.name, Key=key) for key in bucket.keys(dispatch_id)]
    return {each.get("SSEKMSKeyId") for each in found}


def test_what_is_shown_of_a_parcel_has_no_key_and_no_argument(bucket: Bucket):
    group = Group("d", 0, [Call(0, Raw(b"secret-function"), [Raw(b"secret-argument")])])
    for shown in (repr(parcel_of(group)), repr(contract.Payload("d", [], ORIGIN_KEY))):
        assert "secret" not in shown
        assert ORIGIN_KEY.hex() not in shown
        assert repr(ORIGIN_KEY)[2:-1] not in shown


def test_a_function_is_stored_once_for_all_that_share_it(bucket: Bucket):
    dispatch_id = uuid4().hex
    first = [Group(dispatch_id, number, [Call(number, Raw(b"shared"))]) for number in range(3)]
    bucket.upload(first)
    (key,) = [key for key in bucket.keys(dispatch_id) if "/functions/" in key]
    bucket.s3.delete_object(Bucket=bucket.name, Key=key)
    bucket.upload([Group(dispatch_id, 3, [Call(3, Raw(b"shared")), Call(4, Raw(b"own"))])])
    functions = [key for key in bucket.keys(dispatch_id) if "/functions/" in key]
    assert functions == [payload.function_key(dispatch_id, b"own")]  # the shared one was not sent again


def test_a_bucket_that_does_not_take_an_object_is_named(bucket: Bucket):
    group = Group(uuid4().hex, 0, [Call(0, Raw(b"f"))])
    elsewhere = bucket.settings.model_copy(update={"s3_bucket_name": "no-such-bucket"})
    with pytest.raises(BucketError, match=r"'no-such-bucket' did not take the object .*Check s3:PutObject"):
        bucket.run(payload.upload_contents(bucket.session, elsewhere, [parcel_of(group)]))


@given(
    sizes_bytes=st.lists(st.integers(0, 12), max_size=30),
    max_array_size=st.integers(1, 8),
    max_bytes=st.integers(1, 40),
)
def test_shares_keep_the_order_and_the_limits_and_are_as_few_as_can_be(
    sizes_bytes, max_array_size, max_bytes
):
    @dataclass
    class Limits:
        max_array_size: int
        max_bytes: int

    parcels = [Parcel("d", number, b"x" * size, {}, {}) for number, size in enumerate(sizes_bytes)]
    found: list[list[Parcel]] = shares(parcels, Limits(max_array_size, max_bytes))  # type: ignore[arg-type]
    assert [each for share in found for each in share] == parcels
    for share in found:
        assert 1 <= len(share) <= max_array_size
        assert len(share) == 1 or size_of(share) <= max_bytes
    for share, following in pairwise(found):
        assert len(share) == max_array_size or size_of(share) + size_of(following[:1]) > max_bytes


def size_of(parcels: list[Parcel]) -> int:
    return sum(len(each.payload) for each in parcels)


# --- where a group went ---------------------------------------------------------------------------------


PACK_START = contract.pack_start([1, 2], [0, 0])


def pack(bucket: Bucket, dispatch_id: str, *group_ids: int, rung: int = 0) -> None:
    bucket.upload([Group(dispatch_id, each, [Call(each, Raw(b"f"))]) for each in group_ids], rung)


def places(bucket: Bucket, dispatch_id: str, group_id: int) -> list[tuple[int, int, int, int]]:
    """Return where a group lies: the pack's first group, its rung, its size and the index in it."""
    found = bucket.run(packs.find(bucket.session, bucket.name, dispatch_id, group_id))
    return [(each.first_group_id, each.rung, each.size, each.index) for each in found]


def test_groups_are_found_where_they_were_packed(bucket: Bucket):
    dispatch_id, other_id = uuid4().hex, uuid4().hex
    pack(bucket, dispatch_id, 5, 3, 11)
    pack(bucket, dispatch_id, 4)
    pack(bucket, other_id, 3)
    assert set(bucket.run(packs.read(bucket.session, bucket.name, dispatch_id))) == {3, 4, 5, 11}
    assert [places(bucket, dispatch_id, each) for each in (5, 3, 11, 4)] == [
        [(5, 0, 3, 0)],
        [(5, 0, 3, 1)],
        [(5, 0, 3, 2)],
        [(4, 0, 1, 0)],
    ]
    assert places(bucket, "no-such-dispatch", 3) == []


def test_a_group_that_is_packed_later_is_found_then(bucket: Bucket):
    dispatch_id = uuid4().hex
    pack(bucket, dispatch_id, 0)
    assert [places(bucket, dispatch_id, each) for each in (0, 1)] == [[(0, 0, 1, 0)], []]
    pack(bucket, dispatch_id, 1, 2)
    assert places(bucket, dispatch_id, 1) == [(1, 0, 2, 0)]


def test_what_was_packed_again_is_found_there_first(bucket: Bucket):
    dispatch_id = uuid4().hex
    pack(bucket, dispatch_id, 1, 2, 3)
    pack(bucket, dispatch_id, 3, rung=2)
    pack(bucket, dispatch_id, 1, 3, rung=1)
    assert places(bucket, dispatch_id, 3) == [(3, 2, 1, 0), (1, 1, 2, 1), (1, 0, 3, 2)]
    assert places(bucket, dispatch_id, 2) == [(1, 0, 3, 1)]


@given(
    dispatch_id=st.sampled_from(["d-1", "0a1b-7r2", "r2"]), group_id=st.integers(0), rung=st.integers(0, 99)
)
def test_names_tell_what_they_are_made_of(dispatch_id: str, group_id: int, rung: int):
    assert contract.run_of(contract.job_name(dispatch_id, group_id, rung)) == (dispatch_id, group_id, rung)
    assert contract.rung_of_pack(contract.pack_key(dispatch_id, group_id, rung)) == rung


def test_a_group_is_taken_out_of_its_pack_as_it_was_put_in(bucket: Bucket):
    dispatch_id = uuid4().hex
    groups = [Group(dispatch_id, each, [Call(each, Raw(b"f"), [Raw(b"x" * each)])]) for each in (7, 3, 500)]
    bucket.upload(groups)
    for group in groups:
        taken = bucket.run(packs.take_out(bucket.session, bucket.name, dispatch_id, group.group_id))
        assert taken is not None
        assert taken.payload == parcel_of(group).payload
    assert bucket.run(packs.take_out(bucket.session, bucket.name, dispatch_id, 1)) is None


@pytest.mark.parametrize(
    "content", [b"", b"short", b"foreign" * 10, PACK_START[:-8], PACK_START[: contract.PACK_PREAMBLE_BYTES]]
)
def test_an_object_that_is_no_pack_hides_no_other(bucket: Bucket, content: bytes):
    dispatch_id = uuid4().hex
    pack(bucket, dispatch_id, 9)
    bucket.s3.put_object(Bucket=bucket.name, Key=contract.pack_key(dispatch_id, 1), Body=content)
    assert places(bucket, dispatch_id, 9) == [(9, 0, 1, 0)]
    assert places(bucket, dispatch_id, 1) == []
