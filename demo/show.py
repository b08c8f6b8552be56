"""What the demo shows: a progress bar while jobs run, and a table of scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

LOOK_EVERY_S = 0.5


def follow(
    console: Console, job_total: int, count_jobs: Callable[[], dict[str, int]], done: Callable[[], bool]
) -> None:
    """Show how many jobs are in which state until the workflow is done."""
    columns = (
        TextColumn("[bold]AWS Batch jobs"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[states]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("jobs", total=job_total, states="")
        while True:
            counts = count_jobs()
            ended = counts.get("SUCCEEDED", 0) + counts.get("FAILED", 0)
            states = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
            progress.update(bar, completed=ended, states=states)
            if not console.is_terminal:
                console.print(f"{ended} of {job_total} jobs have ended: {states or 'none submitted yet'}")
            if done():
                return
            time.sleep(LOOK_EVERY_S if console.is_terminal else 4 * LOOK_EVERY_S)


def report(console: Console, outcome: Any) -> bool:
    """Print what became of the sweep and tell whether it has a result."""
    if str(outcome.status) != "COMPLETED":
        console.print(f"[bold red]The workflow ended {outcome.status}.[/]")
        for node in outcome.get_all_node_results():
            if node["error"]:
                console.print(f"{node['node_name']}: {node['error']}", markup=False)
        return False
    console.print(table(outcome.result))
    console.print(f"Accuracy on held-out digits: [bold]{outcome.result['held-out accuracy']:.4f}[/]")
    return True


def table(result: dict[str, Any]) -> Table:
    """Return the table of all scores, best first."""
    shown = Table(title="Support vector machines on handwritten digits")
    for heading in ("cost", "gamma", "accuracy"):
        shown.add_column(heading, justify="right")
    for each in sorted(result["candidates"], key=lambda row: -row["accuracy"]):
        style = "bold green" if each == result["best"] else ""
        shown.add_row(f"{each['cost']:g}", f"{each['gamma']:g}", f"{each['accuracy']:.4f}", style=style)
    return shown
