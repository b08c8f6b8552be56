"""`covalent deploy up | status | down awsbatch`: what Covalent asks of a plugin's module for it.

Covalent runs the Terraform in `assets/infra/` with the options of `ExecutorInfraDefaults`, and writes what
that leaves in `awsbatch.conf`, checked by `ExecutorPluginDefaults`, into `[executors.awsbatch]`. Where it
will stumble on the way, the user is told before it does.
"""

from __future__ import annotations

import builtins
import json
import logging
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from .errors import SettingsError
from .infra.parameters import InfraParameters, checked
from .settings import Settings

log = logging.getLogger(__name__)

OLDEST_TERRAFORM = 1.4
"""What Covalent 0.240 asks for, of a version's first three characters: 1.10 and later count as 1.1."""

TERRAFORM_ANSWERS_WITHIN_S = 20

INSTEAD_OF_VARIABLES = {
    "AWS_PROFILE": ("profile",),
    "AWS_ACCESS_KEY_ID": ("credentials", "profile"),
    "AWS_SHARED_CREDENTIALS_FILE": ("credentials",),
    "AWS_REGION": ("region",),
    "AWS_DEFAULT_REGION": ("region",),
    "AWS_ENDPOINT_URL": ("endpoint_url",),
    "HOME": ("credentials",),
}
"""What Covalent keeps from Terraform, and the options of which one says the same."""

ABOUT_CONTENTS = (
    "AWS deletes no bucket and no repository that holds anything, and so not the whole stack either: "
    "`covalent-awsbatch infra down` empties them after asking."
)


class ExecutorInfraDefaults(InfraParameters):
    """The cloud set-up's options, refused in words that Covalent's command line shows."""

    def __init__(self, **given: Any) -> None:
        try:
            checked(given)
        except SettingsError as error:
            raise click.UsageError(str(error)) from None
        super().__init__(**given)
        if self.credentials and not Path(self.credentials).expanduser().is_absolute():
            raise click.UsageError(
                f"credentials is refused: Terraform runs in another directory, so the path must be "
                f"absolute; {Path(self.credentials).absolute()} would do."
            )


class ExecutorPluginDefaults(Settings):
    """The executor's options: those that the stack tells, and those that `covalent deploy up` was given.

    Covalent hands the latter to Terraform, which has no use for them; so they are taken from the command that
    runs, and count before the stack's: `--batch_queue` may choose another of its queues. Each is checked by
    itself: what goes together depends on the rest of `[executors.awsbatch]` too, and the executor says it.
    """

    def __init__(self, **told: Any) -> None:
        own = {name: value for name, value in _given().items() if name not in InfraParameters.model_fields}
        try:
            super().__init__(**{**told, **own})
        except ValidationError as error:
            raise click.UsageError("\n".join(_refusals(error))) from None

    def dict(self, **_: Any) -> builtins.dict[str, Any]:
        """Return what was set alone: Covalent writes all of this over what the user has configured."""
        return self.model_dump(exclude_unset=True)


def _refusals(error: ValidationError) -> Iterator[str]:
    """Say what is refused, a sentence for each option; not its value, which may be a variable's secret."""
    reasons = {each["loc"][0]: each["msg"] for each in error.errors()}
    for name, reason in reasons.items():
        yield f"{name} is refused: {reason[0].lower()}{reason[1:]}."


def tell_obstacles() -> None:
    """Print what `covalent deploy` is about to stumble over, a sentence each; nothing for other commands."""
    context = click.get_current_context(silent=True)
    if context is None or context.parent is None or context.parent.info_name != "deploy":
        return
    for sentence in _obstacles(context.info_name or ""):
        click.secho(f"Warning: {sentence}", fg="yellow", err=True)


def _obstacles(command: str) -> Iterator[str]:
    yield from _about_terraform(command)
    if command == "up":
        yield from _about_variables()
    if command == "down":
        yield ABOUT_CONTENTS


def _about_terraform(command: str) -> Iterator[str]:
    version = _terraform_version()
    if version and _is_taken_for_old(version):
        yield (
            f"Covalent refuses Terraform {version}: it takes 1.4 to 1.9, and reads 1.10 and later as 1.1; "
            f"put one that it takes first on the PATH, or use `covalent-awsbatch infra {command}`, which "
            f"needs none."
        )


def _about_variables() -> Iterator[str]:
    missed = _missed_variables(_given())
    if missed:
        options = " ".join(f"--{option}=…" for option in dict.fromkeys(missed.values()))
        yield (
            f"Covalent does not pass {', '.join(missed)} on to Terraform: give {options}, or use "
            f"`covalent-awsbatch infra up`, which sees them."
        )


def _terraform_version() -> str:
    """Return the version of the Terraform on the PATH; empty where there is none that answers."""
    try:
        answer = subprocess.run(
            ["terraform", "version", "-json"],
            capture_output=True,
            timeout=TERRAFORM_ANSWERS_WITHIN_S,
            check=True,
        )
        return str(json.loads(answer.stdout)["terraform_version"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        log.debug("Terraform does not tell its version: %r", error)
        return ""


def _is_taken_for_old(version: str) -> bool:
    """Tell what Covalent makes of a version, of which it reads three characters."""
    try:
        return float(version[:3]) < OLDEST_TERRAFORM
    except ValueError:
        return False


def _missed_variables(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that matter and say what no option says, each with the option that would."""
    return {
        name: options[0]
        for name, options in INSTEAD_OF_VARIABLES.items()
        if _matters(name) and not any(option in given for option in options)
    }


def _matters(name: str) -> bool:
    value = os.environ.get(name, "")
    if name == "HOME" and value:
        return Path(value, ".aws").is_dir() and Path(value) != _home_without_variables()
    return bool(value)


def _home_without_variables() -> Path | None:
    """Return where AWS's SDKs look for `.aws` without HOME; None where the system does not know the user."""
    import pwd  # not on Windows

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def _given() -> dict[str, str]:
    """Return the options of the `covalent deploy up` that runs; none where none does."""
    context = click.get_current_context(silent=True)
    words = context.params.get("vars", ()) if context else ()
    return dict(word.removeprefix("--").split("=", 1) for word in words)
