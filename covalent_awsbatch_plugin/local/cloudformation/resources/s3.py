"""Buckets and their policies."""

from __future__ import annotations

from typing import Any

from ...jobs import Json
from ..clients import Refused
from ..errors import ResourceFailed
from ..intrinsics import Made
from .base import Place, ResourceType, document, tag_list

RULE_MEMBERS = {
    "Id": "ID",
    "Status": "Status",
    "AbortIncompleteMultipartUpload": "AbortIncompleteMultipartUpload",
    "NoncurrentVersionExpiration": "NoncurrentVersionExpiration",
}
"""Members of a lifecycle rule in CloudFormation, and S3's names of them."""


class Bucket(ResourceType):
    """AWS::S3::Bucket; `DomainName` and its like are AWS's, not the local endpoint's."""

    type = "AWS::S3::Bucket"
    name = "BucketName"
    replaced_by = frozenset({"BucketName"})
    properties = frozenset(
        {
            "BucketEncryption",
            "BucketName",
            "LifecycleConfiguration",
            "OwnershipControls",
            "PublicAccessBlockConfiguration",
            "Tags",
            "VersioningConfiguration",
        }
    )

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a bucket that nobody has yet."""
        name = wanted.get("BucketName") or place.name(63).lower()
        await _refuse_existing(place, name)
        region = place.account.region
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        await place.call("s3", "create_bucket", Bucket=name, **({} if region == "us-east-1" else elsewhere))
        place.exists(Made(name))
        await self._configure(place, name, {}, wanted)
        attributes = {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": f"{name}.s3.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
        }
        return Made(name, attributes)

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Configure the bucket anew."""
        await self._configure(place, made.physical_id, had, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the bucket, which must be empty."""
        await place.call_unless_gone("s3", "delete_bucket", Bucket=made.physical_id)

    async def _configure(self, place: Place, name: str, had: Json, wanted: Json) -> None:
        for member, put, remove, request in _CONFIGURATIONS:
            if member in wanted:
                await place.call("s3", put, Bucket=name, **request(wanted[member]))
            elif member in had:
                await place.call("s3", remove, Bucket=name)
        if tags := place.tags(wanted):
            await place.call("s3", "put_bucket_tagging", Bucket=name, Tagging={"TagSet": tag_list(tags)})
        versioning = wanted.get("VersioningConfiguration", {"Status": "Suspended"})
        if "VersioningConfiguration" in {*had, *wanted}:
            await place.call("s3", "put_bucket_versioning", Bucket=name, VersioningConfiguration=versioning)


async def _refuse_existing(place: Place, name: str) -> None:
    """Refuse a bucket that is there: S3 would answer 200 where its owner asks for it again."""
    try:
        await place.call("s3", "head_bucket", Bucket=name)
    except Refused:
        return
    raise ResourceFailed(f"{name} already exists")


def _encryption(wanted: Json) -> Json:
    rules = [
        {name.replace("ServerSideEncryptionByDefault", "ApplyServerSideEncryptionByDefault"): value
         for name, value in rule.items()}
        for rule in wanted["ServerSideEncryptionConfiguration"]
    ]  # fmt: skip
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def _public_access(wanted: Json) -> Json:
    return {"PublicAccessBlockConfiguration": wanted}


def _ownership(wanted: Json) -> Json:
    return {"OwnershipControls": wanted}


def _lifecycle(wanted: Json) -> Json:
    return {"LifecycleConfiguration": {"Rules": [_lifecycle_rule(rule) for rule in wanted["Rules"]]}}


def _lifecycle_rule(wanted: Json) -> Json:
    """Return a rule as S3 takes it; refuses a member that would be lost."""
    rule: Json = {"Filter": {"Prefix": wanted.get("Prefix", "")}}
    for member, value in wanted.items():
        if member in RULE_MEMBERS:
            rule[RULE_MEMBERS[member]] = _whole_days(value)
        elif member == "ExpirationInDays":
            rule["Expiration"] = {"Days": int(value)}
        elif member == "ExpiredObjectDeleteMarker":
            rule["Expiration"] = {"ExpiredObjectDeleteMarker": value}
        elif member != "Prefix":
            raise ResourceFailed(f"the local CloudFormation does not have {member} of lifecycle rules")
    return rule


def _whole_days(value: Any) -> Any:
    return {name: int(days) for name, days in value.items()} if isinstance(value, dict) else value


_CONFIGURATIONS = (
    ("BucketEncryption", "put_bucket_encryption", "delete_bucket_encryption", _encryption),
    (
        "PublicAccessBlockConfiguration",
        "put_public_access_block",
        "delete_public_access_block",
        _public_access,
    ),
    ("OwnershipControls", "put_bucket_ownership_controls", "delete_bucket_ownership_controls", _ownership),
    (
        "LifecycleConfiguration",
        "put_bucket_lifecycle_configuration",
        "delete_bucket_lifecycle",
        _lifecycle,
    ),
)
"""A property, the methods that put and remove it, and its request."""


class BucketPolicy(ResourceType):
    """AWS::S3::BucketPolicy."""

    type = "AWS::S3::BucketPolicy"
    properties = required = frozenset({"Bucket", "PolicyDocument"})
    replaced_by = frozenset({"Bucket"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Give a bucket its policy."""
        policy = document(wanted["PolicyDocument"])
        await place.call("s3", "put_bucket_policy", Bucket=wanted["Bucket"], Policy=policy)
        return Made(wanted["Bucket"])

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Replace the policy."""
        return await self.create(place, wanted)

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Take the policy away."""
        await place.call_unless_gone("s3", "delete_bucket_policy", Bucket=made.physical_id)
