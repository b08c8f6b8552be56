"""A task runs once, whoever asks for it how often: what an earlier process has submitted is taken over."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.surroundings import AWS, Counted, eventually
from tests.e2e.test_run import call, executor_for

ROOT = Path(__file__).parents[2]

EARLIER = """
import asyncio, json, sys
from types import SimpleNamespace
from tests.e2e.test_once_only import run, running

settings, dispatch_id, path = json.loads(sys.argv[1])
print(json.dumps(asyncio.run(run(SimpleNamespace(settings=settings), running(path), dispatch_id))))
"""


def running(path: str) -> Any:
    """Return a function that notes that it runs, and ends when it may."""

    def note_and_wait() -> str:
        import time
        import uuid
        from pathlib import Path

        Path(path, f"ran-{uuid.uuid4().hex}").touch()
        while not Path(path, "open").exists():
            time.sleep(0.02)
        return "value"

    return note_and_wait


async def run(aws: Any, function: Any, dispatch_id: str) -> Any:
    answer = await call(executor_for(aws), function, dispatch_id=dispatch_id)
    return answer.get_deserialized()


def earlier_process(aws: AWS, dispatch_id: str, path: Path) -> subprocess.Popen[str]:
    arguments = json.dumps([aws.settings, dispatch_id, str(path)])
    command = [sys.executable, "-c", EARLIER, arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def runs(path: Path) -> int:
    return len(list(path.glob("ran-*")))


async def test_a_task_whose_outcome_is_there_is_not_submitted(aws: AWS, tmp_path: Path):
    (tmp_path / "open").touch()
    earlier = await asyncio.to_thread(earlier_process, aws, "computed-before", tmp_path)
    output, _ = await asyncio.to_thread(earlier.communicate)
    assert json.loads(output) == "value"
    counted = Counted(aws)
    assert await run(aws, running(str(tmp_path)), "computed-before") == "value"
    assert (runs(tmp_path), counted("batch", "SubmitJob")) == (1, 0)


async def test_a_job_that_an_earlier_process_left_is_followed(aws: AWS, tmp_path: Path):
    earlier = await asyncio.to_thread(earlier_process, aws, "left-running", tmp_path)
    try:
        await asyncio.to_thread(eventually, lambda: runs(tmp_path))
    finally:
        earlier.kill()
        earlier.wait()
    counted = Counted(aws)
    later = asyncio.create_task(run(aws, running(str(tmp_path)), "left-running"))
    await asyncio.sleep(0.5)
    (tmp_path / "open").touch()
    assert await later == "value"
    assert (runs(tmp_path), counted("batch", "SubmitJob")) == (1, 0)
