"""Measure others and print their rows; the figures mean what `benchmarks.scale` says of them."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.in_memory_aws.process import InMemoryAWS
from benchmarks.measuring import Row, calls_table, console, markdown, private_home, row_of, run_driver, table

DRIVERS = Path(__file__).with_name("drivers.py")

TITLE = "Others: calls of 30 ms, 50 SubmitJob/s, jobs of 1 s, arguments of 1 KB"


@dataclass(frozen=True)
class Peer:
    """Another package: how it is installed, and how it is told where things are."""

    name: str
    requirements: tuple[str, ...]
    tasks: int
    settings: Callable[[dict[str, Any], Path], dict[str, Any]]


def _plugin_settings(aws: dict[str, Any], home: Path) -> dict[str, Any]:
    return {
        "region": aws["region"],
        "s3_bucket_name": aws["s3_bucket_name"],
        "batch_queue": aws["batch_queue"],
        "cache_dir": str(home / "cache"),
    }


def _redun_settings(aws: dict[str, Any], home: Path) -> dict[str, Any]:
    """Return `[executors.batch]`; only `code_package` is not as redun has it: there is no code to send."""
    return {
        "type": "aws_batch",
        "image": aws["container_image_uri"],
        "queue": aws["batch_queue"],
        "s3_scratch": f"s3://{aws['s3_bucket_name']}/redun",
        "aws_region": aws["region"],
        "role": "none",
        "code_package": "false",
        "directory": str(home),
    }


PEERS = {
    "plugin": Peer(
        "covalent-awsbatch-plugin 0.42",
        ("covalent-awsbatch-plugin==0.42.0",),
        200,
        _plugin_settings,
    ),
    "redun": Peer("redun 0.44", ("redun==0.44.1",), 1000, _redun_settings),
}


def python_of(key: str, venv_dir: Path) -> str:
    """Return the Python of a peer's environment, which is made where it is missing."""
    directory = venv_dir / key
    python = directory / "bin" / "python"
    marker = directory / "installed"
    if not marker.exists():
        print(f"installing {', '.join(PEERS[key].requirements)} into {directory} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PEERS[key].requirements], check=True)
        marker.touch()
    return str(python)


def measure(key: str, tasks: int, python: str) -> Row:
    """Measure one number of tasks with one of them."""
    container = f"benchmarks.peers.containers:{key}"
    with InMemoryAWS(container=container) as aws, private_home(aws.environment) as environment:
        environment |= {"AWS_ENDPOINT_URL": aws.endpoint_url, "AWS_DEFAULT_REGION": aws.settings["region"]}
        settings = PEERS[key].settings(aws.settings, Path(environment["HOME"]))
        figures = run_driver([str(DRIVERS), key, str(tasks), json.dumps(settings)], environment, python)
        for error in figures["errors"][:1]:
            print(error, file=sys.stderr)
        return row_of(PEERS[key].name, tasks, figures, aws.report())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--venv-dir", type=Path, required=True, help="where their environments are made")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--tasks", type=int, nargs="+", help="in place of 200 and 1,000")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--markdown", action="store_true", help="print the table for the documentation too")
    options = parser.parse_args()
    rows = []
    for key in options.peers:
        python = python_of(key, options.venv_dir.resolve())
        for tasks in options.tasks or [PEERS[key].tasks]:
            print(f"{PEERS[key].name}: {tasks:,} …", file=sys.stderr)
            rows.append(measure(key, tasks, python))
    out = console()
    out.print(table(rows, TITLE))
    out.print(calls_table(rows))
    if options.markdown:
        print(markdown(rows))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
