"""`covalent-awsbatch image prune`."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli.image.options import MB, REGISTRY_OPTIONS, opened
from covalent_awsbatch_plugin.cli.options import in_one_sentence, with_options

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.prune import Plan

DEFAULT_OLDER_THAN_DAYS = 30.0


@click.command("prune")
@click.option(
    "--older-than",
    "older_than_days",
    type=click.FloatRange(0),
    default=DEFAULT_OLDER_THAN_DAYS,
    show_default=True,
    help="Days in which an image was neither pushed nor pulled nor used by a job.",
)
@click.option("--yes", is_flag=True, help="Do it; otherwise only show what would be done.")
@with_options(*REGISTRY_OPTIONS)
@in_one_sentence
def prune(*, older_than_days: float, yes: bool, **options: Any) -> None:
    """Delete images that no job has used for long, and deregister their job definitions.

    Shows what would go, and does it with --yes. Kept are images that a job definition of somebody else
    names, and those with a tag that is not ours. AWS Batch remembers a job for about a week: an image that
    was pulled longer ago counts as unused, whatever ran in it.
    """

    async def work() -> Plan:
        from covalent_awsbatch_plugin import prune as pruning

        settings, session = opened(options)
        before = datetime.now(timezone.utc) - timedelta(days=older_than_days)
        planned = await pruning.plan(session, settings, before)
        if yes:
            await pruning.carry_out(session, settings, planned)
        return planned

    planned = asyncio.run(work())
    for each in planned.definitions:
        click.echo(f"{'Deregistered' if yes else 'Would deregister'} the job definition {each.name}")
    for image in planned.images:
        click.echo(f"{'Deleted' if yes else 'Would delete'} the image {' '.join(image.tags)}")
    if not planned.images:
        click.echo(f"There is nothing to delete (--older-than {older_than_days:g}).")
        return
    count, size_mb = len(planned.images), planned.size_bytes / MB
    total = f"{count} {'image' if count == 1 else 'images'}, {size_mb:.0f} MB"
    click.echo(total if yes else f"{total}. Nothing was changed: repeat it with --yes to do so.")
