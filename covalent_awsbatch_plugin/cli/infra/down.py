"""`covalent-awsbatch infra down`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli.infra import progress, section
from covalent_awsbatch_plugin.cli.infra.options import STACK_OPTIONS, YES_OPTION, agreed, given_parameters
from covalent_awsbatch_plugin.cli.options import in_one_sentence, opened, with_options
from covalent_awsbatch_plugin.cli.text import plural, print_fields

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.infra.configuration_file import Revision
    from covalent_awsbatch_plugin.infra.deployment import Report
    from covalent_awsbatch_plugin.infra.emptying import Bucket, Contents
    from covalent_awsbatch_plugin.infra.stack import Stack

MIB = 2**20


@click.command("down")
@YES_OPTION
@with_options(*STACK_OPTIONS)
@in_one_sentence
def down(*, yes: bool, **options: Any) -> None:
    """Take away all that `infra up` has made, with what is in it, and Covalent's knowledge of it.

    Shows what would be deleted and asks before it deletes it: objects and images too, and jobs that have not
    ended. What the stack did not make is left alone. Where something could not be deleted, run it again.
    """
    from covalent_awsbatch_plugin.infra.parameters import checked

    name = checked(given_parameters(options)).stack_name
    contents = asyncio.run(_survey(name, options))
    if contents is None:
        click.echo(f"There is no stack {name}: there is nothing to take down.")
        return
    _show(contents)
    # Not on an event loop: there Ctrl-C would not end the question.
    if not agreed(_question(contents), yes=yes):
        raise click.ClickException("Nothing was changed: say yes, or repeat it with --yes.")
    asyncio.run(_clear(contents, options))
    with progress.followed(len(contents.resources)) as report:
        asyncio.run(_delete(contents.stack, options, report))
    click.echo(f"The stack {name} is gone.")
    section.revise(_revision(contents.stack), yes=yes)


async def _survey(name: str, options: dict[str, Any]) -> Contents | None:
    from covalent_awsbatch_plugin.infra import deployment, emptying
    from covalent_awsbatch_plugin.infra import stack as stacks

    _, session = opened(options)
    stack = await deployment.doomed(session, name, progress.line, progress.say)
    if stack is None:
        return None
    return await emptying.survey(session, stack, await stacks.resources(session, stack))


async def _clear(contents: Contents, options: dict[str, Any]) -> None:
    from covalent_awsbatch_plugin.infra import emptying

    _, session = opened(options)
    await emptying.clear(session, contents, progress.say)


async def _delete(stack: Stack, options: dict[str, Any], report: Report) -> None:
    from covalent_awsbatch_plugin.infra import deployment

    _, session = opened(options)
    await deployment.delete(session, stack, report)


def _show(contents: Contents) -> None:
    from covalent_awsbatch_plugin.cli.table import print_table

    rows = [(each.logical_id, each.type, each.physical_id) for each in contents.resources]
    print_table(("resource", "type", "name"), rows)
    click.echo()
    print_fields(_facts(contents))


def _facts(contents: Contents) -> list[tuple[str, str]]:
    """Return what goes with the resources although CloudFormation does not know of it."""
    definitions = "\n".join(each.name for each in contents.definitions)
    return [
        *((f"bucket {each.name}", _size(each)) for each in contents.buckets),
        *((f"repository {each.name}", plural(len(each.digests), "image")) for each in contents.repositories),
        ("job definitions to be deregistered", definitions),
        ("jobs to be ended", str(len(contents.jobs) or "")),
    ]


def _size(bucket: Bucket) -> str:
    return f"{plural(bucket.objects, 'object')}, {bucket.size_bytes / MIB:.1f} MiB"


def _question(contents: Contents) -> str:
    jobs = f"End {plural(len(contents.jobs), 'job')} and delete" if contents.jobs else "Delete"
    return f"{jobs} all this, the stack {contents.stack.name} with everything in it?"


def _revision(stack: Stack) -> Revision:
    """Return that Covalent is to know nothing of the stack any more; whose account it was in may stay."""
    from covalent_awsbatch_plugin.infra.configuration_file import Revision
    from covalent_awsbatch_plugin.infra.parameters import PLACE
    from covalent_awsbatch_plugin.infra.template import settings_in

    former = settings_in(stack.outputs)
    return Revision({}, {name: value for name, value in former.items() if name not in PLACE})
