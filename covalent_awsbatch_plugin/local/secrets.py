"""The secrets of a job, read from moto's Secrets Manager and SSM Parameter Store before its container starts.

Whether the execution role may read them is not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.core.exceptions import JsonRESTError

from .jobs import Json
from .runner import StartFailure

ReadSecret = Callable[[str], str]
"""Returns what a secret's `valueFrom` names; raises StartFailure where it cannot be had."""

PARTS_OF_AN_ARN = 7
"""Of Secrets Manager's; a JSON key, a stage and a version may follow."""


def no_secrets(value_from: str) -> str:
    """Have none."""
    raise _failure("asm", f"failed to fetch secret {value_from} from secrets manager: there is none")


def secret_variables(container: Json, read: ReadSecret) -> dict[str, str]:
    """Return the variables of a container that are secrets, with their values."""
    return {each["name"]: read(each["valueFrom"]) for each in container.get("secrets", [])}


class MotoSecrets:
    """Secrets Manager and the Parameter Store as moto keeps them in this process."""

    def __init__(self, secrets_manager: Callable[[], Any], parameter_store: Callable[[], Any]) -> None:
        """Take what returns moto's state; the store's is large, and made when it is first asked for."""
        self._secrets_manager = secrets_manager
        self._parameter_store = parameter_store

    def __call__(self, value_from: str) -> str:
        """Return the value of a secret or of a parameter."""
        if value_from.startswith("arn:") and value_from.split(":")[2] == "secretsmanager":
            return self._secret(value_from)
        return self._parameter(value_from)

    def _secret(self, value_from: str) -> str:
        parts = value_from.split(":")
        arn = ":".join(parts[:PARTS_OF_AN_ARN])
        key, stage, version = [*parts[PARTS_OF_AN_ARN:], "", "", ""][:3]
        doing = f"failed to fetch secret {arn} from secrets manager"
        try:
            found = self._secrets_manager().get_secret_value(arn, version or None, stage or None)
            text = str(found["SecretString"])
            return str(json.loads(text)[key]) if key else text
        except JsonRESTError as error:
            raise _failure("asm", f"{doing}: {error.error_type}: {error.message}") from error
        except (KeyError, ValueError) as error:
            reason = f"retrieved secret did not contain json key {key}" if key else "it holds no text"
            raise _failure("asm", f"{doing}: {reason}") from error

    def _parameter(self, value_from: str) -> str:
        try:
            found = self._parameter_store().get_parameter(value_from)
        except JsonRESTError as error:
            raise _failure("ssm", str(error.message)) from error
        if found is None:
            raise _failure("ssm", f"invalid parameters: {value_from}")
        return str(found.response_object(decrypt=True)["Value"])


def _failure(source: str, reason: str) -> StartFailure:
    return StartFailure(
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
        f"failed: unable to retrieve secret from {source}: service call has been retried 1 time(s): {reason}"
    )
