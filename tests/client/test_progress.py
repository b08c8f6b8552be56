"""Progress bars: on a terminal, and nowhere else unless asked for."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from tests.client.surroundings import PRELUDE
from tests.e2e.surroundings import AWS

PROGRAM = """
def half(number):
    return number // (number - 1)

with batch:
    array = batch.map(half, range(3))
print(list(array.results(return_exceptions=True)))
"""


def command(aws: AWS, progress: str = "") -> list[str]:
    program = PRELUDE.replace("**settings", f"**settings{progress}") + PROGRAM
    return [sys.executable, "-c", program, json.dumps([aws.settings])]


def on_a_terminal(arguments: list[str]) -> str:
    """Run a program whose stderr is a terminal and return what it writes there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    written = bytearray()
    while chunk := _read(ours):
        written += chunk
    os.close(ours)
    process.communicate(timeout=60)
    assert process.returncode == 0
    return written.decode()


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except OSError:  # Linux tells the end of a terminal so
        return b""


def test_a_bar_shows_on_a_terminal_how_many_have_ended_and_failed(aws: AWS):
    written = on_a_terminal(command(aws))
    assert "half" in written
    assert "3/3" in written
    assert "(1 failed)" in written


def test_no_bar_shows_on_a_terminal_where_none_is_wanted(aws: AWS):
    assert on_a_terminal(command(aws, ", progress=False")) == ""


@pytest.mark.parametrize(("progress", "shows"), [("", False), (", progress=True", True)])
def test_a_bar_shows_in_a_pipe_only_where_it_is_wanted(aws: AWS, progress: str, shows: bool):
    ended = subprocess.run(command(aws, progress), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    assert ended.stdout.startswith("[0, ZeroDivisionError(")
    assert ("3/3" in ended.stderr) is shows
    assert shows or ended.stderr == ""
