"""IAM's SimulatePrincipalPolicy: what the policies of a role, user or group allow.

Policies of other kinds do not count: those of resources, permissions boundaries and organizations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from moto.iam.exceptions import NoSuchEntity, NotFoundException

from .errors import ApiError, NotLocal
from .jobs import Json

Context = Mapping[str, list[str]]
"""The values that are known of a request, by their keys in small letters."""


@dataclass(frozen=True)
class Question:
    """Whether something may be done to a resource."""

    action: str
    resource: str
    context: Context
    missing: set[str] = field(default_factory=set)
    """Keys that conditions asked for and nobody has given."""


class PolicySimulation:
    """Answers from the policies that moto's IAM holds."""

    def __init__(self, iam: Any) -> None:
        self._iam = iam

    def simulate_principal_policy(self, request: Json) -> Json:
        """Return a decision for each action and resource."""
        for member in ("PermissionsBoundaryPolicyInputList", "ResourcePolicy"):
            if member in request:
                raise NotLocal(f"{member} of SimulatePrincipalPolicy", "IAM")
        texts = [*self._policies(request["PolicySourceArn"]), *request.get("PolicyInputList", [])]
        statements = [each for text in texts for each in statements_of(text)]
        context = {
            each["ContextKeyName"].lower(): each.get("ContextKeyValues", [])
            for each in request.get("ContextEntries", [])
        }
        questions = [
            Question(action, resource, context)
            for action in request["ActionNames"]
            for resource in request.get("ResourceArns", ["*"])
        ]
        return {"EvaluationResults": [_result(each, statements) for each in questions], "IsTruncated": False}

    def _policies(self, arn: str) -> Iterator[str]:
        """Return the documents of all policies that a principal has; raises ApiError (NoSuchEntity)."""
        kind, _, path = arn.partition(":")[2].rpartition(":")[2].partition("/")
        try:
            for entity in self._entities(kind, path.rpartition("/")[2]):
                yield from (_document(each) for each in _inline(entity))
                yield from (_default_version(each) for each in entity.managed_policies.values())
        except (NoSuchEntity, NotFoundException) as error:
            raise ApiError(error.message, "NoSuchEntity", 404) from error

    def _entities(self, kind: str, name: str) -> list[Any]:
        """Return what holds a principal's policies: itself and, for a user, the groups that it is in."""
        if kind == "role":
            return [self._iam.get_role(name)]
        if kind == "group":
            return [self._iam.get_group(name)]
        if kind == "user":
            return [self._iam.get_user(name), *self._iam.get_groups_for_user(name)]
        raise ApiError("Invalid Entity Arn: it must be that of a user, a group or a role", "InvalidInput")


def _inline(entity: Any) -> Iterable[Any]:
    policies = entity.policies
    return policies.values() if isinstance(policies, dict) else policies


def _document(policy: Any) -> str:
    return unquote(policy) if isinstance(policy, str) else str(policy.policy_document)


def _default_version(policy: Any) -> str:
    return next(str(version.document) for version in policy.versions if version.is_default)


def statements_of(text: str) -> list[Json]:
    """Return the statements of a policy's document."""
    return _as_list(json.loads(text)["Statement"])


def decision(met: Iterable[Json]) -> str:
    """Return IAM's word for what follows from the statements that are met."""
    effects = {each["Effect"] for each in met}
    if "Deny" in effects:
        return "explicitDeny"
    return "allowed" if effects else "implicitDeny"


def _result(question: Question, statements: Iterable[Json]) -> Json:
    met = [each for each in statements if is_met(each, question)]
    return {
        "EvalActionName": question.action,
        "EvalResourceName": question.resource,
        "EvalDecision": decision(met),
        "MatchedStatements": [{"SourcePolicyId": each.get("Sid", "")} for each in met],
        "MissingContextValues": sorted(question.missing),
    }


def is_met(statement: Json, question: Question) -> bool:
    """Tell whether a statement speaks of what is asked, whoever asks it."""
    return (
        _is_named(statement, "Action", question.action, any_case=True)
        and _is_named(statement, "Resource", question.resource)
        and all(
            _holds(operator, key, _as_list(values), question)
            for operator, wanted in statement.get("Condition", {}).items()
            for key, values in wanted.items()
        )
    )


def _is_named(statement: Json, member: str, value: str, any_case: bool = False) -> bool:
    named = any(is_like(value, each, any_case) for each in _as_list(statement.get(member, [])))
    if f"Not{member}" in statement:
        return not any(is_like(value, each, any_case) for each in _as_list(statement[f"Not{member}"]))
    return named


def is_like(value: str, pattern: str, any_case: bool = False) -> bool:
    """Tell whether a value has a pattern's form: `*` is any text, `?` one character."""
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL | (re.IGNORECASE if any_case else 0)) is not None


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "ArnEquals": is_like,
    "ArnLike": is_like,
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "StringEquals": lambda value, wanted: value == wanted,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": is_like,
}
"""How a value of the request is compared with one of a condition; with `Not` in the name, the contrary."""


def _holds(operator: str, key: str, wanted: list[Any], question: Question) -> bool:
    """Tell whether one line of a Condition holds; a key without a value meets only what asks for that."""
    if_exists = operator.endswith("IfExists")
    name = operator.removesuffix("IfExists")
    is_contrary = "Not" in name
    compare = OPERATORS.get(name.replace("Not", ""))
    if compare is None:
        raise NotLocal(f"the condition operator {operator} of SimulatePrincipalPolicy", "IAM")
    values = question.context.get(key.lower())
    if values is None:
        question.missing.add(key)
        return if_exists or is_contrary
    texts = [str(each).lower() if isinstance(each, bool) else str(each) for each in wanted]
    return any(compare(value, text) for value in values for text in texts) is not is_contrary


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
