"""`covalent-awsbatch jobs`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli import summary
from covalent_awsbatch_plugin.cli.options import (
    JOB_OPTIONS,
    JSON_OPTION,
    in_one_sentence,
    opened,
    with_options,
)
from covalent_awsbatch_plugin.cli.text import now, span
from covalent_awsbatch_plugin.job import JobStatus, reasons_of
from covalent_awsbatch_plugin.plain_text import escaped

if TYPE_CHECKING:
    from rich.text import Text

    from covalent_awsbatch_plugin.job import Job

DEFAULT_LIMIT = 25

MAX_REASON_CHARS = 60

STATE_CHARS = 28
"""What an array with children in two states needs; only more is broken into lines."""

WIDE_COLUMNS = 120
"""Narrower terminals have no room for AWS's ids beside ours, which all commands take."""

COLOURS = {JobStatus.RUNNING: "cyan", JobStatus.SUCCEEDED: "green", JobStatus.FAILED: "red"}


@click.command("jobs")
@click.option(
    "--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, show_default=True, help="How many to list."
)
@click.option(
    "--status",
    type=click.Choice([status.value for status in JobStatus], case_sensitive=False),
    help="Only jobs in this state, and arrays with children in it.",
)
@JSON_OPTION
@with_options(*JOB_OPTIONS)
@in_one_sentence
def command(*, limit: int, status: str | None, as_json: bool, **options: Any) -> None:
    """List the newest jobs of the queue, an array in one line.

    The id is what `job`, `logs` and `cancel` take: a run, or a run and a number. AWS Batch remembers a job
    for about a week.
    """

    async def work() -> tuple[str, list[Job]]:
        from covalent_awsbatch_plugin.client import lookup

        settings, session = opened(options)
        wanted = None if status is None else JobStatus(status)
        return settings.batch_queue, await lookup.recent(session, settings, limit, wanted)

    queue, jobs = asyncio.run(work())
    if as_json:
        click.echo(_as_json(jobs))
    elif jobs:
        _print_jobs(jobs)
    else:
        state = f" that are {status}" if status else ""
        click.echo(f"The queue {queue} has no jobs of covalent-awsbatch{state}.", err=True)


def _as_json(jobs: list[Job]) -> str:
    from covalent_awsbatch_plugin.client.lookup import id_of

    at = now()
    return json.dumps([summary.as_json(job, id_of(job), at) for job in jobs], indent=2)


def _print_jobs(jobs: list[Job]) -> None:
    from rich.table import Column
    from rich.text import Text

    from covalent_awsbatch_plugin.cli.table import print_table, terminal_width
    from covalent_awsbatch_plugin.client.lookup import id_of

    at = now()
    columns = [
        Column("id", no_wrap=True),
        Column("state", min_width=min(STATE_CHARS, max(len(_state(job)) for job in jobs))),
        Column("age", no_wrap=True),
        Column("duration", no_wrap=True),
        Column("reason"),
    ]
    rows: list[list[Text | str]] = []
    for job in jobs:
        seconds = summary.duration_s(job, at)
        rows.append(
            [
                id_of(job),
                _state(job),
                span((at - job.created_at).total_seconds()) if job.created_at else "",
                "" if seconds is None else span(seconds),
                Text(_shortened(reasons_of(job)), no_wrap=True, overflow="ellipsis"),
            ]
        )
    width = terminal_width()
    if width is None or width >= WIDE_COLUMNS:
        columns.append(Column("AWS Batch's id", no_wrap=True))
        for row, job in zip(rows, jobs, strict=True):
            row.append(job.id)
    print_table(columns, rows)


def _state(job: Job) -> Text:
    from rich.text import Text

    from covalent_awsbatch_plugin.client.lookup import states_of

    states = states_of(job)
    if job.array_size is None:
        return Text(job.status.value, style=COLOURS.get(job.status, ""))
    parts = [
        Text(f"{count} {status.value}", style=COLOURS.get(status, "")) for status, count in states.items()
    ]
    return Text(", ").join(parts)


def _shortened(reason: str) -> str:
    text = escaped(" ".join(reason.split()))
    return text if len(text) <= MAX_REASON_CHARS else f"{text[: MAX_REASON_CHARS - 1]}…"
