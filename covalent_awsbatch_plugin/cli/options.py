"""What all subcommands share: their options, the settings made of them, and errors as a person wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.session import Session
    from covalent_awsbatch_plugin.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

ACCOUNT_OPTIONS = (
    click.option("--credentials", help="AWS shared credentials file."),
    click.option("--profile", help="Profile of the AWS configuration."),
    click.option("--region", help="AWS region."),
    click.option("--endpoint-url", help="Endpoint of all AWS services, such as a local AWS."),
)

JOB_OPTIONS = (
    *ACCOUNT_OPTIONS,
    click.option("--queue", "batch_queue", help="Job queue, by name or ARN."),
    click.option("--bucket", "s3_bucket_name", help="S3 bucket of functions, arguments and results."),
)

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


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


def opened(options: dict[str, Any]) -> tuple[Settings, Session]:
    """Return the settings that the options make, and the session of their account.

    What is not given is taken from Covalent's configuration; options that are no settings are left alone.
    Raises SettingsError for what AWS would refuse.
    """
    from covalent_awsbatch_plugin.session import open_session

    settings = settings_of(options)
    return settings, open_session(settings)


def settings_of(options: Mapping[str, Any], executor_options: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings that the options make, of an executor that has some of its own.

    Options come before those of the executor, and these before Covalent's configuration; options that are no
    settings are left alone. Raises SettingsError for what AWS would refuse.
    """
    from covalent_awsbatch_plugin.configuration import configured
    from covalent_awsbatch_plugin.settings import resolve

    return resolve(given_of(options), {**configured(), **(executor_options or {})}).settings


def given_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options that were given and are settings."""
    from covalent_awsbatch_plugin.settings import Settings

    is_given = {name: value not in (None, "", ()) for name, value in options.items()}
    return {name: options[name] for name in Settings.model_fields if is_given.get(name)}
