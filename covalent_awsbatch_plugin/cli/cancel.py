"""`covalent-awsbatch cancel`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli import summary
from covalent_awsbatch_plugin.cli.options import JOB_OPTIONS, in_one_sentence, opened, with_options

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.client.lookup import Member, Run
    from covalent_awsbatch_plugin.job import Job


@click.command("cancel")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask before more than one job is ended.")
@with_options(*JOB_OPTIONS)
@in_one_sentence
def command(*, job_ids: tuple[str, ...], yes: bool, **options: Any) -> None:
    """End jobs, or keep them from starting; a run's id ends all of its jobs.

    ID is what `jobs` shows, or AWS Batch's own. Asks before it ends more than one job. What has ended or is
    not known is said, the others are ended all the same, and the exit code is 1.
    """
    from covalent_awsbatch_plugin.client import lookup

    found, refusals = asyncio.run(_find(job_ids, options))
    for refusal in refusals:
        click.echo(f"Error: {refusal}", err=True)
    wanted = lookup.unfinished(found)
    count = lookup.how_many(job for _, job in wanted)
    # Not on an event loop: there Ctrl-C would not end the question.
    if count > 1 and not yes:
        click.confirm(f"End {count} jobs?", abort=True, err=True)
    asyncio.run(_end([job for _, job in wanted], options))
    for shown_id, job in wanted:
        click.echo(_said(shown_id, job))
    if refusals:
        raise SystemExit(1)


async def _find(job_ids: tuple[str, ...], options: dict[str, Any]) -> tuple[list[Member | Run], list[str]]:
    """Return what is to be ended, and why the rest is not."""
    from covalent_awsbatch_plugin.client import lookup
    from covalent_awsbatch_plugin.errors import UnknownJobError

    settings, session = opened(options)
    found: list[Member | Run] = []
    refusals: list[str] = []
    for given in dict.fromkeys(job_ids):
        try:
            each = await lookup.look_up(session, settings, given)
        except UnknownJobError as error:
            refusals.append(str(error))
            continue
        if lookup.unfinished([each]):
            found.append(each)
        else:
            refusals.append(_refusal(each))
    return found, refusals


async def _end(jobs: list[Job], options: dict[str, Any]) -> None:
    from covalent_awsbatch_plugin.client import lookup

    _, session = opened(options)
    await lookup.end(session, jobs)


def _refusal(found: Member | Run) -> str:
    from covalent_awsbatch_plugin.client.lookup import Run

    if isinstance(found, Run):
        has_ended = f"has ended: {summary.in_words(found.states)}" if found.jobs else ""
        kind = "run"
    else:
        has_ended = f"has ended: {found.job.status.value}" if found.job is not None else ""
        kind = "job"
    if has_ended:
        return f"The {kind} {found.id} {has_ended}."
    return f"AWS Batch does not know the {kind} {found.id}, or not any more."


def _said(shown_id: str, job: Job) -> str:
    from covalent_awsbatch_plugin.client.lookup import states_of

    if job.array_size is None:
        return f"AWS Batch ends the job {shown_id} ({job.status.value})."
    return f"AWS Batch ends the array {shown_id} ({summary.in_words(states_of(job))})."
