"""ECR's repositories and log groups."""

from __future__ import annotations

from ...jobs import Json
from ..intrinsics import Made, as_text
from .base import Place, ResourceType, document, tag_list


class Repository(ResourceType):
    """AWS::ECR::Repository."""

    type = "AWS::ECR::Repository"
    name = "RepositoryName"
    replaced_by = frozenset({"EncryptionConfiguration", "RepositoryName"})
    properties = frozenset(
        {
            "EmptyOnDelete",
            "EncryptionConfiguration",
            "ImageScanningConfiguration",
            "ImageTagMutability",
            "LifecyclePolicy",
            "RepositoryName",
            "RepositoryPolicyText",
            "Tags",
        }
    )

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a repository."""
        name = wanted.get("RepositoryName") or place.name(256).lower()
        settings = {
            member[0].lower() + member[1:]: wanted[member]
            for member in ("EncryptionConfiguration", "ImageScanningConfiguration", "ImageTagMutability")
            if member in wanted
        }
        for member in ("encryptionConfiguration", "imageScanningConfiguration"):
            if member in settings:
                settings[member] = _small(settings[member])
        created = await place.call(
            "ecr", "create_repository", repositoryName=name, tags=tag_list(place.tags(wanted)), **settings
        )
        place.exists(Made(name))
        await self._set_policies(place, name, {}, wanted)
        repository = created["repository"]
        return Made(name, {"Arn": repository["repositoryArn"], "RepositoryUri": repository["repositoryUri"]})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change what a repository does with pushes, and its policies."""
        name = made.physical_id
        scanning = _small(wanted.get("ImageScanningConfiguration", {"ScanOnPush": False}))
        await place.call(
            "ecr",
            "put_image_scanning_configuration",
            repositoryName=name,
            imageScanningConfiguration=scanning,
        )
        mutability = wanted.get("ImageTagMutability", "MUTABLE")
        await place.call(
            "ecr", "put_image_tag_mutability", repositoryName=name, imageTagMutability=mutability
        )
        await self._set_policies(place, name, had, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the repository, which must be empty unless EmptyOnDelete was set."""
        force = as_text(had.get("EmptyOnDelete", False)) == "true"
        await place.call_unless_gone("ecr", "delete_repository", repositoryName=made.physical_id, force=force)

    async def _set_policies(self, place: Place, name: str, had: Json, wanted: Json) -> None:
        if "LifecyclePolicy" in wanted:
            text = wanted["LifecyclePolicy"]["LifecyclePolicyText"]
            await place.call("ecr", "put_lifecycle_policy", repositoryName=name, lifecyclePolicyText=text)
        elif "LifecyclePolicy" in had:
            await place.call("ecr", "delete_lifecycle_policy", repositoryName=name)
        if "RepositoryPolicyText" in wanted:
            text = document(wanted["RepositoryPolicyText"])
            await place.call("ecr", "set_repository_policy", repositoryName=name, policyText=text)
        elif "RepositoryPolicyText" in had:
            await place.call("ecr", "delete_repository_policy", repositoryName=name)


def _small(members: Json) -> Json:
    return {name[0].lower() + name[1:]: value for name, value in members.items()}


class LogGroup(ResourceType):
    """AWS::Logs::LogGroup."""

    type = "AWS::Logs::LogGroup"
    name = "LogGroupName"
    replaced_by = frozenset({"LogGroupName"})
    properties = frozenset({"KmsKeyId", "LogGroupName", "RetentionInDays", "Tags"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a log group."""
        name = wanted.get("LogGroupName") or place.name(512)
        tags = place.tags(wanted)
        request = {"tags": tags} if tags else {}
        if "KmsKeyId" in wanted:
            request["kmsKeyId"] = wanted["KmsKeyId"]
        await place.call("logs", "create_log_group", logGroupName=name, **request)
        place.exists(Made(name))
        await self._retain(place, name, wanted)
        return Made(name, {"Arn": place.account.arn("logs", f"log-group:{name}:*")})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change how long logs are kept."""
        await self._retain(place, made.physical_id, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the group with its logs."""
        await place.call_unless_gone("logs", "delete_log_group", logGroupName=made.physical_id)

    async def _retain(self, place: Place, name: str, wanted: Json) -> None:
        if "RetentionInDays" in wanted:
            days = wanted["RetentionInDays"]
            await place.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
        else:
            await place.call("logs", "delete_retention_policy", logGroupName=name)
