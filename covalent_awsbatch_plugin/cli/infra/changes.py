"""What would be done to a stack, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.infra.change_set import Change

ACTIONS = {"Add": ("made", "green"), "Modify": ("changed", "yellow"), "Remove": ("deleted", "red")}
REPLACEMENTS = {"True": "is replaced", "Conditional": "may be replaced"}


def show(changes: Sequence[Change]) -> None:
    """Print a row for each resource, and how many of them would be made, changed and deleted."""
    from rich.text import Text

    from covalent_awsbatch_plugin.cli.table import print_table

    rows = [
        (
            Text(*_action(each)),
            each.logical_id,
            each.type,
            Text(REPLACEMENTS.get(each.replacement, ""), "red"),
        )
        for each in changes
    ]
    print_table(("action", "resource", "type", "replacement"), rows)
    click.echo(f"\n{summary(changes)}.")


def summary(changes: Sequence[Change]) -> str:
    """Return how many resources would be made, changed and deleted."""
    counts = Counter(_action(each)[0] for each in changes)
    return ", ".join(f"{count} to be {action}" for action, count in counts.items())


def _action(change: Change) -> tuple[str, str]:
    return ACTIONS.get(change.action, (change.action.lower(), "yellow"))
