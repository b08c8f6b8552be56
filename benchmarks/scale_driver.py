"""One measurement's driver: all tasks through one door, in this process; prints one line of JSON.

    python -m benchmarks.scale_driver DOOR TASKS SETTINGS [--profile]

`benchmarks.scale` starts it, once for each figure. Values are verified after the clock has stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import uvloop

from benchmarks import work
from benchmarks.own_process import BEGAN_S, Collections, Heartbeat, peak_memory_mb

DISPATCH_ID = "scale"

STARTS_BETWEEN_PAUSES = 10
"""Covalent's dispatcher asks its database between two nodes, so its loop never starts thousands at once."""


@dataclass
class Figures:
    """What a driver tells of itself; times of CLOCK_MONOTONIC."""

    imports_s: float = 0
    imports_cpu_s: float = 0
    imports_mb: float = 0
    wall_s: float = 0
    cpu_s: float = 0
    peak_mb: float = 0
    stall_s: float = 0
    gc_s: float = 0
    longest_gc_s: float = 0
    own_stall_s: float = 0
    right: int = 0
    began_s: list[float] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    last_s: float = 0
    errors: list[str] = field(default_factory=list)


Profiler = AbstractContextManager[Any]

Door = Callable[[int, dict[str, Any], Figures, Profiler], list[Any]]
"""Runs so many tasks with these settings, the tasks alone under a profiler.

Notes when each began and ended, and returns their values.
"""


def through_executor() -> Door:
    """Import Covalent and the plugin, as Covalent's server does at its start."""
    import aiobotocore.session
    import obstore.store
    from covalent._workflow.transportable_object import TransportableObject
    from covalent.executor.utils.wrappers import wrapper_fn

    from covalent_awsbatch_plugin import covalent_assets, pipeline
    from covalent_awsbatch_plugin.awsbatch import AWSBatchExecutor

    del aiobotocore, obstore, covalent_assets, pipeline  # imported here, where the clock does not run

    async def node(number: int, function: Any, data: Any, settings: dict[str, Any], figures: Figures) -> Any:
        figures.began_s[number] = time.monotonic()
        executor = AWSBatchExecutor(**settings)
        executor._task_stdout, executor._task_stderr = io.StringIO(), io.StringIO()
        metadata = {"dispatch_id": DISPATCH_ID, "node_id": number, "results_dir": ""}
        try:
            value = await executor.run(function, [data], {}, metadata)
        except Exception as error:  # noqa: BLE001 — whatever it is, the task is lost
            figures.errors.append(f"{type(error).__name__}: {executor._task_stderr.getvalue() or error}")
            return None
        figures.last_s = figures.ended_s[number] = time.monotonic()
        return value

    async def all_nodes(calls: list[tuple[Any, Any]], settings: dict[str, Any], figures: Figures) -> Any:
        started = []
        for number, (function, data) in enumerate(calls):
            started.append(asyncio.create_task(node(number, function, data, settings, figures)))
            if number % STARTS_BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
        return await asyncio.gather(*started)

    def run(count: int, settings: dict[str, Any], figures: Figures, profiler: Profiler) -> list[Any]:
        wrapped = TransportableObject(work.function())
        calls = [
            (partial(wrapper_fn, wrapped, [], []), TransportableObject(work.argument(number)))
            for number in range(count)
        ]
        with measured(figures, count), profiler:
            values = asyncio.run(all_nodes(calls, settings, figures))
        return [None if value is None else value.get_deserialized() for value in values]

    return run


def through_map() -> Door:
    """Import the plain client, as a script does."""
    import aiobotocore.session
    import obstore.store

    from covalent_awsbatch_plugin import pipeline
    from covalent_awsbatch_plugin.client import AWSBatch

    del aiobotocore, obstore, pipeline

    def note(number: int, figures: Figures) -> None:
        figures.ended_s[number] = time.monotonic()

    def run(count: int, settings: dict[str, Any], figures: Figures, profiler: Profiler) -> list[Any]:
        function, arguments = work.function(), [work.argument(number) for number in range(count)]
        with measured(figures, count), profiler, AWSBatch(**settings) as batch:
            figures.began_s = [time.monotonic()] * count
            array = batch.map(function, arguments)
            for job in array:
                job.add_done_callback(lambda job: note(job.index, figures))
            values = list(array.results())
            figures.last_s = time.monotonic()
        return values

    return run


DOORS: dict[str, Callable[[], Door]] = {"executor": through_executor, "map": through_map}


@contextmanager
def measured(figures: Figures, count: int) -> Iterator[None]:
    """Measure what happens within."""
    figures.began_s, figures.ended_s = [0.0] * count, [0.0] * count
    began_cpu_s = time.process_time()
    yield
    figures.cpu_s = time.process_time() - began_cpu_s
    figures.peak_mb = peak_memory_mb()


def measure(door_name: str, count: int, settings: dict[str, Any], profiler: Profiler) -> Figures:
    """Run all tasks through a door."""
    # A script has asyncio's own loop, Covalent's server that of uvloop.
    collections = Collections()
    heartbeat = Heartbeat(collections, uvloop.new_event_loop if door_name == "executor" else None)
    heartbeat.install()
    door = DOORS[door_name]()
    figures = Figures(time.monotonic() - BEGAN_S, time.process_time(), peak_memory_mb())
    collections.install()
    values = door(count, settings, figures, profiler)
    figures.stall_s, figures.own_stall_s = heartbeat.longest_stall_s, heartbeat.longest_stall_without_gc_s
    figures.gc_s, figures.longest_gc_s = collections.total_s, collections.longest_s
    # What a loop does after the last value, to end, is nobody's waiting time.
    figures.wall_s = (figures.last_s or time.monotonic()) - min(figures.began_s)
    figures.right = sum(value == right for value, right in zip(values, work.expected(count), strict=False))
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("door", choices=list(DOORS))
    parser.add_argument("tasks", type=int)
    parser.add_argument("settings", type=json.loads)
    parser.add_argument("--profile", default="", help="file for cProfile's statistics")
    options = parser.parse_args()
    profile = cProfile.Profile() if options.profile else None
    figures = measure(options.door, options.tasks, options.settings, profile or nullcontext())
    if profile is not None:
        profile.dump_stats(options.profile)
    json.dump(asdict(figures), sys.stdout)


if __name__ == "__main__":
    main()
