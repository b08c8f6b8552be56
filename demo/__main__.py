"""`make demo`: an AWS Batch and a Covalent server of one's own, a workflow on both, and nothing left.

With containers the registry's images are kept, beside this package, so that a second run builds none.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console

from covalent_awsbatch_plugin.job import JobStatus
from demo.private_covalent import PrivateCovalent

STOP_TIMEOUT_S = 45

REGISTRY_DIR = Path(__file__).parents[1] / ".demo"


@contextmanager
def local_aws(runner: str, registry_dir: Path) -> Iterator[dict[str, Any]]:
    """Run `covalent-awsbatch local` in a process of its own and give the settings that it prints."""
    state = ["--state-dir", str(registry_dir)] if runner == "docker" else []
    command = ["local", "--port", "0", "--json", "--runner", runner, *state]
    process = subprocess.Popen(
        [sys.executable, "-m", "covalent_awsbatch_plugin.cli", *command],
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


def image_settings() -> dict[str, Any]:
    """Return what the sweep's containers must have: the packages of this Python, and no Covalent."""
    from demo.containers import base_image

    base = base_image()
    return {
        "requirements": [f"{name}=={version(name)}" for name in ("numpy", "scikit-learn")],
        "install_covalent": False,
        **({} if base is None else {"base_image": base}),
    }


def registry_calls(endpoint_url: str) -> str:
    """Tell how often the registry was asked, and how many images were pushed."""
    with urllib.request.urlopen(f"{endpoint_url}/_local/calls") as answer:
        calls = json.load(answer)
    look_ups = calls.get("ecr", {}).get("DescribeImages", 0)
    pushes = calls.get("registry", {}).get("PutManifest", 0)
    return f"Image: {look_ups} look-up(s) in the registry, {pushes} image(s) built and pushed."


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
    """Return how many jobs of the queue are in which state; of arrays their children count."""
    counts: Counter[str] = Counter()
    for state in JobStatus:
        for job in batch.list_jobs(jobQueue=queue, jobStatus=state.value)["jobSummaryList"]:
            counts.update(job.get("arrayProperties", {}).get("statusSummary") or {state.value: 1})
    return {state.value: counts[state.value] for state in JobStatus}


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
    succeeded = show.report(console, ct.get_result(dispatch_id, wait=True))
    if settings["container_image_uri"] == "":
        console.print(registry_calls(settings["endpoint_url"]))
    return 0 if succeeded else 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.command()
@click.option("--runner", type=click.Choice(["process", "docker"]), default="process", show_default=True)
@click.option(
    "--registry-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=REGISTRY_DIR,
    show_default=True,
    help="Where images are kept, with containers.",
)
def main(runner: str, registry_dir: Path) -> None:
    """Run the sweep on an AWS Batch of this machine, whose jobs are processes or containers."""
    sys.exit(run(runner, registry_dir))


def run(runner: str, registry_dir: Path) -> int:
    """Start what the demo needs, run it, and stop it again, whatever happens."""
    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ExitStack() as stack:
            directory = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="covalent-awsbatch-demo-"))
            )
            console.print("Starting an AWS Batch on this machine …")
            settings = stack.enter_context(local_aws(runner, registry_dir))
            if runner == "docker":
                settings |= image_settings()
                console.print("Jobs run in containers; the first run builds their image, about a minute.")
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
    main()
