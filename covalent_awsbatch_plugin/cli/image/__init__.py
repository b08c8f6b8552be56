"""`covalent-awsbatch image`: make, look at and clear away the images that tasks run in."""

from __future__ import annotations

import click

from covalent_awsbatch_plugin.cli.image.build import build
from covalent_awsbatch_plugin.cli.image.list import list_images
from covalent_awsbatch_plugin.cli.image.prune import prune
from covalent_awsbatch_plugin.cli.image.show import show


@click.group("image", no_args_is_help=True)
def command() -> None:
    """Make, look at and clear away the images that tasks run in.

    What is not given is taken from [executors.awsbatch] in Covalent's configuration.
    """


for each in (build, show, list_images, prune):
    command.add_command(each)
