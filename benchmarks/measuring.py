"""What the measurements share: a driver's home, its run, the figures that come of it, and their table."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

DRIVER_TIMEOUT_S = 900

TABLE_WIDTH = 150
"""Tables are as wide in a file as on a wide screen."""


def console() -> Console:
    """Return where tables are printed."""
    return Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)


@contextmanager
def private_home(extra: dict[str, str]) -> Iterator[dict[str, str]]:
    """Give the environment of a driver that finds, and leaves, nothing in the user's own directories."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "COVALENT_", "XDG_"))
    }
    with tempfile.TemporaryDirectory(prefix="awsbatch-bench-") as home:
        yield {**kept, "HOME": home, "COVALENT_CONFIG_DIR": str(Path(home) / "covalent"), **extra}


def run_driver(arguments: Sequence[str], environment: dict[str, str], python: str = sys.executable) -> Any:
    """Run a driver and return what it prints, or raise RuntimeError with the end of what it complained of."""
    done = subprocess.run(
        [python, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DRIVER_TIMEOUT_S,
        cwd=Path(__file__).parents[1],
    )
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        end = (done.stderr or done.stdout)[-3000:]
        raise RuntimeError(f"The driver ended with exit code {done.returncode}:\n{end}") from None


@dataclass(frozen=True)
class Spread:
    """How values are spread."""

    median: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of values, of which there may be none."""
        if not values:
            return cls(0, 0, 0)
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1))], ordered[-1])

    def __str__(self) -> str:
        return f"{self.median:.2f} / {self.p95:.2f} / {self.most:.2f}"


@dataclass(frozen=True)
class Row:
    """One measurement of so many tasks through one door."""

    door: str
    tasks: int
    wall_s: float
    calls: dict[str, int]
    throttled: int
    cpu_s: float
    imports_cpu_s: float
    imports_s: float
    peak_mb: float
    stall_s: float
    gc_s: float
    longest_gc_s: float
    own_stall_s: float
    submit: Spread
    """From the task's start to its SubmitJob."""
    result: Spread
    """From the end of its job to its value."""
    lost: int
    doubled: int
    definitions: int
    aws_cpu_s: float
    """Of the AWS in memory, from its start: where it comes near the wall time, it is what is measured."""

    @property
    def calls_a_task(self) -> float:
        """The driver's calls of AWS, refused ones included."""
        return sum(self.calls.values()) / self.tasks

    @property
    def is_sound(self) -> bool:
        """Whether each task was run once and gave its value."""
        return self.lost == 0 and self.doubled == 0


def row_of(door: str, tasks: int, figures: dict[str, Any], report: dict[str, Any]) -> Row:
    """Put together what a driver and its AWS say."""
    submit, result = _latencies(figures, report)
    again = sum(len(ends) - 1 for ends in report["tasks"].values())
    return Row(
        door=door,
        tasks=tasks,
        wall_s=figures["wall_s"],
        calls={name: n for operations in report["calls"].values() for name, n in operations.items()},
        throttled=sum(report["throttled"].values()),
        cpu_s=figures["cpu_s"],
        imports_cpu_s=figures["imports_cpu_s"],
        imports_s=figures["imports_s"],
        peak_mb=figures["peak_mb"],
        stall_s=figures["stall_s"],
        gc_s=figures.get("gc_s", 0),
        longest_gc_s=figures.get("longest_gc_s", 0),
        own_stall_s=figures.get("own_stall_s", 0),
        submit=submit,
        result=result,
        lost=tasks - figures["right"],
        doubled=max(again, report["jobs"] - tasks),
        definitions=report["definitions"],
        aws_cpu_s=report["cpu_s"],
    )


def _latencies(figures: dict[str, Any], report: dict[str, Any]) -> tuple[Spread, Spread]:
    submits, results = [], []
    for task, ends in report["tasks"].items():
        number = int(task.rpartition("/")[2])
        if number < len(figures["began_s"]):
            submits.append(ends[0]["submitted_s"] - figures["began_s"][number])
        if number < len(figures["ended_s"]) and figures["ended_s"][number]:
            results.append(figures["ended_s"][number] - ends[0]["ended_s"])
    return Spread.of(submits), Spread.of(results)


def _columns(row: Row) -> list[str]:
    return [
        row.door,
        f"{row.tasks:,}",
        f"{row.wall_s:.1f}",
        f"{row.calls_a_task:.2f}",
        f"{row.cpu_s / row.tasks * 1000:.2f}",
        f"{row.imports_cpu_s:.1f}",
        f"{row.peak_mb:.0f}",
        f"{row.stall_s * 1000:.0f} / {row.longest_gc_s * 1000:.0f} / {row.own_stall_s * 1000:.0f}",
        str(row.submit),
        str(row.result),
        f"{row.lost} / {row.doubled} / {row.definitions}",
    ]


_HEADINGS = [
    "door",
    "tasks",
    "wall s",
    "calls a task",
    "CPU ms a task",
    "imports CPU s",
    "memory MB",
    "stall / GC / without GC ms",
    "start → SubmitJob s",
    "job end → value s",
    "lost / doubled / definitions",
]


def markdown(rows: Sequence[Row]) -> str:
    """Return the table as it stands in docs/performance.md."""
    lines = [_HEADINGS, ["---"] * len(_HEADINGS), *map(_columns, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(rows: Sequence[Row], title: str) -> Table:
    """Return the table; spreads are median / 95th percentile / longest."""
    made = Table(
        title=title,
        caption="latencies: median / 95 % / longest; "
        "stall: of the event loop; GC: longest collection; without GC: the stall without collections",
    )
    for heading in _HEADINGS:
        made.add_column(heading, justify="left" if heading == "door" else "right")
    for row in rows:
        made.add_row(*_columns(row))
    return made


def calls_table(rows: Sequence[Row]) -> Table:
    """Return which operations were called how often."""
    made = Table(title="AWS calls of the driver, by operation (throttled ones included)")
    for heading in ("door", "tasks", "AWS's own CPU s", "throttled", "calls"):
        made.add_column(heading)
    for row in rows:
        calls = sorted(row.calls.items(), key=lambda each: -each[1])
        text = ", ".join(f"{name} {n:,}" for name, n in calls)
        made.add_row(row.door, f"{row.tasks:,}", f"{row.aws_cpu_s:.1f}", f"{row.throttled:,}", text)
    return made


def growth_table(rows: Sequence[Row]) -> Table:
    """Return by what factor figures grow from each number of tasks to the next."""
    made = Table(title="growth from one number of tasks to the next")
    for heading in ("door", "tasks", "wall", "CPU", "calls", "memory"):
        made.add_column(heading)
    for before, row in pairwise(rows):
        if before.door != row.door:
            continue
        pairs = (
            (before.tasks, row.tasks),
            (before.wall_s, row.wall_s),
            (before.cpu_s, row.cpu_s),
            (sum(before.calls.values()), sum(row.calls.values())),
            (before.peak_mb, row.peak_mb),
        )
        made.add_row(row.door, *(f"× {after / (first or 1):.1f}" for first, after in pairs))
    return made
