"""`covalent-awsbatch image`: make, look at and clear away the images that tasks run in."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from covalent_awsbatch_plugin.image.environment import Recipe
    from covalent_awsbatch_plugin.image.progress import Report
    from covalent_awsbatch_plugin.image.registry import StoredImage
    from covalent_awsbatch_plugin.prune import Plan
    from covalent_awsbatch_plugin.session import Session
    from covalent_awsbatch_plugin.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

MB = 1_000_000
SHORT_DIGEST_CHARS = 12
"""As `docker images` shows them."""

PIPED_WIDTH = 200
DEFAULT_OLDER_THAN_DAYS = 30.0

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


@click.group("image", no_args_is_help=True)
def command() -> None:
    """Make, look at and clear away the images that tasks run in.

    What is not given is taken from [executors.awsbatch] in Covalent's configuration.
    """


def _with(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(function: Command) -> Command:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _in_one_sentence(function: Command) -> Command:
    """Show our own errors and AWS's as a person wants them: without a traceback."""

    @wraps(function)
    def run(**options: Any) -> Any:
        from botocore.exceptions import ClientError

        from covalent_awsbatch_plugin.errors import AWSBatchError
        from covalent_awsbatch_plugin.pipeline import explain

        try:
            return function(**options)
        except (AWSBatchError, ClientError) as error:
            raise click.ClickException(explain(error)) from error

    return run  # type: ignore[return-value]  # wraps() keeps the signature, which no type says


@command.command("build")
@_with(*ENVIRONMENT_OPTIONS, *ACCOUNT_OPTIONS)
@_in_one_sentence
def build(**options: Any) -> None:
    """Build the image of an environment and push it, unless the registry has it.

    Prints the image's URI, and nothing else, on standard output.
    """
    from rich.console import Console

    console = Console(stderr=True)

    async def work() -> str:
        from covalent_awsbatch_plugin import preflight
        from covalent_awsbatch_plugin.image.provide import provide

        settings = _settings(options)
        session = _session(settings)
        made = await _recipe(session, settings, options)
        who = await preflight.identity(session)
        with _progress(console) as report:
            image = await provide(session, settings, who, made, report)
        for note in image.notes or (f"the registry has the image {made.tag} already: nothing was built",):
            console.out(note, highlight=False)
        if settings.container_image_uri:
            console.out("container_image_uri is set: tasks run in that image, not in this", highlight=False)
        return image.uri

    click.echo(_run(work()))


@command.command("show")
@click.option("--dockerfile", is_flag=True, help="Print the Dockerfile and nothing else.")
@_with(*ENVIRONMENT_OPTIONS, *ACCOUNT_OPTIONS)
@_in_one_sentence
def show(*, dockerfile: bool, **options: Any) -> None:
    """Show what the image of an environment is made from, and whether the registry has it."""

    async def work() -> str:
        from covalent_awsbatch_plugin.image import registry

        settings = _settings(options)
        session = _session(settings)
        made = await _recipe(session, settings, options)
        if dockerfile:
            return made.dockerfile.rstrip()
        digest = await registry.digest_of(session, settings.ecr_repo_name, made.tag)
        shown = {
            "repository": settings.ecr_repo_name,
            "tag": made.tag,
            "digest": digest or None,
            "environment": asdict(made.environment),
        }
        return json.dumps(shown, indent=2)

    click.echo(_run(work()))


@command.command("list")
@_with(*ACCOUNT_OPTIONS)
@_in_one_sentence
def list_images(**options: Any) -> None:
    """List the images of the repository, the last used first."""

    async def work() -> tuple[str, list[StoredImage]]:
        from covalent_awsbatch_plugin.image import registry

        settings = _settings(options)
        return settings.ecr_repo_name, await registry.images(_session(settings), settings.ecr_repo_name)

    repository, images = _run(work())
    if images:
        _print_images(images)
    else:
        click.echo(f"The repository {repository} has no images.", err=True)


@command.command("prune")
@click.option(
    "--older-than",
    "older_than_days",
    type=click.FloatRange(0),
    default=DEFAULT_OLDER_THAN_DAYS,
    show_default=True,
    help="Days in which an image was neither pushed nor pulled nor used by a job.",
)
@click.option("--yes", is_flag=True, help="Do it; otherwise only show what would be done.")
@_with(*ACCOUNT_OPTIONS)
@_in_one_sentence
def prune(*, older_than_days: float, yes: bool, **options: Any) -> None:
    """Delete images that no job has used for long, and deregister their job definitions.

    Shows what would go, and does it with --yes. Kept are images that a job definition of somebody else
    names, and those with a tag that is not ours. AWS Batch remembers a job for about a week: an image that
    was pulled longer ago counts as unused, whatever ran in it.
    """

    async def work() -> Plan:
        from covalent_awsbatch_plugin import prune as pruning

        settings = _settings(options)
        session = _session(settings)
        before = datetime.now(timezone.utc) - timedelta(days=older_than_days)
        planned = await pruning.plan(session, settings, before)
        if yes:
            await pruning.carry_out(session, settings, planned)
        return planned

    planned = _run(work())
    for each in planned.definitions:
        click.echo(f"{'Deregistered' if yes else 'Would deregister'} the job definition {each.name}")
    for image in planned.images:
        click.echo(f"{'Deleted' if yes else 'Would delete'} the image {' '.join(image.tags)}")
    if not planned.images:
        click.echo(f"There is nothing to delete (--older-than {older_than_days:g}).")
        return
    count, size_mb = len(planned.images), planned.size_bytes / MB
    total = f"{count} {'image' if count == 1 else 'images'}, {size_mb:.0f} MB"
    click.echo(total if yes else f"{total}. Nothing was changed: repeat it with --yes to do so.")


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


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


def _session(settings: Settings) -> Session:
    from covalent_awsbatch_plugin.pipeline import open_session

    return open_session(settings)


async def _recipe(session: Session, settings: Settings, options: dict[str, Any]) -> Recipe:
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


def _progress(console: Console) -> AbstractContextManager[Report]:
    """Show progress as a bar on a terminal, and as lines elsewhere."""
    from covalent_awsbatch_plugin.cli.image_progress import bar, lines

    return bar(console) if console.is_terminal else nullcontext(lines(console))


def _print_images(images: list[StoredImage]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    console = Console()
    columns = (Column("tag", no_wrap=True), "digest", Column("MB", justify="right"), "pushed", "last pulled")
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for image in images:
        table.add_row(
            " ".join(image.tags) or "(none)",
            image.digest.partition(":")[2][:SHORT_DIGEST_CHARS],
            f"{image.size_bytes / MB:.0f}",
            f"{image.pushed_at:%Y-%m-%d %H:%M}",
            f"{image.pulled_at:%Y-%m-%d}" if image.pulled_at else "",
        )
    console.print(table, width=None if console.is_terminal else PIPED_WIDTH)
