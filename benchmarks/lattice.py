"""A workflow on the real Covalent server, end to end, and how much of its time is the plugin's.

    python -m benchmarks.lattice [--electrons 300] [--job-s 1] [--json FILE]

One private Covalent server runs the same lattice twice: on an executor that does nothing for a while
(`executors/noop.py`), which is what Covalent itself needs, and on the plugin, whose jobs take as long on
the AWS in memory. The difference, in wall time and in the server's CPU, is the plugin's. Beside it stand
each node's own times: from RUNNING to its SubmitJob, and from its job's end to the node's. A node may be
submitted before it is RUNNING, as Covalent calls it, for `send()` only starts the way; then that is 0.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from rich.table import Table

from benchmarks import work
from benchmarks.in_memory_aws.process import InMemoryAWS
from benchmarks.measuring import Spread, console
from demo.private_covalent import PrivateCovalent

ELECTRONS = 300
WARM_UP_ELECTRONS = 3
LOOK_EVERY_S = 1.0
TIMEOUT_S = 1800

CREDENTIALS = "[default]\naws_access_key_id = benchmark\naws_secret_access_key = benchmark\n"

EXECUTORS_DIR = Path(__file__).with_name("executors")


@dataclass
class Figures:
    """One lattice on one executor."""

    executor: str
    electrons: int
    status: str
    failed: int
    wall_s: float
    server_cpu_s: float
    server_mb: float
    right: bool = True
    calls: dict[str, int] = field(default_factory=dict)
    doubled: int = 0
    submit: Spread = field(default_factory=lambda: Spread(0, 0, 0))
    result: Spread = field(default_factory=lambda: Spread(0, 0, 0))


@dataclass(frozen=True)
class Server:
    """The private Covalent server's processes, as the system sees them."""

    process: psutil.Process

    @classmethod
    def of(cls, covalent: PrivateCovalent) -> Server:
        """Return the process that has the server's port among its arguments."""
        children = psutil.Process().children()
        return cls(next(each for each in children if str(covalent.port) in each.cmdline()))

    def cpu_s(self) -> float:
        """Return the CPU time of the server and of all that it has started."""
        alive = [self.process, *self.process.children(recursive=True)]
        own = sum(times.user + times.system for times in (each.cpu_times() for each in alive))
        ended = self.process.cpu_times()
        return float(own + ended.children_user + ended.children_system)

    def memory_mb(self) -> float:
        """Return the memory that it holds now."""
        return float(self.process.memory_info().rss / 1e6)


@contextmanager
def private_server(job_s: float) -> Iterator[Server]:
    """Start a Covalent server of one's own, which this process then is a client of."""
    with tempfile.TemporaryDirectory(prefix="awsbatch-bench-", ignore_cleanup_errors=True) as directory:
        covalent = PrivateCovalent(
            Path(directory),
            environment={
                "COVALENT_EXECUTOR_DIR": str(EXECUTORS_DIR),
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "NOOP_JOB_S": str(job_s),
            },
        )
        os.environ.clear()
        os.environ.update(covalent.environment)
        with covalent:
            yield Server.of(covalent)


def run(server: Server, executor: str, electrons: int) -> tuple[Figures, Any]:
    """Run the lattice and return its figures, and Covalent's result."""
    ct = _covalent()
    task = ct.electron(work.function(), executor=executor)

    @ct.lattice(executor=executor, workflow_executor="local")  # type: ignore[untyped-decorator]
    def everything(count: int) -> list[Any]:
        return [task(work.argument(number)) for number in range(count)]

    began_s, began_cpu_s = time.monotonic(), server.cpu_s()
    dispatch_id = ct.dispatch(everything)(electrons)
    while _status(dispatch_id) not in {"COMPLETED", "FAILED", "CANCELLED"}:
        if time.monotonic() - began_s > TIMEOUT_S:
            raise SystemExit(f"The lattice on {executor} has not ended after {TIMEOUT_S} s.")
        time.sleep(LOOK_EVERY_S)
    cpu_s = server.cpu_s() - began_cpu_s
    result = ct.get_result(dispatch_id, wait=False)
    nodes = result.get_all_node_results()
    figures = Figures(
        executor=executor,
        electrons=electrons,
        status=str(result.status),
        failed=sum(str(node["status"]) == "FAILED" for node in nodes),
        wall_s=(result.end_time - result.start_time).total_seconds(),
        server_cpu_s=cpu_s,
        server_mb=server.memory_mb(),
    )
    return figures, result


def _covalent() -> Any:
    """Import Covalent, which reads the environment then."""
    return importlib.import_module("covalent")


def _status(dispatch_id: str) -> str:
    return str(_covalent().get_result(dispatch_id, wait=False, status_only=True)["status"])


def add_report(figures: Figures, result: Any, before: dict[str, Any], report: dict[str, Any]) -> None:
    """Add what the AWS in memory saw of the plugin since before."""
    figures.calls = dict(Counter(_calls(report)) - Counter(_calls(before)))
    figures.doubled = sum(len(ends) - 1 for ends in report["tasks"].values())
    figures.right = result.result == work.expected(figures.electrons)
    epoch_s = time.time() - time.monotonic()
    submits, results = [], []
    for node in result.get_all_node_results():
        ends = report["tasks"].get(f"{result.dispatch_id}/{node['node_id']}")
        if ends and node["start_time"] and node["end_time"]:
            submits.append(max(ends[0]["submitted_s"] + epoch_s - _seconds(node["start_time"]), 0))
            results.append(_seconds(node["end_time"]) - ends[0]["ended_s"] - epoch_s)
    figures.submit, figures.result = Spread.of(submits), Spread.of(results)


def _calls(report: dict[str, Any]) -> dict[str, int]:
    return {name: n for operations in report["calls"].values() for name, n in operations.items()}


def _seconds(moment: datetime) -> float:
    """Return seconds since the epoch; Covalent's times are of UTC, whether they say so or not."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def configure(settings: dict[str, Any]) -> None:
    """Write `[executors.awsbatch]`, as a user would."""
    from covalent._shared_files.config import set_config

    for name, value in settings.items():
        set_config(f"executors.awsbatch.{name}", value)


def table(rows: list[Figures], job_s: float) -> Table:
    """Return the figures of both executors."""
    electrons = rows[0].electrons
    title = f"A lattice of {electrons} electrons on Covalent's server; jobs of {job_s:g} s, calls of 30 ms"
    made = Table(title=title, caption="latencies: median / 95 % / longest")
    for heading in ("executor", "wall s", "server CPU s", "server MB", "nodes failed", "status"):
        made.add_column(heading)
    for heading in ("RUNNING → SubmitJob s", "job end → node end s", "AWS calls an electron", "SubmitJob"):
        made.add_column(heading)
    for row in rows:
        own = [str(row.submit), str(row.result), f"{sum(row.calls.values()) / row.electrons:.2f}"]
        own.append(str(row.calls.get("SubmitJob", 0)))
        made.add_row(
            row.executor,
            f"{row.wall_s:.1f}",
            f"{row.server_cpu_s:.1f}",
            f"{row.server_mb:.0f}",
            str(row.failed),
            row.status,
            *(own if row.calls else [""] * len(own)),
        )
    return made


def share(plugin: Figures, noop: Figures) -> str:
    """Say how much of the time is the plugin's."""
    wall_s, cpu_s = plugin.wall_s - noop.wall_s, plugin.server_cpu_s - noop.server_cpu_s
    return (
        f"The plugin's part: {wall_s:+.1f} s of {plugin.wall_s:.1f} s wall ({wall_s / plugin.wall_s:+.0%}), "
        f"{cpu_s:+.1f} s of {plugin.server_cpu_s:.1f} s CPU ({cpu_s / plugin.server_cpu_s:+.0%}), "
        f"{cpu_s / plugin.electrons * 1000:+.0f} ms CPU an electron."
    )


def main() -> int:
    """Measure and print; return 0 where every value came and no job was submitted twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lattice", description=__doc__)
    parser.add_argument("--electrons", type=int, default=ELECTRONS)
    parser.add_argument("--job-s", type=float, default=1, help="how long a job takes, in seconds")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    with InMemoryAWS(job_s=options.job_s) as aws, private_server(options.job_s) as server:
        credentials = Path(os.environ["HOME"]) / "credentials"
        credentials.write_text(CREDENTIALS)
        configure({**aws.settings, "credentials": str(credentials)})
        for executor in ("noop", "awsbatch"):  # what is done once, such as imports, is in neither figure
            run(server, executor, WARM_UP_ELECTRONS)
        noop, _ = run(server, "noop", options.electrons)
        before = aws.report()
        plugin, result = run(server, "awsbatch", options.electrons)
        add_report(plugin, result, before, aws.report())
    rows = [noop, plugin]
    out = console()
    out.print(table(rows, options.job_s))
    out.print(share(plugin, noop))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0 if plugin.right and not plugin.failed and not plugin.doubled else 1


if __name__ == "__main__":
    sys.exit(main())
