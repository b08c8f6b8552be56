"""What the template allows to whom, statement by statement: read from the template, for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OWN_ARN = re.compile(r"arn:\$\{AWS::Partition\}:[a-z0-9]+:(?:\$\{AWS::Region\})?:\$\{AWS::AccountId\}:")
"""How the ARNs of this account and region begin, which says nothing to a reader."""

VARIABLE = re.compile(r"\$\{(?:AWS::)?(\w+)(?:\.Arn)?\}")

NOTHING = {"Ref": "AWS::NoValue"}


@dataclass(frozen=True)
class Right:
    """One statement of a role or a policy; resources that the template makes go by their names in it."""

    holder: str
    statement: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    restriction: str
    """Under which condition it holds, in IAM's words; empty: always."""
    purpose: str


def rights(template: Mapping[str, Any]) -> list[Right]:
    """Return all that the roles and managed policies of a template allow.

    The template is as CloudFormation has it in JSON: `Fn::Sub`, not `!Sub`. Raises KeyError where a statement
    has no name, or no purpose under its resource's Metadata.
    """
    return [
        _right(name, resource, statement)
        for name, resource in template["Resources"].items()
        for statement in _statements(resource)
    ]


def rights_table(template: Mapping[str, Any]) -> str:
    """Return the Markdown table of the rights that stands in docs/cloud.md."""
    rows = ["| who | statement | actions | resources | what for |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*rows, *map(_row, rights(template))])


def _statements(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    properties = resource.get("Properties", {})
    documents = [each["PolicyDocument"] for each in properties.get("Policies", ())]
    if resource["Type"] == "AWS::IAM::ManagedPolicy":
        documents.append(properties["PolicyDocument"])
    for document in documents:
        for statement in document["Statement"]:
            yield from _alternatives(statement)


def _alternatives(value: Any) -> list[Any]:
    """Return what a value may be, by whatever condition."""
    if isinstance(value, Mapping) and "Fn::If" in value:
        _, *branches = value["Fn::If"]
        return [found for branch in branches for found in _alternatives(branch)]
    return [] if value == NOTHING else [value]


def _right(holder: str, resource: Mapping[str, Any], statement: Mapping[str, Any]) -> Right:
    name = statement["Sid"]
    named = [found for each in _as_list(statement["Resource"]) for found in _alternatives(each)]
    return Right(
        holder,
        name,
        actions=tuple(_as_list(statement["Action"])),
        resources=tuple(map(_readable, named)),
        restriction=_restriction(statement.get("Condition", {})),
        purpose=resource["Metadata"]["Rights"][name],
    )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _readable(value: Any) -> str:
    """Return a resource as a reader knows it, such as `Bucket/covalent-awsbatch/*`."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Sub":
        return VARIABLE.sub(r"\1", OWN_ARN.sub("", argument))
    return str(argument[0] if function == "Fn::GetAtt" else argument)


def _restriction(condition: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for tests in condition.values() for key, value in tests.items())


def _row(right: Right) -> str:
    restriction = f", if `{right.restriction}`" if right.restriction else ""
    cells = [
        right.holder,
        right.statement,
        _in_code(right.actions),
        _in_code(right.resources) + restriction,
        right.purpose,
    ]
    return f"| {' | '.join(cells)} |"


def _in_code(texts: tuple[str, ...]) -> str:
    return ", ".join(f"`{each}`" for each in texts)
