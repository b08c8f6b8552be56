"""What the registry cannot be asked to do: forget a tag, or a whole repository.

Its interface deletes images by digest only. Its files have kept their layout since version 2.0:
`docker/registry/v2/repositories/<name>/_manifests/tags/<tag>`, beside `_layers` and `_uploads`, and
it reads them anew for every request.
"""

from __future__ import annotations

import shutil
from pathlib import Path

REPOSITORIES = Path("docker/registry/v2/repositories")


def remove_tag(directory: Path, repository: str, tag: str) -> None:
    """Forget a tag; its image stays."""
    shutil.rmtree(directory / REPOSITORIES / repository / "_manifests" / "tags" / tag)


def remove_repository(directory: Path, repository: str) -> None:
    """Forget a repository, but not those whose names begin with its name and a slash."""
    for part in (directory / REPOSITORIES / repository).glob("_*"):
        shutil.rmtree(part)
