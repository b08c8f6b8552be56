"""A Covalent server of one's own: its port, its directories, its database; the user's is never touched.

Importing this module imports nothing of Covalent's, which reads the environment when it is imported:
call `private_environment` first, put it into `os.environ` or a child's environment, then import Covalent.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 15


class CovalentError(RuntimeError):
    """The server did not start."""


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def private_environment(directory: Path, port: int) -> dict[str, str]:
    """Return the variables that keep a Covalent client and server inside a directory.

    The AWS variables of the caller are left out: what a task may use comes from its executor's settings.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "COVALENT_", "XDG_"))
    }
    return {
        **inherited,
        "HOME": str(directory),
        # Which Docker engine is used is a setting of the user's, who has it at home.
        "DOCKER_CONFIG": os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker"),
        "XDG_CACHE_HOME": str(directory / "cache"),
        "XDG_DATA_HOME": str(directory / "data"),
        "XDG_CONFIG_DIR": str(directory / "config"),
        "COVALENT_CONFIG_DIR": str(directory / "config" / "covalent"),
        "COVALENT_DISPATCHER_ADDR": "127.0.0.1",
        "COVALENT_SVC_PORT": str(port),
        "COVALENT_DISABLE_DASK": "1",
        # The same database for the workflow's cache: with the default, a temporary file, a workflow
        # cannot go on after the server was killed.
        "COVALENT_DATABASE": str(directory / "data" / "dispatcher.sqlite"),
        "COVALENT_CACHE_DB_URL": f"sqlite+pysqlite:///{directory / 'data' / 'dispatcher.sqlite'}",
        # There is nothing to find and no account to pay where the metadata service would be asked.
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class PrivateCovalent:
    """A running Covalent server; `with` starts and stops it, and it can be killed and started again."""

    def __init__(
        self, directory: Path, port: int | None = None, environment: dict[str, str] | None = None
    ) -> None:
        self.directory = directory
        self.port = free_port() if port is None else port
        self.environment = {**private_environment(directory, self.port), **(environment or {})}
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = directory / "covalent.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrivateCovalent:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Make the database where there is none, start the server and wait until it answers."""
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        # The server never removes the temporary files that it makes.
        temporary = self.directory / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = {**self.environment, "TMPDIR": str(temporary)}
        with self.log_path.open("ab") as log:
            subprocess.run(
                [sys.executable, "-m", "covalent_dispatcher._cli.cli", "db", "migrate"],
                env=environment,
                stdout=log,
                stderr=log,
                check=False,
            )
            app = _application()
            self._process = subprocess.Popen(
                [sys.executable, str(app), "--port", str(self.port), "--no-cluster", "--no-triggers"],
                cwd=app.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def _wait_until_it_answers(self) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/api/v2/dispatches", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise CovalentError(f"The Covalent server did not start; its log is {self.log_path}.")

    def stop(self) -> None:
        """End the server and every process that it started."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, first_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(first_signal)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # The server leads a session of its own; what is left of it are its worker processes.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _application() -> Path:
    found = importlib.util.find_spec("covalent_ui")
    if found is None or found.origin is None:
        raise CovalentError("Covalent is not installed in this environment.")
    return Path(found.origin).with_name("app.py")
