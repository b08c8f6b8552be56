"""The work on a stack as a person sees it, resource by resource."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import click

from covalent_awsbatch_plugin.infra.events import Event

if TYPE_CHECKING:
    from rich.console import Console

    from covalent_awsbatch_plugin.infra.deployment import Report

BAR_WIDTH = 20
"""So that count, time and a resource's name fit into 80 columns beside it."""

INTERRUPTED = (
    "Interrupted, but CloudFormation goes on by itself: `covalent-awsbatch infra status` shows how far it "
    "is, and this command again follows it."
)


@contextmanager
def followed(resources: int) -> Iterator[Report]:
    """Show what becomes of so many resources: a bar on a terminal, and lines elsewhere.

    Raises ClickException where the user interrupts it: the work itself goes on.
    """
    from rich.console import Console

    console = Console(stderr=True)
    shown: AbstractContextManager[Report] = (
        _bar(console, resources) if console.is_terminal else nullcontext(line)
    )
    with interruptible(), shown as report:
        yield report


@contextmanager
def interruptible() -> Iterator[None]:
    """Tell who interrupts this that CloudFormation goes on; raises ClickException then."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise click.ClickException(INTERRUPTED) from error


def line(event: Event) -> None:
    """Print what happened to a resource."""
    click.echo(_text(event), err=True)


def say(text: str) -> None:
    """Print what is being done."""
    click.echo(text, err=True)


def _text(event: Event) -> str:
    reason = f": {event.reason}" if event.reason else ""
    return f"{event.status:<20} {event.type} {event.logical_id}{reason}"


@contextmanager
def _bar(console: Console, resources: int) -> Iterator[Report]:
    """Show a bar, what is being worked on, and above it a line for each resource that is done."""
    from rich import progress as rich_progress
    from rich.table import Column
    from rich.text import Text

    columns = (
        rich_progress.BarColumn(BAR_WIDTH),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn(
            "{task.fields[now]}", markup=False, table_column=Column(no_wrap=True, ratio=1)
        ),
    )
    with rich_progress.Progress(*columns, console=console, expand=True) as shown:
        task = shown.add_task("", total=resources, now="")
        under_way: dict[str, None] = {}
        done: set[str] = set()

        def report(event: Event) -> None:
            if event.is_of_stack:
                return
            under_way.pop(event.logical_id, None)
            if event.is_over:
                done.add(event.logical_id)
                style = "red" if event.has_failed else "green"
                shown.console.print(Text(_text(event), style), soft_wrap=True)
            else:
                under_way[event.logical_id] = None
            shown.update(task, completed=min(len(done), resources), now=", ".join(reversed(under_way)))

        yield report
