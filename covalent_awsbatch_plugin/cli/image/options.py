"""What the subcommands for images share: their options, and the recipe made of them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli import options as common
from covalent_awsbatch_plugin.cli.options import ACCOUNT_OPTIONS

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.image.environment import Recipe
    from covalent_awsbatch_plugin.session import Session
    from covalent_awsbatch_plugin.settings import Settings

MB = 1_000_000

REGISTRY_OPTIONS = (*ACCOUNT_OPTIONS, click.option("--repository", "ecr_repo_name", help="ECR repository."))

PYTHON_VERSION = re.compile(r"\d+\.\d+(\.\w+)?")


def _python_version(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not PYTHON_VERSION.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no version of Python such as 3.11.")
    return value


ENVIRONMENT_OPTIONS = (
    click.option("--python", callback=_python_version, help="Python of the client.  [default: this one]"),
    click.option("--cloudpickle", help="cloudpickle of the client.  [default: this one's]"),
    click.option("--obstore", help="obstore of the server.  [default: this one's]"),
    click.option("--covalent", help="Covalent of the server, or `none`.  [default: this one's]"),
    click.option("--base-image", help="Image to build on."),
    click.option("--build-context", help="Directory with a Dockerfile of your own to build on."),
    click.option("--cpu-architecture", type=click.Choice(["X86_64", "ARM64"]), help="Processor of the jobs."),
    click.option("--require", "requirements", multiple=True, help="A requirement; repeatable."),
    click.option("--requirements-file", type=click.Path(dir_okay=False), help="Or a file of them."),
    click.option("--pip-package", "pip_packages", multiple=True, help="A task's DepsPip; repeatable."),
)


def opened(options: dict[str, Any]) -> tuple[Settings, Session]:
    """Return the settings that the options make, and the session of their account."""
    changed = dict(options)
    if options.get("requirements_file"):
        if options["requirements"]:
            raise click.UsageError("Give --require or --requirements-file, not both.")
        changed["requirements"] = options["requirements_file"]
    if options.get("covalent") == "none":
        changed["install_covalent"] = False
    return common.opened(changed)


async def recipe_from(session: Session, settings: Settings, options: dict[str, Any]) -> Recipe:
    """Return the recipe of the environment that the options describe; versions are else those here.

    Raises ClickException where a package is refused, ImageError where the build context cannot be read.
    """
    import platform
    from importlib.metadata import version

    from covalent_awsbatch_plugin.image.environment import recipe
    from covalent_awsbatch_plugin.image.provide import environment_for

    wanted = await environment_for(
        session,
        settings,
        dispatch_id="",
        python_version=options["python"] or platform.python_version(),
        cloudpickle_version=options["cloudpickle"] or version("cloudpickle"),
        pip_packages=_lines("--pip-package", options["pip_packages"]),
    )
    others = {name: options[name] for name in ("obstore", "covalent") if options[name] not in (None, "none")}
    return recipe(replace(wanted, **others))


def _lines(option: str, given: tuple[str, ...]) -> list[str]:
    from covalent_awsbatch_plugin.requirements import UnusableRequirement, normalised

    try:
        return normalised(given)
    except UnusableRequirement as error:
        raise click.ClickException(f"{option} is refused: {error}.") from error
