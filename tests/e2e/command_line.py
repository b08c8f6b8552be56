"""The command `covalent-awsbatch` as a program of its own, and a terminal to run it in."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import toml

PROJECT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "covalent_awsbatch_plugin.cli"]
TERMINAL_COLUMNS = 80


class Program:
    """A group of subcommands, or all; what it is not told it finds in Covalent's configuration."""

    def __init__(self, group: Sequence[str], settings: dict[str, Any], directory: Path) -> None:
        self.settings = settings
        self._group = group
        self._directory = directory

    def configure(self) -> None:
        """Write the configuration as the settings are now."""
        configuration = self._directory / "covalent.conf"
        configuration.write_text(toml.dumps({"executors": {"awsbatch": self.settings}}))

    def start(self, name: str, *options: str, **streams: Any) -> subprocess.Popen[str]:
        """Start a subcommand."""
        self.configure()
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [*PROGRAM, *self._group, name, *options],
            env={
                **os.environ,
                "PYTHONPATH": str(PROJECT),
                "COVALENT_CONFIG_DIR": str(self._directory),
                "TERM": "xterm",
            },
            text=True,
            **{**pipes, **streams},
        )

    def run(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a subcommand to its end."""
        program = self.start(name, *options)
        stdout, stderr = program.communicate(timeout=120)
        return subprocess.CompletedProcess(program.args, program.returncode, stdout, stderr)

    def show_on_terminal(
        self, name: str, *options: str, stream: str, columns: int = TERMINAL_COLUMNS
    ) -> tuple[str, str]:
        """Run a subcommand with one stream on a terminal; return what that showed, and the other stream."""
        seen_by_us, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        try:
            program = self.start(name, *options, **{stream: terminal})
        finally:
            os.close(terminal)
        shown = _read_to_end(seen_by_us)
        stdout, stderr = program.communicate(timeout=120)
        assert program.returncode == 0, shown
        return shown, stderr if stream == "stdout" else stdout


def _read_to_end(descriptor: int) -> str:
    """Read a terminal until its last program has closed it, which Linux calls an I/O error."""
    data = b""
    with os.fdopen(descriptor, "rb", buffering=0) as terminal:
        while True:
            try:
                read = terminal.read(65536)
            except OSError:
                break
            if not read:
                break
            data += read
    return data.decode()
