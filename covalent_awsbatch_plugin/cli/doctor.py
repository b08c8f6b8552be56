"""`covalent-awsbatch doctor`."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli.options import (
    JOB_OPTIONS,
    JSON_OPTION,
    given_of,
    in_one_sentence,
    with_options,
)
from covalent_awsbatch_plugin.cli.text import span
from covalent_awsbatch_plugin.plain_text import escaped

if TYPE_CHECKING:
    from rich.console import Console

    from covalent_awsbatch_plugin.doctor.finding import Finding
    from covalent_awsbatch_plugin.doctor.trial import Stage, Trial
    from covalent_awsbatch_plugin.image.progress import Report

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red"), "skipped": ("–", "cyan")}
"""How each state is shown."""

NAME_COLUMNS = 17
BAR_COLUMNS = 24


@click.command("doctor")
@click.option("--run", "with_run", is_flag=True, help="Run a trivial job, too, and time each of its stages.")
@JSON_OPTION
@with_options(*JOB_OPTIONS)
@in_one_sentence
def command(*, with_run: bool, as_json: bool, **options: Any) -> None:
    """Look at the whole set-up in the order in which a first run would fail.

    Of each thing: whether it is well (✓), jobs run but not as they should (!), or none runs (✗), why that
    matters, and the command that mends it. Nothing is changed, but for a small object that is written and
    deleted, and the job of --run. The exit code is 1 where something is ✗.
    """
    given = given_of(options)
    findings = asyncio.run(_examined(given, shown=not as_json))
    is_well = all(each.state.value != "failed" for each in findings)
    trial = _tried(given) if with_run and is_well else None
    stages = [] if trial is None else trial.stages
    if trial is not None:
        findings.append(trial.finding)
    if as_json:
        told = {"findings": [asdict(each) for each in findings], "stages": [asdict(each) for each in stages]}
        click.echo(json.dumps(told, indent=2))
    elif trial is not None:
        _show(trial.finding)
        _show_stages(stages)
    if any(each.state.value == "failed" for each in findings):
        raise SystemExit(1)


async def _examined(given: dict[str, Any], *, shown: bool) -> list[Finding]:
    from covalent_awsbatch_plugin.doctor.examination import examination
    from covalent_awsbatch_plugin.doctor.subject import Subject

    findings = []
    async for finding in examination(Subject(given)):
        findings.append(finding)
        if shown:
            _show(finding)
    return findings


def _tried(given: dict[str, Any]) -> Trial:
    from rich.console import Console

    from covalent_awsbatch_plugin.doctor import trial
    from covalent_awsbatch_plugin.doctor.subject import Subject

    console = Console(stderr=True)
    with _progress(console) as report:
        return trial.run(Subject(given).settings, lambda text: console.out(text, highlight=False), report)


def _progress(console: Console) -> AbstractContextManager[Report]:
    from covalent_awsbatch_plugin.cli.image.progress import bar, lines

    return bar(console) if console.is_terminal else nullcontext(lines(console))


def _show(finding: Finding) -> None:
    mark, colour = MARKS[finding.state.value]
    indent = " " * (NAME_COLUMNS + 2)
    click.echo(f"{click.style(mark, fg=colour)} {finding.check.ljust(NAME_COLUMNS)}{escaped(finding.seen)}")
    if finding.why:
        click.echo(f"{indent}{click.style(escaped(finding.why), dim=True)}")
    if finding.mend:
        click.echo(f"{indent}{click.style('→', fg=colour)} {escaped(finding.mend)}")


def _show_stages(stages: list[Stage]) -> None:
    from covalent_awsbatch_plugin.cli.table import print_table

    total_s = sum(each.seconds for each in stages)
    rows = [(each.name, span(each.seconds), _bar(each.seconds, total_s), each.clock) for each in stages]
    print_table(("stage", "time", "share", "clock"), [*rows, ("in all", span(total_s), "", "")])


def _bar(seconds: float, total_s: float) -> str:
    share = seconds / total_s if total_s else 0.0
    return f"{'█' * round(share * BAR_COLUMNS):{BAR_COLUMNS}} {share:4.0%}"
