"""What is submitted together: one pack in S3 and one SubmitJob, for one task or for ten thousand."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import contract, payload, submit
from .image.environment import Recipe
from .job import child_id
from .payload import Parcel
from .preflight import Ground
from .session import Session
from .settings import Settings
from .submit import Dependency

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """What tasks must have in common to be submitted together: nothing else decides how a job runs."""

    dispatch_id: str
    definition_arn: str
    """Or what the user calls a definition of their own; it stands for all that no submission says."""
    asked: tuple[Any, ...]
    rung: int = field(default=0, kw_only=True)
    """How often its tasks were submitted before."""
    settings: Settings = field(compare=False)
    needs: Recipe | None = field(compare=False)
    """The recipe of its image; None where the user has set the image."""
    image: str = field(compare=False)
    ground: Ground = field(compare=False)

    @property
    def of_any_dispatch(self) -> tuple[Any, ...]:
        """Return what the jobs of different dispatches have in common that take about as long."""
        return self.definition_arn, self.asked

    @property
    def gather_window_s(self) -> float:
        """The longest time to wait for others."""
        return self.settings.gather_window

    @property
    def max_array_size(self) -> int:
        """The most tasks of an array."""
        return self.settings.max_array_size

    @property
    def max_bytes(self) -> int:
        """The most bytes of a pack."""
        return payload.MAX_PACK_BYTES


def shares(parcels: Sequence[Parcel], kind: Kind) -> list[list[Parcel]]:
    """Return parcels, in their order, as they fit into arrays and their packs."""
    found: list[list[Parcel]] = []
    size_bytes = 0
    for each in parcels:
        is_full = size_bytes + len(each.payload) > kind.max_bytes
        if not found or is_full or len(found[-1]) >= kind.max_array_size:
            found.append([])
            size_bytes = 0
        found[-1].append(each)
        size_bytes += len(each.payload)
    return found


async def ship(
    session: Session, kind: Kind, parcels: Sequence[Parcel], depends_on: Sequence[Dependency] = ()
) -> list[str]:
    """Submit parcels as one job, or as one array, and return the job id of each.

    Raises BucketError where S3 does not take the pack, SubmissionError where AWS Batch refuses the job, and
    DefinitionGoneError where its definition is gone.
    """
    payload_uri = await payload.upload_pack(session, kind.settings, parcels, kind.rung)
    wanted = submit.request(
        kind.settings,
        job_name=contract.job_name(kind.dispatch_id, parcels[0].group_id, kind.rung),
        definition_arn=kind.definition_arn,
        payload_uri=payload_uri,
        region=kind.ground.identity.region,
        rung=kind.rung,
        size=len(parcels),
        depends_on=depends_on,
    )
    job_id = await submit.submit(session, wanted)
    log.info("Submitted %s as AWS Batch job %s, tasks: %d", wanted["jobName"], job_id, len(parcels))
    if len(parcels) == 1:
        return [job_id]
    return [child_id(job_id, index) for index in range(len(parcels))]
