"""`make demo`: an AWS Batch and a Covalent server of one's own, a workflow on both, and nothing left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from covalent_awsbatch_plugin.job import JobStatus
from demo.private_covalent import PrivateCovalent

STOP_TIMEOUT_S = 45


@contextmanager
def local_aws() -> Iterator[dict[str, Any]]:
    """Run `covalent-awsbatch local` in a process of its own and give the settings that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "covalent_awsbatch_plugin.cli", "local", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us, and we stop it
    )
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        if line == "":
            raise RuntimeError("The local AWS did not start; its reason stands above.")
        yield json.loads(line)["settings"]
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def configure(settings: dict[str, Any]) -> None:
    """Write `[executors.awsbatch]` into the private Covalent's configuration, as a user would."""
    from covalent._shared_files.config import set_config

    for name, value in {**settings, "memory": 0.5, "poll_freq": 2}.items():
        set_config(f"executors.awsbatch.{name}", value)


def batch_client(settings: dict[str, Any]) -> Any:
    """Return a client for AWS Batch, to count jobs with."""
    import boto3

    return boto3.client(
        "batch",
        endpoint_url=settings["endpoint_url"],
        region_name=settings["region"],
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )


def count_jobs(batch: Any, queue: str) -> dict[str, int]:
    """Return how many jobs of the queue are in which state."""
    return {
        state.value: len(batch.list_jobs(jobQueue=queue, jobStatus=state.value)["jobSummaryList"])
        for state in JobStatus
    }


def run_sweep(console: Console, settings: dict[str, Any]) -> int:
    """Dispatch the sweep, follow it and print its table; return the exit code."""
    import covalent as ct

    from demo import show, sweep

    job_total = len(sweep.COSTS) * len(sweep.GAMMAS) + 4
    dispatch_id = ct.dispatch(sweep.sweep)()
    console.print(f"Dispatched the workflow {dispatch_id}.")
    batch = batch_client(settings)
    show.follow(
        console,
        job_total,
        lambda: count_jobs(batch, settings["batch_queue"]),
        lambda: (
            str(ct.get_result(dispatch_id, wait=False, status_only=True)["status"])
            in {"COMPLETED", "FAILED", "CANCELLED"}
        ),
    )
    return 0 if show.report(console, ct.get_result(dispatch_id, wait=True)) else 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Start what the demo needs, run it, and stop it again, whatever happens."""
    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ExitStack() as stack:
            directory = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="covalent-awsbatch-demo-"))
            )
            console.print("Starting an AWS Batch on this machine …")
            settings = stack.enter_context(local_aws())
            console.print("Starting a Covalent server of its own …")
            covalent = PrivateCovalent(directory)
            os.environ.clear()
            os.environ.update(covalent.environment)
            configure(settings)
            stack.enter_context(covalent)
            return run_sweep(console, settings)
    except KeyboardInterrupt:
        console.print("Interrupted; everything that was started has been stopped.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
