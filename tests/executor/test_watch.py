"""Waiting for jobs: what AWS is asked, how seldom, and what is made of late, partial and missing answers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar
from xml.sax.saxutils import escape

import pytest
from aiohttp import web

from covalent_awsbatch_plugin import contract, watch
from covalent_awsbatch_plugin.account import Account
from covalent_awsbatch_plugin.errors import BucketError
from covalent_awsbatch_plugin.pace import Pace
from covalent_awsbatch_plugin.session import Session
from covalent_awsbatch_plugin.watch import Followed, Watcher

BUCKET = "bucket"
DISPATCH = "dispatch"
LONG_S = 20
"""Nothing takes so long here: who waits longer waits for ever."""

T = TypeVar("T")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeAWS:
    """Batch and S3 as far as a watcher asks them; a test says what they know."""

    statuses: dict[str, str] = field(default_factory=dict)
    """Of jobs, arrays and children, as DescribeJobs tells them."""
    summaries: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of arrays, as AWS counted their children last."""
    listed_failed: dict[str, list[int]] = field(default_factory=dict)
    """Of arrays, the children that ListJobs says have failed."""
    keys: set[str] = field(default_factory=set)
    asked: list[list[str]] = field(default_factory=list)
    """The ids of each DescribeJobs."""
    listings: list[dict[str, Any]] = field(default_factory=list)
    """The requests of ListJobs."""
    faults: list[Answer] = field(default_factory=list)
    """Given in place of the next answers of S3."""
    when_asked: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    """What happens when a DescribeJobs asks about a job, each time one thing, just before the answer."""
    endpoint_url: str = ""

    # --- what happens there -------------------------------------------------------------------------------

    def array(self, array_id: str, size: int, **summary: int) -> None:
        self.statuses[array_id] = "PENDING"
        self.statuses.update({f"{array_id}:{index}": "RUNNING" for index in range(size)})
        self.summaries[array_id] = summary

    def fail_children(self, array_id: str, *indices: int) -> None:
        self.statuses.update({f"{array_id}:{index}": "FAILED" for index in indices})
        self.listed_failed[array_id] = [*self.listed_failed.get(array_id, []), *indices]
        self.summaries[array_id] = {"FAILED": len(self.listed_failed[array_id])}

    def leave_outcome(self, node_id: int, attempt: int = 1) -> None:
        self.keys.add(contract.outcome_key(DISPATCH, node_id, attempt))

    # --- what it answers ----------------------------------------------------------------------------------

    async def describe_jobs(self, request: web.Request) -> web.StreamResponse:
        ids = (await request.json())["jobs"]
        self.asked.append(ids)
        for each in ids:
            if self.when_asked.get(each):
                self.when_asked[each].pop(0)()
        return web.json_response({"jobs": [self._detail(each) for each in ids if each in self.statuses]})

    def _detail(self, job_id: str) -> dict[str, Any]:
        detail: dict[str, Any] = {"jobId": job_id, "jobName": "name", "status": self.statuses[job_id]}
        if job_id in self.summaries:
            detail["arrayProperties"] = {"size": 10_000, "statusSummary": self.summaries[job_id]}
        return detail

    async def list_jobs(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.listings.append(body)
        start = int(body.get("nextToken", 0))
        indices = self.listed_failed.get(body["arrayJobId"], [])
        page = [
            {"jobId": f"{body['arrayJobId']}:{each}", "jobName": "name"}
            for each in indices[start : start + 1000]
        ]
        more = {"nextToken": str(start + 1000)} if start + 1000 < len(indices) else {}
        return web.json_response({"jobSummaryList": page, **more})

    async def list_objects(self, request: web.Request) -> web.StreamResponse:
        if self.faults:
            return await self.faults.pop(0)(request)
        prefix = request.query.get("prefix", "")
        begin = request.query.get("continuation-token") or request.query.get("start-after", "")
        found = sorted(key for key in self.keys if key.startswith(prefix) and key > begin)
        page, has_more = found[:1000], len(found) > 1000
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>1</Size><ETag>e</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if has_more else ""
        text = (
            f"<ListBucketResult><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(has_more).lower()}</IsTruncated>{entries}{token}</ListBucketResult>"
        )
        return web.Response(text=text, content_type="application/xml")


def refusal(status: int, code: str) -> Answer:
    async def refuse(_: web.Request) -> web.StreamResponse:
        text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        return web.Response(status=status, text=text, content_type="application/xml")

    return refuse


@pytest.fixture
async def aws() -> AsyncIterator[FakeAWS]:
    fake = FakeAWS()
    app = web.Application()
    app.router.add_post("/v1/describejobs", fake.describe_jobs)
    app.router.add_post("/v1/listjobs", fake.list_jobs)
    app.router.add_get(f"/{BUCKET}", fake.list_objects)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.endpoint_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
async def watcher(aws: FakeAWS, monkeypatch: pytest.MonkeyPatch) -> Watcher:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    account = Account(credentials="", profile="", region="us-east-1", endpoint_url=aws.endpoint_url)
    return Watcher(Session(account, Pace(clock=lambda: time.monotonic() * 100)))


def follow(watcher: Watcher, job_id: str, *node_ids: int, poll_s: float = 0.1) -> Followed:
    return watcher.follow(
        job_id,
        bucket=BUCKET,
        dispatch_id=DISPATCH,
        node_ids=node_ids,
        kind="kind",
        poll_interval_limit_s=poll_s,
    )


async def soon(awaitable: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaitable, LONG_S)


async def sign(*followed: Followed) -> None:
    """Wait until there is something to see of each."""
    await soon(asyncio.gather(*(each.signed.wait() for each in followed)))


async def end(followed: Followed) -> str:
    """Return the state in which a job has ended."""
    followed.expect_end()
    await soon(followed.ended.wait())
    return status_of(followed)


def status_of(followed: Followed) -> str:
    return "unknown" if followed.job is None else followed.job.status.value


def is_open(followed: Followed) -> bool:
    return not followed.signed.is_reached


# --- what is asked --------------------------------------------------------------------------------------


async def test_an_outcome_is_enough_whatever_aws_batch_says(aws: FakeAWS, watcher: Watcher):
    aws.statuses["job"] = "RUNNING"
    followed = follow(watcher, "job", 7)
    aws.when_asked["job"] = [lambda: None, lambda: aws.leave_outcome(7)]
    await sign(followed)
    assert (followed.attempts, followed.job, is_open(followed)) == ({7: (1,)}, None, False)


async def test_many_jobs_are_asked_about_a_hundred_at_a_time(aws: FakeAWS, watcher: Watcher):
    ids = [f"job-{number}" for number in range(250)]
    aws.statuses = dict.fromkeys(ids, "RUNNING")
    followed = [follow(watcher, each, number) for number, each in enumerate(ids)]
    aws.when_asked["job-249"] = [lambda: aws.statuses.update(dict.fromkeys(ids, "FAILED"))]
    await sign(*followed)
    assert {status_of(each) for each in followed} == {"FAILED"}
    assert [len(each) for each in aws.asked[:3]] == [100, 100, 50]
    assert max(map(len, aws.asked)) == 100


async def test_an_array_that_does_well_is_asked_about_only_as_a_whole(aws: FakeAWS, watcher: Watcher):
    aws.array("array", 2500, RUNNING=2500)
    followed = [follow(watcher, f"array:{index}", index) for index in range(2500)]

    def end_well() -> None:
        for index in range(2500):
            aws.leave_outcome(index)

    aws.when_asked["array"] = [lambda: None, end_well]
    await sign(*followed)
    assert {tuple(each) for each in aws.asked} == {("array",)}
    assert aws.listings == []


async def test_failed_children_are_found_on_all_pages(aws: FakeAWS, watcher: Watcher):
    aws.array("array", 1500, RUNNING=1500)
    followed = [follow(watcher, f"array:{index}", index) for index in range(1500)]
    aws.when_asked["array"] = [lambda: aws.fail_children("array", *range(1200))]
    await sign(*followed[:1200])
    assert {status_of(each) for each in followed[:1200]} == {"FAILED"}
    assert all(map(is_open, followed[1200:]))
    assert {each["jobStatus"] for each in aws.listings} == {"FAILED"}
    assert "1000" in [each.get("nextToken") for each in aws.listings]
    children = Counter(each for ids in aws.asked for each in ids if ":" in each)
    assert (len(children), max(children.values())) == (1200, 1)  # none of those that run, and no one twice
    assert max(map(len, aws.asked)) == 100


async def test_a_failed_child_is_asked_about_though_its_outcome_is_there(aws: FakeAWS, watcher: Watcher):
    aws.array("array", 2, RUNNING=2)
    failed, other = follow(watcher, "array:0", 0), follow(watcher, "array:1", 1)
    aws.leave_outcome(0)
    await sign(failed)
    aws.when_asked["array:0"] = [lambda: None, lambda: aws.fail_children("array", 0)]
    assert await end(failed) == "FAILED"
    assert is_open(other)
    assert aws.listings == []  # its failure is explained


async def test_however_old_a_job_is_it_is_looked_at_as_often_as_poll_freq_says(
    aws: FakeAWS, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
):
    """Where time flies a hundredfold, a tenth of its age would soon be hours."""
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() * 100)
    monkeypatch.setattr(watch, "time", clock)
    aws.statuses["job"] = "RUNNING"
    looks = 20
    aws.when_asked["job"] = [*[lambda: None] * looks, lambda: aws.leave_outcome(0)]
    await sign(follow(watcher, "job", 0, poll_s=0.1))
    assert len(aws.asked) > looks


# --- late, partial and missing answers ------------------------------------------------------------------


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
async def test_a_job_that_ended_without_an_outcome_is_no_riddle(aws: FakeAWS, watcher: Watcher, status: str):
    aws.statuses["job"] = "RUNNING"
    followed = follow(watcher, "job", 0)
    aws.when_asked["job"] = [lambda: aws.statuses.update(job=status)]
    await sign(followed)
    assert (followed.attempts, await end(followed)) == ({}, status)


async def test_children_that_ended_without_an_outcome_are_known_when_the_array_ends(
    aws: FakeAWS, watcher: Watcher
):
    aws.array("array", 3, RUNNING=3)
    followed = [follow(watcher, f"array:{index}", index) for index in range(3)]
    aws.leave_outcome(1)

    def end_there() -> None:
        aws.statuses.update(
            {"array": "FAILED", "array:0": "SUCCEEDED", "array:1": "SUCCEEDED", "array:2": "FAILED"}
        )

    aws.when_asked["array"] = [lambda: None, end_there]
    await sign(*followed)
    assert [status_of(each) for each in followed] == ["SUCCEEDED", "unknown", "FAILED"]


@pytest.mark.parametrize("job_id", ["job", "array:0"])
async def test_an_outcome_that_came_with_the_end_is_seen(aws: FakeAWS, watcher: Watcher, job_id: str):
    """It is listed after the end was seen, never only before."""
    aws.array("array", 2)
    aws.fail_children("array", 0)
    followed, _ = follow(watcher, job_id, 0), follow(watcher, "array:1", 1)

    def end_there() -> None:
        aws.statuses[job_id] = "FAILED"
        aws.leave_outcome(0)

    aws.when_asked[job_id] = [end_there]
    await sign(followed)
    assert followed.attempts == {0: (1,)}
    assert await end(followed) == "FAILED"


async def test_a_summary_that_lags_only_delays(aws: FakeAWS, watcher: Watcher):
    aws.array("array", 3, RUNNING=3)
    followed = [follow(watcher, f"array:{index}", index) for index in range(3)]
    aws.statuses["array:1"] = "FAILED"
    aws.when_asked["array"] = [lambda: None] * 3 + [lambda: aws.fail_children("array", 1)]
    await sign(followed[1])
    assert status_of(followed[1]) == "FAILED"
    assert [is_open(each) for each in followed] == [True, False, True]


@pytest.mark.parametrize("is_listed", [False, True])
async def test_a_failed_child_that_is_still_described_as_running_is_asked_about_again(
    aws: FakeAWS, watcher: Watcher, is_listed: bool
):
    aws.array("array", 2, RUNNING=2)
    failed, _ = follow(watcher, "array:0", 0), follow(watcher, "array:1", 1)
    aws.summaries["array"] = {"FAILED": 1}
    aws.listed_failed["array"] = [0] if is_listed else []

    def fail() -> None:
        aws.statuses["array:0"] = "FAILED"
        aws.listed_failed["array"] = [0]

    aws.when_asked["array"] = [lambda: None] * 3 + [fail]
    await sign(failed)
    assert status_of(failed) == "FAILED"


async def test_a_summary_that_counts_what_others_follow_is_no_reason_to_ask_for_ever(
    aws: FakeAWS, watcher: Watcher
):
    """A process that recovers a single task knows nothing of its neighbours."""
    aws.array("array", 5, RUNNING=5)
    aws.fail_children("array", 3, 4)
    followed = follow(watcher, "array:0", 0)
    aws.when_asked["array"] = [*[lambda: None] * 8, lambda: aws.leave_outcome(0)]
    await sign(followed)
    assert len(aws.listings) == 1
    assert {each for ids in aws.asked for each in ids} == {"array"}


async def test_a_retry_is_waited_for_and_all_its_attempts_are_known(aws: FakeAWS, watcher: Watcher):
    aws.statuses["job"] = "RUNNING"
    followed = follow(watcher, "job", 0)
    aws.leave_outcome(0, attempt=1)
    await sign(followed)

    def end_there() -> None:
        aws.statuses["job"] = "SUCCEEDED"
        aws.leave_outcome(0, attempt=2)

    aws.when_asked["job"] = [lambda: None, end_there]
    assert await end(followed) == "SUCCEEDED"
    assert followed.attempts == {0: (1, 2)}


async def test_a_group_is_signed_when_each_of_its_tasks_has_left_an_outcome(aws: FakeAWS, watcher: Watcher):
    aws.statuses["job"] = "RUNNING"
    followed = follow(watcher, "job", 3, 4)
    aws.leave_outcome(4)
    aws.keys.add(f"{contract.outcomes_prefix(DISPATCH)}nothing-of-ours")
    looked = asyncio.Event()
    aws.when_asked["job"] = [lambda: None, looked.set]
    await soon(looked.wait())
    assert is_open(followed)
    aws.leave_outcome(3)
    await sign(followed)
    assert followed.attempts == {3: (1,), 4: (1,)}


async def test_a_fresh_job_may_be_unknown_for_a_while(aws: FakeAWS, watcher: Watcher):
    followed = follow(watcher, "job", 0)
    aws.when_asked["job"] = [lambda: None] * 2 + [lambda: aws.statuses.update(job="FAILED")]
    assert await end(followed) == "FAILED"


@pytest.mark.parametrize("job_id", ["job", "array:1"])
async def test_a_job_that_stays_unknown_is_lost(
    aws: FakeAWS, watcher: Watcher, monkeypatch: pytest.MonkeyPatch, job_id: str
):
    monkeypatch.setattr(watch, "UNKNOWN_PATIENCE_S", 0.2)
    followed = follow(watcher, job_id, 0)
    await sign(followed)
    assert (followed.attempts, await end(followed)) == ({}, "unknown")


# --- several handles ------------------------------------------------------------------------------------


async def test_two_handles_of_a_running_job_are_one(aws: FakeAWS, watcher: Watcher):
    aws.statuses["job"] = "RUNNING"
    one, other = follow(watcher, "job", 0), follow(watcher, "job", 0)
    aws.when_asked["job"] = [lambda: aws.leave_outcome(0)]
    await sign(one, other)


async def test_a_neighbour_that_is_followed_anew_does_not_displace_one_that_comes_back(
    aws: FakeAWS, watcher: Watcher
):
    aws.array("array", 2, RUNNING=2)
    first = follow(watcher, "array:0", 0)
    aws.leave_outcome(0)
    await sign(first)
    second = follow(watcher, "array:1", 1)
    aws.statuses["array:0"] = "FAILED"
    assert await end(first) == "FAILED"
    aws.leave_outcome(1)
    await sign(second)


async def test_a_handle_that_comes_back_does_not_displace_another_of_the_same_job(
    aws: FakeAWS, watcher: Watcher
):
    aws.statuses["job"] = "RUNNING"
    first = follow(watcher, "job", 0)
    aws.leave_outcome(0)
    await sign(first)
    second = follow(watcher, "job", 0)
    aws.when_asked["job"] = [lambda: None, lambda: aws.statuses.update(job="FAILED")]
    assert await asyncio.gather(end(first), end(second)) == ["FAILED", "FAILED"]
    await sign(second)


async def test_what_has_ended_is_not_watched_again(aws: FakeAWS, watcher: Watcher):
    aws.array("array", 2)
    failed, other = follow(watcher, "array:0", 0), follow(watcher, "array:1", 1)
    aws.fail_children("array", 0)
    await sign(failed)
    assert await end(failed) == "FAILED"
    aws.leave_outcome(1)
    aws.statuses.update({"array": "FAILED", "array:1": "SUCCEEDED"})
    await sign(other)
    aws.asked.clear()
    aws.statuses["job"] = "RUNNING"
    aws.when_asked["job"] = [lambda: None] * 3 + [lambda: aws.leave_outcome(2)]
    await sign(follow(watcher, "job", 2))
    assert {tuple(each) for each in aws.asked} == {("job",)}


# --- jobs that wait for their place ---------------------------------------------------------------------


async def test_who_waits_is_told_since_when_in_each_look(aws: FakeAWS, watcher: Watcher):
    """That AWS Batch does not know a job for a moment is no end of its wait; that it runs is."""
    since_s: list[float | None] = []
    watcher.when_waiting = lambda flight, _: since_s.append(flight.waiting_since_s)
    followed = follow(watcher, "job", 0)

    def become(status: str) -> Callable[[], None]:
        return lambda: aws.statuses.update({"job": status})

    looks = ["RUNNABLE", "RUNNABLE", "RUNNING", "RUNNABLE", "SUCCEEDED"]
    forget, known = (lambda: aws.statuses.clear()), become("RUNNABLE")
    aws.when_asked["job"] = [known, forget, *map(become, looks)]
    await sign(followed)
    first, again, still, anew = since_s
    assert first == again == still
    assert None not in since_s
    assert anew > first
    assert followed.flight.waiting_since_s is None


async def test_an_array_waits_as_long_as_none_of_its_children_runs(aws: FakeAWS, watcher: Watcher):
    states = [
        {"PENDING": 3},
        {"RUNNABLE": 3},
        {"PENDING": 2, "RUNNABLE": 1},
        {"RUNNABLE": 2, "STARTING": 1},
        {"RUNNABLE": 2, "RUNNING": 1},
        {"RUNNABLE": 2, "SUCCEEDED": 1},
        {"RUNNING": 2, "SUCCEEDED": 1},
    ]
    waited: list[dict[str, int]] = []
    watcher.when_waiting = lambda _, job: waited.append({k.value: v for k, v in job.children.items()})
    aws.array("array", 3)
    followed = [follow(watcher, f"array:{index}", index) for index in range(3)]

    def end() -> None:
        for index in range(3):
            aws.leave_outcome(index)

    changes = [lambda state=state: aws.summaries.update(array=state) for state in states]
    aws.when_asked["array"] = [*changes, end]
    await sign(*followed)
    assert waited == [states[1], states[2], states[5]]


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [refusal(403, "AccessDenied"), refusal(404, "NoSuchBucket")])
async def test_errors_that_pass_are_borne(
    aws: FakeAWS, watcher: Watcher, monkeypatch: pytest.MonkeyPatch, fault: Answer
):
    monkeypatch.setattr(watch, "ERROR_PAUSE_S", 0.01)
    aws.statuses["job"] = "RUNNING"
    aws.leave_outcome(0)
    aws.faults = [fault] * 3
    await sign(follow(watcher, "job", 0))
    assert aws.faults == []


@pytest.mark.parametrize("fault", [refusal(403, "AccessDenied"), refusal(404, "NoSuchBucket")])
async def test_errors_that_do_not_pass_reach_those_who_wait(
    aws: FakeAWS, watcher: Watcher, monkeypatch: pytest.MonkeyPatch, fault: Answer
):
    monkeypatch.setattr(watch, "ERROR_PAUSE_S", 0.01)
    monkeypatch.setattr(watch, "ERROR_PATIENCE_S", 0.1)
    aws.statuses.update(job="RUNNING")
    aws.array("array", 1)
    aws.faults = [fault] * 10_000
    for followed in (follow(watcher, "job", 0), follow(watcher, "array:0", 1)):
        await sign(followed)
        assert isinstance(followed.error, BucketError)
        assert "The outcomes in the bucket 'bucket' cannot be listed" in str(followed.error)
    aws.faults.clear()
    aws.leave_outcome(2)
    await sign(follow(watcher, "job", 2))  # who comes later is not concerned


async def test_the_patience_with_an_outage_is_not_used_up_by_one_before(
    aws: FakeAWS, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watch, "ERROR_PAUSE_S", 0.01)
    monkeypatch.setattr(watch, "ERROR_PATIENCE_S", 0.1)
    aws.statuses["job"] = "RUNNING"
    aws.faults = [refusal(403, "AccessDenied")] * 10_000
    await sign(follow(watcher, "job", 0))
    aws.faults = [refusal(403, "AccessDenied")]
    aws.leave_outcome(1)
    followed = follow(watcher, "job", 1)
    await sign(followed)
    assert followed.error is None
