"""`covalent-awsbatch recover`."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli import recovery_report
from covalent_awsbatch_plugin.cli.options import (
    JOB_OPTIONS,
    JSON_OPTION,
    in_one_sentence,
    settings_of,
    with_options,
)
from covalent_awsbatch_plugin.cli.recovery_report import Recovery, count
from covalent_awsbatch_plugin.cli.text import DAY_S, HOUR_S, MINUTE_S, now

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.reconcile import Orphan, Stranded

UNITS_S = {"s": 1, "m": MINUTE_S, "h": HOUR_S, "d": DAY_S}


def _age(context: click.Context, parameter: click.Parameter, value: str | None) -> timedelta | None:
    """Return the time that was written, or refuse what is none."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([smhd])", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no time such as 90m, 2h or 1d.", context, parameter)
    return timedelta(seconds=int(match[1]) * UNITS_S[match[2]])


@click.command("recover")
@click.argument("dispatch_id", metavar="[DISPATCH]", required=False)
@click.option("--server", "server_url", help="URL of Covalent's server.")
@click.option("--no-wait", is_flag=True, help="Bring in only what has ended.")
@click.option("--end-orphans", is_flag=True, help="End what cannot be brought in; asks, or needs --yes.")
@click.option("--older-than", callback=_age, metavar="AGE", help="End only what is older: 90m, 2h, 1d.")
@click.option("--yes", is_flag=True, help="Do not ask before orphans are ended.")
@JSON_OPTION
@with_options(*JOB_OPTIONS)
@in_one_sentence
def command(
    *,
    dispatch_id: str | None,
    server_url: str | None,
    no_wait: bool,
    end_orphans: bool,
    older_than: timedelta | None,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Bring in what Covalent's server had to leave when it was killed or stopped.

    Has the running server look after all nodes of the executor `awsbatch` that it calls RUNNING, or after
    those of one dispatch: it takes the values and errors of jobs that have ended, and follows the others to
    their ends. Jobs that no dispatch waits for are listed, and ended where that is asked for. The exit code
    is 0 when every node has come in.
    """
    if end_orphans and dispatch_id is None and older_than is None:
        raise click.UsageError(
            "--end-orphans needs a DISPATCH or --older-than: jobs may be another server's."
        )
    recovery = _opened(server_url, is_quiet=as_json)
    asyncio.run(_bring_in(recovery, dispatch_id, options, wait=not no_wait))
    recovery_report.tell(recovery)
    if end_orphans:
        _end_orphans(recovery, None if older_than is None else now() - older_than, yes=yes)
    elif recovery.orphans or recovery.lost:
        recovery.say(
            "What is orphaned ends with --end-orphans: of one DISPATCH, or what is --older-than AGE."
        )
    if as_json:
        click.echo(json.dumps(recovery_report.as_json(recovery), indent=2))
    if recovery.missing:
        raise SystemExit(1)


def _opened(server_url: str | None, *, is_quiet: bool) -> Recovery:
    from covalent_awsbatch_plugin import configuration
    from covalent_awsbatch_plugin.covalent_server import CovalentServer

    return Recovery(CovalentServer(server_url or configuration.server_url()), is_quiet)


async def _bring_in(
    recovery: Recovery, dispatch_id: str | None, options: dict[str, Any], *, wait: bool
) -> None:
    from covalent_awsbatch_plugin import reconcile

    found = await reconcile.survey(recovery.server, partial(settings_of, options), dispatch_id)
    recovery.stranded, recovery.orphans = found.stranded, found.orphans
    for each in found.stranded:
        recovery.say(f"{recovery_report.name(each)}: {recovery_report.situation(each)}")
    wanted = [each for each in found.stranded if not each.is_lost and (wait or each.has_ended)]
    recovery.stuck = await reconcile.bring_in(recovery.server, wanted, recovery.note_arrival)
    dispatch_ids = [each.node.dispatch_id for each in found.stranded]
    recovery.standings = await reconcile.standing(recovery.server, dispatch_ids)


def _end_orphans(recovery: Recovery, before: datetime | None, *, yes: bool) -> None:
    """End what is orphaned, after a question; where nobody can be asked and none said yes, only list it."""
    lost = [each for each in recovery.lost if before is None or each.is_older(before)]
    orphans = [each for each in recovery.orphans if before is None or each.is_older(before)]
    if not lost and not orphans:
        recovery.say("There is nothing to end.")
        return
    verb = "" if yes else "would be "
    for orphan in orphans:
        recovery.say(f"{verb}ended: {recovery_report.orphan_name(orphan)}")
    for each in lost:
        recovery.say(f"{verb}called FAILED: {recovery_report.name(each)}")
    # Not on an event loop: there Ctrl-C would not end the question.
    what = f"{count(orphans, 'job')} and {count(lost, 'node')}"
    if not yes and not (sys.stdin.isatty() and click.confirm(f"End {what}?", err=True)):
        recovery.say(f"Nothing was changed: repeat it with --yes to end {what}.")
        return
    asyncio.run(_carry_out(recovery, orphans, lost))


async def _carry_out(recovery: Recovery, orphans: list[Orphan], lost: list[Stranded]) -> None:
    from covalent_awsbatch_plugin import reconcile

    await reconcile.end(orphans)
    recovery.ended = orphans
    late = await reconcile.bring_in(recovery.server, lost, recovery.note_arrival)
    recovery_report.complain(recovery, late)
