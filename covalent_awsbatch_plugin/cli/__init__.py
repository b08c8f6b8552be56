"""The command `covalent-awsbatch`; each subcommand has a file of its own, imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from covalent_awsbatch_plugin import __version__

COMMANDS = {
    "cancel": "End jobs, or whole arrays.",
    "doctor": "Look at the whole set-up, and say what mends what is wrong with it.",
    "image": "Make, look at and clear away the images that tasks run in.",
    "infra": "Make, show and take away what an AWS account must have.",
    "job": "Tell everything about one job, or about a run.",
    "jobs": "List the newest jobs of the queue.",
    "local": "Run AWS Batch, S3, IAM, STS and Logs on this machine.",
    "logs": "Print what a job has written.",
    "recover": "Bring in what Covalent's server had to leave when it was killed or stopped.",
}
"""The subcommands and their one-line help; each is `command` in the module of its name."""


class LazyGroup(click.Group):
    """A group that imports a subcommand only when it is used, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a subcommand, None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="covalent-awsbatch")
def main() -> None:
    """Run Covalent electrons, and plain Python functions, as AWS Batch jobs.

    Account, queue, bucket and the like are those of [executors.awsbatch] in Covalent's configuration, where
    they are not given.
    """
