"""What a template would change in a stack, before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..jobs import Account, Json
from .errors import invalid
from .intrinsics import Evaluation, Made, pseudo_parameters
from .parameters import typed
from .records import Change, Goal, Stack, in_order
from .resources.known import KNOWN
from .template import depends_on

LATER = "{{changeSet:KNOWN_AFTER_APPLY}}"
"""What stands for a value that is known only when its resource is made (CloudFormation's own words)."""


class _Later(dict[str, str]):
    """The attributes of a resource that is still to be made."""

    def __contains__(self, _: object) -> bool:
        return True

    def __missing__(self, _: str) -> str:
        return LATER


@dataclass(frozen=True)
class Wanted:
    """The resources that a goal's conditions leave, in the order in which they can be made."""

    order: list[str]
    needs: Mapping[str, frozenset[str]]


def evaluation(account: Account, stack: Stack, goal: Goal, resources: Mapping[str, Made]) -> Evaluation:
    """Return what evaluates a goal's template with these resources."""
    template = goal.template
    return Evaluation(
        typed(template, goal.parameters),
        template.mappings,
        template.conditions,
        pseudo_parameters(account, stack.name, stack.id),
        resources,
    )


def wanted(here: Evaluation, goal: Goal) -> Wanted:
    """Return which resources there are to be.

    Raises ApiError (ValidationError) where they need each other in a circle.
    """
    members = goal.template.resources
    names = [name for name, member in members.items() if here.holds(member.get("Condition"))]
    needs = {
        name: frozenset(here.needed(members[name].get("Properties", {}))) | set(depends_on(members[name]))
        for name in names
    }
    try:
        return Wanted(in_order(names, lambda name: needs[name]), needs)
    except ValueError as error:
        raise invalid(f"Circular dependency between resources: [{error}]") from error


def changes(account: Account, stack: Stack, goal: Goal) -> list[Change]:
    """Return what a goal would change, in the order in which it would be done."""
    known: dict[str, Made] = dict(stack.made)
    here = evaluation(account, stack, goal, known)
    plan = wanted(here, goal)
    found = []
    for name in plan.order:
        change = _change(stack, here, goal, name)
        if change is not None:
            found.append(change)
            if change.action == "Add" or change.replacement == "True":
                known[name] = Made(LATER, _Later())
            elif LATER_VERSIONS.get(change.type):
                old = known[name]
                known[name] = Made(old.physical_id, old.attributes | LATER_VERSIONS[change.type])
    return found + [_removal(stack, name) for name in stack.resources if name not in plan.order]


LATER_VERSIONS = {"AWS::EC2::LaunchTemplate": {"LatestVersionNumber": LATER}}
"""Attributes that a change in place gives a new value."""


def _change(stack: Stack, here: Evaluation, goal: Goal, name: str) -> Change | None:
    """Return what becomes of a resource that is to be there, None where it stays as it is."""
    member = goal.template.resources[name]
    there = stack.resources.get(name)
    if there is None or there.made is None:
        return Change("Add", name, member["Type"])
    properties: Json = here.value(member.get("Properties", {}))
    names = changed_names(there.properties, properties)
    if there.type == member["Type"] and not names:
        return None
    is_replaced = there.type != member["Type"] or KNOWN[there.type].is_replaced(there.properties, properties)
    return Change(
        "Modify",
        name,
        member["Type"],
        there.made.physical_id,
        "True" if is_replaced else "False",
        tuple((each, each in KNOWN[there.type].replaced_by) for each in names),
    )


def _removal(stack: Stack, name: str) -> Change:
    there = stack.resources[name]
    return Change("Remove", name, there.type, None if there.made is None else there.made.physical_id)


def changed_names(had: Mapping[str, Any], has: Mapping[str, Any]) -> list[str]:
    """Name the properties that differ."""
    return sorted(name for name in {*had, *has} if had.get(name) != has.get(name))
