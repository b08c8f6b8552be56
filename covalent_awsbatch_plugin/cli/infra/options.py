"""What the subcommands for the cloud set-up share: one option for each parameter, and questions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, get_args

import click
from annotated_types import Ge, Le

from covalent_awsbatch_plugin.cli.options import ACCOUNT_OPTIONS
from covalent_awsbatch_plugin.infra.parameters import PLACE, InfraParameters

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

YES_OPTION = click.option("--yes", is_flag=True, help="Do not ask.")


def _option(name: str) -> Callable[[Any], Any]:
    """Return the option of a parameter; None stands for one that is not given."""
    field = InfraParameters.model_fields[name]
    flag = name.replace("_", "-")
    if field.annotation is bool:
        return click.option(f"--{flag}/--no-{flag}", name, default=None, help=_help(field))
    return click.option(f"--{flag}", name, type=_type(field), help=_help(field))


def _help(field: FieldInfo) -> str:
    description, default = field.description or "", field.default
    shown = {True: "yes", False: "no"}[default] if isinstance(default, bool) else str(default)
    begins_low = description.partition(" ")[0].islower()  # not: vCPUs
    sentence = f"{description[:1].upper() if begins_low else description[:1]}{description[1:]}."
    return f"{sentence}  [default: {shown}]" if shown else sentence


def _type(field: FieldInfo) -> Any:
    if field.annotation is int:
        limits: dict[str, Any] = {"min": None, "max": None}
        for each in field.metadata:
            if isinstance(each, Ge):
                limits["min"] = each.ge
            elif isinstance(each, Le):
                limits["max"] = each.le
        return click.IntRange(**limits)
    choices = get_args(field.annotation)
    return click.Choice(choices) if choices else click.STRING


STACK_OPTIONS = (_option("stack_name"), *ACCOUNT_OPTIONS)

PARAMETER_OPTIONS = (
    *STACK_OPTIONS,
    *(_option(name) for name in InfraParameters.model_fields if name not in PLACE),
)


def given_parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that were given, the stack's name and account among them."""
    return {name: value for name, value in options.items() if value is not None}


def agreed(question: str, *, yes: bool) -> bool:
    """Ask, unless it was said with --yes; where nobody can be asked, nobody has agreed."""
    if yes:
        return True
    try:
        return sys.stdin.isatty() and click.confirm(question, err=True)
    except click.Abort:  # Ctrl-C: the caller has something to put away first
        click.echo(err=True)
        return False
