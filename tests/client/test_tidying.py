"""What stays in the bucket: `keep_artifacts`, as the client's user sees it there afterwards."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from covalent_awsbatch_plugin import tidying
from covalent_awsbatch_plugin.client import AWSBatch
from covalent_awsbatch_plugin.errors import JobFailedError, UnknownJobError
from tests.client.surroundings import LONG_S, Gate, OtherProcess
from tests.e2e.surroundings import AWS, Counted, eventually

SOON_S = 0.05
LARGE = 6 << 20
"""Bytes: more than fit into a payload or an outcome."""


@pytest.fixture
def quiet_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidying, "QUIET_S", SOON_S)


@pytest.fixture(autouse=True)
def tidied_in_the_end(aws: AWS) -> Iterator[None]:
    """Leave nothing for the end of this process, when there is no AWS any more."""
    yield
    keeping(aws, "none").shutdown()


def keeping(aws: AWS, keep: str, **settings: Any) -> AWSBatch:
    return AWSBatch(**{**aws.settings, "keep_artifacts": keep, **settings})


def left(aws: AWS, run_id: str) -> Counter[str]:
    """Return how many objects of each kind a run has in the bucket."""
    pages = aws.s3.get_paginator("list_objects_v2").paginate(
        Bucket=aws.settings["s3_bucket_name"], Prefix=f"covalent-awsbatch/{run_id}/"
    )
    return Counter(each["Key"].split("/")[2] for page in pages for each in page.get("Contents", []))


def nodes_left(aws: AWS, run_id: str, kind: str) -> set[int]:
    prefix = f"covalent-awsbatch/{run_id}/{kind}/"
    listing = aws.s3.list_objects_v2(Bucket=aws.settings["s3_bucket_name"], Prefix=prefix)
    return {int(each["Key"].split("/")[3]) for each in listing.get("Contents", [])}


def run_of(job: Any) -> str:
    return str(job.id).partition("/")[0]


def odd_fails() -> Callable[[int, bytes], bytes]:
    # A function within a function travels whole: jobs need not import the tests.
    def fail_if_odd(number: int, large: bytes) -> bytes:
        if number % 2:
            raise ValueError("odd")
        return large

    return fail_if_odd


def double() -> Callable[[int], int]:
    return lambda number: 2 * number


# --- what stays -----------------------------------------------------------------------------------------


def test_by_default_all_of_it_stays_and_nobody_looks(aws: AWS, counted: Counted, quiet_soon: None):
    with keeping(aws, "all") as batch:
        array = batch.map(double(), range(3))
        assert list(array.results(timeout=LONG_S)) == [0, 2, 4]
    assert left(aws, array.id) == {"functions": 1, "packs": 1, "claims": 3, "outcomes": 3}
    assert counted("s3", "DeleteObjects") == 0


def test_none_leaves_nothing_of_an_array_with_large_arguments_values_and_a_failure(aws: AWS):
    with keeping(aws, "none") as batch:
        array = batch.map(odd_fails(), range(3), [b"x" * LARGE] * 3)
        array.wait(LONG_S)
        assert set(left(aws, array.id)) == {"functions", "packs", "claims", "outcomes", "inputs", "values"}
        first, second, third = array.results(return_exceptions=True)
    assert (len(first), type(second), len(third)) == (LARGE, ValueError, LARGE)
    assert left(aws, array.id) == {}


def test_failed_leaves_what_a_failure_needs_to_be_looked_at_and_run_again(aws: AWS):
    with keeping(aws, "failed") as batch:
        array = batch.map(odd_fails(), range(4), [b"x" * LARGE] * 4)
        assert [type(each) for each in array.results(return_exceptions=True, timeout=LONG_S)] == [
            *(bytes, ValueError, bytes, ValueError)
        ]
    assert nodes_left(aws, array.id, "outcomes") == nodes_left(aws, array.id, "inputs") == {1, 3}
    found = left(aws, array.id)
    assert (found["values"], found["packs"], found["functions"], found["claims"]) == (0, 1, 1, 4)
    with pytest.raises(ValueError, match="odd"):
        keeping(aws, "failed").job(array[1].id).result(LONG_S)


def test_failed_leaves_nothing_where_all_went_well(aws: AWS):
    array = keeping(aws, "failed").map(double(), range(3))
    assert list(array.results(timeout=LONG_S)) == [0, 2, 4]
    eventually(lambda: not left(aws, array.id))  # at once: nothing can follow in the run of a map


def test_a_result_that_nobody_took_stays(aws: AWS):
    with keeping(aws, "none") as batch:
        array = batch.map(double(), range(3))
        assert array[1].result(LONG_S) == 2
    assert nodes_left(aws, array.id, "outcomes") == {0, 2}
    assert [left(aws, array.id)[kind] for kind in ("packs", "functions")] == [1, 1]
    assert [array[index].result() for index in (0, 2)] == [0, 4]
    eventually(lambda: not left(aws, array.id))


def test_a_value_that_cannot_be_opened_here_stays(aws: AWS):
    def elsewhere() -> Any:
        import sys
        import types

        module = types.ModuleType("only_there")
        exec("class Thing: pass", module.__dict__)
        module.Thing.__module__ = "only_there"  # type: ignore[attr-defined]
        sys.modules["only_there"] = module
        return module.Thing()  # type: ignore[attr-defined]

    with keeping(aws, "none") as batch:
        job = batch.submit(elsewhere)
        with pytest.raises(ModuleNotFoundError, match="only_there"):
            job.result(LONG_S)
    assert left(aws, run_of(job))["outcomes"] == 1


def test_a_cancelled_job_leaves_nothing(aws: AWS, gate: Gate):
    with keeping(aws, "none") as batch:
        job = batch.submit(gate.hold)
        gate.wait_for(1)
        job.cancel()
        with pytest.raises(CancelledError):
            job.result(LONG_S)
    assert left(aws, run_of(job)) == {}


def test_a_job_that_could_not_be_submitted_leaves_nothing(aws: AWS):
    with keeping(aws, "none") as batch:
        aws.control("PUT", "faults", {"faults": [{"operation": "SubmitJob", "effect": {"status": 403}}]})
        try:
            job = batch.submit(len, b"x" * LARGE)
            with pytest.raises(JobFailedError):
                job.result(LONG_S)
        finally:
            aws.control("DELETE", "faults")
    assert left(aws, run_of(job)) == {}


def test_an_array_costs_no_request_for_each_task(aws: AWS, counted: Counted):
    with keeping(aws, "none") as batch:
        array = batch.map(double(), range(20))
        assert sum(array.results(timeout=LONG_S)) == 20 * 19
    assert left(aws, array.id) == {}
    assert counted("s3", "DeleteObjects") == 3  # what they share, what is each one's, the claims


# --- one run, several passes ----------------------------------------------------------------------------


def test_tasks_that_follow_a_pass_bring_what_they_need_again(aws: AWS, quiet_soon: None):
    batch, function = keeping(aws, "none"), double()
    job = batch.submit(function, 1)
    run_id = run_of(job)
    assert job.result(LONG_S) == 2
    eventually(lambda: not left(aws, run_id))
    for number in (1, 2):  # the same function, and the same call
        assert batch.submit(function, number).result(LONG_S) == 2 * number
        eventually(lambda: not left(aws, run_id))


def test_nothing_goes_while_a_task_of_the_run_is_on_its_way(
    aws: AWS, gate: Gate, counted: Counted, quiet_soon: None
):
    batch = keeping(aws, "none")
    held, quick = batch.submit(gate.hold, 1), batch.submit(double(), 2)
    gate.wait_for(1)
    assert quick.result(LONG_S) == 4
    again = batch.submit(double(), 3)
    assert again.result(LONG_S) == 6
    assert counted("s3", "DeleteObjects") == 0
    gate.open()
    assert held.result(LONG_S) == 1
    eventually(lambda: not left(aws, run_of(held)))


def test_a_group_that_starts_during_a_pass_loses_nothing(aws: AWS, quiet_soon: None):
    batch, function = keeping(aws, "none"), double()
    slow = {"operation": "DeleteObjects", "effect": {"latency_s": 0.5}, "name": "slow"}
    aws.control("PUT", "faults", {"faults": [slow]})
    try:
        first = batch.submit(function, 1)
        assert first.result(LONG_S) == 2
        eventually(lambda: aws.control("GET", "faults")["faults"][0]["struck"])
        # Its function was uploaded for the first one, and is being deleted at this moment.
        assert batch.submit(function, 2).result(LONG_S) == 4
    finally:
        aws.control("DELETE", "faults")
    eventually(lambda: not left(aws, run_of(first)))


def test_two_handles_of_a_job_both_have_its_value(aws: AWS, gate: Gate, quiet_soon: None):
    batch, hold = keeping(aws, "none"), gate.hold
    job = batch.submit(lambda: hold(b"x" * LARGE))
    gate.wait_for(1)
    other = batch.job(job.id)
    gate.open()
    assert len(job.result(LONG_S)) == LARGE
    other.wait(LONG_S)
    assert left(aws, run_of(job))["values"] == 1
    assert other.result() == job.result()
    eventually(lambda: not left(aws, run_of(job)))


# --- another process, another day -----------------------------------------------------------------------


def test_the_end_of_the_process_waits_for_what_is_being_deleted(aws: AWS):
    source = """
        batch = AWSBatch(**settings, keep_artifacts="none")
        job, array = batch.submit(pow, 2, 3), batch.map(pow, [2, 3], [2, 2])
        print(json.dumps([job.result(), list(array.results()), job.id.partition("/")[0], array.id]))
        """
    # One in ten was aborted at its end by a thread of obstore that found Python gone.
    others = [OtherProcess(aws, source) for _ in range(6)]
    for value, values, *run_ids in [each.answer() for each in others]:
        assert (value, values) == (8, [4, 9])
        assert [left(aws, each) for each in run_ids] == [{}, {}]


def test_who_attaches_to_an_array_and_takes_all_of_it_leaves_nothing(aws: AWS):
    first = keeping(aws, "all").map(double(), range(3))
    first.wait(LONG_S)
    eventually(lambda: all(job["status"] == "SUCCEEDED" for job in aws.jobs_of(first.id)))
    with keeping(aws, "none") as batch:
        assert list(batch.array(first.id).results(timeout=LONG_S)) == [0, 2, 4]
    assert left(aws, first.id) == {}


def test_who_attaches_to_a_part_leaves_the_rest_and_what_it_needs(aws: AWS):
    first = keeping(aws, "all").map(double(), range(3))
    first.wait(LONG_S)
    with keeping(aws, "none") as batch:
        assert batch.job(first[1].id).result(LONG_S) == 2
    assert nodes_left(aws, first.id, "outcomes") == {0, 2}
    assert [left(aws, first.id)[kind] for kind in ("packs", "functions", "claims")] == [1, 1, 3]
    assert keeping(aws, "all").job(first[0].id).result(LONG_S) == 0


def test_who_attaches_takes_no_pack_from_jobs_that_still_run(aws: AWS, gate: Gate):
    hold = gate.hold
    first = keeping(aws, "all").map(lambda number: hold(number) if number else 0, range(2))
    gate.wait_for(1)
    first[0].wait(LONG_S)
    with keeping(aws, "none") as batch:
        assert batch.job(first[0].id).result(LONG_S) == 0
    assert [left(aws, first.id)[kind] for kind in ("packs", "functions")] == [1, 1]
    gate.open()
    assert first[1].result(LONG_S) == 1


def test_who_attaches_takes_no_pack_from_jobs_that_have_yet_to_start(aws: AWS):
    stuck = {"job": {"index": 1}, "effect": {"stuck": ""}}
    aws.control("PUT", "faults", {"faults": [stuck]})
    try:
        first = keeping(aws, "all").map(double(), range(2))
        first[0].wait(LONG_S)
        with keeping(aws, "none") as batch:
            assert batch.job(first[0].id).result(LONG_S) == 0
        assert left(aws, first.id) == {"packs": 1, "functions": 1, "claims": 1}
        first.cancel()
        first.wait(LONG_S)
    finally:
        aws.control("DELETE", "faults")


def test_on_another_day_a_tidied_job_is_told_to_be_gone_in_one_sentence(aws: AWS):
    with keeping(aws, "none") as batch:
        array = batch.map(double(), range(2))
        assert list(array.results(timeout=LONG_S)) == [0, 2]
    again = keeping(aws, "none")
    with pytest.raises(UnknownJobError, match="has nothing of the run"):
        again.array(array.id)
    with pytest.raises(JobFailedError, match="keep_artifacts"):
        again.job(array[0].id).result(LONG_S)
    with pytest.raises(UnknownJobError, match="has no pack with the task"):
        again.job(array[0].batch_id)


# --- no right to delete ---------------------------------------------------------------------------------

DENIED_AT_ONCE = 403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
DENIED_BY_KEY = (
    200,
    '<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Error><Key>{key}</Key>'
    "<Code>AccessDenied</Code><Message>Access Denied</Message></Error></DeleteResult>",
)
"""How S3 answers where the right to delete is missing for the objects, not for the request."""


@pytest.fixture
def denying(aws: AWS, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an AWS that deletes nothing, and answers as it is parametrised."""
    status, answer = request.param
    target = urlsplit(aws.endpoint_url)

    class Handler(BaseHTTPRequestHandler):
        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.command == "POST" and self.path.endswith("?delete"):
                key = body.decode().partition("<Key>")[2].partition("</Key>")[0]
                self.answer(status, {}, answer.format(key=key).encode())
                return
            connection = HTTPConnection(str(target.hostname), target.port)
            connection.request(self.command, self.path, body, dict(self.headers))
            reply = connection.getresponse()
            self.answer(reply.status, dict(reply.getheaders()), reply.read())
            connection.close()

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in {"content-length", "transfer-encoding", "connection", "date"}:
                    self.send_header(name, value)
            length = headers.get("content-length", str(len(body))) if self.command == "HEAD" else len(body)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_any

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("denying", [DENIED_AT_ONCE, DENIED_BY_KEY], ids=["at once", "by key"], indirect=True)
def test_without_the_right_to_delete_there_is_one_warning_and_no_failure(
    aws: AWS, denying: str, caplog: pytest.LogCaptureFixture, quiet_soon: None
):
    caplog.set_level(logging.WARNING, "covalent_awsbatch_plugin")
    with keeping(aws, "none", endpoint_url=denying) as batch:
        for _ in range(2):
            array = batch.map(double(), range(2))
            assert list(array.results(timeout=LONG_S)) == [0, 2]
    (warning,) = [each.getMessage() for each in caplog.records if "keep_artifacts" in each.getMessage()]
    assert f"The bucket {aws.settings['s3_bucket_name']!r} keeps what keep_artifacts would delete" in warning
    assert "s3:DeleteObject on covalent-awsbatch/* is missing" in warning
    assert left(aws, array.id)["outcomes"] == 2


def test_a_pass_that_fails_is_made_again(aws: AWS, caplog: pytest.LogCaptureFixture, quiet_soon: None):
    once = {"operation": "ListObjectsV2", "key_contains": "", "effect": {"status": 403, "code": "Odd"}}
    batch = keeping(aws, "none")
    job = batch.submit(double(), 1)
    job.wait(LONG_S)
    aws.control("PUT", "faults", {"faults": [{**once, "times": 1, "caller": "driver"}]})
    try:
        assert job.result() == 2
        eventually(lambda: "is not deleted yet" in caplog.text)
    finally:
        aws.control("DELETE", "faults")
    eventually(lambda: not left(aws, run_of(job)))


# --- job definitions ------------------------------------------------------------------------------------


def test_tasks_that_ask_for_different_things_have_one_job_definition(aws: AWS, counted: Counted):
    name = "one-for-all"
    jobs = [
        keeping(
            aws,
            ("all", "failed", "none")[number % 3],
            batch_job_definition_name=name,
            **{"vcpu": 1 + number % 4, "memory": 0.25 + number / 64, "retry_attempts": 1 + number % 3},
            **{"time_limit": 60 + number, "gather_window": 0},
        ).submit(pow, number, 2)
        for number in range(20)
    ]
    assert [job.result(LONG_S) for job in jobs] == [number**2 for number in range(20)]
    assert len({run_of(job) for job in jobs}) == 20
    assert counted("batch", "SubmitJob") == 20
    assert counted("batch", "RegisterJobDefinition") == 1
    definitions = aws.batch.describe_job_definitions()["jobDefinitions"]
    assert [each["revision"] for each in definitions if each["jobDefinitionName"].startswith(name)] == [1]
