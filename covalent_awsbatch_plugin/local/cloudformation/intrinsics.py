"""CloudFormation's intrinsic functions and conditions, evaluated."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..jobs import Account, Json
from .errors import invalid

PSEUDO_PARAMETERS = (
    "AWS::AccountId",
    "AWS::NoValue",
    "AWS::Partition",
    "AWS::Region",
    "AWS::StackId",
    "AWS::StackName",
    "AWS::URLSuffix",
)

VARIABLE = re.compile(r"\$\{(!?)([^}]+)\}")
"""What Fn::Sub fills in; with an exclamation mark it is text."""

NOTHING = object()
"""The value of AWS::NoValue: the property that has it is not there."""


@dataclass(frozen=True)
class Made:
    """A resource that exists: what Ref gives, and what Fn::GetAtt does."""

    physical_id: str
    attributes: Json = field(default_factory=dict)


@dataclass
class Evaluation:
    """The values that a template has with these parameters and these resources."""

    parameters: Mapping[str, Any]
    mappings: Json
    conditions: Json
    pseudo: Mapping[str, Any]
    resources: Mapping[str, Made]

    def holds(self, condition: str | None) -> bool:
        """Tell whether a condition holds; none at all does."""
        return condition is None or bool(self.value(self.conditions[condition]))

    def value(self, node: Any) -> Any:
        """Return what a part of the template comes to, without what is AWS::NoValue."""
        if isinstance(node, list):
            return [each for each in map(self.value, node) if each is not NOTHING]
        if not isinstance(node, dict):
            return node
        name = _function(node)
        if name is None:
            values = {key: self.value(member) for key, member in node.items()}
            return {key: member for key, member in values.items() if member is not NOTHING}
        return FUNCTIONS[name](self, node[name])

    def needed(self, node: Any) -> Iterator[str]:
        """Name the resources that a part of the template refers to, as its conditions stand."""
        names = references(node, lambda condition: self.holds(condition))
        return (name for name in names if name not in self.parameters and name not in self.pseudo)

    def ref(self, name: str) -> Any:
        """Return what Ref gives."""
        if name == "AWS::NoValue":
            return NOTHING
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        return self._made(name).physical_id

    def attribute(self, name: str, attribute: str) -> Any:
        """Return what Fn::GetAtt gives."""
        made = self._made(name)
        if attribute not in made.attributes:
            raise invalid(f"Requested attribute {attribute} does not exist in schema for {name}")
        return made.attributes[attribute]

    def _made(self, name: str) -> Made:
        if name not in self.resources:
            raise invalid(f"Template format error: Unresolved resource dependencies [{name}]")
        return self.resources[name]


def pseudo_parameters(account: Account, stack_name: str, stack_id: str) -> dict[str, str]:
    """Return what AWS itself says of a stack, in the partition `aws`."""
    return {
        "AWS::AccountId": account.account_id,
        "AWS::Partition": "aws",
        "AWS::Region": account.region,
        "AWS::StackId": stack_id,
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": "amazonaws.com",
    }


def references(node: Any, holds: Callable[[str], bool] | None = None) -> Iterator[str]:
    """Name what a part of a template refers to; of an Fn::If both sides, or the one whose condition holds."""
    if isinstance(node, list):
        for each in node:
            yield from references(each, holds)
        return
    if not isinstance(node, dict):
        return
    name = _function(node)
    if name == "Ref":
        yield node[name]
    elif name == "Fn::GetAtt":
        yield _attribute_of(node[name])[0]
    elif name == "Fn::Sub":
        yield from _references_of_sub(node[name], holds)
    elif name == "Fn::If" and holds is not None:
        yield from references(node[name][1 if holds(node[name][0]) else 2], holds)
    else:
        for member in node.values():
            yield from references(member, holds)


def _references_of_sub(argument: Any, holds: Callable[[str], bool] | None) -> Iterator[str]:
    text, own = argument if isinstance(argument, list) else (argument, {})
    yield from references(own, holds)
    for literal, variable in VARIABLE.findall(text):
        if not literal and variable not in own:
            yield variable.partition(".")[0]


def conditions_named(node: Any) -> Iterator[str]:
    """Name the conditions in a part of a template."""
    if isinstance(node, list):
        for each in node:
            yield from conditions_named(each)
    elif isinstance(node, dict):
        if "Fn::If" in node:
            yield node["Fn::If"][0]
        if isinstance(node.get("Condition"), str):
            yield node["Condition"]
        for member in node.values():
            yield from conditions_named(member)


def _function(node: Json) -> str | None:
    """Return the function that a mapping is, None for a plain one."""
    if len(node) != 1:
        return None
    name = next(iter(node))
    if name in FUNCTIONS and (name != "Condition" or isinstance(node[name], str)):
        return str(name)
    if name.startswith("Fn::"):
        raise invalid(f"Template error: the local CloudFormation does not have {name}")
    return None


def _attribute_of(argument: Any) -> tuple[str, str]:
    name, _, attribute = (
        argument.partition(".") if isinstance(argument, str) else (argument[0], "", argument[1])
    )
    return name, attribute


def _sub(here: Evaluation, argument: Any) -> str:
    text, own = argument if isinstance(argument, list) else (argument, {})

    def fill(match: re.Match[str]) -> str:
        literal, variable = match.groups()
        if literal:
            return f"${{{variable}}}"
        if variable in own:
            return as_text(here.value(own[variable]))
        name, dot, attribute = variable.partition(".")
        return as_text(here.attribute(name, attribute) if dot else here.ref(name))

    return VARIABLE.sub(fill, text)


def _select(here: Evaluation, argument: Any) -> Any:
    index, values = here.value(argument)
    if not 0 <= int(index) < len(values):
        raise invalid("Template error: Fn::Select cannot select nonexistent value at index " + str(index))
    return values[int(index)]


def _find_in_map(here: Evaluation, argument: Any) -> Any:
    name, first, second = here.value(argument)
    try:
        return here.mappings[name][as_text(first)][as_text(second)]
    except KeyError:
        raise invalid(
            f"Template error: Unable to get mapping for {name}::{as_text(first)}::{as_text(second)}"
        ) from None


def _zones(here: Evaluation, argument: Any) -> list[str]:
    region = here.value(argument) or here.pseudo["AWS::Region"]
    return [f"{region}{letter}" for letter in "abc"]


def _cidr(here: Evaluation, argument: Any) -> list[str]:
    block, count, host_bits = here.value(argument)
    subnets = ipaddress.ip_network(block).subnets(new_prefix=32 - int(host_bits))
    return [str(next(subnets)) for _ in range(int(count))]


def _base64(here: Evaluation, argument: Any) -> str:
    return base64.b64encode(as_text(here.value(argument)).encode()).decode()


def _equals(here: Evaluation, argument: Any) -> bool:
    first, second = here.value(argument)
    return as_text(first) == as_text(second)


FUNCTIONS: dict[str, Callable[[Evaluation, Any], Any]] = {
    "Ref": lambda here, name: here.ref(name),
    "Fn::GetAtt": lambda here, argument: here.attribute(*_attribute_of(argument)),
    "Fn::Sub": _sub,
    "Fn::If": lambda here, argument: here.value(argument[1 if here.holds(argument[0]) else 2]),
    "Fn::Join": lambda here, argument: argument[0].join(map(as_text, here.value(argument[1]))),
    "Fn::Split": lambda here, argument: as_text(here.value(argument[1])).split(argument[0]),
    "Fn::Select": _select,
    "Fn::FindInMap": _find_in_map,
    "Fn::GetAZs": _zones,
    "Fn::Cidr": _cidr,
    "Fn::Base64": _base64,
    "Condition": lambda here, name: here.holds(name),
    "Fn::Equals": _equals,
    "Fn::Not": lambda here, argument: not here.value(argument[0]),
    "Fn::And": lambda here, argument: all(map(here.value, argument)),
    "Fn::Or": lambda here, argument: any(map(here.value, argument)),
}


def as_text(value: Any) -> str:
    """Return a value as CloudFormation writes it into texts."""
    return str(value).lower() if isinstance(value, bool) else str(value)
