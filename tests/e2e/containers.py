"""The command `covalent-awsbatch image` as a person runs it, and a terminal to run it in."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import toml
from click.testing import CliRunner, Result

from covalent_awsbatch_plugin.cli import main
from tests import docker_engine
from tests.e2e.surroundings import AWS

PROJECT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "covalent_awsbatch_plugin.cli", "image"]
TERMINAL_COLUMNS = 80


class ImageCommand:
    """`covalent-awsbatch image` for one repository of a local AWS.

    In a process of its own it finds everything in Covalent's configuration; a call in this process, which
    is quicker, has everything among its options.
    """

    def __init__(self, aws: AWS, repository: str, directory: Path) -> None:
        self.repository = repository
        self.aws = aws
        self.settings: dict[str, Any] = {**aws.settings, "ecr_repo_name": repository}
        self._directory = directory

    def __call__(self, name: str, *options: str, env: dict[str, str] | None = None) -> Result:
        """Run a subcommand in this process."""
        account = {
            "--endpoint-url": self.aws.endpoint_url,
            "--region": self.settings["region"],
            "--credentials": self.settings["credentials"],
            "--repository": self.repository,
        }
        environment = {"--base-image": docker_engine.BASE_IMAGE, "--covalent": "none"}
        given = account if name in ("list", "prune") else {**environment, **account}
        arguments = [part for pair in given.items() for part in pair]
        return CliRunner().invoke(main, ["image", name, *arguments, *options], env=env)

    def start(self, name: str, *options: str, **streams: Any) -> subprocess.Popen[str]:
        """Start a subcommand as a program."""
        configuration = self._directory / "covalent.conf"
        configuration.write_text(toml.dumps({"executors": {"awsbatch": self.settings}}))
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        return subprocess.Popen(
            [*PROGRAM, name, *options],
            env={
                **os.environ,
                "PYTHONPATH": str(PROJECT),
                "COVALENT_CONFIG_DIR": str(self._directory),
                "TERM": "xterm",
            },
            stdin=subprocess.DEVNULL,
            text=True,
            **streams,
        )

    def run(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a subcommand as a program to its end."""
        program = self.start(name, *options)
        stdout, stderr = program.communicate(timeout=120)
        return subprocess.CompletedProcess(program.args, program.returncode, stdout, stderr)

    def show_on_terminal(self, name: str, *options: str, stream: str) -> tuple[str, str]:
        """Run a subcommand with one stream on a terminal; return what that showed, and the other stream."""
        seen_by_us, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, TERMINAL_COLUMNS, 0, 0))
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
