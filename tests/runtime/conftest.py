from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import cloudpickle
import pytest
from moto.server import ThreadedMotoServer

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.contract import Hook, Input, Outcome, OutcomeStatus, Payload, Task

BUCKET = "runtime-tests"
ORIGIN_KEY = bytes(range(32))
PROJECT = Path(contract.__file__).parents[2]
PYTHON_VERSION = ".".join(map(str, sys.version_info[:3]))


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")  # moto forgets its buckets when a local AWS of the same process stops
def s3(s3_endpoint: str) -> Any:
    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket=BUCKET)
    return client


@dataclass
class PayloadDraft:
    """A payload under construction: sections gather while tasks are described."""

    s3: Any
    dispatch_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    kms_key_id: str = ""
    sections: dict[str, bytes] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)

    @property
    def key(self) -> str:
        return contract.pack_key(self.dispatch_id, 0)

    def section(self, pickled: bytes) -> str:
        name = f"s{len(self.sections)}"
        self.sections[name] = pickled
        return name

    def argument(self, value: Any) -> Input:
        return value if isinstance(value, Input) else Input(section=self.section(cloudpickle.dumps(value)))

    def hook(self, function: Any, args: Any = (), kwargs: Any = None, retval_keyword: str = "") -> Hook:
        kwargs = {} if kwargs is None else kwargs
        names = [self.section(cloudpickle.dumps(each)) for each in (function, args, kwargs)]
        return Hook(*names, retval_keyword=retval_keyword)

    def covalent_hook(self, dep: Any) -> Hook:
        """Carry a Covalent Deps object as the dispatcher would: raw pickles, unopened."""
        *parts, keyword = dep.apply()
        return Hook(*[self.section(raw_pickle(part)) for part in parts], retval_keyword=keyword)

    def task(self, function: Any, *args: Any, **kwargs: Any) -> Task:
        return self.task_with(function, args, kwargs)

    def task_with(
        self,
        function: Any,
        args: Any = (),
        kwargs: Any = None,
        *,
        pickled: bytes | None = None,
        **fields: Any,
    ) -> Task:
        node_id = len(self.tasks)
        body = cloudpickle.dumps(function) if pickled is None else pickled
        function_key = contract.function_key(self.dispatch_id, hashlib.sha256(body).hexdigest())
        self.s3.put_object(Bucket=BUCKET, Key=function_key, Body=body)
        task = Task(
            node_id=node_id,
            function_key=function_key,
            python_version=PYTHON_VERSION,
            cloudpickle_version=cloudpickle.__version__,
            args=[self.argument(each) for each in args],
            kwargs={name: self.argument(each) for name, each in ({} if kwargs is None else kwargs).items()},
        )
        self.tasks.append(replace(task, **fields))
        return self.tasks[-1]

    def put_object(self, name: str, body: bytes) -> Input:
        """Store an argument as an object of its own."""
        key = contract.input_key(self.dispatch_id, 0, name)
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return Input(key=key)

    def payload(self) -> bytes:
        header = Payload(self.dispatch_id, self.tasks, ORIGIN_KEY, self.kms_key_id).to_json()
        lengths = {name: len(each) for name, each in self.sections.items()}
        return contract.pack_header(header, lengths) + b"".join(self.sections.values())

    def upload(self) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=self.key, Body=pack([self.payload()]))


def pack(payloads: list[bytes]) -> bytes:
    start = contract.pack_start(list(range(len(payloads))), [len(each) for each in payloads])
    return start + b"".join(payloads)


def raw_pickle(transportable: Any) -> bytes:
    import base64

    return base64.b64decode(transportable.get_serialized())


@dataclass
class LeftOutcome:
    """An outcome as it was read back from the bucket."""

    outcome: Outcome
    sections: dict[str, bytes]

    @property
    def status(self) -> OutcomeStatus:
        return self.outcome.status

    @property
    def value(self) -> Any:
        return cloudpickle.loads(self.sections[contract.SECTION_VALUE])

    @property
    def stdout(self) -> str:
        return self.sections[contract.SECTION_STDOUT].decode()

    @property
    def stderr(self) -> str:
        return self.sections[contract.SECTION_STDERR].decode()

    @property
    def object_string(self) -> str:
        return self.sections[contract.SECTION_OBJECT_STRING].decode()

    @property
    def failure(self) -> contract.Failure:
        assert self.outcome.failure is not None
        return self.outcome.failure


@dataclass
class Finished:
    """A job that has ended: its exit code, live streams and outcomes by node."""

    exit_code: int
    stdout: str
    stderr: str
    outcomes: dict[int, LeftOutcome]

    @property
    def only(self) -> LeftOutcome:
        (outcome,) = self.outcomes.values()
        return outcome


class Jobs:
    """Runs payloads as AWS Batch would run their containers' command."""

    def __init__(self, s3: Any, endpoint: str, directory: Path) -> None:
        self.s3 = s3
        self.directory = directory
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_BATCH_JOB_ID": "job-1",
            "AWS_BATCH_JOB_ATTEMPT": "1",
            "HOME": str(directory),
            "TMPDIR": str(directory),
        }
        # It would hide what the runtime has to do itself to show output as it comes.
        self.environment.pop("PYTHONUNBUFFERED", None)
        self.environment.pop(contract.ENV_ARRAY_INDEX, None)
        self.started: list[subprocess.Popen[str]] = []

    def draft(self) -> PayloadDraft:
        return PayloadDraft(self.s3)

    def start(self, draft: PayloadDraft, **environment: str) -> subprocess.Popen[str]:
        draft.upload()
        return self.start_at(f"s3://{BUCKET}/{draft.key}", **environment)

    def start_at(self, uri: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *contract.RUNTIME_COMMAND[1:]],
            env={**self.environment, contract.ENV_PAYLOAD: uri, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=self.directory,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def upload_array(self, payloads: list[PayloadDraft | bytes]) -> str:
        """Store all payloads as the pack of one array, whatever bytes they are; return its URI."""
        bodies = [each if isinstance(each, bytes) else each.payload() for each in payloads]
        key = contract.pack_key(str(uuid.uuid4()), 0)
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=pack(bodies))
        return f"s3://{BUCKET}/{key}"

    def start_child(self, uri: str, index: int | str, **environment: str) -> subprocess.Popen[str]:
        array = {"AWS_BATCH_JOB_ID": f"array-1:{index}", contract.ENV_ARRAY_INDEX: str(index)}
        return self.start_at(uri, **array, **environment)

    def finish(self, draft: PayloadDraft, process: subprocess.Popen[str], attempt: int = 1) -> Finished:
        stdout, stderr = process.communicate(timeout=90)
        return Finished(process.returncode, stdout, stderr, self.outcomes(draft, attempt))

    def run(self, draft: PayloadDraft, **environment: str) -> Finished:
        return self.finish(
            draft, self.start(draft, **environment), int(environment.get("AWS_BATCH_JOB_ATTEMPT", "1"))
        )

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Finished:
        draft = self.draft()
        draft.task(function, *args, **kwargs)
        return self.run(draft)

    def outcomes(self, draft: PayloadDraft, attempt: int = 1) -> dict[int, LeftOutcome]:
        keys = {
            task.node_id: contract.outcome_key(draft.dispatch_id, task.node_id, attempt)
            for task in draft.tasks
        }
        listing = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=contract.dispatch_prefix(draft.dispatch_id))
        present = {each["Key"] for each in listing.get("Contents", [])}
        return {node_id: self.read_outcome(key) for node_id, key in keys.items() if key in present}

    def read_outcome(self, key: str) -> LeftOutcome:
        body = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        outcome, sections = contract.parse_outcome(body, ORIGIN_KEY)
        return LeftOutcome(outcome, {**sections, **self._detached(outcome)})

    def _detached(self, outcome: Outcome) -> dict[str, bytes]:
        """Read what is too large for the outcome, and check every chunk."""
        found = {}
        for name, each in outcome.detached.items():
            found[name] = self.s3.get_object(Bucket=BUCKET, Key=each.key)["Body"].read()
            chunk_bytes = contract.chunk_bytes_of(each.length)
            chunks = (found[name][at : at + chunk_bytes] for at in range(0, each.length, chunk_bytes))
            assert [hashlib.sha256(chunk).hexdigest() for chunk in chunks] == each.checksums
            assert len(found[name]) == each.length
        return found


@pytest.fixture
def jobs(s3: Any, s3_endpoint: str, tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(s3, s3_endpoint, tmp_path)
    yield jobs
    for process in jobs.started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()


def wait_until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s} s")
        time.sleep(0.02)
