"""Read a template, YAML or JSON, and refuse what CloudFormation refuses before anything is made."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from ..jobs import Json
from .errors import invalid
from .intrinsics import PSEUDO_PARAMETERS, conditions_named, references

MAX_BODY_BYTES = 51_200
"""The largest TemplateBody (CloudFormation's quotas)."""

SECTIONS = frozenset(
    {
        "AWSTemplateFormatVersion",
        "Conditions",
        "Description",
        "Mappings",
        "Metadata",
        "Outputs",
        "Parameters",
        "Resources",
        "Rules",
    }
)
"""What a template may hold; transforms are not here. Metadata is taken and not looked at."""

RESOURCE_MEMBERS = frozenset(
    {
        "Condition",
        "DeletionPolicy",
        "DependsOn",
        "Metadata",
        "Properties",
        "Type",
        "UpdateReplacePolicy",
    }
)
"""What a resource may hold here: UpdatePolicy and CreationPolicy have no meaning for the types that are."""


@dataclass(frozen=True)
class Template:
    """A template that was checked."""

    text: str
    description: str | None
    parameters: Json
    mappings: Json
    conditions: Json
    resources: dict[str, Json]
    outputs: dict[str, Json]
    rules: dict[str, Json]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, and without dates: `2012-10-17` is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Json:
    """Return `!Sub x` as `{"Fn::Sub": x}`; `!GetAtt A.B` names two things."""
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def read_template(text: str, known_types: Collection[str]) -> Template:
    """Return a template whose resources are all of known types and refer to each other.

    Raises ApiError (ValidationError) with CloudFormation's words where it is none.
    """
    if len(text.encode()) > MAX_BODY_BYTES:
        raise invalid(
            "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must "
            f"have length less than or equal to {MAX_BODY_BYTES}"
        )
    body = _parsed(text)
    template = Template(
        text=text,
        description=body.get("Description"),
        parameters=_section(body, "Parameters"),
        mappings=_section(body, "Mappings"),
        conditions=_section(body, "Conditions"),
        resources=_section(body, "Resources"),
        outputs=_section(body, "Outputs"),
        rules=_section(body, "Rules"),
    )
    _check_resources(template, known_types)
    _check_references(template)
    _check_conditions(template)
    return template


def _parsed(text: str) -> Json:
    try:
        body = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise invalid(f"Template format error: YAML not well-formed.{where}") from error
    if not isinstance(body, dict):
        raise invalid("Template format error: unsupported structure.")
    unknown = sorted(set(body) - SECTIONS)
    if unknown:
        raise invalid(f"Invalid template property or properties [{', '.join(unknown)}]")
    return body


def _section(body: Json, name: str) -> Json:
    section = body.get(name) or {}
    if not isinstance(section, dict):
        raise invalid(f"Template format error: {name} must be an object.")
    return section


def _check_resources(template: Template, known_types: Collection[str]) -> None:
    if not template.resources:
        raise invalid("Template format error: At least one Resources member must be defined.")
    for logical_id, resource in template.resources.items():
        if "Type" not in resource:
            raise invalid(f"Template format error: [/Resources/{logical_id}] Every Resources object must "
                          "contain a Type member.")  # fmt: skip
        unknown = sorted(set(resource) - RESOURCE_MEMBERS)
        if unknown:
            raise invalid(f"Invalid template resource property '{unknown[0]}'")
    unknown_types = {resource["Type"] for resource in template.resources.values()} - set(known_types)
    if unknown_types:
        told = ", ".join(sorted(unknown_types))
        raise invalid(f"Template format error: Unrecognized resource types: [{told}]")


def _check_references(template: Template) -> None:
    known = {*template.parameters, *template.resources, *PSEUDO_PARAMETERS}
    for section, value in (("Resources", template.resources), ("Outputs", template.outputs)):
        unresolved = sorted(set(references(value)) - known)
        if unresolved:
            raise invalid(
                f"Template format error: Unresolved resource dependencies [{', '.join(unresolved)}] in the "
                f"{section} block of the template"
            )
    for resource in template.resources.values():
        missing = sorted(set(depends_on(resource)) - set(template.resources))
        if missing:
            raise invalid(
                f"Template format error: Unresolved resource dependencies [{', '.join(missing)}] in the "
                "Resources block of the template"
            )


def _check_conditions(template: Template) -> None:
    for section, value in (
        ("Conditions", template.conditions),
        ("Resources", template.resources),
        ("Outputs", template.outputs),
    ):
        for name in _conditions_in(value):
            if name not in template.conditions:
                raise invalid(
                    f"Template format error: Unresolved condition dependency {name} in the {section} block "
                    "of the template"
                )


def _conditions_in(section: Json) -> Iterator[str]:
    for member in section.values():
        yield from conditions_named(member)


def depends_on(resource: Json) -> list[str]:
    """Return the resources that one names in DependsOn."""
    named = resource.get("DependsOn", [])
    return [named] if isinstance(named, str) else list(named)
