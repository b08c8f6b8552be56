"""The types of the options: what each takes, and in which words it refuses the rest.

There is no I/O in this module, but for reading a requirements file.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from . import patterns
from . import requirements as requirement_lines
from .fargate import MIB_PER_GB
from .variables import checked_environment, checked_secrets, checked_tags
from .volumes import Volume, distinct

MIN_MEMORY_MIB = 4
MAX_MEMORY_GB = 32_768
"""EC2's largest instances (u7inh-32tb) have as much."""
MIN_EPHEMERAL_GB, MAX_EPHEMERAL_GB = 21, 200
"""AWS's limits; the disk has 20 GB where nothing is said."""


def _none_is_empty(value: Any) -> Any:
    """Take None for the empty text: Python says None where TOML can only say ""."""
    return "" if value is None else value


def _none_is_no_list(value: Any) -> Any:
    return [] if value is None or value == "" else value


def _requirement_lines(value: Any) -> Any:
    """Take a list of pip's lines, or the path of a requirements file, whose lines then travel themselves."""
    if value is None or value == "":
        return []
    try:
        if isinstance(value, (str, Path)):
            value = requirement_lines.lines_of(Path(value).expanduser().read_text(encoding="utf-8"))
        if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
            return requirement_lines.normalised(value)
    except requirement_lines.UnusableRequirement as error:
        raise PydanticCustomError("requirements", "{reason}", {"reason": str(error)}) from error
    except (OSError, UnicodeError) as error:
        text = "the requirements file cannot be read ({reason}); a list such as ['numpy==2.1'] would do too"
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise PydanticCustomError("requirements", text, {"reason": reason}) from error
    return value


def _climbing(values: list[float]) -> list[float]:
    for value in values:
        _enough_memory(value)
    if any(after <= before for before, after in pairwise(values)):
        raise PydanticCustomError("memory", "each must be more than the one before; [8, 16] would do")
    return values


def _enough_memory(value: float) -> float:
    if value * MIB_PER_GB < MIN_MEMORY_MIB:
        raise PydanticCustomError(
            "memory",
            "AWS Batch's minimum is {limit} MiB; 0.004 or more would do",
            {"limit": MIN_MEMORY_MIB},
        )
    if value > MAX_MEMORY_GB:
        limit = {"limit": MAX_MEMORY_GB}
        raise PydanticCustomError("memory", "no instance has more than {limit} GB; 16 would do", limit)
    return value


def _some_disk(value: int) -> int:
    if value != 0 and not MIN_EPHEMERAL_GB <= value <= MAX_EPHEMERAL_GB:
        limits = {"least": MIN_EPHEMERAL_GB, "most": MAX_EPHEMERAL_GB}
        raise PydanticCustomError("memory", "Fargate has {least} to {most} GB; 50 would do", limits)
    return value


def _some_shared_memory(value: float) -> float:
    if 0 < value * MIB_PER_GB < 1:
        raise PydanticCustomError("memory", "AWS Batch's minimum is 1 MiB; 0.001 or more would do")
    return value


Text = Annotated[str, BeforeValidator(_none_is_empty)]
BucketName = Annotated[Text, AfterValidator(patterns.BUCKET)]
RepositoryName = Annotated[Text, AfterValidator(patterns.REPOSITORY)]
DefinitionName = Annotated[Text, AfterValidator(patterns.DEFINITION)]
QueueName = Annotated[Text, AfterValidator(patterns.QUEUE)]
OtherQueueName = Annotated[Text, AfterValidator(patterns.OTHER_QUEUE)]
KmsKeyId = Annotated[Text, AfterValidator(patterns.KMS_KEY)]
RoleName = Annotated[Text, AfterValidator(patterns.ROLE)]
LogGroupName = Annotated[Text, AfterValidator(patterns.LOG_GROUP)]
RegionName = Annotated[Text, AfterValidator(patterns.REGION)]
EndpointURL = Annotated[Text, AfterValidator(patterns.ENDPOINT)]
ImageURI = Annotated[Text, AfterValidator(patterns.IMAGE)]
BaseImage = Annotated[Text, AfterValidator(patterns.BASE_IMAGE)]
DefinitionReference = Annotated[Text, AfterValidator(patterns.DEFINITION_REFERENCE)]
ShareIdentifier = Annotated[Text, AfterValidator(patterns.SHARE_IDENTIFIER)]
RequirementLines = Annotated[list[str], BeforeValidator(_requirement_lines)]
Variables = Annotated[dict[str, str], BeforeValidator(checked_environment)]
Secrets = Annotated[dict[str, str], BeforeValidator(checked_secrets)]
Tags = Annotated[dict[str, str], BeforeValidator(checked_tags)]
Volumes = Annotated[list[Volume], BeforeValidator(_none_is_no_list), AfterValidator(distinct)]
Platform = Literal["EC2", "FARGATE"]
Architecture = Literal["X86_64", "ARM64"]
RetryOn = Literal["cloud", "any"]
OnShutdown = Literal["leave", "end"]
KeepArtifacts = Literal["all", "failed", "none"]
Vcpu = Annotated[int | Annotated[float, Field(allow_inf_nan=False)], Field(union_mode="left_to_right")]
EphemeralGB = Annotated[int, AfterValidator(_some_disk)]
SharedGB = Annotated[float, AfterValidator(_some_shared_memory)]
MemoryGB = Annotated[float, AfterValidator(_enough_memory)]
ClimbGB = Annotated[list[float], BeforeValidator(_none_is_no_list), AfterValidator(_climbing)]
