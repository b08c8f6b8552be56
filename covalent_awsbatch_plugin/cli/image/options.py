"""What the subcommands share: their options, the settings made of them, and errors as a person wants them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.image.environment import Recipe
    from covalent_awsbatch_plugin.session import Session
    from covalent_awsbatch_plugin.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

MB = 1_000_000

ACCOUNT_OPTIONS = (
    click.option("--credentials", help="AWS shared credentials file."),
    click.option("--profile", help="Profile of the AWS configuration."),
    click.option("--region", help="AWS region."),
    click.option("--endpoint-url", help="Endpoint of all AWS services, such as a local AWS."),
    click.option("--repository", "ecr_repo_name", help="ECR repository."),
)

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


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Give a command many options, in the order in which its help is to show them."""

    def decorate(function: Command) -> Command:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def in_one_sentence(function: Command) -> Command:
    """Show our own errors and AWS's as a person wants them: without a traceback."""

    @wraps(function)
    def run(**options: Any) -> Any:
        from botocore.exceptions import ClientError

        from covalent_awsbatch_plugin.errors import AWSBatchError
        from covalent_awsbatch_plugin.settling import explain

        try:
            return function(**options)
        except (AWSBatchError, ClientError) as error:
            raise click.ClickException(explain(error)) from error

    return run  # type: ignore[return-value]  # wraps() keeps the signature, which no type says


def _settings(options: dict[str, Any]) -> Settings:
    """Combine the options that are settings with Covalent's configuration; what is given wins."""
    from covalent._shared_files.config import get_config

    from covalent_awsbatch_plugin.settings import CONFIG_SECTION, Settings, resolve

    given = {name: value for name, value in options.items() if name in Settings.model_fields and value}
    if "requirements" in given:
        given["requirements"] = list(given["requirements"])
    if options.get("requirements_file"):
        if "requirements" in given:
            raise click.UsageError("Give --require or --requirements-file, not both.")
        given["requirements"] = options["requirements_file"]
    if options.get("covalent") == "none":
        given["install_covalent"] = False
    configured: Any = get_config(CONFIG_SECTION)
    return resolve(given, configured).settings


def opened(options: dict[str, Any]) -> tuple[Settings, Session]:
    """Return the settings that the options make, and the session of their account."""
    from covalent_awsbatch_plugin.session import open_session

    settings = _settings(options)
    return settings, open_session(settings)


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
