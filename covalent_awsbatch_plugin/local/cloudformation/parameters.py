"""The parameters of a stack: what was given, what is the default, and whether the template allows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..jobs import Json
from .errors import invalid
from .intrinsics import as_text
from .template import Template


def taken(template: Template, given: Iterable[Json], previous: Mapping[str, str]) -> dict[str, str]:
    """Return all of a template's parameters as text.

    `given` is a request's list; `previous` has the values of the stack as it is. Raises ApiError
    (ValidationError) for one that is missing, unknown, or not allowed.
    """
    named = {each["ParameterKey"]: each for each in given}
    unknown = sorted(set(named) - set(template.parameters))
    if unknown:
        raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {
        name: _value(name, rule, named.get(name), previous) for name, rule in template.parameters.items()
    }
    missing = sorted(name for name, value in values.items() if value is None)
    if missing:
        raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
    found = {name: value for name, value in values.items() if value is not None}
    for name, value in found.items():
        _check(name, template.parameters[name], value)
    return found


def _value(name: str, rule: Json, given: Json | None, previous: Mapping[str, str]) -> str | None:
    if given is not None and given.get("UsePreviousValue"):
        if name not in previous:
            raise invalid(f"Parameter {name} has no previous value")  # own wording
        return previous[name]
    if given is not None and "ParameterValue" in given:
        return str(given["ParameterValue"])
    return as_text(rule["Default"]) if "Default" in rule else None


def typed(template: Template, values: Mapping[str, str]) -> dict[str, Any]:
    """Return parameters as Ref gives them: lists are lists, all else is text."""
    return {name: _typed(template.parameters[name], value) for name, value in values.items()}


def _typed(rule: Json, value: str) -> Any:
    if rule["Type"] == "CommaDelimitedList" or rule["Type"].startswith("List<"):
        return [each.strip() for each in value.split(",")] if value else []
    return value


def shown(template: Template, values: Mapping[str, str]) -> list[Json]:
    """Return parameters as descriptions show them."""
    return [
        {
            "ParameterKey": name,
            "ParameterValue": "****" if _is_secret(template.parameters[name]) else value,
        }
        for name, value in values.items()
    ]


def declared(template: Template) -> list[Json]:
    """Return the parameters as ValidateTemplate shows them."""
    return [
        {
            "ParameterKey": name,
            "DefaultValue": as_text(rule.get("Default", "")),
            "NoEcho": _is_secret(rule),
            "Description": rule.get("Description", ""),
        }
        for name, rule in template.parameters.items()
    ]


def _is_secret(rule: Json) -> bool:
    return as_text(rule.get("NoEcho", False)) == "true"


def _check(name: str, rule: Json, value: str) -> None:
    allowed = [as_text(each) for each in rule.get("AllowedValues", [])]
    if allowed and value not in allowed:
        raise _refused(name, rule, f"must be one of [{', '.join(allowed)}]")
    pattern = rule.get("AllowedPattern")
    if pattern is not None and re.fullmatch(pattern, value) is None:
        raise _refused(name, rule, f"must match pattern {pattern}")
    if rule["Type"] == "Number":
        _check_number(name, rule, value)
    elif not int(rule.get("MinLength", 0)) <= len(value) <= int(rule.get("MaxLength", len(value))):
        raise _refused(
            name, rule, f"must contain {rule.get('MinLength', 0)} to {rule['MaxLength']} characters"
        )


def _check_number(name: str, rule: Json, value: str) -> None:
    try:
        number = float(value)
    except ValueError:
        raise invalid(f"Parameter '{name}' must be a number.") from None
    if "MinValue" in rule and number < float(rule["MinValue"]):
        raise _refused(name, rule, f"must be a number not less than {rule['MinValue']}")
    if "MaxValue" in rule and number > float(rule["MaxValue"]):
        raise _refused(name, rule, f"must be a number not greater than {rule['MaxValue']}")


def _refused(name: str, rule: Json, why: str) -> Exception:
    if "ConstraintDescription" in rule:
        return invalid(f"Parameter '{name}' failed to satisfy constraint: {rule['ConstraintDescription']}")
    return invalid(f"Parameter '{name}' {why}")
