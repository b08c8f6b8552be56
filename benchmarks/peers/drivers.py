"""The drivers of others: run by the Python of their own environment, by path; prints one line of JSON.

    PYTHON drivers.py plugin|redun TASKS SETTINGS

It imports nothing of this project, whose package has the same name as one that is measured here. The work,
and what a process can say of itself, are loaded from their files in `benchmarks/`.
"""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

OWN_PROCESS = runpy.run_path(str(Path(__file__).parents[1] / "own_process.py"))
WORK = runpy.run_path(str(Path(__file__).parents[1] / "work.py"))


class Figures:
    """What is measured; in the words of `benchmarks/scale_driver.py`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.told: dict[str, Any] = {
            "imports_s": time.monotonic() - OWN_PROCESS["BEGAN_S"],
            "imports_cpu_s": time.process_time(),
            "stall_s": 0.0,
            "began_s": [0.0] * count,
            "ended_s": [0.0] * count,
            "errors": [],
        }
        self.collections = OWN_PROCESS["Collections"]()
        self.collections.install()
        self._began_s, self._began_cpu_s = time.monotonic(), time.process_time()

    def stop(self, values: list[Any]) -> None:
        """Stop the clocks, verify the values and print."""
        right = [value == each for value, each in zip(values, WORK["expected"](self.count), strict=False)]
        self.told |= {
            "wall_s": time.monotonic() - self._began_s,
            "cpu_s": time.process_time() - self._began_cpu_s,
            "peak_mb": OWN_PROCESS["peak_memory_mb"](),
            "gc_s": self.collections.total_s,
            "longest_gc_s": self.collections.longest_s,
            "right": sum(right),
        }
        print(json.dumps(self.told), flush=True)


def drive_plugin(count: int, settings: dict[str, Any]) -> None:
    """Drive covalent-awsbatch-plugin 0.42 as Covalent's dispatcher does: an executor and a run() a node."""
    import uvloop
    from covalent._workflow.transportable_object import TransportableObject
    from covalent.executor.utils.wrappers import wrapper_fn

    from covalent_awsbatch_plugin.awsbatch import AWSBatchExecutor

    class Executor(AWSBatchExecutor):  # type: ignore[misc, unused-ignore]
        """The plugin's, with Covalent's two answers, which are a queue and a database there."""

        async def get_cancel_requested(self) -> bool:
            return False

        async def set_job_handle(self, handle: Any) -> None:
            pass

    async def node(number: int, call: Any, data: Any, figures: Figures) -> Any:
        figures.told["began_s"][number] = time.monotonic()
        metadata = {"dispatch_id": "plugin", "node_id": number, "results_dir": ""}
        try:
            value = await Executor(**settings).run(call, [data], {}, metadata)
        except Exception as error:  # noqa: BLE001 — whatever it is, the task is lost
            figures.told["errors"].append(f"{type(error).__name__}: {error}"[:500])
            return None
        figures.told["ended_s"][number] = time.monotonic()
        return value.get_deserialized()

    async def all_nodes(figures: Figures) -> list[Any]:
        return await asyncio.gather(*(node(n, call, data, figures) for n, data in enumerate(arguments)))

    call = partial(wrapper_fn, TransportableObject(WORK["function"]()), [], [])
    arguments = [TransportableObject(WORK["argument"](number)) for number in range(count)]
    figures = Figures(count)
    heartbeat = OWN_PROCESS["Heartbeat"](figures.collections, uvloop.new_event_loop)
    heartbeat.install()
    values = asyncio.run(all_nodes(figures))
    figures.told["stall_s"] = heartbeat.longest_stall_s
    figures.told["own_stall_s"] = heartbeat.longest_stall_without_gc_s
    figures.stop(values)


def drive_redun(count: int, settings: dict[str, Any]) -> None:
    """Drive redun 0.44: its scheduler, its database in a file, and its AWS Batch executor with arrays."""
    import boto3  # noqa: F401 — imported here, where the clock does not run
    from redun import Scheduler, task  # type: ignore[import-not-found]
    from redun.config import Config  # type: ignore[import-not-found]

    digest = WORK["function"]()

    @task(name="digest", namespace="bench", executor="batch", version="1")  # type: ignore[untyped-decorator]
    def remote(data: bytes) -> str:
        return str(digest(data))

    @task(name="all", namespace="bench", version="1")  # type: ignore[untyped-decorator]
    def everything(arguments: list[bytes]) -> list[str]:
        return [remote(data) for data in arguments]

    database = Path(settings.pop("directory")) / "redun.db"
    config = Config({"backend": {"db_uri": f"sqlite:///{database}"}, "executors.batch": settings})
    arguments = [WORK["argument"](number) for number in range(count)]
    figures = Figures(count)
    scheduler = Scheduler(config=config)
    scheduler.load()
    figures.told["began_s"] = [time.monotonic()] * count
    values = scheduler.run(everything(arguments))
    figures.told["ended_s"] = [time.monotonic()] * count  # it gives all values at the end
    figures.stop(values)


def main() -> None:
    """Drive one of them."""
    name, count, settings = sys.argv[1:]
    {"plugin": drive_plugin, "redun": drive_redun}[name](int(count), json.loads(settings))


if __name__ == "__main__":
    main()
