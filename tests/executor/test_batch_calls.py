"""Calls to AWS Batch that are refused, lost or half answered: what is sent again, and what never is."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from botocore.exceptions import ClientError

from covalent_awsbatch_plugin.account import Account
from covalent_awsbatch_plugin.errors import CredentialsError, EndpointError, UnclearSubmissionError
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.pace import Lane, Pace
from covalent_awsbatch_plugin.patience import CALL_ATTEMPTS, THROTTLE_PATIENCE_S
from covalent_awsbatch_plugin.session import Session

FAST = 200
"""How many seconds of the pace pass in one of ours: pauses of a second are over in 5 ms."""

SUBMISSION = {"jobName": "job", "jobQueue": "queue", "jobDefinition": "definition"}
ANSWER = {"jobId": "1", "jobName": "job", "jobArn": "arn:aws:batch:r:1:job/1"}

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


def fast_pace(times: float = FAST) -> Pace:
    return Pace(
        clock=lambda: time.monotonic() * times,
        sleep=lambda wait_s: asyncio.sleep(wait_s / times),
    )


def refusal(status: int, code: str, message: str) -> Fault:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"message": message}, status=status, headers={"x-amzn-ErrorType": code})

    return refuse


async def hang_up(request: web.Request) -> web.StreamResponse:
    """End the connection in order, without an answer."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def reset(request: web.Request) -> web.StreamResponse:
    """Tear the connection: the other side sees ECONNRESET."""
    assert request.transport is not None
    held = request.transport.get_extra_info("socket")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
    return web.Response()


async def break_off(request: web.Request) -> web.StreamResponse:
    """Begin an answer and end the connection within it."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"jobId":')
    assert request.transport is not None
    request.transport.close()
    return response


throttle = refusal(429, "TooManyRequestsException", "Too Many Requests")
throttle_by_code = refusal(400, "ThrottlingException", "Rate exceeded")
server_error = refusal(500, "ServerException", "Something broke")
unavailable = refusal(503, "ServiceUnavailable", "Later")
client_error = refusal(400, "ClientException", "JobQueue queue not found.")
expired = refusal(403, "ExpiredTokenException", "The security token included in the request is expired")

UNCLEAR = [hang_up, reset, break_off, server_error, unavailable]


@dataclass
class FaultyBatch:
    """An AWS Batch that has a fault for each of the first calls, and then answers."""

    faults: list[Fault] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    endpoint_url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body, operation = await request.json(), request.path.removeprefix("/v1/")
        self.calls[operation] += 1
        self.bodies.append(body)
        self.tokens.append(request.headers.get("X-Amz-Security-Token", ""))
        if self.faults:
            return await self.faults.pop(0)(request)
        if operation == "describejobqueues":
            page = int(body.get("nextToken", 1))
            queues = [{"jobQueueName": f"queue-{page}"}]
            return web.json_response(
                {"jobQueues": queues} | ({"nextToken": str(page + 1)} if page < 3 else {})
            )
        return web.json_response(ANSWER)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")


@pytest.fixture
async def batch() -> AsyncIterator[FaultyBatch]:
    faulty = FaultyBatch()
    app = web.Application()
    app.router.add_post("/v1/{operation}", faulty.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)  # some handlers never answer
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    faulty.endpoint_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield faulty
    await runner.cleanup()


@pytest.fixture
async def session(batch: FaultyBatch) -> Session:
    return session_at(batch.endpoint_url)


def session_at(endpoint_url: str, pace: Pace | None = None) -> Session:
    account = Account(credentials="", profile="", region="us-east-1", endpoint_url=endpoint_url)
    return Session(account, pace or fast_pace())


async def submit(session: Session) -> dict[str, Any]:
    return await session.batch("submit_job", "submit the job 'job'", lane=Lane.SUBMIT, **SUBMISSION)


async def describe(session: Session) -> dict[str, Any]:
    return await session.batch("describe_job_queues", "list the queues")


@pytest.mark.parametrize("refuse", [throttle, throttle_by_code])
async def test_throttled_calls_succeed_in_the_end(batch: FaultyBatch, session: Session, refuse: Fault):
    batch.faults = [refuse] * 3
    assert (await submit(session))["jobId"] == "1"
    assert batch.calls == {"submitjob": 4}


async def test_a_throttle_slows_everybody_down_once(batch: FaultyBatch):
    pace = fast_pace()
    one, other = session_at(batch.endpoint_url, pace), session_at(batch.endpoint_url, pace)
    full_per_s = pace.rate_per_s
    batch.faults = [throttle]
    await submit(one)
    assert full_per_s / 2 < pace.rate_per_s < full_per_s / 2 + 1  # it was halved, and one call succeeded
    await describe(other)
    assert pace.rate_per_s < full_per_s / 2 + 1


async def test_a_call_that_is_throttled_for_minutes_is_given_up(batch: FaultyBatch):
    pace = fast_pace()
    begin_s = await pace.turn(Lane.DESCRIBE)
    batch.faults = [throttle] * 10_000
    with pytest.raises(ClientError, match="Too Many Requests"):
        await describe(session_at(batch.endpoint_url, pace))
    assert await pace.turn(Lane.DESCRIBE) - begin_s > THROTTLE_PATIENCE_S
    assert batch.calls["describejobqueues"] >= CALL_ATTEMPTS


@pytest.mark.parametrize("fault", UNCLEAR)
async def test_an_unclear_submission_is_sent_once(batch: FaultyBatch, session: Session, fault: Fault):
    batch.faults = [fault]
    with pytest.raises(
        UnclearSubmissionError, match=r"^AWS Batch was asked to submit the job 'job', and .+\."
    ):
        await submit(session)
    assert batch.calls == {"submitjob": 1}


async def test_a_submission_may_become_unclear_after_a_clear_refusal(batch: FaultyBatch, session: Session):
    batch.faults = [throttle, hang_up]
    with pytest.raises(UnclearSubmissionError):
        await submit(session)
    assert batch.calls == {"submitjob": 2}


async def test_a_submission_without_an_answer_in_time_is_sent_once(
    batch: FaultyBatch, session: Session, monkeypatch: pytest.MonkeyPatch
):
    async def be_silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    monkeypatch.setattr("covalent_awsbatch_plugin.session.READ_TIMEOUT_S", 0.2)
    batch.faults = [be_silent]
    with pytest.raises(UnclearSubmissionError, match="timeout"):
        await submit(session)
    assert batch.calls == {"submitjob": 1}


@pytest.mark.parametrize("operation", ["describe_job_queues", "terminate_job", "register_job_definition"])
@pytest.mark.parametrize("fault", UNCLEAR)
async def test_all_else_is_sent_again(batch: FaultyBatch, session: Session, operation: str, fault: Fault):
    requests = {
        "describe_job_queues": {},
        "terminate_job": {"jobId": "1", "reason": "not wanted"},
        "register_job_definition": {"jobDefinitionName": "name", "type": "container"},
    }
    batch.faults = [fault, fault]
    await session.batch(operation, "do it", **requests[operation])
    assert batch.calls == {operation.replace("_", ""): 3}
    assert batch.bodies == [requests[operation]] * 3


async def test_a_failing_read_ends_after_so_many_attempts(batch: FaultyBatch, session: Session):
    batch.faults = [server_error] * 100
    with pytest.raises(ClientError, match="Something broke"):
        await describe(session)
    assert batch.calls == {"describejobqueues": CALL_ATTEMPTS}


async def test_a_read_without_any_answer_is_explained(batch: FaultyBatch, session: Session):
    batch.faults = [hang_up] * 100
    with pytest.raises(EndpointError, match=r"AWS did not answer .*: could not list the queues"):
        await describe(session)
    assert batch.calls == {"describejobqueues": CALL_ATTEMPTS}


async def test_a_refusal_is_not_sent_again(batch: FaultyBatch, session: Session):
    batch.faults = [client_error]
    with pytest.raises(ClientError, match="JobQueue queue not found"):
        await submit(session)
    assert batch.calls == {"submitjob": 1}


async def test_credentials_that_expire_are_read_anew(
    batch: FaultyBatch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    file = tmp_path / "credentials"
    write_token(file, "yesterday")
    account = Account(str(file), profile="", region="us-east-1", endpoint_url=batch.endpoint_url)
    session = Session(account, fast_pace())
    await describe(session)
    write_token(file, "today")
    batch.faults = [expired, expired]
    await asyncio.gather(submit(session), submit(session))
    assert batch.calls["submitjob"] == 4
    assert [batch.tokens[0], *batch.tokens[-2:]] == ["yesterday", "today", "today"]


def write_token(file: Path, token: str) -> None:
    file.write_text(
        f"[default]\naws_access_key_id=local\naws_secret_access_key=local\naws_session_token={token}\n"
    )


async def test_credentials_that_stay_expired_are_said(batch: FaultyBatch, session: Session):
    batch.faults = [expired] * 9
    with pytest.raises(CredentialsError, match="could not submit the job 'job'"):
        await submit(session)
    assert batch.calls == {"submitjob": 2}


async def test_a_submission_that_nobody_heard_is_sent_again():
    listener = socket.create_server(("127.0.0.1", 0))
    endpoint_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    tried = 0

    async def count(wait_s: float) -> None:
        nonlocal tried
        tried += 1

    with pytest.raises(EndpointError, match="could not submit the job 'job'"):
        await submit(session_at(endpoint_url, Pace(sleep=count)))
    assert tried >= CALL_ATTEMPTS - 1


async def test_pages_are_followed_to_the_last(batch: FaultyBatch, session: Session):
    batch.faults = [throttle, server_error]
    pages = session.batch_pages("describe_job_queues", "list the queues", "jobQueues", maxResults=1)
    assert [each["jobQueueName"] async for each in pages] == ["queue-1", "queue-2", "queue-3"]
    asked = [{"maxResults": 1}, {"maxResults": 1, "nextToken": "2"}, {"maxResults": 1, "nextToken": "3"}]
    assert batch.bodies[2:] == asked


@pytest.fixture
def throttling() -> Iterator[LocalAWS]:
    with LocalAWS(vcpus=1, memory_mib=512, throttle=True) as aws:
        yield aws


async def test_a_crowd_gets_through_aws_own_rates(throttling: LocalAWS):
    """At eight times the pace AWS refuses many; still every job is submitted, and none of them twice."""
    account = Account(
        credentials=throttling.settings["credentials"],
        profile=throttling.settings["profile"],
        region=throttling.region,
        endpoint_url=throttling.endpoint_url,
    )
    session = Session(account, fast_pace(8))
    queue, names = throttling.settings["batch_queue"], {f"job-{number}" for number in range(120)}
    container = {
        "image": "local/image",
        "command": ["true"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    }
    definition = await session.batch(
        "register_job_definition",
        "register the definition",
        jobDefinitionName="definition",
        type="container",
        containerProperties=container,
    )

    async def submit_one(name: str) -> None:
        wanted = {"jobName": name, "jobQueue": queue, "jobDefinition": definition["jobDefinitionArn"]}
        await session.batch("submit_job", f"submit {name}", lane=Lane.SUBMIT, **wanted)

    urllib.request.urlopen(f"{throttling.endpoint_url}/_local/pause", b"").close()
    await asyncio.gather(*map(submit_one, names), *(describe(session) for _ in range(60)))
    of_any_state = [{"name": "JOB_NAME", "values": ["job-*"]}]
    jobs = session.batch_pages(
        "list_jobs", "list the jobs", "jobSummaryList", jobQueue=queue, filters=of_any_state
    )
    assert sorted([each["jobName"] async for each in jobs]) == sorted(names)
