"""The job definition: one for each image, roles, logging and the like, found by its content or registered.

What differs from task to task (vCPU, memory, GPUs, time limit, attempts, environment, tags) is given at
submission, so a definition is registered once and serves for ever. It holds what AWS lets no submission say.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from . import fargate
from .contract import RUNTIME_COMMAND
from .errors import SubmissionError
from .option_types import Architecture, Platform
from .patterns import DEFINITION_HASH_CHARS
from .preflight import Ground
from .refusals import refused_as
from .session import Session
from .settings import Settings
from .variables import as_list
from .volumes import Volume, container_properties

PLACEHOLDER_RESOURCES: dict[Platform, list[dict[str, str]]] = {
    "EC2": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}],
    "FARGATE": [
        {"type": "VCPU", "value": f"{fargate.SMALLEST_VCPU:g}"},
        {"type": "MEMORY", "value": str(fargate.SMALLEST_MIB)},
    ],
}
"""AWS demands them in the definition; every submission gives its own."""

FARGATE_VERSION = "LATEST"
"""Of Fargate's platform; EFS takes 1.4.0 or later."""


async def ensure(session: Session, settings: Settings, ground: Ground, image: str) -> str:
    """Return the ARN of the job definition for these settings, registering it where it is missing.

    A definition of the user's own is returned as it was named, and AWS not asked for it. Raises
    SubmissionError where AWS Batch refuses it.
    """
    if settings.job_definition:
        return settings.job_definition
    wanted = request(settings, ground, image)
    return await session.once(_key(wanted), partial(_find_or_register, session, wanted))


def forget(session: Session, settings: Settings, ground: Ground, image: str, gone_arn: str) -> None:
    """Look for the definition anew the next time, unless that was done since: this one is gone."""
    session.forget(_key(request(settings, ground, image)), lambda arn: arn == gone_arn)


def _key(wanted: dict[str, Any]) -> tuple[str, str]:
    return "job definition", wanted["jobDefinitionName"]


@dataclass(frozen=True)
class _Asked:
    """What a definition is made of."""

    base_name: str
    log_group: str
    ground: Ground
    image: str
    platform: Platform
    cpu_architecture: Architecture
    shared_memory_mib: int
    ephemeral_storage_gib: int
    assign_public_ip: bool
    volumes: tuple[Volume, ...]
    secrets: tuple[tuple[str, str], ...]


def request(settings: Settings, ground: Ground, image: str) -> dict[str, Any]:
    """Return the RegisterJobDefinition request; its name ends in a hash of all the rest."""
    return _request(
        _Asked(
            base_name=settings.batch_job_definition_name,
            log_group=settings.batch_job_log_group_name,
            ground=ground,
            image=image,
            platform=settings.platform,
            cpu_architecture=settings.cpu_architecture,
            shared_memory_mib=settings.shared_memory_mib,
            ephemeral_storage_gib=settings.ephemeral_storage,
            assign_public_ip=settings.assign_public_ip,
            volumes=tuple(settings.volumes),
            secrets=tuple(sorted(settings.secrets.items())),
        )
    )


@lru_cache
def _request(asked: _Asked) -> dict[str, Any]:
    content = {
        "type": "container",
        "platformCapabilities": [asked.platform],
        "containerProperties": _container(asked),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    name = f"{asked.base_name}-{digest[:DEFINITION_HASH_CHARS]}"
    return {"jobDefinitionName": name, **content}


def _container(asked: _Asked) -> dict[str, Any]:
    """Return the container's properties; nothing is in them that was not asked for."""
    container: dict[str, Any] = {
        "image": asked.image,
        "command": list(RUNTIME_COMMAND),
        "resourceRequirements": PLACEHOLDER_RESOURCES[asked.platform],
        **container_properties(asked.volumes),
    }
    if asked.ground.job_role_arn:
        container["jobRoleArn"] = asked.ground.job_role_arn
    if asked.ground.execution_role_arn:
        container["executionRoleArn"] = asked.ground.execution_role_arn
    if asked.log_group:
        container["logConfiguration"] = _logging(asked)
    if asked.secrets:
        container["secrets"] = as_list(dict(asked.secrets), "valueFrom")
    return container | (_of_fargate(asked) if asked.platform == "FARGATE" else _of_ec2(asked))


def _logging(asked: _Asked) -> dict[str, Any]:
    return {
        "logDriver": "awslogs",
        "options": {"awslogs-group": asked.log_group, "awslogs-region": asked.ground.identity.region},
    }


def _of_ec2(asked: _Asked) -> dict[str, Any]:
    if asked.shared_memory_mib == 0:
        return {}
    return {"linuxParameters": {"sharedMemorySize": asked.shared_memory_mib}}


def _of_fargate(asked: _Asked) -> dict[str, Any]:
    own: dict[str, Any] = {
        "fargatePlatformConfiguration": {"platformVersion": FARGATE_VERSION},
        "networkConfiguration": {"assignPublicIp": "ENABLED" if asked.assign_public_ip else "DISABLED"},
        # On EC2 the queue's instances say it.
        "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": asked.cpu_architecture},
    }
    if asked.ephemeral_storage_gib:
        own["ephemeralStorage"] = {"sizeInGiB": asked.ephemeral_storage_gib}
    return own


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
    role_arns: frozenset[str] = frozenset()
    """The roles of the job itself and of its start; those of its container, where it has one."""


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
            role_arns=_roles(each.get("containerProperties", {})),
        )
        for each in found
    ]


def _roles(container: dict[str, Any]) -> frozenset[str]:
    return frozenset(container[key] for key in ("jobRoleArn", "executionRoleArn") if container.get(key))


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
