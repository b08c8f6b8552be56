"""What the client's tests share: a gate that jobs wait at, and a program in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin.client import Job
from tests.e2e.surroundings import AWS, eventually

LONG_S = 60
"""Nothing takes so long here: who waits longer waits for ever."""


class Gate:
    """Holds jobs back until a test lets them go on; they see the same files."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self.hold = _holding(str(directory))
        """For jobs: say that one has come, wait until the gate is open, and return the argument."""

    def open(self) -> None:
        (self._directory / "open").touch()

    def wait_for(self, count: int) -> None:
        """Wait until so many stand before it."""
        eventually(lambda: len(list(self._directory.glob("came-*"))) >= count)


def _holding(directory: str) -> Callable[[Any], Any]:
    # A function within a function travels whole: jobs need not import the tests.
    def hold(value: Any = None) -> Any:
        import time
        import uuid
        from pathlib import Path

        Path(directory, f"came-{uuid.uuid4().hex}").touch()
        while not Path(directory, "open").exists():
            time.sleep(0.02)
        return value

    return hold


def has_status(job: Job[Any], status: str) -> bool:
    """Wait until a job has a status."""
    return bool(eventually(lambda: job.status.value == status))


PRELUDE = """
import json, sys
from covalent_awsbatch_plugin.client import AWSBatch
settings, *arguments = json.loads(sys.argv[1])
batch = AWSBatch(**settings)
"""


class OtherProcess:
    """A program with a `batch` of its own and `arguments`; what it prints in the end is JSON."""

    def __init__(self, aws: AWS, source: str, *arguments: Any) -> None:
        program = PRELUDE + textwrap.dedent(source)
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, json.dumps([aws.settings, *arguments])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def answer(self) -> Any:
        """Return the last thing that it prints."""
        output, complaints = self._process.communicate(timeout=LONG_S)
        assert self._process.returncode == 0, (self._process.returncode, complaints)
        return json.loads(output.splitlines()[-1])
