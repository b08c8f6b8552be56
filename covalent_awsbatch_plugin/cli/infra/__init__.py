"""`covalent-awsbatch infra`: make, show, change and take away what an AWS account must have."""

from __future__ import annotations

import click

from covalent_awsbatch_plugin.cli.infra.down import down
from covalent_awsbatch_plugin.cli.infra.plan import plan
from covalent_awsbatch_plugin.cli.infra.status import status
from covalent_awsbatch_plugin.cli.infra.template import template
from covalent_awsbatch_plugin.cli.infra.up import up


@click.group("infra", no_args_is_help=True)
def command() -> None:
    """Make, show, change and take away what an AWS account must have, as one CloudFormation stack.

    Whoever runs this needs an administrator's rights; whoever submits jobs later does not.
    """


for each in (up, status, down, plan, template):
    command.add_command(each)
