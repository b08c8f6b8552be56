"""`covalent-awsbatch infra status`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli.infra.options import STACK_OPTIONS, given_parameters
from covalent_awsbatch_plugin.cli.options import JSON_OPTION, in_one_sentence, opened, with_options
from covalent_awsbatch_plugin.cli.text import print_fields

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.infra.stack import Resource, Stack


@click.command("status")
@JSON_OPTION
@with_options(*STACK_OPTIONS)
@in_one_sentence
def status(*, as_json: bool, **options: Any) -> None:
    """Show the stack: its state, resources and outputs, and whether Covalent's configuration points at it.

    Does not look whether somebody has changed its resources since.
    """
    from covalent_awsbatch_plugin.infra.parameters import checked

    name = checked(given_parameters(options)).stack_name

    async def work() -> tuple[str, Stack | None, list[Resource]]:
        from covalent_awsbatch_plugin.infra import stack as stacks

        _, session = opened(options)
        stack = await stacks.find(session, name)
        found = [] if stack is None else await stacks.resources(session, stack)
        return session.region, stack, found

    region, stack, resources = asyncio.run(work())
    if as_json:
        click.echo(json.dumps(_as_json(stack, resources), indent=2))
    elif stack is None:
        click.echo(f"There is no stack {name} in {region}: `covalent-awsbatch infra up` makes it.")
    else:
        _show(stack, resources)


def _as_json(stack: Stack | None, resources: list[Resource]) -> Any:
    if stack is None:
        return {"stack": None}
    return {
        "stack": {**asdict(stack), "is_ours": stack.is_ours},
        "resources": [asdict(each) for each in resources],
        "differing_settings": _differing(stack),
    }


def _differing(stack: Stack) -> list[str]:
    """Return the options whose values in Covalent's configuration are not the stack's."""
    from covalent_awsbatch_plugin.configuration import configured
    from covalent_awsbatch_plugin.infra.template import settings_in

    section = configured()
    return [name for name, value in settings_in(stack.outputs).items() if section.get(name) != value]


def _show(stack: Stack, resources: list[Resource]) -> None:
    from covalent_awsbatch_plugin.cli.table import print_table

    rows = [
        (each.logical_id, each.type, each.status, each.physical_id or each.status_reason)
        for each in resources
    ]
    print_fields(
        [
            ("stack", stack.name),
            ("state", " ".join(filter(None, (stack.status, stack.status_reason)))),
            ("made by", _maker(stack)),
            ("id", stack.id),
        ]
    )
    click.echo()
    print_table(("resource", "type", "state", "name"), rows)
    click.echo()
    if stack.outputs:
        print_fields(stack.outputs.items())
        click.echo()
        click.echo(_pointing(_differing(stack)))


def _maker(stack: Stack) -> str:
    from covalent_awsbatch_plugin.infra.stack import IN_REVIEW

    if stack.status == IN_REVIEW:
        return "nobody yet: it was only planned"
    return "covalent-awsbatch" if stack.is_ours else "somebody else"


def _pointing(differing: list[str]) -> str:
    if not differing:
        return "Covalent's configuration points at this stack."
    return (
        f"Covalent's configuration does not point at this stack: {', '.join(differing)} differ. "
        f"`covalent-awsbatch infra up` shows how, and writes it."
    )
