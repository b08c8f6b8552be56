"""What may go: images that nothing has used for long, and the job definitions that name them.

A plan is made first, as data, and carried out as it stands: a dry run is the plan alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from . import definition, submit
from .definition import Registered
from .image import registry
from .image.hashing import HASH_CHARS
from .image.registry import StoredImage
from .session import Session
from .settings import Settings

OUR_TAG = re.compile(rf"\d+\.\d+-[0-9a-f]{{{HASH_CHARS}}}")


@dataclass(frozen=True)
class Plan:
    """The images that are to go, and the definitions that would be left without one."""

    images: list[StoredImage]
    definitions: list[Registered]

    @property
    def size_bytes(self) -> int:
        """Return the images' compressed size; layers that others share are counted too."""
        return sum(image.size_bytes for image in self.images)


async def plan(session: Session, settings: Settings, before: datetime) -> Plan:
    """Return what may go of these settings' repository and job definitions.

    An image stays that was pushed or pulled at or after `before`, that carries a tag which is not ours, or
    that somebody else's definition names; and so does one whose definitions have a job, in any queue, that
    is not over or was created at or after `before`.

    Raises AWSBatchError where AWS does not answer.
    """
    ours = definition.pattern(settings)
    definitions = await definition.registered(session)
    queues = await submit.queues(session)
    doomed: list[StoredImage] = []
    unused: list[Registered] = []
    for image in await registry.images(session, settings.ecr_repo_name):
        if image.used_at >= before or not _is_ours(image):
            continue
        reference = f"/{settings.ecr_repo_name}@{image.digest}"
        users = [each for each in definitions if each.image.endswith(reference)]
        active = [each for each in users if each.is_active]
        if not all(ours.fullmatch(each.name) for each in active):
            continue
        if not await _any_recent(session, queues, users, before):
            doomed.append(image)
            unused += active
    return Plan(doomed, unused)


async def carry_out(session: Session, settings: Settings, planned: Plan) -> None:
    """Deregister and delete what a plan names; definitions first, so that none names an image that is gone.

    Raises AWSBatchError at the first refusal; what was done stays done.
    """
    for each in planned.definitions:
        await definition.deregister(session, each)
    await registry.delete_images(session, settings.ecr_repo_name, [image.digest for image in planned.images])


def _is_ours(image: StoredImage) -> bool:
    return bool(image.tags) and all(OUR_TAG.fullmatch(tag) for tag in image.tags)


async def _any_recent(
    session: Session, queues: list[str], definitions: list[Registered], since: datetime
) -> bool:
    for each in definitions:
        for queue in queues:
            if await submit.any_recent(session, queue, each.arn, since):
                return True
    return False
