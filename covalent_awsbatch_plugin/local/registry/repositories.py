"""ECR's repositories, and the password to push to them."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from ..errors import ApiError, NotLocal, invalid
from ..jobs import Account, Json
from ..model import service_model
from . import ECR_PAGES
from .records import Records, Repository
from .store import ImageStore
from .tokens import Tokens

SETTINGS: Json = {
    "imageTagMutability": "MUTABLE",
    "imageScanningConfiguration": {"scanOnPush": False},
    "encryptionConfiguration": {"encryptionType": "AES256"},
}
"""The settings of a repository and what they are where the request says nothing."""


class RepositoryOperations:
    """What ECR does with repositories."""

    def __init__(
        self, account: Account, host: str, records: Records, tokens: Tokens, images: ImageStore
    ) -> None:
        """Give repositories addresses at a host, `127.0.0.1:4599`."""
        self._account = account
        self._host = host
        self._records = records
        self._tokens = tokens
        self._images = images

    async def get_authorization_token(self, request: Json) -> Json:
        """Issue a token for this registry, which is all that there are."""
        token = self._tokens.issue()
        data = {
            "authorizationToken": token.basic,
            "expiresAt": token.expires_at_s,
            "proxyEndpoint": f"http://{self._host}",
        }
        return {"authorizationData": [data]}

    async def create_repository(self, request: Json) -> Json:
        """Create a repository; its address is the local AWS's own."""
        name = request["repositoryName"]
        _check_name(name)
        settings = {member: request.get(member, default) for member, default in SETTINGS.items()}
        if settings["imageTagMutability"] not in ("MUTABLE", "IMMUTABLE"):
            raise NotLocal(f"imageTagMutability {settings['imageTagMutability']}", "ECR")
        if name in self._records.repositories:
            raise ApiError(
                f"The repository with name '{name}' already exists in the registry with id "
                f"'{self._account.account_id}'",
                "RepositoryAlreadyExistsException",
            )
        tags = {tag["Key"]: tag["Value"] for tag in request.get("tags", [])}
        repository = Repository(name, time.time(), settings, tags)
        self._records.add(repository)
        return {"repository": self._described(repository)}

    async def describe_repositories(self, request: Json) -> Json:
        """Describe all repositories, or those named."""
        found = [self._records.find(name) for name in self._names(request)]
        return ECR_PAGES.page(request, found, "repositories", self._described)

    async def delete_repository(self, request: Json) -> Json:
        """Delete a repository; one with images only where that is forced."""
        repository = self._records.find(request["repositoryName"])
        if not request.get("force", False) and await self._images.all(repository):
            raise ApiError(
                f"The repository with name '{repository.name}' in registry with id "
                f"'{self._account.account_id}' cannot be deleted because it still contains images",
                "RepositoryNotEmptyException",
            )
        self._records.remove(repository)
        self._images.clear(repository)
        return {"repository": self._described(repository)}

    async def list_tags_for_resource(self, request: Json) -> Json:
        """List the tags that a repository was created with."""
        _, _, name = request["resourceArn"].partition(":repository/")
        tags = self._records.find(name).tags
        return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _names(self, request: Json) -> Sequence[str]:
        named: Sequence[str] = request.get("repositoryNames", ())
        return named or sorted(self._records.repositories)

    def _described(self, repository: Repository) -> Json:
        return {
            "repositoryArn": self._account.arn("ecr", f"repository/{repository.name}"),
            "registryId": self._account.account_id,
            "repositoryName": repository.name,
            "repositoryUri": f"{self._host}/{repository.name}",
            "createdAt": repository.created_at_s,
            **repository.settings,
        }


def _check_name(name: str) -> None:
    pattern = service_model("ecr").shape_for("RepositoryName").metadata["pattern"]
    if re.fullmatch(pattern, name) is None:
        rule = f"must satisfy regular expression '{pattern}'"
        raise invalid(f"Invalid parameter at 'repositoryName' failed to satisfy constraint: '{rule}'")
