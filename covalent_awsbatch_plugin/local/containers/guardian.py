"""A small process that outlives the local AWS just long enough to clean up the Docker engine after it.

The sibling of `guardian`, with the same idea: when its standard input ends, the server is gone. Then
containers and volumes that carry the server's label are removed, and images lose the names that they
have in the server's own registry, which is gone too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from docker import APIClient

from ..guardian import ignore_terminal_signals
from .engine import LABEL, connect, gone_is_fine

ENDED_WELL = b"ended well"
"""What the server says before it closes the input; without it, it was killed."""

LATE_LOOKS = 4
LATE_LOOK_INTERVAL_S = 0.5
"""The engine may be carrying out the last request of a server that was killed: look again."""


def start(instance: str, registry_host: str) -> subprocess.Popen[bytes]:
    """Start the process that watches over one local AWS."""
    # The same modules as here, wherever they were found.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-m", __name__, instance, registry_host],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def main(instance: str, registry_host: str) -> None:
    """Wait until the server is gone and clean up after it."""
    ignore_terminal_signals()
    ended_well = sys.stdin.buffer.read() == ENDED_WELL
    engine = connect()
    _remove_labelled(engine, instance)
    _untag(engine, f"{registry_host}/")  # at once: the next local AWS may be on the same port
    for _ in range(0 if ended_well else LATE_LOOKS):
        time.sleep(LATE_LOOK_INTERVAL_S)
        _remove_labelled(engine, instance)


def _remove_labelled(engine: APIClient, instance: str) -> None:
    label = {"label": f"{LABEL}={instance}"}
    for container in engine.containers(all=True, filters=label):
        with gone_is_fine():
            engine.remove_container(container["Id"], v=True, force=True)
    for volume in engine.volumes(filters=label)["Volumes"] or []:
        with gone_is_fine():
            engine.remove_volume(volume["Name"])


def _untag(engine: APIClient, prefix: str) -> None:
    """Take the names with a prefix from all images; an image without another name goes with its last."""
    for image in engine.images():
        for reference in [*(image["RepoTags"] or []), *(image["RepoDigests"] or [])]:
            if reference.startswith(prefix):
                with gone_is_fine():
                    engine.remove_image(reference, noprune=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
