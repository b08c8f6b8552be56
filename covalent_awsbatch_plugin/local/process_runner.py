"""Run each attempt as a process of this machine, without a thread for it.

An attempt gets a private directory (its working directory, HOME and TMPDIR), a process group of its
own, and the environment of `_environment`. The image of the job definition is not used, and memory
is not limited: RLIMIT_AS counts address space, which a Python program reserves far beyond its use. The
size of /dev/shm is the machine's, and there are no volumes but directories of the machine at their own paths.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from . import guardian
from .guarded import Guardian
from .jobs import Json
from .runner import Exit, Launch, StartFailure
from .surroundings import Surroundings

logger = logging.getLogger(__name__)

INHERITED = ("LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What a job takes over from this machine, beside PATH and pip's settings: text encoding and the
certificates that a machine behind a private authority needs."""

INHERITED_PREFIX = "PIP_"

EXIT_POLL_INTERVAL_S = 0.05
"""How often the end of a process is looked for on systems without pidfd."""

READ_BYTES = 65_536


class ProcessRunner:
    """Starts attempts as processes; must be used from one event loop."""

    def __init__(
        self, directory: Path, surroundings: Surroundings, removed_at_end: Path | None = None
    ) -> None:
        """Run jobs below `directory`; `removed_at_end` goes with the server even if it is killed."""
        self._directory = directory
        self._surroundings = surroundings
        self._guardian = Guardian(removed_at_end or directory)

    async def start(self, launch: Launch) -> RunningProcess:
        """Start an attempt's command in a new directory.

        Raises StartFailure where the command cannot be executed.
        """
        if not launch.command:
            raise StartFailure("CannotStartContainerError: no command specified")
        _check_volumes(launch.container)
        directory = self._directory / f"{launch.job_id.replace(':', '-')}-{launch.attempt}"
        (directory / "site-packages").mkdir(parents=True)
        environment = _environment(self._surroundings, directory) | launch.environment
        try:
            process = _spawn(launch.command, directory, environment)
        except StartFailure:
            shutil.rmtree(directory)
            raise
        marker = f"AWS_BATCH_JOB_ID={launch.job_id}"
        self._guardian.add(process.pid, marker)
        return RunningProcess(process, directory, marker, launch.output, self._guardian.remove)

    async def close(self) -> None:
        """Let the guardian go."""
        await self._guardian.close()


class RunningProcess:
    """A process that is up: its output is passed on as it comes, its end is awaited without a thread."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        directory: Path,
        marker: str,
        output: Callable[[bytes], None],
        on_end: Callable[[int], None],
    ) -> None:
        if process.stdout is None:
            raise RuntimeError("the process was started without a pipe for its output")
        self._process = process
        self._directory = directory
        self._marker = marker
        self._output = output
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._pipe = process.stdout
        self._reading = True
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._killer: asyncio.TimerHandle | None = None
        os.set_blocking(self._pipe.fileno(), False)
        self._loop.add_reader(self._pipe.fileno(), self._read)
        self._watch_for_end()

    async def wait(self) -> Exit:
        """Return when the process ended and everything it started was killed."""
        await self._ended
        if self._killer is not None:
            self._killer.cancel()
        await asyncio.to_thread(guardian.kill_marked, self._marker)
        self._drain()
        self._on_end(self._process.pid)
        await asyncio.to_thread(_remove, self._directory)
        code = self._process.returncode
        return Exit(code if code >= 0 else 128 - code)

    def stop(self, grace_s: float) -> None:
        """Send SIGTERM to the process group, and SIGKILL after the grace."""
        if self._killer is None and not self._ended.done():
            guardian.signal_group(self._process.pid, signal.SIGTERM)
            self._killer = self._loop.call_later(grace_s, self.kill)

    def kill(self) -> None:
        """Send SIGKILL to the process group."""
        if not self._ended.done():
            guardian.signal_group(self._process.pid, signal.SIGKILL)

    def _read(self) -> None:
        try:
            data = os.read(self._pipe.fileno(), READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._output(data)
        else:
            self._stop_reading()

    def _stop_reading(self) -> None:
        self._loop.remove_reader(self._pipe.fileno())
        self._reading = False

    def _drain(self) -> None:
        while self._reading:
            try:
                data = os.read(self._pipe.fileno(), READ_BYTES)
            except BlockingIOError:
                data = b""
            if data:
                self._output(data)
            else:
                self._stop_reading()
        self._pipe.close()

    def _watch_for_end(self) -> None:
        try:
            pidfd = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # not Linux, or a kernel before 5.3
            self._poll_for_end()
        else:
            self._loop.add_reader(pidfd, self._on_pidfd, pidfd)

    def _on_pidfd(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        self._reap()

    def _poll_for_end(self) -> None:
        # WNOWAIT leaves the process a zombie, so that its id cannot be given to another meanwhile.
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            self._loop.call_later(EXIT_POLL_INTERVAL_S, self._poll_for_end)
        else:
            self._reap()

    def _reap(self) -> None:
        """Kill what the process left in its group, and only then free its id."""
        guardian.signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._ended.set_result(None)


def _check_volumes(container: Json) -> None:
    """Refuse volumes that a process cannot have; a directory at its own path it has anyway."""
    sources = {
        each["name"]: (each.get("host") or {}).get("sourcePath") for each in container.get("volumes", [])
    }
    for point in container.get("mountPoints", []):
        if sources.get(point["sourceVolume"]) != point["containerPath"]:
            raise StartFailure(
                f"CannotCreateVolumeError: the local AWS runs jobs as processes, which cannot have "
                f"{point['sourceVolume']} at {point['containerPath']}; start it with --runner docker"
            )


def _spawn(command: list[str], directory: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise StartFailure(_start_failure_text(command[0], error)) from error


def _start_failure_text(program: str, error: Exception) -> str:
    cause = "executable file not found in $PATH" if isinstance(error, FileNotFoundError) else str(error)
    return (
        "CannotStartContainerError: Error response from daemon: failed to create task for container: "
        "failed to create shim task: OCI runtime create failed: runc create failed: "
        f'unable to start container process: exec: "{program}": {cause}: unknown'
    )


def _environment(surroundings: Surroundings, directory: Path) -> dict[str, str]:
    """Return the environment of every job, before its own variables.

    `pip install` in a job writes to the job's own directory: the machine's packages stay untouched.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or name.startswith(INHERITED_PREFIX)
    }
    packages = str(directory / "site-packages")
    interpreter_directory = str(Path(sys.executable).parent)
    return inherited | {
        "PATH": os.pathsep.join([interpreter_directory, os.environ.get("PATH", os.defpath)]),
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "PYTHONPATH": os.pathsep.join([packages, *surroundings.python_path]),
        "PIP_TARGET": packages,
        "PIP_USER": "0",  # pip refuses a target together with the user's directory
        **surroundings.aws_environment,
    }


def _remove(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except OSError as error:
        logger.warning("the directory of a finished job could not be removed: %s", error)
