"""`[executors.awsbatch]` of Covalent's configuration: the difference, the question, and the writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from covalent_awsbatch_plugin.cli.infra.options import agreed

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.infra.configuration_file import Revision

FRESH = "A Covalent server that runs takes it with the next task that names the executor."
STALE = "A Covalent server that runs knows what is gone, and would write it again: `covalent restart`."
"""It merges the file into what it has in memory, and writes both, whenever it looks for an executor."""

COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def revise(revision: Revision, *, yes: bool) -> None:
    """Show what would change in the section, and write it when that was agreed to."""
    from covalent_awsbatch_plugin.configuration import config_file
    from covalent_awsbatch_plugin.infra.configuration_file import write

    diff = revision.diff
    if not diff:
        click.echo(f"[executors.awsbatch] in {config_file()} is as it should be.")
        return
    click.echo()
    for line in diff:
        click.echo(click.style(line, fg=COLOURS.get(line[:1])))
    if not agreed("Write this into Covalent's configuration?", yes=yes):
        click.echo("The configuration was left as it is; the same command again asks again.")
        return
    hint = STALE if revision.takes_away else FRESH
    click.echo(f"Wrote {write(revision)}. {hint}")
