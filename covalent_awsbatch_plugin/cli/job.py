"""`covalent-awsbatch job`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from covalent_awsbatch_plugin.cli.options import (
    JOB_OPTIONS,
    JSON_OPTION,
    in_one_sentence,
    opened,
    with_options,
)
from covalent_awsbatch_plugin.cli.report import JobReport, Place, RunReport
from covalent_awsbatch_plugin.cli.text import print_fields

DEFAULT_LIMIT = 20


@click.command("job")
@click.argument("job_id", metavar="ID")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=DEFAULT_LIMIT,
    show_default=True,
    help="How many of a run's failed jobs to show.",
)
@JSON_OPTION
@with_options(*JOB_OPTIONS)
@in_one_sentence
def command(*, job_id: str, limit: int, as_json: bool, **options: Any) -> None:
    """Tell everything about one job, or about a run and its failed jobs, without waiting for their end.

    ID is what `jobs` shows: a run, or a run and a number; a dispatch of Covalent's is a run, too, and a node
    its number. Or it is AWS Batch's own. Of what AWS Batch has forgotten, the outcomes in S3 tell.
    """

    async def work() -> JobReport | RunReport:
        from covalent_awsbatch_plugin.client import lookup

        settings, session = opened(options)
        found = await lookup.look_up(session, settings, job_id)
        place = Place.of(settings, session)
        if isinstance(found, lookup.Member):
            jobs = [] if found.job is None else [found.job]
            waiting = await lookup.kept_waiting(session, jobs)
            return JobReport(place, await lookup.with_outcome(session, settings, found), waiting)
        notable = await lookup.notable(session, settings, found, limit)
        return RunReport(place, found, *notable, await lookup.kept_waiting(session, found.jobs))

    report = asyncio.run(work())
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        print_fields(report.fields())
