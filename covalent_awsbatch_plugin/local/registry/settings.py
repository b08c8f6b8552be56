"""What ECR keeps for a repository beside its images: settings that can be changed, and policies."""

from __future__ import annotations

from ..errors import ApiError
from ..jobs import Account, Json
from .records import Records, Repository


class SettingsOperations:
    """What ECR does with settings and policies of repositories; policies are kept, not followed."""

    def __init__(self, account: Account, records: Records) -> None:
        self._account = account
        self._records = records

    async def put_image_scanning_configuration(self, request: Json) -> Json:
        """Say whether images are scanned when they are pushed; none is here."""
        member = "imageScanningConfiguration"
        repository = self._set(request, member)
        return self._named(repository, {member: repository.settings[member]})

    async def put_image_tag_mutability(self, request: Json) -> Json:
        """Say whether a tag may be pushed again."""
        member = "imageTagMutability"
        repository = self._set(request, member)
        return self._named(repository, {member: repository.settings[member]})

    async def put_lifecycle_policy(self, request: Json) -> Json:
        """Say which images are to expire; none does here."""
        repository = self._found(request)
        repository.lifecycle_policy = request["lifecyclePolicyText"]
        self._records.save()
        return self._named(repository, {"lifecyclePolicyText": repository.lifecycle_policy})

    async def get_lifecycle_policy(self, request: Json) -> Json:
        """Return the lifecycle policy."""
        repository = self._found(request)
        text = self._existing(repository, repository.lifecycle_policy, "Lifecycle")
        return self._named(repository, {"lifecyclePolicyText": text})

    async def delete_lifecycle_policy(self, request: Json) -> Json:
        """Forget the lifecycle policy."""
        answer = await self.get_lifecycle_policy(request)
        self._found(request).lifecycle_policy = None
        self._records.save()
        return answer

    async def set_repository_policy(self, request: Json) -> Json:
        """Say who else may use a repository; nobody is asked here."""
        repository = self._found(request)
        repository.policy = request["policyText"]
        self._records.save()
        return self._named(repository, {"policyText": repository.policy})

    async def get_repository_policy(self, request: Json) -> Json:
        """Return the policy of a repository."""
        repository = self._found(request)
        text = self._existing(repository, repository.policy, "Repository")
        return self._named(repository, {"policyText": text})

    async def delete_repository_policy(self, request: Json) -> Json:
        """Forget the policy of a repository."""
        answer = await self.get_repository_policy(request)
        self._found(request).policy = None
        self._records.save()
        return answer

    def _set(self, request: Json, member: str) -> Repository:
        repository = self._found(request)
        repository.settings[member] = request[member]
        self._records.save()
        return repository

    def _found(self, request: Json) -> Repository:
        return self._records.find(request["repositoryName"])

    def _existing(self, repository: Repository, text: str | None, kind: str) -> str:
        if text is None:
            raise ApiError(
                f"{kind} policy does not exist for the repository with name '{repository.name}' in the "
                f"registry with id '{self._account.account_id}'",
                f"{kind}PolicyNotFoundException",
            )
        return text

    def _named(self, repository: Repository, told: Json) -> Json:
        return {
            "registryId": self._account.account_id,
            "repositoryName": repository.name,
            **told,
        }
