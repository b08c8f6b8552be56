"""`covalent-awsbatch image build`."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli.image.options import (
    ENVIRONMENT_OPTIONS,
    REGISTRY_OPTIONS,
    opened,
    recipe_from,
)
from covalent_awsbatch_plugin.cli.options import in_one_sentence, with_options

if TYPE_CHECKING:
    from rich.console import Console

    from covalent_awsbatch_plugin.image.progress import Report


@click.command("build")
@with_options(*ENVIRONMENT_OPTIONS, *REGISTRY_OPTIONS)
@in_one_sentence
def build(**options: Any) -> None:
    """Build the image of an environment and push it, unless the registry has it.

    Prints the image's URI, and nothing else, on standard output.
    """
    from rich.console import Console

    console = Console(stderr=True)

    async def work() -> str:
        from covalent_awsbatch_plugin import preflight
        from covalent_awsbatch_plugin.image.provide import provide

        settings, session = opened(options)
        made = await recipe_from(session, settings, options)
        who = await preflight.identity(session)
        with _progress(console) as report:
            image = await provide(session, settings, who, made, report)
        for note in image.notes or (f"the registry has the image {made.tag} already: nothing was built",):
            console.out(note, highlight=False)
        for option in ("container_image_uri", "job_definition"):
            if getattr(settings, option):
                console.out(f"{option} is set: tasks run in its image, not in this", highlight=False)
        return image.uri

    click.echo(asyncio.run(work()))


def _progress(console: Console) -> AbstractContextManager[Report]:
    """Show progress as a bar on a terminal, and as lines elsewhere."""
    from covalent_awsbatch_plugin.cli.image.progress import bar, lines

    return bar(console) if console.is_terminal else nullcontext(lines(console))
