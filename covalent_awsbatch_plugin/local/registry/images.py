"""ECR's operations on the images of a repository."""

from __future__ import annotations

import re
from functools import partial

from ..errors import ApiError
from ..jobs import Account, Json
from . import ECR_PAGES
from .records import Records, Repository
from .store import Image, ImageStore

DIGEST = re.compile(r"[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+")


class ImageOperations:
    """What ECR does with images."""

    def __init__(self, account: Account, records: Records, images: ImageStore) -> None:
        self._account = account
        self._records = records
        self._images = images

    async def describe_images(self, request: Json) -> Json:
        """Describe all images of a repository, or those named."""
        repository = self._repository(request)
        images = _filtered(request, await self._images.all(repository))
        if "imageIds" in request:
            images = [self._named(repository, images, each) for each in request["imageIds"]]
        return ECR_PAGES.page(request, images, "imageDetails", partial(self._described, repository))

    async def list_images(self, request: Json) -> Json:
        """List images, once for each tag."""
        images = _filtered(request, await self._images.all(self._repository(request)))
        ids = [each for image in images for each in _ids(image)]
        return ECR_PAGES.page(request, ids, "imageIds", dict)

    async def batch_get_image(self, request: Json) -> Json:
        """Return the manifests of images."""
        repository = self._repository(request)
        images = await self._images.all(repository)
        response: Json = {"images": [], "failures": []}
        for image_id in request["imageIds"]:
            image = _find(images, image_id)
            if isinstance(image, Image):
                response["images"].append(self._with_manifest(repository, image, image_id))
            else:
                response["failures"].append(image)
        return response

    async def batch_delete_image(self, request: Json) -> Json:
        """Delete images, or tags; with its last tag goes an image."""
        repository = self._repository(request)
        response: Json = {"imageIds": [], "failures": []}
        for image_id in request["imageIds"]:
            image = _find(await self._images.all(repository), image_id)
            if isinstance(image, Image):
                response["imageIds"] += await self._delete(repository, image, image_id.get("imageTag"))
            else:
                response["failures"].append(image)
        return response

    async def _delete(self, repository: Repository, image: Image, tag: str | None) -> list[Json]:
        if tag is not None and image.tags != (tag,):
            self._images.untag(repository, tag)
            return [{"imageDigest": image.digest, "imageTag": tag}]
        await self._images.delete(repository, image)
        return _ids(image)

    def _repository(self, request: Json) -> Repository:
        return self._records.find(request["repositoryName"])

    def _named(self, repository: Repository, images: list[Image], image_id: Json) -> Image:
        image = _find(images, image_id)
        if isinstance(image, Image):
            return image
        digest, tag = (image_id.get(name, "null") for name in ("imageDigest", "imageTag"))
        raise ApiError(
            f"The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within the "
            f"repository with name '{repository.name}' in the registry with id '{self._account.account_id}'",
            "ImageNotFoundException",
        )

    def _described(self, repository: Repository, image: Image) -> Json:
        described = {
            "registryId": self._account.account_id,
            "repositoryName": repository.name,
            "imageDigest": image.digest,
            "imageTags": list(image.tags),
            "imageSizeInBytes": image.layers_bytes,
            "imagePushedAt": repository.pushed_at_s.get(image.digest),
            "imageManifestMediaType": image.media_type,
        }
        return {name: value for name, value in described.items() if value not in (None, [])}

    def _with_manifest(self, repository: Repository, image: Image, image_id: Json) -> Json:
        return {
            "registryId": self._account.account_id,
            "repositoryName": repository.name,
            "imageId": {**image_id, "imageDigest": image.digest},
            "imageManifest": image.manifest,
            "imageManifestMediaType": image.media_type,
        }


def _filtered(request: Json, images: list[Image]) -> list[Image]:
    wanted = request.get("filter", {}).get("tagStatus", "ANY")
    return [image for image in images if wanted in ("ANY", "TAGGED" if image.tags else "UNTAGGED")]


def _ids(image: Image) -> list[Json]:
    named = [{"imageDigest": image.digest, "imageTag": tag} for tag in image.tags]
    return named or [{"imageDigest": image.digest}]


def _find(images: list[Image], image_id: Json) -> Image | Json:
    """Return the image that a request names, or AWS's reason why there is none."""
    digest, tag = image_id.get("imageDigest"), image_id.get("imageTag")
    if digest is None and tag is None:
        text = "Invalid request parameters: both tag and digest cannot be null"
        return _failure(image_id, "MissingDigestAndTag", text)
    if digest is not None and DIGEST.fullmatch(digest) is None:
        text = f"Invalid request parameters: image digest should satisfy the regex '{DIGEST.pattern}'"
        return _failure(image_id, "InvalidImageDigest", text)
    for image in images:
        if digest in (None, image.digest) and (tag is None or tag in image.tags):
            return image
    return _failure(image_id, "ImageNotFound", "Requested image not found")


def _failure(image_id: Json, code: str, reason: str) -> Json:
    return {"imageId": image_id, "failureCode": code, "failureReason": reason}
