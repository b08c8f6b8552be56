"""The commands that mend something, as a person can paste them into a shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..account import Account
from ..settings import CONFIG_SECTION

ECS_TASKS = "ecs-tasks.amazonaws.com"
EC2 = "ec2.amazonaws.com"

POLICY_NAME = "covalent-awsbatch"
"""Of the policies that these commands add to a role or a user."""


@dataclass(frozen=True)
class Commands:
    """Commands for one account."""

    account: Account
    region: str = ""

    def aws(self, *words: str) -> str:
        """Return a command of the AWS CLI for this account."""
        place = {
            "--profile": self.account.profile,
            "--region": self.region,
            "--endpoint-url": self.account.endpoint_url,
        }
        options = [part for pair in place.items() if pair[1] for part in pair]
        command = shlex.join(["aws", *words, *options])
        if not self.account.credentials:
            return command
        return f"AWS_SHARED_CREDENTIALS_FILE={shlex.quote(self.account.credentials)} {command}"

    def allow(self, principal_arn: str, actions: Sequence[str], resources: Sequence[str]) -> str:
        """Return the command that gives a user or a role rights; for others, the one that tells of them."""
        kind, _, name = principal_arn.rpartition(":")[2].partition("/")
        if kind not in {"user", "role"} or ":iam:" not in principal_arn:
            return self.aws("sts", "get-caller-identity")
        document = _document({"Action": sorted(actions), "Resource": list(resources)})
        whose = (f"--{kind}-name", name.rpartition("/")[2])
        added = ("--policy-name", POLICY_NAME, "--policy-document", document)
        return self.aws("iam", f"put-{kind}-policy", *whose, *added)

    def trust(self, role: str, service: str) -> str:
        """Return the command that lets a service of AWS's have a role."""
        return self.aws(
            *("iam", "update-assume-role-policy", "--role-name", role, "--policy-document", _trust(service))
        )

    def create_role(self, role: str, service: str) -> str:
        """Return the command that creates a role, which has no rights yet."""
        return self.aws(
            *("iam", "create-role", "--role-name", role, "--assume-role-policy-document", _trust(service))
        )


def _trust(service: str) -> str:
    return _document({"Principal": {"Service": service}, "Action": "sts:AssumeRole"})


def _document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def configure(option: str, value: Any) -> str:
    """Return the command that sets an option in Covalent's configuration."""
    told = json.dumps(value) if isinstance(value, str) else repr(value)
    code = f'import covalent as ct; ct.set_config("{CONFIG_SECTION}.{option}", {told})'
    return shlex.join(["python", "-c", code])


def edit(path: str) -> str:
    """Return the command that opens a file in the user's editor."""
    return f"${{EDITOR:-vi}} {shlex.quote(path)}"
