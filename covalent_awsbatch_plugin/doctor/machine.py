"""The machine: Covalent's configuration, the versions that are installed."""

from __future__ import annotations

import platform
import sys
from collections.abc import AsyncIterator, Iterator
from importlib import metadata

from packaging.requirements import Requirement

from ..configuration import config_file, server_url
from ..covalent_server import CovalentServer
from ..errors import CovalentServerError, SettingsError
from . import commands
from .finding import Finding, failed, ok, warning
from .subject import Subject

PACKAGE = "covalent-awsbatch-plugin"
PLUGIN = "covalent_awsbatch_plugin.awsbatch"
PLUGINS = "covalent.executor.executor_plugins"
"""The group of entry points in which Covalent looks for executors."""

FIRST_WITHOUT_CLUSTER = (3, 13)
"""From this Python on Covalent 0.240 starts only without its Dask cluster."""


async def look_at_configuration(subject: Subject) -> AsyncIterator[Finding]:
    """Read the options, and Covalent's file of them."""
    check, path = "configuration", str(config_file())
    try:
        resolution = subject.resolution
    except SettingsError as error:
        text = str(error).rstrip(".")
        yield failed(check, text, "no task begins with these options", commands.edit(path))
        return
    for text in resolution.warnings:
        why = "it may be meant for an older version, and does nothing"
        yield warning(check, text.rstrip("."), why, commands.edit(path))
    if not resolution.warnings:
        settings = resolution.settings
        asked = f"{settings.vcpu:g} vCPU, {settings.memory:g} GB on {settings.platform}"
        yield ok(check, f"{path if config_file().exists() else 'no file'}: jobs ask for {asked}")


async def look_at_versions(_: Subject) -> AsyncIterator[Finding]:
    """Compare what is installed with what this package was made for."""
    problems = [*_unsuitable(), *_unregistered()]
    for each in problems:
        yield each
    if sys.version_info >= FIRST_WITHOUT_CLUSTER:
        seen = f"Covalent does not start its cluster on Python {platform.python_version()}"
        yield warning("versions", seen, "workflows need its server", "covalent start --no-cluster")
    elif not problems:
        shown = ", ".join(f"{name} {metadata.version(name)}" for name in ("covalent", "fastapi"))
        yield ok("versions", f"{shown}, Python {platform.python_version()}, the plugin is registered")


def _unsuitable() -> Iterator[Finding]:
    for line in metadata.requires(PACKAGE) or ():
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        found = _version(wanted.name)
        if not found or not wanted.specifier.contains(found, prereleases=True):
            seen = (
                f"{wanted.name} {found or 'is not installed'}, but {wanted.name}{wanted.specifier} is needed"
            )
            mend = f"pip install '{wanted.name}{wanted.specifier}'"
            yield failed("versions", seen, _why(wanted.name), mend)


def _version(package: str) -> str:
    """Return the version that is installed; empty where none is."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _why(package: str) -> str:
    if package == "fastapi":
        return "from 0.132 on it answers every dispatch of Covalent's with 422"
    return "this package was made for, and tested with, these versions"


def _unregistered() -> Iterator[Finding]:
    registered = [each.value for each in metadata.entry_points(group=PLUGINS) if each.name == "awsbatch"]
    if PLUGIN not in registered:
        others = f", but {', '.join(registered)}" if registered else ""
        seen = f"{PACKAGE} is not registered as Covalent's executor 'awsbatch'{others}"
        mend = f"pip install --force-reinstall --no-deps {PACKAGE}"
        yield failed("versions", seen, "Covalent does not find the executor by its name", mend)


async def look_at_server(subject: Subject) -> AsyncIterator[Finding]:
    """Compare the options with those of Covalent's server, where one runs."""
    check = "server"
    try:
        server = CovalentServer(server_url())
        theirs = await server.executor_options("awsbatch")
    except CovalentServerError:
        yield ok(check, f"none answers at {server_url()}; only workflows need it", mend="covalent start")
        return
    ours = subject.settings.model_dump(mode="json")
    different = sorted(name for name, value in theirs.items() if name in ours and ours[name] != value)
    if different:
        seen = f"{server.url} has other values of {', '.join(different)}"
        why = "a task that names only executor='awsbatch' has the server's"
        yield warning(check, seen, why, "covalent stop && covalent start")
    else:
        yield ok(check, f"{server.url} answers and has the same options")
