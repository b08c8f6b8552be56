"""What CloudFormation asks for before it begins: capabilities, and a template's own rules."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ApiError
from ..jobs import Json
from .errors import invalid
from .intrinsics import Evaluation
from .resources.known import KNOWN
from .template import Template

IAM, NAMED_IAM = "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"


def capabilities_of(template: Template) -> list[str]:
    """Return the capability that a template needs: one for roles and policies, more where they have names."""
    members = [each for each in template.resources.values() if each["Type"].startswith("AWS::IAM::")]
    if any(KNOWN[each["Type"]].name in each.get("Properties", {}) for each in members):
        return [NAMED_IAM]
    return [IAM] if members else []


def reason_for_capabilities(template: Template) -> str:
    """Return CloudFormation's text for why a capability is needed."""
    types = sorted({each["Type"] for each in template.resources.values() if "::IAM::" in each["Type"]})
    return f"The following resource(s) require capabilities: [{', '.join(types)}]"


def check_capabilities(template: Template, given: Iterable[str]) -> None:
    """Refuse to do what nobody has acknowledged (InsufficientCapabilitiesException)."""
    enough = {IAM: {IAM, NAMED_IAM}, NAMED_IAM: {NAMED_IAM}}
    missing = [each for each in capabilities_of(template) if not enough[each] & set(given)]
    if missing:
        raise ApiError(f"Requires capabilities : [{', '.join(missing)}]", "InsufficientCapabilitiesException")


def check_rules(template: Template, here: Evaluation) -> None:
    """Refuse parameters that a rule of the template forbids (own wording around the rule's)."""
    for name, rule in template.rules.items():
        if here.value(rule.get("RuleCondition", True)):
            for assertion in rule["Assertions"]:
                if not here.value(assertion["Assert"]):
                    raise invalid(_broken(name, assertion))


def _broken(name: str, assertion: Json) -> str:
    return f"Template constraint {name}: {assertion.get('AssertDescription', 'an assertion is false')}"
