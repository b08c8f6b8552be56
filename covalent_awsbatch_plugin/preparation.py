"""What comes before a submission: the image, the definition, and the group as it travels."""

from __future__ import annotations

from functools import partial

from . import definition, origin, payload, preflight
from .image.environment import Recipe, recipe
from .image.provide import environment_for, provide
from .image.provide import forget as forget_image
from .payload import Group, Parcel
from .running import Running
from .session import Session
from .settings import Settings
from .shipment import Kind
from .threads import in_thread

SMALL_BYTES = 64 << 10
"""Pickles of this size are read and hashed sooner than a thread takes them over."""


async def parcel_of(settings: Settings, group: Group) -> Parcel:
    """Return a group as it travels.

    Raises ValueError where a pickle cannot be read, SetupError where this machine's key cannot.
    """
    origin_key = await origin.dispatch_key(settings, group.dispatch_id)
    pack = partial(payload.parcel, group, origin_key, settings.kms_key_id)
    return pack() if payload.length_of(group) <= SMALL_BYTES else await in_thread(pack)


async def needs_of(session: Session, settings: Settings, group: Group) -> tuple[Group, Recipe | None]:
    """Return the recipe of a group's image, and the group without the hooks that this image makes needless.

    There is no recipe where the user has set an image, or a definition that has one; then DepsPip installs in
    the container.
    """
    if settings.container_image_uri or settings.job_definition:
        return group, None
    group, pip_packages = payload.without_pip(group)
    function = group.calls[0].function
    needed = await environment_for(
        session,
        settings,
        dispatch_id=group.dispatch_id,
        python_version=function.python_version,
        cloudpickle_version=function.cloudpickle_version,
        pip_packages=pip_packages,
    )
    return group, recipe(needed)


async def kind_of(session: Session, task: Running, needs: Recipe | None) -> Kind:
    """Return what a group's job is to be like, when its image and its definition are there.

    Raises SetupError where something is missing that it stands on, SubmissionError for its definition.
    """
    settings = task.settings
    ground = await preflight.check(session, settings)
    image = settings.container_image_uri
    if needs is not None:
        provided = await provide(session, settings, ground.identity, needs)
        image = provided.uri
        if provided.made_at_s > task.started_s:
            for note in provided.notes:
                task.note(note)
    return Kind(
        dispatch_id=task.dispatch_id,
        definition_arn=await definition.ensure(session, settings, ground, image),
        asked=settings.asked,
        settings=settings,
        needs=needs,
        image=image,
        ground=ground,
        rung=task.rung,
    )


def forget_kind(session: Session, gone: Kind) -> None:
    """Look for definition and image anew the next time: they are not there any more."""
    if gone.settings.job_definition:
        return
    definition.forget(session, gone.settings, gone.ground, gone.image, gone.definition_arn)
    forget_image_of(session, gone)


def forget_image_of(session: Session, kind: Kind) -> None:
    """Look for the image anew the next time, if it is one of ours: it may have been deleted."""
    if kind.needs is not None:
        forget_image(session, kind.settings, kind.needs, kind.image)
