"""The making of an image as a person sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from covalent_awsbatch_plugin.image.progress import Progress, Report, Stage

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def bar(console: Console) -> Iterator[Report]:
    """Show one bar for each stage of each image."""
    from rich import progress as rich_progress

    columns = (
        rich_progress.TextColumn("[bold]{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TaskProgressColumn(),
        rich_progress.TextColumn("{task.fields[line]}", markup=False),
        rich_progress.TimeElapsedColumn(),
    )
    with rich_progress.Progress(*columns, console=console) as shown:
        bars: dict[tuple[Stage, str], rich_progress.TaskID] = {}

        def report(made: Progress) -> None:
            key = (made.stage, made.image)
            if key not in bars:
                bars[key] = shown.add_task(f"{made.stage.value} {made.image}", line="")
            shown.update(bars[key], completed=made.done, total=made.total or None, line=made.text[:60])

        yield report


def lines(console: Console) -> Report:
    """Print a line for each step of a build, and for the beginning of each other stage."""
    seen: set[tuple[Stage, str, int]] = set()

    def report(made: Progress) -> None:
        step = made.done if made.stage is Stage.BUILD else 0
        if (made.stage, made.image, step) not in seen:
            seen.add((made.stage, made.image, step))
            console.print(f"{made.stage.value} {made.image}: {made.text}", markup=False, highlight=False)

    return report
