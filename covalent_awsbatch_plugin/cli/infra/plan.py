"""`covalent-awsbatch infra plan`."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from covalent_awsbatch_plugin.cli.infra import changes
from covalent_awsbatch_plugin.cli.infra.options import PARAMETER_OPTIONS, given_parameters
from covalent_awsbatch_plugin.cli.options import in_one_sentence, opened, with_options


@click.command("plan")
@with_options(*PARAMETER_OPTIONS)
@in_one_sentence
def plan(**options: Any) -> None:
    """Show what `infra up` would do with the same parameters; changes nothing and costs nothing.

    Of a stack that exists, parameters that are not given keep what they are.
    """
    from covalent_awsbatch_plugin.infra import deployment
    from covalent_awsbatch_plugin.infra.change_set import Change
    from covalent_awsbatch_plugin.infra.parameters import checked

    given = given_parameters(options)
    wanted = checked(given)

    async def work() -> list[Change]:
        _, session = opened(options)
        return await deployment.preview(session, wanted, given)

    found = asyncio.run(work())
    if found:
        changes.show(found)
    else:
        click.echo(f"The stack {wanted.stack_name} is as it should be: nothing would be done.")
