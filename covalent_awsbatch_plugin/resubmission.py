"""A task group that is submitted again: its payload lies in its pack, so nothing of it was kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from . import packs, preflight
from .errors import SubmissionError
from .job import Job
from .ladder import Rung
from .payload import Parcel
from .running import Running, follow
from .session import Session
from .settings import Settings
from .shipment import Kind
from .submission import submit_gathered
from .watch import Followed


async def submit_again(session: Session, task: Running, job: Job, rung: Rung) -> Followed:
    """Submit a group again after its job has ended, and follow the new one; the group's notes tell of it.

    Raises CancelledError where the group is cancelled meanwhile, BucketError where its pack cannot be read,
    and what a submission raises.
    """
    task.followed = None
    task.rung += 1
    parcel = await _parcel(session, task)
    kind = await _kind(session, task, job, rung.settings)
    if task.is_cancelled:
        raise asyncio.CancelledError
    job_id = await submit_gathered(session, task, kind, parcel)
    packs.forget(session, task.settings.s3_bucket_name, task.dispatch_id)
    task.kind = kind
    return await _follow(session, task, job_id, f"the job {job.id} {rung.note}, as job {job_id}")


async def follow_twin(session: Session, task: Running, job: Job, twin_id: str) -> Followed:
    """Follow the job that AWS Batch has made of the same submission before this one, which did not run."""
    text = f"AWS Batch has taken the task twice: the job {job.id} did not run, as {twin_id} does"
    return await _follow(session, task, twin_id, text)


async def _follow(session: Session, task: Running, job_id: str, note: str) -> Followed:
    task.note(note)
    followed = await follow(session, task, job_id)
    if task.is_cancelled:
        task.end_job()
    return followed


async def _parcel(session: Session, task: Running) -> Parcel:
    bucket = task.settings.s3_bucket_name
    # As many at a time as S3 is read from elsewhere: all children of an array may come at once.
    slots = await session.once("packs that are read", _slots)
    async with slots:
        parcel = await packs.take_out(session, bucket, task.dispatch_id, task.group_id)
    if parcel is None:
        raise SubmissionError(f"The bucket {bucket!r} has no pack with the task any more.")
    return parcel


async def _slots() -> asyncio.Semaphore:
    return asyncio.Semaphore(packs.READS_AT_ONCE)


async def _kind(session: Session, task: Running, job: Job, settings: Settings) -> Kind:
    """Return what the new job is like: as the last one, but for the settings."""
    if task.kind is not None:
        return replace(task.kind, asked=settings.asked, settings=settings, rung=task.rung)
    return Kind(
        dispatch_id=task.dispatch_id,
        definition_arn=job.definition_arn,
        asked=settings.asked,
        settings=settings,
        needs=None,
        image="",
        ground=await preflight.check(session, settings),
        rung=task.rung,
    )
