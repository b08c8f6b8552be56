"""How wall time, calls, CPU and memory of one driver grow from one task to ten thousand.

    python -m benchmarks.scale [--tasks 1 10 100 1000 10000] [--doors executor map] [--json FILE]
    python -m benchmarks.scale --profile

Every figure comes from a fresh driver process and a fresh AWS in memory, which answers each call after
30 ms, refuses more than 50 SubmitJob a second, and whose jobs take a second. The exit code tells whether
every task was run once and gave its value; how long it took decides nothing.
"""

from __future__ import annotations

import argparse
import json
import pstats
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.in_memory_aws.process import InMemoryAWS
from benchmarks.measuring import (
    Row,
    calls_table,
    console,
    growth_table,
    markdown,
    private_home,
    row_of,
    run_driver,
    table,
)
from benchmarks.scale_driver import DOORS

TASKS = (1, 10, 100, 1000, 10000)
PROFILED_TASKS = 10_000
PROFILE_ENTRIES = 25

TITLE = "One driver; calls of 30 ms, 50 SubmitJob/s, jobs of 1 s, arguments of 1 KB"

OPTIONS = {"batch_job_role_name": "job", "batch_execution_role_name": "execution"}


def measure(door: str, tasks: int, profile: str = "") -> Row:
    """Measure one number of tasks through one door."""
    with InMemoryAWS() as aws, private_home(aws.environment) as environment:
        settings = json.dumps({**aws.settings, **OPTIONS})
        arguments = ["-m", "benchmarks.scale_driver", door, str(tasks), settings]
        figures = run_driver([*arguments, f"--profile={profile}"], environment)
        for error in figures["errors"][:1]:
            print(error, file=sys.stderr)
        return row_of(door, tasks, figures, aws.report())


def profile(tasks: int) -> None:
    """Print where the driver's event loop spends its time."""
    with tempfile.NamedTemporaryFile(suffix=".pstats") as file:
        row = measure("executor", tasks, file.name)
        statistics = pstats.Stats(file.name)
    print(f"Where the driver's event loop is, by package, at {tasks:,} tasks; cProfile slows it down.")
    print(f"Garbage collection, in whatever stands below: {row.gc_s:.2f} s, {row.longest_gc_s:.2f} s at most")
    by_package: Counter[str] = Counter()
    # typeshed does not tell of `stats`, which `pstats` itself documents by its use.
    entries: dict[tuple[str, int, str], Any] = statistics.stats  # type: ignore[attr-defined]
    for (path, _, _), (_, _, own_s, _, _) in entries.items():
        by_package[_package(path)] += own_s
    for package, own_s in by_package.most_common(12):
        print(f"{own_s:8.2f} s  {package}")
    statistics.strip_dirs().sort_stats("tottime").print_stats(PROFILE_ENTRIES)


def _package(path: str) -> str:
    parts = Path(path).parts
    if "covalent_awsbatch_plugin" in parts:
        return f"covalent_awsbatch_plugin/{'/'.join(parts[parts.index('covalent_awsbatch_plugin') + 1 :])}"
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    return "built-in functions, and waiting" if path.startswith(("~", "<")) else "standard library, benchmark"


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=TASKS)
    parser.add_argument("--doors", nargs="+", choices=list(DOORS), default=list(DOORS))
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--markdown", action="store_true", help="print the table for the documentation too")
    parser.add_argument("--profile", action="store_true", help=f"profile {PROFILED_TASKS:,} tasks instead")
    options = parser.parse_args()
    if options.profile:
        profile(PROFILED_TASKS)
        return 0
    rows = []
    for door in options.doors:
        for tasks in options.tasks:
            print(f"{door}: {tasks:,} …", file=sys.stderr)
            rows.append(measure(door, tasks))
    out = console()
    for each in (table(rows, TITLE), calls_table(rows), growth_table(rows)):
        out.print(each)
    if options.markdown:
        print(markdown(rows))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0 if all(row.is_sound for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
