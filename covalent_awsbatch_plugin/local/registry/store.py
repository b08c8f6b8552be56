"""The images of a repository, as the registry has them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from ..jobs import Json
from . import storage
from .records import Records, Repository

MANIFEST_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)


@dataclass(frozen=True)
class Image:
    """An image: its manifest, and the tags that name it."""

    digest: str
    media_type: str
    manifest: str
    tags: tuple[str, ...] = ()

    @property
    def layers_bytes(self) -> int | None:
        """The sum of the compressed layers, None for a list of images, which has none of its own."""
        layers = json.loads(self.manifest).get("layers")
        return None if layers is None else sum(layer["size"] for layer in layers)


class ImageStore:
    """What the registry holds, read and deleted."""

    def __init__(self, session: aiohttp.ClientSession, directory: Path, records: Records) -> None:
        """Talk to the registry through a session that has its address."""
        self._session = session
        self._directory = directory
        self._records = records

    async def all(self, repository: Repository) -> list[Image]:
        """Return a repository's images in the order of their first push."""
        tags = await self._tags(repository)
        tagged = await asyncio.gather(*(self._get(repository, tag) for tag in tags))
        untagged = await asyncio.gather(*(self._get(repository, each) for each in repository.pushed_at_s))
        images = {image.digest: image for image in [*untagged, *tagged] if image is not None}
        for tag, image in zip(tags, tagged, strict=True):
            if image is not None:
                known = images[image.digest]
                images[image.digest] = replace(known, tags=(*known.tags, tag))
        return list(images.values())

    async def has(self, repository: Repository, reference: str) -> bool:
        """Tell whether a tag or a digest names an image."""
        return await self._get(repository, reference) is not None

    async def delete(self, repository: Repository, image: Image) -> None:
        """Delete an image and its tags."""
        path = f"/v2/{repository.name}/manifests/{image.digest}"
        async with self._session.delete(path, raise_for_status=True):
            self._records.note_deletion(repository, image.digest)

    def untag(self, repository: Repository, tag: str) -> None:
        """Delete a tag; the image stays."""
        storage.remove_tag(self._directory, repository.name, tag)

    def clear(self, repository: Repository) -> None:
        """Delete all that a repository holds."""
        storage.remove_repository(self._directory, repository.name)

    async def _tags(self, repository: Repository) -> list[str]:
        async with self._session.get(f"/v2/{repository.name}/tags/list") as answer:
            if answer.status == 404:  # nothing was ever pushed
                return []
            answer.raise_for_status()
            found: Json = await answer.json()
        return sorted(found["tags"] or [])

    async def _get(self, repository: Repository, reference: str) -> Image | None:
        path = f"/v2/{repository.name}/manifests/{reference}"
        headers = {"Accept": ", ".join(MANIFEST_TYPES)}
        async with self._session.get(path, headers=headers) as answer:
            if answer.status == 404:
                return None
            answer.raise_for_status()
            digest = answer.headers["Docker-Content-Digest"]
            return Image(digest, answer.headers["Content-Type"], await answer.text())
