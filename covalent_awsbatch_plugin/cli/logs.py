"""`covalent-awsbatch logs`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from covalent_awsbatch_plugin.cli.options import JOB_OPTIONS, in_one_sentence, opened, with_options
from covalent_awsbatch_plugin.plain_text import escaped

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as a shell reports it."""


@click.command("logs")
@click.argument("job_id", metavar="ID")
@click.option("--follow", is_flag=True, help="Print lines as they come, until the job has ended.")
@click.option("--log-group", "batch_job_log_group_name", help="CloudWatch log group.")
@with_options(*JOB_OPTIONS)
@in_one_sentence
def command(*, job_id: str, follow: bool, **options: Any) -> None:
    """Print what the last attempt of a job has written to CloudWatch Logs.

    ID is a run and a number, as `jobs` shows it, or AWS Batch's own. Of a job that AWS Batch has forgotten
    the lines are those that its outcome in S3 has.
    """

    async def work() -> None:
        from covalent_awsbatch_plugin.client import lookup

        settings, session = opened(options)
        member = await lookup.look_up_one(session, settings, job_id)
        is_silent = True
        async for line in lookup.log_lines(session, settings, member, follow=follow):
            is_silent = False
            _print(line)
        if is_silent:
            state = "" if follow or member.job is None else f" ({member.job.status.value})"
            click.echo(f"There are no lines of the job {member.id}{state}.", err=True)

    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None


def _print(line: str) -> None:
    if sys.stdout.isatty():
        click.echo(escaped(line))
    else:  # as the job has written it, colours included
        click.echo(line, color=True)
