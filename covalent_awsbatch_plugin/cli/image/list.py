"""`covalent-awsbatch image list`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli.image.options import MB, REGISTRY_OPTIONS, opened
from covalent_awsbatch_plugin.cli.options import in_one_sentence, with_options

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.image.registry import StoredImage

SHORT_DIGEST_CHARS = 12
"""As `docker images` shows them."""


@click.command("list")
@with_options(*REGISTRY_OPTIONS)
@in_one_sentence
def list_images(**options: Any) -> None:
    """List the images of the repository, the last used first."""

    async def work() -> tuple[str, list[StoredImage]]:
        from covalent_awsbatch_plugin.image import registry

        settings, session = opened(options)
        return settings.ecr_repo_name, await registry.images(session, settings.ecr_repo_name)

    repository, images = asyncio.run(work())
    if images:
        _print_images(images)
    else:
        click.echo(f"The repository {repository} has no images.", err=True)


def _print_images(images: list[StoredImage]) -> None:
    from rich.table import Column

    from covalent_awsbatch_plugin.cli.table import print_table

    columns = (Column("tag", no_wrap=True), "digest", Column("MB", justify="right"), "pushed", "last pulled")
    rows = [
        (
            " ".join(image.tags) or "(none)",
            image.digest.partition(":")[2][:SHORT_DIGEST_CHARS],
            f"{image.size_bytes / MB:.0f}",
            f"{image.pushed_at:%Y-%m-%d %H:%M}",
            f"{image.pulled_at:%Y-%m-%d}" if image.pulled_at else "",
        )
        for image in images
    ]
    print_table(columns, rows)
