"""The way to an image: the user's own, the registry's, or one that is built and pushed now."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..errors import NoEngineError, PushError
from ..preflight import Identity
from ..session import Session
from ..settings import Settings
from ..threads import in_background, in_thread
from . import context, registry
from .engine import Engine, connect
from .engine_output import LoginRefusedError, Pushed
from .environment import Environment, Recipe, environment
from .progress import Report, steps
from .registry import Login

log = logging.getLogger(__name__)

T = TypeVar("T")

BUILD_LANE = "image"
BUILDS_AT_ONCE = 2
"""Different images; tasks that need the same one wait for one build. More only get in each other's way."""

MIB = 1 << 20


@dataclass(frozen=True)
class Image:
    """The image of a task; `notes` tell how it was made, and when (`time.monotonic`), if it was just now."""

    uri: str
    notes: tuple[str, ...] = ()
    made_at_s: float = 0.0


async def environment_for(
    session: Session,
    settings: Settings,
    *,
    dispatch_id: str,
    python_version: str,
    cloudpickle_version: str,
    pip_packages: Sequence[str] = (),
) -> Environment:
    """Return what a task's container must have; its build context is read once for a dispatch.

    Raises ImageError where the build context cannot be read.
    """
    context_hash = ""
    directory = _build_context(settings)
    if directory is not None:
        read = partial(in_thread, partial(context.digest, directory))
        context_hash = await session.once(("build context", dispatch_id, str(directory)), read)
    return environment(
        settings,
        python_version=python_version,
        cloudpickle_version=cloudpickle_version,
        pip_packages=pip_packages,
        context_hash=context_hash,
    )


def _build_context(settings: Settings) -> Path | None:
    return Path(settings.build_context).expanduser() if settings.build_context else None


async def provide(
    session: Session, settings: Settings, who: Identity, made: Recipe, report: Report | None = None
) -> Image:
    """Return the image of a recipe by its digest, found in the registry or built and pushed, once.

    Without `report` the steps of a build go into the log. Raises ImageError in one sentence and the next
    step; whoever asks next tries again.
    """
    make = partial(_find_or_make, session, settings, who, made, report or steps(log.info))
    return await session.once(_key(settings, made), make)


def forget(session: Session, settings: Settings, made: Recipe, gone_uri: str) -> None:
    """Look for the image anew the next time, unless that was done since: this one may have been deleted."""
    session.forget(_key(settings, made), lambda image: image.uri == gone_uri)


def _key(settings: Settings, made: Recipe) -> tuple[str, str, str]:
    return "image", settings.ecr_repo_name, made.tag


async def _find_or_make(
    session: Session, settings: Settings, who: Identity, made: Recipe, report: Report
) -> Image:
    repository_uri = f"{registry.registry_of(who, settings.endpoint_url)}/{settings.ecr_repo_name}"
    digest = await registry.digest_of(session, settings.ecr_repo_name, made.tag)
    if digest:
        return Image(f"{repository_uri}@{digest}")
    engine = await _engine(settings, who, made)
    try:
        await registry.ensure_repository(session, settings.ecr_repo_name)
        return await _make(session, settings, engine, repository_uri, made, report)
    finally:
        engine.close()


async def _engine(settings: Settings, who: Identity, made: Recipe) -> Engine:
    try:
        return await in_thread(connect)
    except NoEngineError as error:
        command = shlex.join(build_command(settings, who, made))
        raise NoEngineError(
            f"The ECR repository {settings.ecr_repo_name!r} has no image {made.tag} for this task, and no "
            f"Docker engine answers that could build it ({error}). One of three ways leads on: start Docker "
            f"on the Covalent server's machine; set container_image_uri to an image of your own (the README "
            f"gives its four lines); or build it on a machine that has Docker: {command}"
        ) from error


async def _make(
    session: Session, settings: Settings, engine: Engine, repository_uri: str, made: Recipe, report: Report
) -> Image:
    log.info("Building the image %s:%s", repository_uri, made.tag)
    started_s = time.monotonic()
    login = await registry.login(session)
    name = await _blocking(partial(engine.make, made, _build_context(settings), login, report))
    built_s = time.monotonic()
    push = partial(engine.push, name, repository_uri, made.tag)
    try:
        pushed = await _push(session, push, report)
    except PushError:
        # Another process may have been faster, with a tag that may not be overwritten.
        digest = await registry.digest_of(session, settings.ecr_repo_name, made.tag)
        if digest == "":
            raise
        return Image(f"{repository_uri}@{digest}")
    now_s = time.monotonic()
    notes = (
        f"built the image {repository_uri}:{made.tag} in {built_s - started_s:.0f} s",
        f"pushed it in {now_s - built_s:.0f} s ({pushed.size_bytes / MIB:.0f} MiB of layers that were new)",
    )
    for note in notes:
        log.info("%s", note)
    return Image(f"{repository_uri}@{pushed.digest}", notes, now_s)


async def _push(session: Session, push: Callable[[Login, Report], Pushed], report: Report) -> Pushed:
    """Push; a login that the registry refuses is replaced by a new one, once."""
    try:
        return await _blocking(partial(push, await registry.login(session), report))
    except LoginRefusedError:
        registry.forget_login(session)
        return await _blocking(partial(push, await registry.login(session), report))


async def _blocking(work: Callable[[], T]) -> T:
    return await in_background(work, lane=BUILD_LANE, at_once=BUILDS_AT_ONCE)


def build_command(settings: Settings, who: Identity, made: Recipe) -> list[str]:
    """Return the command that makes this very image on another machine."""
    wanted = made.environment
    options = {
        "--python": wanted.python,
        "--cloudpickle": wanted.cloudpickle,
        "--obstore": wanted.obstore,
        "--covalent": wanted.covalent or "none",
        "--base-image": wanted.base_image,
        "--build-context": settings.build_context,
        "--cpu-architecture": wanted.cpu_architecture,
        "--repository": settings.ecr_repo_name,
        "--region": who.region,
        "--endpoint-url": settings.endpoint_url,
    }
    command = ["covalent-awsbatch", "image", "build"]
    command += [part for pair in options.items() if pair[1] for part in pair]
    command += [f"--require={line}" for line in wanted.requirements]
    return command + [f"--pip-package={line}" for line in wanted.pip_packages]
