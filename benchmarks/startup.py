"""How long a job's process needs until the user's function runs, over bare Python.

    python -m benchmarks.startup [RUNS]

The payload is the demo's: the digits in three parts as argument, and a function that tells when it was
called. S3 is the local AWS. Both figures of a pair are taken in turn, so that a noisy machine moves both.
"""

from __future__ import annotations

import atexit
import hashlib
import itertools
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HOME"] = tempfile.mkdtemp()  # Covalent, which the demo imports, writes its configuration there

import boto3
import cloudpickle

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.local.aws import LocalAWS
from demo.sweep import load

atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)

TARGET_S = 0.25
DISPATCH_ID = "startup"
ORIGIN_KEY = bytes(32)

_rungs = itertools.count()


def reached(_data: Any) -> tuple[float, bool]:
    """Tell when the function was called, and whether Covalent had been imported by then."""
    import sys
    import time

    return time.time(), "covalent" in sys.modules


def s3_client(aws: LocalAWS) -> Any:
    """Return a client for the local AWS's S3."""
    return boto3.client(
        "s3",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )


def put_payload(s3: Any, bucket: str) -> str:
    """Store function and payload as the executor does, and return the payload's address."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    function, data = cloudpickle.dumps(reached), cloudpickle.dumps(load())
    function_key = contract.function_key(DISPATCH_ID, hashlib.sha256(function).hexdigest())
    task = contract.Task(
        node_id=0,
        function_key=function_key,
        python_version=sys.version.split()[0],
        cloudpickle_version=cloudpickle.__version__,
        args=[contract.Input(section="0")],
    )
    header = contract.Payload(DISPATCH_ID, [task], ORIGIN_KEY).to_json()
    payload = contract.pack_header(header, {"0": len(data)}) + data
    key = contract.pack_key(DISPATCH_ID, 0)
    s3.put_object(Bucket=bucket, Key=function_key, Body=function)
    s3.put_object(Bucket=bucket, Key=key, Body=contract.pack_start([0], [len(payload)]) + payload)
    print(f"argument: {len(data) / 1e6:.1f} MB")
    return f"s3://{bucket}/{key}"


def run_job(s3: Any, bucket: str, environment: dict[str, str]) -> float:
    """Return the seconds from a job's start until its function was called; each job is a new submission."""
    environment = {**environment, contract.ENV_RUNG: str(next(_rungs))}
    started_at = time.time()
    subprocess.run(
        [sys.executable, *contract.RUNTIME_COMMAND[1:]],
        env=environment,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    key = contract.outcome_key(DISPATCH_ID, 0, contract.attempt_of(environment))
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    _, sections = contract.parse_outcome(body, ORIGIN_KEY)
    called_at, has_covalent = pickle.loads(sections[contract.SECTION_VALUE])
    if has_covalent:
        raise SystemExit("Covalent was imported for a function that does not use it.")
    return float(called_at) - started_at


def run_bare() -> float:
    """Return the seconds from bare Python's start until its first statement."""
    started_at = time.time()
    done = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"], capture_output=True, check=True, text=True
    )
    return float(done.stdout) - started_at


def main(run_count: int) -> int:
    """Print the figures; return 0 where the target is met."""
    with LocalAWS() as aws:
        bucket = aws.settings["s3_bucket_name"]
        s3 = s3_client(aws)
        environment = {
            **os.environ,
            contract.ENV_PAYLOAD: put_payload(s3, bucket),
            "AWS_ENDPOINT_URL": aws.endpoint_url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }
        job: Callable[[], float] = lambda: run_job(s3, bucket, environment)  # noqa: E731 — timed in turn
        job()
        pairs = [(run_bare(), job()) for _ in range(run_count)]
    bare_s, job_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    over_s = statistics.median(job - bare for bare, job in pairs)
    print(f"bare Python until its first statement: {bare_s:.3f} s (median of {run_count})")
    print(f"job until the function is called:      {job_s:.3f} s")
    print(f"over bare Python:                      {over_s:.3f} s (target: at most {TARGET_S} s)")
    return 0 if over_s <= TARGET_S else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
