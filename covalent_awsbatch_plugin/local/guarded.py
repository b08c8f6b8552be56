"""The local AWS's end of its `guardian`: what it tells the process that cleans up after it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from . import guardian


class Guardian:
    """A guardian process that is up, and removes a directory at the end."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def add(self, process_group: int, marker: str) -> None:
        """Have a process group killed at the end, and whatever carries the marker in its environment."""
        self._tell(f"add {process_group} {marker}")

    def remove(self, process_group: int) -> None:
        """Forget a process group that is gone."""
        self._tell(f"remove {process_group}")

    async def close(self) -> None:
        """Let the guardian go, which cleans up and ends by itself when its input does."""
        await asyncio.to_thread(self._process.communicate)

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("the guardian process was started without an input")
        stdin.write(line.encode() + b"\n")
        stdin.flush()
