"""An outcome is written once, and a submission's tasks are run by one job, whatever AWS Batch makes of it."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.contract import (
    ENV_RUNG,
    EXIT_CONFLICT,
    EXIT_DUPLICATE,
    EXIT_RUNTIME_FAULT,
    EXIT_USER_EXCEPTION,
    EXIT_VALUE,
    OutcomeStatus,
)

from .conftest import BUCKET, ORIGIN_KEY, pack, wait_until

LARGE_BYTES = contract.INLINE_BYTES + 1


def stored(s3: Any, key: str) -> bytes:
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def keys_of(s3: Any, draft: Any) -> list[str]:
    listing = s3.list_objects_v2(Bucket=BUCKET, Prefix=contract.dispatch_prefix(draft.dispatch_id))
    return [each["Key"] for each in listing["Contents"]]


class Meeting:
    """A place where processes of one job meet: each waits there for a number of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def wait(self) -> Any:
        """Return a function that notes that it runs, and ends when it is told to, with what it is told."""
        directory = str(self.directory)

        def wait():
            import os
            import time
            from pathlib import Path

            mine = Path(directory, f"ran-{os.getpid()}")
            mine.touch()
            word = mine.with_suffix(".word")
            while not word.exists():
                time.sleep(0.02)
            return word.read_text() * int(mine.with_suffix(".times").read_text())

        return wait

    @property
    def came(self) -> list[Path]:
        return sorted(self.directory.glob("ran-*[0-9]"), key=lambda each: each.stat().st_mtime_ns)

    def let_go(self, one: Path, word: str, times: int = 1) -> None:
        one.with_suffix(".times").write_text(str(times))
        draft = one.with_suffix(".draft")
        draft.write_text(word)
        draft.rename(one.with_suffix(".word"))


@pytest.fixture
def meeting(tmp_path: Path) -> Meeting:
    return Meeting(tmp_path)


# --- first commit wins ----------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, LARGE_BYTES], ids=["inline", "detached"])
def test_of_two_processes_of_one_attempt_the_first_commit_stays(jobs, s3, meeting, times):
    """As where a host that was given up for lost runs on."""
    draft = jobs.draft()
    draft.task(meeting.wait())
    first = jobs.start(draft)
    wait_until(lambda: len(meeting.came) == 1)
    late = jobs.start(draft)
    wait_until(lambda: len(meeting.came) == 2)
    one, other = meeting.came
    meeting.let_go(one, "1", times)
    assert jobs.finish(draft, first).only.value == "1" * times
    key = contract.outcome_key(draft.dispatch_id, 0, 1)
    before = stored(s3, key)
    meeting.let_go(other, "2", times)
    job = jobs.finish(draft, late)
    assert job.exit_code == EXIT_CONFLICT
    assert stored(s3, key) == before
    assert job.only.value == "1" * times
    assert (
        f"has already left an outcome at s3://{BUCKET}/{key}: it stays, and that of this job is lost"
        in job.stderr
    )


def test_a_later_attempt_writes_beside_an_earlier_one(jobs, s3):
    draft = jobs.draft()
    draft.task(lambda: __import__("os").environ["AWS_BATCH_JOB_ATTEMPT"])
    jobs.run(draft)
    first = stored(s3, contract.outcome_key(draft.dispatch_id, 0, 1))
    second = jobs.run(draft, AWS_BATCH_JOB_ATTEMPT="2")
    assert (second.exit_code, second.only.value) == (EXIT_VALUE, "2")
    assert stored(s3, contract.outcome_key(draft.dispatch_id, 0, 1)) == first


def test_what_a_foreign_writer_left_stays_and_is_said(jobs, s3):
    draft = jobs.draft()
    draft.task(lambda: 1)
    draft.task(lambda: 2)
    key = contract.outcome_key(draft.dispatch_id, 0, 1)
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    draft.upload()
    process = jobs.start_at(f"s3://{BUCKET}/{draft.key}")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == EXIT_CONFLICT
    assert stored(s3, key) == b""
    assert "a foreign writer, has already left an outcome" in stderr
    assert contract.outcome_key(draft.dispatch_id, 1, 1) not in keys_of(s3, draft)


def test_an_attempt_that_has_left_its_outcome_does_not_run_again(jobs, tmp_path):
    draft = jobs.draft()
    runs = tmp_path / "runs"

    def note():
        with open(runs, "a") as file:
            file.write("x")

    draft.task(note)
    assert jobs.run(draft).exit_code == EXIT_VALUE
    again = jobs.run(draft)
    assert again.exit_code == EXIT_CONFLICT
    assert "This attempt has left its outcome already" in again.stderr
    assert runs.read_text() == "x"


# --- no double run --------------------------------------------------------------------------------------


def test_of_two_jobs_of_one_submission_one_runs(jobs, s3, meeting):
    draft = jobs.draft()
    draft.task(meeting.wait())
    draft.task(lambda: "second task")
    twins = [jobs.start(draft, AWS_BATCH_JOB_ID=f"twin-{number}") for number in range(4)]
    wait_until(lambda: sum(each.poll() is not None for each in twins) == 3)
    wait_until(lambda: len(meeting.came) == 1)
    ended = [each for each in twins if each.poll() is not None]
    running = next(each for each in twins if each not in ended)
    assert {each.returncode for each in ended} == {EXIT_DUPLICATE}
    outcome_keys = [contract.outcome_key(draft.dispatch_id, node_id, 1) for node_id in (0, 1)]
    assert not set(outcome_keys) & set(keys_of(s3, draft))
    meeting.let_go(meeting.came[0], "ran")
    job = jobs.finish(draft, running)
    assert (job.exit_code, job.outcomes[0].value, job.outcomes[1].value) == (EXIT_VALUE, "ran", "second task")
    runner = job.outcomes[0].outcome.job_id
    for number, each in enumerate(twins):
        if each in ended:
            stdout, stderr = each.communicate()
            assert stdout == ""
            assert f"This job, twin-{number}, runs nothing: the job '{runner}'" in stderr
    assert len(meeting.came) == 1


def test_the_attempts_of_the_job_that_came_first_share_its_claim(jobs):
    """Its twin's second attempt does not get in between, though it has no attempt of the same number."""
    draft = jobs.draft()
    draft.task(lambda: 1 / 0)
    assert jobs.run(draft, AWS_BATCH_JOB_ID="first").exit_code == EXIT_USER_EXCEPTION
    twin = jobs.run(draft, AWS_BATCH_JOB_ID="twin", AWS_BATCH_JOB_ATTEMPT="2")
    assert (twin.exit_code, twin.outcomes) == (EXIT_DUPLICATE, {})
    again = jobs.run(draft, AWS_BATCH_JOB_ID="first", AWS_BATCH_JOB_ATTEMPT="2")
    assert (again.exit_code, again.only.status) == (EXIT_USER_EXCEPTION, OutcomeStatus.EXCEPTION)


def test_what_is_submitted_anew_is_claimed_anew(jobs, s3):
    draft = jobs.draft()
    draft.task(lambda: "ran")
    assert jobs.run(draft, AWS_BATCH_JOB_ID="first").exit_code == EXIT_VALUE
    process = jobs.start(draft, AWS_BATCH_JOB_ID="climbed", **{ENV_RUNG: "1"})
    assert jobs.finish(draft, process, attempt=11).only.value == "ran"
    claims = [key for key in keys_of(s3, draft) if "/claims/" in key]
    assert claims == [contract.claim_key(draft.dispatch_id, 0, rung) for rung in (0, 1)]
    assert [stored(s3, key) for key in claims] == [b"first", b"climbed"]


def test_children_of_an_array_do_not_meet(jobs):
    drafts = [jobs.draft() for _ in range(2)]
    for node_id, draft in enumerate(drafts):
        draft.dispatch_id = drafts[0].dispatch_id
        draft.tasks = [None] * node_id  # so that nodes are numbered on
        draft.task(lambda node_id=node_id: node_id)
        draft.tasks = draft.tasks[node_id:]
    uri = jobs.upload_array(drafts)
    processes = [jobs.start_child(uri, index) for index in range(2)]
    found = [jobs.finish(draft, process) for draft, process in zip(drafts, processes, strict=True)]
    assert [each.only.value for each in found] == [0, 1]


def test_another_claims_text_does_no_harm_to_the_log(jobs, s3):
    draft = jobs.draft()
    draft.task(lambda: 1)
    body = b"\x1b[2Jevil\n\xff" + b"x" * 10_000_000
    s3.put_object(Bucket=BUCKET, Key=contract.claim_key(draft.dispatch_id, 0, 0), Body=body)
    job = jobs.run(draft)
    assert job.exit_code == EXIT_DUPLICATE
    assert "\x1b" not in job.stderr
    assert len(job.stderr) < 5_000


# --- lost answers ---------------------------------------------------------------------------------------


class CuttingS3(http.server.BaseHTTPRequestHandler):
    """Passes each request on; the answer to the first PUT of every key is cut off, after the effect."""

    endpoint: str
    cut: set[str]

    def do_GET(self) -> None:
        self._pass_on()

    def do_HEAD(self) -> None:
        self._pass_on()

    def do_PUT(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        headers.setdefault("Content-Type", "application/octet-stream")  # urllib would call it a form
        url = self.endpoint + self.path
        request = urllib.request.Request(url, body or None, headers, method=self.command)
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            content = answer.read()
        if self.command == "PUT" and self.path not in self.cut:
            self.cut.add(self.path)
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("connection", "date", "server", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def cutting(endpoint: str) -> Iterator[tuple[str, set[str]]]:
    cut: set[str] = set()
    handler = type("Handler", (CuttingS3,), {"endpoint": endpoint, "cut": cut})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", cut
        server.shutdown()


def test_a_job_takes_its_own_claim_and_outcome_for_its_own_when_the_answers_were_lost(jobs, s3_endpoint):
    draft = jobs.draft()
    draft.task(lambda: "value")
    with cutting(s3_endpoint) as (endpoint, cut):
        job = jobs.run(draft, AWS_ENDPOINT_URL=endpoint)
    assert (job.exit_code, job.only.value) == (EXIT_VALUE, "value"), job.stderr
    keys = [contract.claim_key(draft.dispatch_id, 0, 0), contract.outcome_key(draft.dispatch_id, 0, 1)]
    assert cut == {f"/{BUCKET}/{key}" for key in keys}


# --- keys -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, LARGE_BYTES], ids=["inline", "detached"])
def test_all_that_a_job_writes_is_encrypted_with_the_key_of_its_payload(jobs, s3, size):
    draft = jobs.draft()
    draft.kms_key_id = "alias/mine"
    draft.task(lambda: b"x" * size)
    before = {*keys_of(s3, draft), draft.key}
    assert jobs.run(draft).exit_code == EXIT_VALUE
    written = set(keys_of(s3, draft)) - before
    kinds = {"claims", "outcomes"} if size == 1 else {"claims", "outcomes", "values"}
    assert {key.split("/")[2] for key in written} == kinds
    for key in written:
        found = s3.head_object(Bucket=BUCKET, Key=key)
        assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "alias/mine")


def test_the_key_is_neither_in_the_environment_nor_in_what_is_printed(jobs):
    def look():
        import os

        return dict(os.environ), Path("/proc/self/cmdline").read_bytes()

    draft = jobs.draft()
    draft.task(look)
    draft.task(lambda: 1 / 0)
    job = jobs.run(draft)
    for shown in (repr(job.outcomes[0].value), job.stdout, job.stderr, repr(job.outcomes)):
        assert ORIGIN_KEY.hex() not in shown


def test_an_outcome_is_sealed_with_its_payloads_key(jobs, s3):
    draft = jobs.draft()
    draft.task(lambda: 1)
    jobs.run(draft)
    content = stored(s3, contract.outcome_key(draft.dispatch_id, 0, 1))
    contract.parse_outcome(content, ORIGIN_KEY)
    with pytest.raises(contract.ForeignEnvelopeError):
        contract.parse_outcome(content, bytes(32))


# --- what comes in --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "alter", [lambda body: body[:-1], lambda body: body + b".", lambda body: body.replace(b"one", b"two")]
)
def test_a_function_that_was_altered_in_the_bucket_is_not_run(jobs, s3, alter, tmp_path):
    draft = jobs.draft()
    ran = tmp_path / "ran"
    task = draft.task(lambda: ran.write_text("one"))
    s3.put_object(Bucket=BUCKET, Key=task.function_key, Body=alter(stored(s3, task.function_key)))
    job = jobs.run(draft)
    assert job.exit_code == EXIT_RUNTIME_FAULT
    assert job.only.status is OutcomeStatus.FAULT
    assert f"s3://{BUCKET}/{task.function_key} is not the one that was submitted" in job.only.failure.message
    assert not ran.exists()


@pytest.mark.parametrize("size", [100, contract.CHUNK_BYTES + 100])
def test_an_argument_that_was_cut_short_in_the_bucket_is_told_before_it_is_opened(jobs, s3, size):
    body = cloudpickle.dumps(b"x" * size)
    draft = jobs.draft()
    source = draft.put_object("data", body[:-50])
    draft.task(len, contract.Input(key=source.key, length=len(body)))
    job = jobs.run(draft)
    assert job.exit_code == EXIT_RUNTIME_FAULT
    assert f"has {len(body) - 50} bytes, not the {len(body)} that were submitted" in job.only.failure.message


def test_a_payload_of_another_version_is_told(jobs, s3):
    draft = jobs.draft()
    draft.task(lambda: 1)
    s3.put_object(
        Bucket=BUCKET, Key=draft.key, Body=pack([draft.payload().replace(contract.MAGIC, b"CVABENV1")])
    )
    process = jobs.start_at(f"s3://{BUCKET}/{draft.key}")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == EXIT_RUNTIME_FAULT
    assert "no envelope of covalent-awsbatch-plugin" in stderr
