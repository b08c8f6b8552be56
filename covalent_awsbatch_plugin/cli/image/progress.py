"""The making of an image as a person sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from covalent_awsbatch_plugin.image.progress import Progress, Report, Stage, steps

if TYPE_CHECKING:
    from rich.console import Console

BAR_WIDTH = 20
"""So that stage, bar, percent, time and the beginning of the last line fit into 80 columns."""

ENGINES_OWN = "--->"
"""What the engine says of its layers, which tells a person nothing."""


@contextmanager
def bar(console: Console) -> Iterator[Report]:
    """Show one bar for each stage of each image, with the last line that its tools said."""
    from rich import progress as rich_progress
    from rich.table import Column

    columns = (
        rich_progress.TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True)),
        rich_progress.BarColumn(BAR_WIDTH),
        rich_progress.TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4)),
        rich_progress.TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        rich_progress.TextColumn(
            "{task.fields[line]}", markup=False, table_column=Column(no_wrap=True, ratio=1)
        ),
    )
    with rich_progress.Progress(*columns, console=console, expand=True) as shown:
        bars: dict[tuple[Stage, str], rich_progress.TaskID] = {}

        def report(made: Progress) -> None:
            key = (made.stage, made.image)
            if key not in bars:
                bars[key] = shown.add_task(made.stage.value, total=None, line=made.image)
            shown.update(bars[key], completed=made.done, total=made.total or None)
            said = made.text.strip()
            if said and not said.startswith(ENGINES_OWN):
                shown.update(bars[key], line=said)

        yield report
        for task in shown.tasks:
            if task.total is None:  # none ever came: there was nothing to send
                shown.update(task.id, completed=1, total=1)


def lines(console: Console) -> Report:
    """Print a line for each step."""
    return steps(lambda line: console.out(line, highlight=False))
