"""The image: that the registry has it or can take it, and that something here can build it."""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from .. import docker_client
from ..docker_client import EngineUnreachable
from ..image import registry
from ..image.environment import PLATFORMS, Recipe, recipe
from ..image.provide import build_command, environment_for
from ..refusals import error_code
from ..session import Session
from ..settings import Settings
from ..threads import in_thread
from .commands import configure
from .finding import Finding, failed, ok, warning
from .rights import builds_image
from .subject import Subject

ENGINE_SILENCE_S = 10
START = "sudo systemctl start docker"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
"""Where Linux lists the programs that run other processors' code."""
EMULATORS = {"linux/amd64": "qemu-x86_64", "linux/arm64": "qemu-aarch64"}
ENGINES_WITH_EMULATION = re.compile("Docker Desktop|Rancher Desktop|OrbStack")

OWN_REGISTRY = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^@:]+)(.*)")
"""Account, region, repository, and tag or digest of an image in ECR."""


async def recipe_here(session: Session, settings: Settings) -> Recipe:
    """Return the recipe of the image for a task of this process, with no requirements of its own.

    Raises ImageError where the build context cannot be read.
    """
    needed = await environment_for(
        session,
        settings,
        dispatch_id="",
        python_version=platform.python_version(),
        cloudpickle_version=metadata.version("cloudpickle"),
    )
    return recipe(needed)


async def look_at_repository(subject: Subject) -> AsyncIterator[Finding]:
    """See whether there is a repository for the images that are built."""
    from botocore.exceptions import ClientError

    check, repository = "repository", subject.settings.ecr_repo_name
    if not builds_image(subject.settings):
        return
    ecr = partial(subject.commands.aws, "ecr")
    try:
        answer = await subject.ask("ecr", "describe_repositories", repositoryNames=[repository])
    except ClientError as error:
        if error_code(error) != "RepositoryNotFoundException":
            raise
        seen = f"there is no ECR repository {repository!r}; the first image that is built makes it"
        why = "that takes the right ecr:CreateRepository"
        yield warning(check, seen, why, ecr("create-repository", "--repository-name", repository))
        return
    found = answer["repositories"][0]
    if found.get("imageScanningConfiguration", {}).get("scanOnPush"):
        yield ok(check, f"{repository}, images are scanned")
        return
    options = ("--repository-name", repository, "--image-scanning-configuration", "scanOnPush=true")
    mend = ecr("put-image-scanning-configuration", *options)
    yield ok(check, f"{repository}; images are not scanned for known holes", mend)


async def look_at_image(subject: Subject) -> AsyncIterator[Finding]:
    """See whether the image of a task without requirements of its own is there."""
    check, settings = "image", subject.settings
    if settings.job_definition:
        yield ok(check, f"that of the job definition {settings.job_definition}")
    elif settings.container_image_uri:
        yield await _own_image(subject, settings.container_image_uri)
    elif digest := await registry.digest_of(subject.session, settings.ecr_repo_name, await _tag(subject)):
        yield ok(check, f"{settings.ecr_repo_name}:{await _tag(subject)} is there ({digest[:19]}…)")
    else:
        seen = f"{settings.ecr_repo_name}:{await _tag(subject)} is not there yet; the first task builds it"
        yield ok(check, seen, await _build(subject))


async def _tag(subject: Subject) -> str:
    return (await recipe_here(subject.session, subject.settings)).tag


async def _build(subject: Subject) -> str:
    made = await recipe_here(subject.session, subject.settings)
    return shlex.join(build_command(subject.settings, await subject.identity(), made))


async def _own_image(subject: Subject, uri: str) -> Finding:
    from botocore.exceptions import ClientError

    check, who = "image", await subject.identity()
    found = OWN_REGISTRY.fullmatch(uri)
    if found is None or (found[1], found[2]) != (who.account_id, who.region):
        return ok(check, f"{uri}, your own, in a registry that is not looked at from here")
    repository, rest = found[3], found[4]
    image = {"imageDigest": rest[1:]} if rest.startswith("@") else {"imageTag": rest[1:] or "latest"}
    try:
        await subject.ask("ecr", "describe_images", repositoryName=repository, imageIds=[image])
    except ClientError as error:
        if error_code(error) not in {"ImageNotFoundException", "RepositoryNotFoundException"}:
            raise
        mend = configure("container_image_uri", "")
        return failed(check, f"ECR has no image {uri}", "no job's container can be made", mend)
    return ok(check, f"{uri}, your own, is there")


async def look_at_docker(subject: Subject) -> AsyncIterator[Finding]:
    """See whether a Docker engine can build the image."""
    check, settings = "docker", subject.settings
    if not builds_image(settings):
        return
    try:
        told = await in_thread(_engine)
    except EngineUnreachable as error:
        seen = f"no Docker engine answers at {error}".rstrip(".")
        if await registry.digest_of(subject.session, settings.ecr_repo_name, await _tag(subject)):
            yield warning(check, seen, "other images than the one that is there cannot be built", START)
        else:
            yield failed(check, seen, "nothing here can build the image that is missing", START)
        return
    wanted = PLATFORMS[settings.cpu_architecture]
    if told.platform == wanted or told.emulates(wanted):
        yield ok(check, f"Docker {told.version} for {told.platform}")
        return
    seen = f"Docker {told.version} is for {told.platform}, images are for {wanted}"
    mend = f"docker run --privileged --rm tonistiigi/binfmt --install {wanted.partition('/')[2]}"
    yield warning(
        check, seen, "without an emulation of that processor no build gets beyond its first step", mend
    )


@dataclass(frozen=True)
class _Told:
    """What a Docker engine tells of itself."""

    version: str
    platform: str
    system: str

    def emulates(self, wanted: str) -> bool:
        """Tell whether it runs another platform's programs, as far as can be seen from here."""
        return bool(ENGINES_WITH_EMULATION.search(self.system)) or (BINFMT / EMULATORS[wanted]).exists()


def _engine() -> _Told:
    from docker.errors import DockerException

    api = docker_client.connect(ENGINE_SILENCE_S)
    try:
        version, info = api.version(), api.info()
        return _Told(
            version["Version"], f"{version['Os']}/{version['Arch']}", info.get("OperatingSystem", "")
        )
    except (DockerException, OSError) as error:
        raise EngineUnreachable(str(error)) from error
    finally:
        api.close()
