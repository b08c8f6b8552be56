"""What ECR knows of its repositories and a registry does not, kept in one small file."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import ApiError
from ..jobs import Account, Json


@dataclass(eq=False)
class Repository:
    """A repository; `settings` holds members of the request that created it, by AWS's names.

    `pushed_at_s` has the time of the first push of each digest. Whether the image still exists, the
    registry knows. The policies are kept, and nothing is done by them.
    """

    name: str
    created_at_s: float
    settings: Json = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pushed_at_s: dict[str, float] = field(default_factory=dict)
    lifecycle_policy: str | None = None
    policy: str | None = None

    @property
    def tags_are_immutable(self) -> bool:
        """Tell whether a tag of an image may be pushed only once."""
        return self.settings.get("imageTagMutability") == "IMMUTABLE"


class Records:
    """All repositories by name; every change is on the disk when it is made."""

    def __init__(self, account: Account, path: Path) -> None:
        """Go on with what the file has, if it exists."""
        self.repositories = _read(path)
        self._account = account
        self._path = path

    def find(self, name: str) -> Repository:
        """Return a repository.

        Raises RepositoryNotFoundException where there is none.
        """
        if name not in self.repositories:
            raise ApiError(
                f"The repository with name '{name}' does not exist in the registry with id "
                f"'{self._account.account_id}'",
                "RepositoryNotFoundException",
            )
        return self.repositories[name]

    def add(self, repository: Repository) -> None:
        """Take up a new repository."""
        self.repositories[repository.name] = repository
        self.save()

    def remove(self, repository: Repository) -> None:
        """Forget a repository."""
        del self.repositories[repository.name]
        self.save()

    def note_push(self, repository: Repository, digest: str) -> None:
        """Note that an image was pushed now, unless it was before."""
        repository.pushed_at_s.setdefault(digest, time.time())
        self.save()

    def note_deletion(self, repository: Repository, digest: str) -> None:
        """Forget when an image was pushed."""
        repository.pushed_at_s.pop(digest, None)
        self.save()

    def save(self) -> None:
        """Put what was changed on the disk: at once, so that a killed process leaves the old or the new."""
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps([asdict(each) for each in self.repositories.values()]))
        os.replace(new, self._path)


def _read(path: Path) -> dict[str, Repository]:
    if not path.exists():
        return {}
    return {each["name"]: Repository(**each) for each in json.loads(path.read_text())}
