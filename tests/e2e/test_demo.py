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

from demo.private_covalent import private_environment
from tests import docker_engine
from tests.e2e.surroundings import eventually

ROOT = Path(__file__).parents[2]


class Demo:
    """A run of the demo whose processes can be told by a mark in their environment."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self._mark = f"DEMO_MARK={uuid.uuid4()}"
        name, value = self._mark.split("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo", *options],
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


@pytest.fixture
def demo_in_containers(tmp_path) -> Iterator[Demo]:
    docker_engine.require()
    own, registry = tmp_path / "demo", tmp_path / "registry"
    own.mkdir()
    with docker_engine.without_new_images():
        running = Demo(own, "--runner", "docker", "--registry-dir", str(registry))
        yield running
        running.process.terminate()
        running.process.wait(60)


def test_it_runs_in_containers_and_leaves_none(demo_in_containers):
    before = docker_engine.containers()
    printed = "".join(demo_in_containers.lines_until("no such line: read to the end"))
    assert demo_in_containers.process.wait(60) == 0
    accuracy = float(printed.split("Accuracy on held-out digits: ")[1].split()[0])
    assert 0.95 < accuracy < 1
    assert "Image: 1 look-up(s) in the registry, 1 image(s) built and pushed." in printed
    assert demo_in_containers.leftovers() == []
    assert docker_engine.containers() == before


def test_ctrl_c_leaves_no_container(demo_in_containers):
    before = docker_engine.containers()
    assert "RUNNING" in demo_in_containers.lines_until("RUNNING")[-1]
    os.killpg(demo_in_containers.process.pid, signal.SIGINT)
    assert "everything that was started has been stopped" in demo_in_containers.process.stdout.read()
    assert demo_in_containers.process.wait(60) == 130
    eventually(lambda: demo_in_containers.leftovers() == [])
    eventually(lambda: docker_engine.containers() == before)


def test_the_users_docker_context_is_found_from_the_private_home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    (home / ".docker" / "config.json").write_text('{"currentContext": "mine"}')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    code = "from docker.context.config import get_current_context_name as name; print(name())"
    environment = private_environment(tmp_path / "private", 1)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "mine\n"


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
