"""`covalent-awsbatch image show`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

import click

from covalent_awsbatch_plugin.cli.image.options import (
    ENVIRONMENT_OPTIONS,
    REGISTRY_OPTIONS,
    opened,
    recipe_from,
)
from covalent_awsbatch_plugin.cli.options import in_one_sentence, with_options


@click.command("show")
@click.option("--dockerfile", is_flag=True, help="Print the Dockerfile and nothing else.")
@with_options(*ENVIRONMENT_OPTIONS, *REGISTRY_OPTIONS)
@in_one_sentence
def show(*, dockerfile: bool, **options: Any) -> None:
    """Show what the image of an environment is made from, and whether the registry has it."""

    async def work() -> str:
        from covalent_awsbatch_plugin.image import registry

        settings, session = opened(options)
        made = await recipe_from(session, settings, options)
        if dockerfile:
            return made.dockerfile.rstrip()
        digest = await registry.digest_of(session, settings.ecr_repo_name, made.tag)
        shown = {
            "repository": settings.ecr_repo_name,
            "tag": made.tag,
            "digest": digest or None,
            "environment": asdict(made.environment),
        }
        return json.dumps(shown, indent=2)

    click.echo(asyncio.run(work()))
