"""`covalent-awsbatch infra template`."""

from __future__ import annotations

import click


@click.command("template")
def template() -> None:
    """Print the CloudFormation template, to be read or used in another way."""
    from covalent_awsbatch_plugin.infra.template import text

    click.echo(text(), nl=False)
