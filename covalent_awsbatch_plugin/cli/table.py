"""A table as a terminal shows it, and as a pipe takes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Column
    from rich.text import Text

PIPED_WIDTH = 400
"""Columns that nothing needs: a program that reads the table wants each row on a line."""


def terminal_width() -> int | None:
    """Return the columns of the terminal; None where standard output is none."""
    from rich.console import Console

    console = Console()
    return console.width if console.is_terminal else None


def print_table(columns: Sequence[Column | str], rows: Iterable[Sequence[Text | str]]) -> None:
    """Print rows under their headings; texts as they stand, and in a pipe each row on a line of its own."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for row in rows:
        table.add_row(*row)
    width = terminal_width() or PIPED_WIDTH
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)
