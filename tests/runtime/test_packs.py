"""Payloads that lie together in one pack, and the children of an array that each take their own."""

from __future__ import annotations

import http.client
import http.server
import threading
from urllib.parse import urlsplit

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.contract import EXIT_RUNTIME_FAULT, EXIT_VALUE, EnvelopeError, OutcomeStatus

from .conftest import BUCKET, PayloadDraft, pack

GARBAGE = b"garbage" * 1000


# --- the layout --------------------------------------------------------------------------------------

numbers = st.integers(0, 2**64 - 1)
payload_lists = st.lists(st.tuples(numbers, st.binary(max_size=50)), max_size=20)


def _write(payloads):
    group_ids = [group_id for group_id, _ in payloads]
    bodies = [body for _, body in payloads]
    return contract.pack_start(group_ids, [len(each) for each in bodies]), b"".join(bodies)


def _read_table(data, first, count):
    start, end = contract.entries_range(first, count)
    return contract.parse_entries(data[start:end])


def _read_each_entry(data):
    for index in range(contract.pack_size(data)):
        _read_table(data, index, 1)


@given(payload_lists.filter(len), st.data())
def test_pack_round_trip_from_any_payload_on(payloads, data):
    whole = b"".join(_write(payloads))
    first = data.draw(st.integers(0, len(payloads) - 1))
    read = [
        (group_id, whole[place.offset : place.offset + place.length])
        for group_id, place in _read_table(whole, first, contract.pack_size(whole) - first)
    ]
    assert read == payloads[first:]


@given(payload_lists.filter(len), st.data())
def test_pack_whose_table_is_cut_short_is_refused(payloads, data):
    start, _ = _write(payloads)
    cut = data.draw(st.integers(0, len(start) - 1))
    with pytest.raises(EnvelopeError):
        _read_each_entry(start[:cut])


@given(payload_lists, st.integers(0, len(contract.PACK_MAGIC) * 8 - 1))
def test_pack_with_a_flipped_bit_in_its_magic_is_refused(payloads, bit):
    start = bytearray(_write(payloads)[0])
    start[bit // 8] ^= 1 << bit % 8
    with pytest.raises(EnvelopeError):
        _read_each_entry(bytes(start))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_refused(data):
    try:
        entries = contract.parse_entries(data)
    except EnvelopeError:
        return
    assert all(place.length >= 0 for _, place in entries)


# --- the children of an array ------------------------------------------------------------------------


class CountingS3(http.server.ThreadingHTTPServer):
    """Passes requests on to the S3 of the tests, and notes what was read: key, first byte, bytes."""

    def __init__(self, endpoint):
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.upstream = urlsplit(endpoint).netloc
        self.reads = []

    def reads_of(self, uri):
        path = "/" + uri.removeprefix("s3://")
        return [(start, length) for read_path, start, length in self.reads if read_path == path]


class _Forwarding(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self._forward()

    def do_PUT(self):
        self._forward()

    def _forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection(self.server.upstream)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        if self.command == "GET":
            first = int(self.headers["Range"].removeprefix("bytes=").partition("-")[0])
            self.server.reads.append((urlsplit(self.path).path, first, len(content)))
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    def log_message(self, *_):
        pass


@pytest.fixture
def counting_s3(jobs, s3_endpoint):
    with CountingS3(s3_endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        jobs.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()


def _array_of(draft: PayloadDraft, index: int, size: int) -> list[PayloadDraft | bytes]:
    """Return payloads of which only the one at `index` is any."""
    payloads: list[PayloadDraft | bytes] = [GARBAGE] * size
    payloads[index] = draft
    return payloads


@pytest.mark.parametrize("index", [0, 117, 199])
def test_child_reads_its_entry_and_its_payload_and_no_other(jobs, counting_s3, index):
    draft = jobs.draft()
    draft.task(lambda x: x + 1, 41)
    uri = jobs.upload_array(_array_of(draft, index, 200))

    job = jobs.finish(draft, jobs.start_child(uri, index))

    assert job.exit_code == EXIT_VALUE, job.stderr
    assert job.only.value == 42
    assert job.only.outcome.job_id == f"array-1:{index}"
    _, own_entry_end = contract.entries_range(index, 1)
    _, table_end = contract.entries_range(0, 200)
    assert counting_s3.reads_of(uri) == [
        (0, own_entry_end),
        (table_end + index * len(GARBAGE), len(draft.payload())),
    ]


def test_last_child_of_the_largest_array(jobs, counting_s3):
    draft = jobs.draft()
    draft.task(lambda: "last")
    uri = jobs.upload_array([b""] * 9_999 + [draft])
    job = jobs.finish(draft, jobs.start_child(uri, 9_999))
    assert job.only.value == "last", job.stderr
    assert len(counting_s3.reads_of(uri)) == 2


def test_lone_job_reads_its_pack_once(jobs, counting_s3):
    draft = jobs.draft()
    draft.task(lambda x: len(x), b"x" * 200_000)
    assert jobs.run(draft).only.value == 200_000
    assert len(counting_s3.reads_of(f"s3://{BUCKET}/{draft.key}")) == 1


def test_large_sections_of_a_child_are_read_only_when_they_are_needed(jobs, counting_s3):
    data = bytes(range(256)) * 2**13  # 2 MiB
    draft = jobs.draft()
    draft.task(lambda small: small, 1)
    draft.task(lambda large: large[-3:], data)
    uri = jobs.upload_array([GARBAGE, draft, GARBAGE])
    job = jobs.finish(draft, jobs.start_child(uri, 1))
    assert [job.outcomes[node_id].value for node_id in (0, 1)] == [1, data[-3:]]
    (_, first_bytes), (_, section_bytes) = counting_s3.reads_of(uri)[1:]
    assert first_bytes == 256 * 2**10
    assert section_bytes == len(draft.sections["s1"])


def test_section_of_a_child_that_is_downloaded_in_chunks(jobs):
    data = bytes(range(256)) * 2**16  # 16 MiB
    draft = jobs.draft()
    draft.task(lambda large: (len(large), large[-3:]), data)
    job = jobs.finish(draft, jobs.start_child(jobs.upload_array([GARBAGE, draft, GARBAGE]), 1))
    assert job.only.value == (len(data), data[-3:]), job.stderr


def test_children_of_one_array_leave_their_own_outcomes(jobs):
    drafts = [jobs.draft() for _ in range(3)]
    for number, draft in enumerate(drafts):
        draft.task(lambda number=number: number)
    uri = jobs.upload_array(drafts)
    children = [jobs.start_child(uri, index) for index in range(3)]
    values = [jobs.finish(draft, child).only.value for draft, child in zip(drafts, children, strict=True)]
    assert values == [0, 1, 2]


# --- faults ------------------------------------------------------------------------------------------


def _fault_of(jobs, process):
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == EXIT_RUNTIME_FAULT
    (line,) = stderr.splitlines()
    return line


@pytest.mark.parametrize("index", ["first", "", "-1", "1.5", "²"])
def test_array_index_that_is_no_number(jobs, index):
    line = _fault_of(jobs, jobs.start_child(f"s3://{BUCKET}/any", index))
    assert f"AWS_BATCH_JOB_ARRAY_INDEX is to be a number, but is {index!r}" in line


@pytest.mark.parametrize("index", [2, 9_999, 10**30])
def test_array_index_beyond_the_pack(jobs, counting_s3, index):
    uri = jobs.upload_array([GARBAGE * 100, GARBAGE])
    line = _fault_of(jobs, jobs.start_child(uri, index))
    assert f"Payload {index} of covalent-awsbatch/" in line
    assert "its pack has 2, counted from 0" in line
    assert sum(length for _, length in counting_s3.reads_of(uri)) <= 256 * 2**10


def test_pack_of_none(jobs):
    assert "its pack has 0" in _fault_of(jobs, jobs.start_at(jobs.upload_array([])))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"x", "no pack"),
        (b"nonsense" * 10, "no pack"),
        (contract.pack_header({}, {}), "no pack"),
        (contract.pack_start([1], [5])[:-1], "table of this pack is cut short"),
        (contract.pack_start([1], [500]), "it is cut short"),
        (contract.PACK_MAGIC + b"\0" * 7 + b"\1" + b"\0" * 32, "table of this pack is damaged"),
        (contract.PACK_MAGIC + b"\0" * 7 + b"\1" + (b"\0" * 8 + b"\xff" * 8) * 2, "it is cut short"),
        (
            contract.PACK_MAGIC + b"\0" * 7 + b"\1" + b"\xff" * 16 + b"\0" * 16,
            "table of this pack is damaged",
        ),
    ],
)
@pytest.mark.parametrize("is_child", [False, True])
def test_pack_that_is_none_or_damaged(jobs, s3, body, reason, is_child):
    s3.put_object(Bucket=BUCKET, Key="damaged-pack", Body=body)
    uri = f"s3://{BUCKET}/damaged-pack"
    line = _fault_of(jobs, jobs.start_child(uri, 0) if is_child else jobs.start_at(uri))
    assert "Payload 0 of damaged-pack cannot be read: " in line
    assert reason in line


def test_payload_of_a_child_that_is_cut_short_leaves_an_outcome(jobs, s3):
    draft = jobs.draft()
    draft.task(len, b"x" * 1_000_000)
    s3.put_object(Bucket=BUCKET, Key="cut-pack", Body=pack([GARBAGE, draft.payload()])[:-1])
    job = jobs.finish(draft, jobs.start_child(f"s3://{BUCKET}/cut-pack", 1))
    assert job.only.status is OutcomeStatus.FAULT
    assert "Payload 1 of cut-pack is cut short in section 's0'" in job.only.failure.message


# --- arguments that are objects of their own ---------------------------------------------------------


def test_argument_that_is_an_object_of_its_own(jobs, counting_s3):
    draft = jobs.draft()
    shared = draft.put_object("shared", cloudpickle.dumps([1, 2]))
    draft.task(lambda x, *, y: (x, y, x is y), shared, y=shared)
    job = jobs.run(draft)
    assert job.only.value == ([1, 2], [1, 2], False), job.stderr
    assert len(counting_s3.reads_of(f"s3://{BUCKET}/{shared.key}")) == 1


def test_argument_whose_object_is_missing_leaves_an_outcome(jobs):
    draft = jobs.draft()
    draft.task(lambda x: x, contract.Input(key="covalent-awsbatch/nowhere"))
    job = jobs.run(draft)
    assert job.exit_code == EXIT_RUNTIME_FAULT
    assert f"There is no s3://{BUCKET}/covalent-awsbatch/nowhere" in job.only.failure.message
