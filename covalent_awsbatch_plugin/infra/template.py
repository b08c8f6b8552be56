"""The CloudFormation template of the cloud set-up, and its values and outputs in our own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from ..settings import Settings
from .parameters import InfraParameters, template_parameter, template_values

PACKAGE = "covalent_awsbatch_plugin"


def text() -> str:
    """Return the template as it is sent to CloudFormation, which takes 51,200 bytes at most."""
    return (files(PACKAGE) / "assets" / "infra" / "template.yaml").read_text(encoding="utf-8")


def request_parameters(
    wanted: InfraParameters, given: Iterable[str], present: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the template's parameters as CloudFormation is asked for them.

    `given` are the fields that the user gave; of the others, those that the stack has already (`present`, in
    the template's names) keep what they are, and the rest have their defaults.
    """
    chosen = {template_parameter(name) for name in given}
    kept = set(present) - chosen
    return [
        {"ParameterKey": key, **({"UsePreviousValue": True} if key in kept else {"ParameterValue": value})}
        for key, value in template_values(wanted).items()
    ]


def settings_in(outputs: Mapping[str, str]) -> dict[str, Any]:
    """Return those outputs of a stack that are options of the executor, under the options' names.

    CloudFormation's outputs are text; the options have their own types.
    """
    options = {template_parameter(name): name for name in Settings.model_fields}
    told = {options[key]: value for key, value in outputs.items() if key in options}
    return Settings.model_validate(told).model_dump(exclude_unset=True)
