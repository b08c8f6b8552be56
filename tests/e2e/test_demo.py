"""The front door: the demo must leave nothing behind, also when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.surroundings import eventually

ROOT = Path(__file__).parents[2]


class Demo:
    """A run of the demo whose processes can be told by a mark in their environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._mark = f"DEMO_MARK={uuid.uuid4()}"
        name, value = self._mark.split("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo"],
            cwd=ROOT,
            env={**os.environ, name: value, "TMPDIR": str(directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def lines_until(self, text: str) -> list[str]:
        lines = []
        for line in self.process.stdout or ():
            lines.append(line)
            if text in line:
                break
        return lines

    def leftovers(self) -> list[str]:
        """Return what is left of it: processes with its mark or in its directory, and files."""
        found = [str(path) for path in self.directory.iterdir()]
        for process in psutil.process_iter():
            try:
                own = [f"{name}={value}" for name, value in process.environ().items()]
                if self._mark in own or any(str(self.directory) in each for each in own):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:  # it has just ended
                continue
        return found


@pytest.fixture
def demo(tmp_path) -> Iterator[Demo]:
    running = Demo(tmp_path)
    yield running
    running.process.terminate()
    running.process.wait(60)


def test_it_prints_the_scores_and_leaves_nothing(demo):
    printed = "".join(demo.lines_until("no such line: read to the end"))
    assert demo.process.wait(60) == 0
    assert "16 of 16 jobs have ended" in printed
    assert printed.count("0.0001") == 4  # a row for each cost
    accuracy = float(printed.split("Accuracy on held-out digits: ")[1])
    assert 0.95 < accuracy < 1
    assert demo.leftovers() == []


@pytest.mark.parametrize("moment", ["Starting an AWS Batch", "Starting a Covalent server", "2 RUNNING"])
def test_ctrl_c_leaves_nothing(demo, moment):
    assert moment in demo.lines_until(moment)[-1]
    os.killpg(demo.process.pid, signal.SIGINT)  # as a terminal does
    printed = demo.process.stdout.read()
    assert demo.process.wait(60) == 130
    assert "everything that was started has been stopped" in printed
    eventually(lambda: demo.leftovers() == [])
