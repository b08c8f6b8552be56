"""What the policies of buckets forbid and allow everybody, with their conditions, which moto takes for unmet.

Whoever reaches the local AWS counts as reaching it over TLS: on a loopback there is none, and a bucket whose
policy asks for it could not be used otherwise.
"""

from __future__ import annotations

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

from .jobs import Json
from .simulation import Question, decision, is_met, statements_of

OF_EVERY_REQUEST = {"aws:securetransport": ["true"]}
OF_EVERYBODY = ("*", {"AWS": "*"})

PERMISSIONS = {
    "allowed": PermissionResult.PERMITTED,
    "explicitDeny": PermissionResult.DENIED,
    "implicitDeny": PermissionResult.NEUTRAL,
}


def heed_conditions() -> None:
    """Have moto's buckets judge by their policies' conditions, too."""
    # Moto has no other way in: its backend makes buckets of this class alone.
    FakeBucket.get_permission = _permission  # type: ignore[method-assign,assignment]


def _permission(bucket: FakeBucket, action: str, resource: str) -> PermissionResult:
    question = Question(action, resource, OF_EVERY_REQUEST)
    statements: list[Json] = statements_of(bucket.policy.decode()) if bucket.policy else []
    of_all = [each for each in statements if each.get("Principal", "*") in OF_EVERYBODY]
    return PERMISSIONS[decision(each for each in of_all if is_met(each, question))]
