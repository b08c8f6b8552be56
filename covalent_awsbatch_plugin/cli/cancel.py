"""`covalent-awsbatch cancel`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli.options import JOB_OPTIONS, in_one_sentence, opened, with_options

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.client.lookup import Member, Run
    from covalent_awsbatch_plugin.job import Job
    from covalent_awsbatch_plugin.session import Session
    from covalent_awsbatch_plugin.settings import Settings


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

    async def work() -> bool:
        from covalent_awsbatch_plugin.client import lookup
        from covalent_awsbatch_plugin.errors import UnknownJobError

        settings, session = opened(options)
        wanted: dict[str, Job] = {}
        is_complete = True
        for given in dict.fromkeys(job_ids):
            try:
                wanted |= await _unfinished(session, settings, given)
            except UnknownJobError as error:
                click.echo(f"Error: {error}", err=True)
                is_complete = False
        count = sum(lookup.unfinished_of(job) for job in wanted.values())
        if count > 1 and not yes:
            click.confirm(f"End {count} jobs?", abort=True, err=True)
        await lookup.end(session, list(wanted.values()))
        for shown_id, job in wanted.items():
            click.echo(_told(shown_id, job))
        return is_complete

    if not asyncio.run(work()):
        raise SystemExit(1)
