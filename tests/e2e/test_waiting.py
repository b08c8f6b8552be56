"""A job that waits for its place, as Covalent's users and whoever asks for it see it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from covalent._shared_files.config import get_config

from covalent_awsbatch_plugin import vigil
from covalent_awsbatch_plugin.client import AWSBatch
from tests.client.surroundings import LONG_S
from tests.e2e.surroundings import AWS, eventually
from tests.e2e.test_jobs_command import JobsCommand, fields_of
from tests.e2e.test_run import call, executor_for


@pytest.fixture
def paused(aws: AWS) -> Iterator[AWS]:
    aws.control("POST", "pause")
    yield aws
    aws.control("POST", "resume")


async def test_what_keeps_an_electron_is_told_while_it_waits_and_with_its_value(
    paused: AWS, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(vigil, "DWELL_S", 0.2)
    caplog.set_level(logging.INFO, "covalent_awsbatch_plugin")
    file = Path(str(get_config("dispatcher.results_dir")), "waits", "logs", "stderr")
    executor = executor_for(paused, log_stderr="logs/stderr")
    running = asyncio.create_task(call(executor, lambda: 42, dispatch_id="waits", node_id=3))
    text = await asyncio.to_thread(eventually, lambda: file.exists() and file.read_text())
    assert re.fullmatch(
        r"\S+ \S+ UTC covalent-awsbatch: waits, node 3: the job \S+ has waited \d+ s in the queue "
        r"'covalent-awsbatch-local': place 1 of 1 in it; AWS Batch gives no reason, or none yet\. "
        r"Next step: .*\n",
        text,
    )
    assert "waits, node 3: the job " in caplog.text
    paused.control("POST", "resume")
    assert (await running).get_deserialized() == 42
    note = executor._task_stderr.getvalue()
    assert note == f"covalent-awsbatch: {text.partition('node 3: ')[2]}"


@pytest.mark.parametrize("size", [None, 3])
def test_the_command_tells_at_once_what_keeps_a_job_or_an_array(
    paused: AWS, tmp_path: Path, size: int | None
):
    batch = AWSBatch(progress=False, **paused.settings)
    jobs: Any = batch.submit(lambda: 1) if size is None else batch.map(lambda number: number, range(size))
    first = jobs if size is None else jobs[0]
    eventually(lambda: first.batch_id and first.status.value == "RUNNABLE")
    command = JobsCommand(paused.settings, tmp_path)
    text = f"place 1 of {size or 1} in it; AWS Batch gives no reason, or none yet. Next step: "
    fields = fields_of(command.lines("job", jobs.id))
    assert text in fields["waiting" if size is None else "AWS Batch"]
    told = command.json("job", jobs.id)
    waiting = told["waiting"] if size is None else told["jobs"][0]["waiting"]
    assert (waiting["place"], waiting["places_shown"], waiting["can_never_run"]) == (1, size or 1, False)
    paused.control("POST", "resume")
    jobs.wait(LONG_S)
    assert "waiting" not in fields_of(command.lines("job", first.id))
    assert command.json("job", first.id)["waiting"] is None
