"""The process that holds the images: `registry` of the Distribution project, on a port of its own.

It is this machine's program or, without one, that of the project's image, in a container.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from uuid import uuid4

from ..errors import MissingProgram
from ..guarded import Guardian
from ..guardian import signal_group

BINARIES = ("docker-registry", "registry")
"""Debian's name for it, and upstream's."""

IMAGE = "public.ecr.aws/docker/library/registry:2"

RUN_UNTIL_INPUT_ENDS = 'registry serve "$0" & cat >/dev/null; kill $!; wait'
"""A container does not end with the process that started it, but its standard input does."""

CONFIGURATION = "configuration.yml"
LOG = "log"

KEPT = ("HOME", "PATH")
"""What the registry is given of this environment, beside the settings of the command `docker`."""

LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")
START_TIMEOUT_S = 120.0
"""In a container it may have to be pulled first."""
POLL_INTERVAL_S = 0.02
STOP_GRACE_S = 5.0
LOG_TAIL_CHARACTERS = 2_000


class Distribution:
    """A registry that is up."""

    def __init__(self, process: subprocess.Popen[bytes], guardian: Guardian) -> None:
        self.url = ""
        self._process = process
        self._guardian = guardian

    @classmethod
    async def start(cls, directory: Path, guardian: Guardian) -> Distribution:
        """Start a registry on the images in a directory and return when it serves them.

        Raises MissingProgram where this machine has none.
        """
        directory.mkdir(parents=True, exist_ok=True)
        # JSON is YAML.
        (directory / CONFIGURATION).write_text(json.dumps(_configuration(directory)))
        process = _spawn(directory, guardian)
        distribution = cls(process, guardian)
        try:
            distribution.url = f"http://127.0.0.1:{await _port(process, directory / LOG)}"
        except BaseException:
            await distribution.stop()
            raise
        return distribution

    async def stop(self) -> None:
        """Ask the registry to end, and kill it if it does not."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        else:
            signal_group(self._process.pid, signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._guardian.remove(self._process.pid)


def _command(configuration: Path) -> tuple[list[str], bool]:
    """Return what runs a registry, and whether that is a container, which ends with its input."""
    for name in BINARIES:
        if (path := shutil.which(name)) is not None:
            return [path, "serve", str(configuration)], False
    if (docker := shutil.which("docker")) is not None:
        return _in_container(docker, configuration), True
    raise MissingProgram(
        "the local AWS needs a registry for its ECR: install Debian's package docker-registry, or put the "
        "program `registry` of https://github.com/distribution/distribution/releases, or the command "
        f"`docker` to run the image {IMAGE}, on PATH"
    )


def _in_container(docker: str, configuration: Path) -> list[str]:
    directory = configuration.parent
    run = [docker, "run", "--rm", "--interactive", "--network", "host"]
    # The files are this user's, who removes them at the end.
    run += ["--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{directory}:{directory}"]
    return [*run, "--entrypoint", "sh", IMAGE, "-c", RUN_UNTIL_INPUT_ENDS, str(configuration)]


def _configuration(directory: Path) -> dict[str, object]:
    return {
        "version": "0.1",
        # The line that names the port is of this level.
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory)}, "delete": {"enabled": True}},
        # A port that the registry chooses cannot be taken by another meanwhile. Clients know the
        # proxy's address only, so the registry must not give its own.
        "http": {"addr": "127.0.0.1:0", "relativeurls": True, "secret": uuid4().hex},
    }


def _spawn(directory: Path, guardian: Guardian) -> subprocess.Popen[bytes]:
    marker = f"COVALENT_AWSBATCH_REGISTRY={uuid4()}"
    command, in_container = _command(directory / CONFIGURATION)
    with (directory / LOG).open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=_environment(marker),
            stdin=subprocess.PIPE if in_container else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    guardian.add(process.pid, marker)
    return process


def _environment(marker: str) -> dict[str, str]:
    """Return an environment without the REGISTRY_… variables, which would change the configuration."""
    name, _, value = marker.partition("=")
    inherited = os.environ.items()
    kept = {each: value for each, value in inherited if each in KEPT or each.startswith("DOCKER_")}
    # Version 3 sends traces to a collector unless told not to.
    return kept | {"OTEL_TRACES_EXPORTER": "none", name: value}


async def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if (found := LISTENING.search(_text(log))) is not None:
            return int(found[1])
        await asyncio.sleep(POLL_INTERVAL_S)
    raise RuntimeError(f"the registry did not start: {_text(log)[-LOG_TAIL_CHARACTERS:]}")


def _text(log: Path) -> str:
    return log.read_text(errors="replace")
