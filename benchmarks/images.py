"""How large the images of tasks are, how long they take to make, and how soon a container runs.

    python -m benchmarks.images [RUNS]

Needs a Docker engine. An image without and one with Covalent are built from their first own layer on (the
base image is there) and pushed to the registry of a local AWS. Then containers of the base and of the image
are started in turn, so that a noisy machine moves both, and the seconds until their command has ended are
compared.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

os.environ["HOME"] = tempfile.mkdtemp()  # Covalent, whose version is asked for, writes there

import cloudpickle
import docker

from covalent_awsbatch_plugin import preflight
from covalent_awsbatch_plugin.image.engine import LOCAL_NAME
from covalent_awsbatch_plugin.image.environment import Recipe, environment, recipe
from covalent_awsbatch_plugin.image.provide import provide
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.runner import RunnerKind
from covalent_awsbatch_plugin.session import open_session
from covalent_awsbatch_plugin.settings import Settings
from demo.containers import base_image

atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)

MB = 1_000_000
RUNTIME_MODULES = "covalent_awsbatch_plugin.runtime.job, cloudpickle"
"""What a job imports before it reads its task."""


def settings_for(aws: LocalAWS, *, covalent: bool) -> Settings:
    """Return the settings of an image on this machine's base."""
    base = base_image()
    own = {} if base is None else {"base_image": base}
    return Settings(**{**aws.settings, **own, "install_covalent": covalent})


def recipe_of(settings: Settings) -> Recipe:
    """Return the recipe of an image for this Python and cloudpickle."""
    wanted = environment(
        settings,
        python_version=".".join(map(str, sys.version_info[:3])),
        cloudpickle_version=cloudpickle.__version__,
    )
    return recipe(wanted)


async def make(settings: Settings, made: Recipe) -> tuple[str, ...]:
    """Have the image built and pushed, and return the notes on it."""
    session = open_session(settings)
    return (await provide(session, settings, await preflight.identity(session), made)).notes


def median_s(runs: int, *starts: Callable[[], object]) -> list[float]:
    """Return the median seconds of each start, taken in turn so that a noisy machine moves all."""
    taken: list[list[float]] = [[] for _ in starts]
    for _ in range(runs):
        for times, start in zip(taken, starts, strict=True):
            began_s = time.perf_counter()
            start()
            times.append(time.perf_counter() - began_s)
    return [statistics.median(times) for times in taken]


def start(engine: docker.DockerClient, image: str, code: str) -> Callable[[], object]:
    """Return what runs Python code in a new container and removes it."""
    command = ["python3", "-c", code]
    return partial(engine.containers.run, image, command, remove=True, network_mode="none")


def print_layers(engine: docker.DockerClient, image: str, base: str) -> None:
    """Print how large an image's layers above its base are, in all and each."""
    size = engine.images.get(image).attrs["Size"] - engine.images.get(base).attrs["Size"]
    print(f"layers above the base: {size / MB:.1f} MB")
    base_layers = len(engine.images.get(base).history())
    for layer in engine.images.get(image).history()[:-base_layers]:
        if layer["Size"]:
            print(f"  {layer['Size'] / MB:6.1f} MB  {layer['CreatedBy'][:90]}")


def print_starts(engine: docker.DockerClient, image: str, base: str, modules: str, runs: int) -> None:
    """Print how long a container needs, bare and with imports."""
    bare_s, with_imports_s = median_s(
        runs, start(engine, base, "pass"), start(engine, image, f"import {modules}")
    )
    print(f"container of the base, bare Python: {bare_s:.2f} s (median of {runs})")
    print(f"container that imports {modules}: {with_imports_s:.2f} s, {with_imports_s - bare_s:.2f} s more")


def measure(engine: docker.DockerClient, aws: LocalAWS, runs: int, *, covalent: bool) -> None:
    """Make one image anew and print its figures."""
    settings = settings_for(aws, covalent=covalent)
    made = recipe_of(settings)
    image, base = f"{LOCAL_NAME}:{made.tag}", made.environment.base_image
    with suppress(docker.errors.ImageNotFound):
        engine.images.remove(image)  # and with it the layers that a build would find ready
    print(f"\n{'With' if covalent else 'Without'} Covalent, on {base}:")
    for note in asyncio.run(make(settings, made)):
        print(note)
    print_layers(engine, image, base)
    print_starts(engine, image, base, RUNTIME_MODULES, runs)
    if covalent:
        print_starts(engine, image, base, "covalent", runs)


def main(runs: int) -> None:
    """Measure and print."""
    engine = docker.from_env()
    with LocalAWS(runner=RunnerKind.DOCKER) as aws:
        for covalent in (False, True):
            measure(engine, aws, runs, covalent=covalent)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
