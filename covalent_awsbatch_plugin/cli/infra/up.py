"""`covalent-awsbatch infra up`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli.infra import changes, progress, section
from covalent_awsbatch_plugin.cli.infra.options import (
    PARAMETER_OPTIONS,
    YES_OPTION,
    agreed,
    given_parameters,
)
from covalent_awsbatch_plugin.cli.options import in_one_sentence, opened, settings_of, with_options
from covalent_awsbatch_plugin.cli.text import print_fields

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.infra.change_set import ChangeSet
    from covalent_awsbatch_plugin.infra.configuration_file import Revision
    from covalent_awsbatch_plugin.infra.deployment import Proposal
    from covalent_awsbatch_plugin.infra.stack import Stack


@click.command("up")
@YES_OPTION
@with_options(*PARAMETER_OPTIONS)
@in_one_sentence
def up(*, yes: bool, **options: Any) -> None:
    """Make what an AWS account must have, or change it, and tell Covalent of it.

    Shows what would be done and asks before it does it; shows what would become of [executors.awsbatch] in
    Covalent's configuration and asks before it writes that. Of a stack that exists, parameters that are not
    given keep what they are. Run it again at any time: what is as it should be stays.
    """
    from covalent_awsbatch_plugin.infra.parameters import checked

    given = given_parameters(options)
    wanted = checked(given)

    async def propose() -> Proposal:
        from covalent_awsbatch_plugin.infra import deployment

        _, session = opened(options)
        return await deployment.propose(session, wanted, given, progress.line, progress.say)

    proposal = asyncio.run(propose())
    stack = proposal.present
    if proposal.change_set is not None:
        stack = _carry_out(proposal.change_set, options, yes=yes)
    elif stack is not None:
        click.echo(f"The stack {stack.name} is as it should be: there is nothing to do.")
    former = {} if proposal.present is None else proposal.present.outputs
    if stack is not None:
        print_fields(stack.outputs.items())
        section.revise(_revision(stack.outputs, former, options), yes=yes)


def _carry_out(planned: ChangeSet, options: dict[str, Any], *, yes: bool) -> Stack:
    """Do what was planned once that is agreed to, else leave all as it was and end."""

    async def work() -> Stack:
        from covalent_awsbatch_plugin.infra import deployment

        _, session = opened(options)
        return await deployment.carry_out(session, planned, report)

    async def discard() -> None:
        from covalent_awsbatch_plugin.infra import change_set

        _, session = opened(options)
        await change_set.discard(session, planned)

    changes.show(planned.changes)
    # Not on an event loop: there Ctrl-C would not end the question.
    if not agreed(f"Do this with the stack {planned.stack.name}?", yes=yes):
        asyncio.run(discard())
        raise click.ClickException("Nothing was changed: say yes, or repeat it with --yes.")
    with progress.followed(len(planned.changes)) as report:
        return asyncio.run(work())


def _revision(outputs: Mapping[str, str], former: Mapping[str, str], options: dict[str, Any]) -> Revision:
    """Return what Covalent is to know: the stack's outputs, and whose account they are in."""
    from covalent_awsbatch_plugin.infra.configuration_file import Revision
    from covalent_awsbatch_plugin.infra.template import settings_in

    settings = settings_of(options)
    account = {name: getattr(settings, name) for name in ("credentials", "profile", "endpoint_url")}
    given = {name: value for name, value in account.items() if value}
    return Revision({**given, **settings_in(outputs)}, settings_in(former))
