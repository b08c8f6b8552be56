"""The command `covalent-awsbatch image` as a person runs it."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from covalent_awsbatch_plugin.cli import main
from tests import docker_engine
from tests.e2e.command_line import Program
from tests.e2e.surroundings import AWS


class ImageCommand(Program):
    """`covalent-awsbatch image` for one repository of a local AWS.

    In a process of its own it finds everything in Covalent's configuration; a call in this process, which
    is quicker, has everything among its options.
    """

    def __init__(self, aws: AWS, repository: str, directory: Path) -> None:
        super().__init__(("image",), {**aws.settings, "ecr_repo_name": repository}, directory)
        self.repository = repository
        self.aws = aws

    def __call__(self, name: str, *options: str, env: dict[str, str] | None = None) -> Result:
        """Run a subcommand in this process."""
        account = {
            "--endpoint-url": self.aws.endpoint_url,
            "--region": self.settings["region"],
            "--credentials": self.settings["credentials"],
            "--repository": self.repository,
        }
        environment = {"--base-image": docker_engine.BASE_IMAGE, "--covalent": "none"}
        given = account if name in ("list", "prune") else {**environment, **account}
        arguments = [part for pair in given.items() for part in pair]
        return CliRunner().invoke(main, ["image", name, *arguments, *options], env=env)
