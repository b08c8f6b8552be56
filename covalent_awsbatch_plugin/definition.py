"""The job definition: one for each image, roles and logging, found by its content or registered.

What differs from task to task (vCPU, memory, GPUs, time limit, attempts, environment) is given at
submission, so a definition is registered once and serves for ever.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from .contract import RUNTIME_COMMAND
from .errors import SubmissionError
from .preflight import Ground
from .refusals import refused_as
from .session import Session
from .settings import DEFINITION_HASH_CHARS, Settings

PLACEHOLDER_RESOURCES = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
"""AWS demands them in the definition; every submission gives its own."""


async def ensure(session: Session, settings: Settings, ground: Ground, image: str) -> str:
    """Return the ARN of the job definition for these settings, registering it where it is missing.

    Raises SubmissionError where AWS Batch refuses it.
    """
    wanted = request(settings, ground, image)
    return await session.once(_key(wanted), partial(_find_or_register, session, wanted))


def forget(session: Session, settings: Settings, ground: Ground, image: str, gone_arn: str) -> None:
    """Look for the definition anew the next time, unless that was done since: this one is gone."""
    session.forget(_key(request(settings, ground, image)), lambda arn: arn == gone_arn)


def _key(wanted: dict[str, Any]) -> tuple[str, str]:
    return "job definition", wanted["jobDefinitionName"]


def request(settings: Settings, ground: Ground, image: str) -> dict[str, Any]:
    """Return the RegisterJobDefinition request; its name ends in a hash of all the rest."""
    return _request(settings.batch_job_definition_name, settings.batch_job_log_group_name, ground, image)


@lru_cache
def _request(base_name: str, log_group: str, ground: Ground, image: str) -> dict[str, Any]:
    container: dict[str, Any] = {
        "image": image,
        "command": list(RUNTIME_COMMAND),
        "resourceRequirements": PLACEHOLDER_RESOURCES,
    }
    if ground.job_role_arn:
        container["jobRoleArn"] = ground.job_role_arn
    if ground.execution_role_arn:
        container["executionRoleArn"] = ground.execution_role_arn
    if log_group:
        container["logConfiguration"] = {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": log_group,
                "awslogs-region": ground.identity.region,
            },
        }
    content = {"type": "container", "platformCapabilities": ["EC2"], "containerProperties": container}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    name = f"{base_name}-{digest[:DEFINITION_HASH_CHARS]}"
    return {"jobDefinitionName": name, **content}


def pattern(settings: Settings) -> re.Pattern[str]:
    """Return what the names of these settings' definitions look like."""
    return re.compile(rf"{re.escape(settings.batch_job_definition_name)}-[0-9a-f]{{{DEFINITION_HASH_CHARS}}}")


@dataclass(frozen=True)
class Registered:
    """A revision of a job definition, anybody's; an inactive one may have jobs that are not over."""

    name: str
    arn: str
    image: str
    """Empty where its jobs do not consist of one container."""
    is_active: bool


async def registered(session: Session) -> list[Registered]:
    """Return all job definitions of the account.

    Raises SubmissionError where AWS Batch does not list them.
    """
    with refused_as(SubmissionError, "AWS Batch does not list its definitions"):
        listed = session.batch_pages("describe_job_definitions", "list the job definitions", "jobDefinitions")
        found = [each async for each in listed]
    return [
        Registered(
            name=each["jobDefinitionName"],
            arn=each["jobDefinitionArn"],
            image=each.get("containerProperties", {}).get("image", ""),
            is_active=each["status"] == "ACTIVE",
        )
        for each in found
    ]


async def deregister(session: Session, unused: Registered) -> None:
    """Let no new job use a definition; jobs that run go on.

    Raises SubmissionError where AWS Batch refuses.
    """
    doing = f"deregister the job definition {unused.name!r}"
    with refused_as(SubmissionError, f"AWS Batch did not deregister {unused.name!r}"):
        await session.batch("deregister_job_definition", doing, jobDefinition=unused.arn)


async def _find_or_register(session: Session, wanted: dict[str, Any]) -> str:
    name = wanted["jobDefinitionName"]
    doing = f"find or register the job definition {name!r}"
    with refused_as(SubmissionError, f"AWS Batch refused the job definition {name!r}"):
        found = await session.batch(
            "describe_job_definitions", doing, jobDefinitionName=name, status="ACTIVE"
        )
        if found["jobDefinitions"]:
            return str(found["jobDefinitions"][0]["jobDefinitionArn"])
        return str((await session.batch("register_job_definition", doing, **wanted))["jobDefinitionArn"])
