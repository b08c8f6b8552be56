"""What transfers cost: many small objects by two clients of S3, and a gigabyte through the plain client.

    python -m benchmarks.transfers [--only small large]

Small: 1,000 objects of 1 KB, 64 at once, by obstore and by aiobotocore, with and without a latency. Large: an
array of 1 GiB as an argument (from `submit()` to SubmitJob) and as a result (from the job's end to the
value), against obstore's own put and get of the same bytes on the same store.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.table import Table

from benchmarks.in_memory_aws.process import InMemoryAWS
from benchmarks.measuring import console, private_home, run_driver
from benchmarks.scale import OPTIONS
from benchmarks.transfers_driver import LARGE_BYTES, OBJECTS

LATENCIES_MS = (0, 30)
CLIENTS = ("obstore", "aiobotocore")
LARGE_LATENCY_MS = 30


def measure(kind: str, latency_ms: float) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the figures of one kind of transfer, and its AWS's report."""
    with InMemoryAWS(latency_ms=latency_ms) as aws, private_home(aws.environment) as environment:
        environment |= {"AWS_REGION": aws.settings["region"]}
        settings = json.dumps(aws.settings | (OPTIONS if kind in {"large-argument", "large-result"} else {}))
        figures = run_driver(["-m", "benchmarks.transfers_driver", kind, settings], environment)
        return figures, aws.report()


def small() -> tuple[Table, bool]:
    """Return the table of small objects, and whether all came back as they were written."""
    made = Table(title=f"{OBJECTS:,} objects of 1 KB, 64 at once")
    headings = (
        "client",
        "latency ms",
        "PUT: wall s",
        "CPU µs each",
        "GET: wall s",
        "CPU µs each",
        "memory MB",
    )
    for heading in headings:
        made.add_column(heading, justify="right")
    wrong = 0.0
    for latency_ms in LATENCIES_MS:
        for client in CLIENTS:
            print(f"small objects, {client}, {latency_ms} ms …", file=sys.stderr)
            figures, _ = measure(f"small-{client}", latency_ms)
            wrong += figures["wrong"]
            made.add_row(
                client,
                str(latency_ms),
                f"{figures['put_s']:.2f}",
                f"{figures['put_cpu_s'] / OBJECTS * 1e6:.0f}",
                f"{figures['get_s']:.2f}",
                f"{figures['get_cpu_s'] / OBJECTS * 1e6:.0f}",
                f"{figures['peak_mb']:.0f}",
            )
    return made, wrong == 0


def _large_times(kind: str) -> tuple[dict[str, float], float, float]:
    """Return a driver's figures, its transfer's seconds, and what the same takes for a task with nothing."""
    print(f"1 GiB, {kind} …", file=sys.stderr)
    figures, report = measure(kind, LARGE_LATENCY_MS)
    ends = [end for task in report["tasks"].values() for end in task]
    # The first task only warmed the client up; the second shows what the smallest one takes.
    _, small, job = sorted(ends, key=lambda end: end["ended_s"])
    if kind == "large-argument":
        small_s = small["submitted_s"] - figures["small_began_s"]
        transfer_s = job["submitted_s"] - figures["began_s"]
    else:
        small_s = figures["small_ended_s"] - small["ended_s"]
        transfer_s = figures["ended_s"] - job["ended_s"]
    return figures, transfer_s, small_s


def large() -> tuple[Table, bool]:
    """Return the table of large transfers, and whether all came out right."""
    made = Table(title=f"1 GiB through the client, and by obstore itself; calls of {LARGE_LATENCY_MS} ms")
    for heading in (
        "transfer",
        "client s",
        "of it for nothing s",
        "MB/s",
        "obstore s",
        "MB/s",
        "of obstore's speed",
        "memory above MB",
    ):
        made.add_column(heading, justify="right")
    print("1 GiB, obstore …", file=sys.stderr)
    own, _ = measure("large-obstore", LARGE_LATENCY_MS)
    wrong = own["wrong"]
    print(
        f"obstore's get alone takes {own['get_s']:.2f} s; below it is followed by pickle.loads",
        file=sys.stderr,
    )
    for kind, own_s in (("large-argument", own["put_s"]), ("large-result", own["value_s"])):
        figures, took_s, small_s = _large_times(kind)
        net_s = took_s - small_s
        wrong += figures["wrong"]
        made.add_row(
            kind.removeprefix("large-"),
            f"{took_s:.2f}",
            f"{small_s:.2f}",
            f"{LARGE_BYTES / net_s / 1e6:.0f}",
            f"{own_s:.2f}",
            f"{LARGE_BYTES / own_s / 1e6:.0f}",
            f"{own_s / net_s:.0%}",
            f"{figures['above_mb']:.0f}",
        )
    return made, wrong == 0


TABLES = {"small": small, "large": large}


def main() -> int:
    """Measure and print; return 0 where everything came out as it went in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfers", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES))
    options = parser.parse_args()
    out, sound = console(), True
    for name in options.only:
        table, is_right = TABLES[name]()
        out.print(table)
        sound = sound and is_right
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
