"""AWS Batch's limits and the texts it refuses a request with.

Where a text is not known from AWS it is marked "own wording": clients must not rely on it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from .errors import refused
from .jobs import CPU_UNITS_PER_VCPU, Demand, Json

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
EXIT_PATTERN = re.compile(r"[A-Za-z0-9.:\s]*\*?")
EXIT_CODE_PATTERN = re.compile(r"[0-9]*\*?")
SHARE_PATTERN = re.compile(r"[A-Za-z0-9]{1,255}\*?")
PLACEHOLDER = re.compile(r"Ref::(\S+)")

SUBMIT_REQUEST_KIB = 30
DEFINITION_KIB = 24
MAX_DEPENDENCIES = 20
MIN_ARRAY_SIZE, MAX_ARRAY_SIZE = 2, 10_000
MIN_TIMEOUT_S = 60
MAX_ATTEMPTS = 10
MAX_EXIT_RULES = 5
MAX_EXIT_PATTERN_CHARACTERS = 512
MIN_MEMORY_MIB = 4
MAX_TAGS = 50
MAX_REASON_CHARACTERS = 1024
RESERVED_PREFIX = "AWS_BATCH"
RESERVED_TAG_PREFIX = "aws:"
MAX_SCHEDULING_PRIORITY = 9999

FARGATE_MEMORY_MIB: dict[float, Iterable[int]] = {
    0.25: (512, 1024, 2048),
    0.5: range(1024, 4097, 1024),
    1: range(2048, 8193, 1024),
    2: range(4096, 16385, 1024),
    4: range(8192, 30721, 1024),
    8: range(16384, 61441, 4096),
    16: range(32768, 122881, 8192),
    32: (61440, 122880, 249856),
}


def check_size(body_bytes: int, limit_kib: int, what: str) -> None:
    """Refuse a request that is larger than AWS takes."""
    if body_bytes > limit_kib * 1024:
        size_kib = math.ceil(body_bytes / 1024)
        raise refused(f"{what} size must be less than {limit_kib} KiB, got {size_kib} KiB")


def check_name(name: str, what: str) -> None:
    """Refuse a name that is too long or holds other characters than AWS allows."""
    if NAME_PATTERN.fullmatch(name) is None:
        raise refused(f"{what} name should match valid pattern")


def check_array_size(size: int) -> None:
    """Refuse an array of a size that AWS does not run (own wording)."""
    if not MIN_ARRAY_SIZE <= size <= MAX_ARRAY_SIZE:
        raise refused(f"Array size must be between {MIN_ARRAY_SIZE} and {MAX_ARRAY_SIZE}")


def check_timeout(timeout: Json | None) -> None:
    """Refuse a time limit below AWS's shortest (own wording)."""
    seconds = (timeout or {}).get("attemptDurationSeconds")
    if seconds is not None and seconds < MIN_TIMEOUT_S:
        raise refused(f"Timeout attemptDurationSeconds must be at least {MIN_TIMEOUT_S}")


def check_retry_strategy(strategy: Json | None) -> None:
    """Refuse a retry strategy outside AWS's limits (own wording but for the missing attempts)."""
    if strategy is None:
        return
    if "attempts" not in strategy:
        raise refused("RetryAttempts must be provided with retry strategy")
    if not 1 <= strategy["attempts"] <= MAX_ATTEMPTS:
        raise refused(f"Retry attempts must be between 1 and {MAX_ATTEMPTS}")
    rules = strategy.get("evaluateOnExit", [])
    if len(rules) > MAX_EXIT_RULES:
        raise refused(f"EvaluateOnExit must not have more than {MAX_EXIT_RULES} entries")
    for rule in rules:
        _check_exit_rule(rule)


def _check_exit_rule(rule: Json) -> None:
    if str(rule["action"]).upper() not in ("RETRY", "EXIT"):
        raise refused(f"EvaluateOnExit action {rule['action']} is not valid")
    for name, pattern in (("onStatusReason", EXIT_PATTERN), ("onReason", EXIT_PATTERN)):
        _check_exit_pattern(name, rule.get(name), pattern)
    _check_exit_pattern("onExitCode", rule.get("onExitCode"), EXIT_CODE_PATTERN)


def _check_exit_pattern(name: str, value: str | None, pattern: re.Pattern[str]) -> None:
    if value is None:
        return
    if not 1 <= len(value) <= MAX_EXIT_PATTERN_CHARACTERS or pattern.fullmatch(value) is None:
        raise refused(f"EvaluateOnExit {name} should match valid pattern")


def check_environment(variables: Iterable[Json]) -> None:
    """Refuse variables with the prefix that AWS keeps for itself (own wording)."""
    for variable in variables:
        name = str(variable.get("name", ""))
        if name.startswith(RESERVED_PREFIX):
            raise refused(f"Environment variable {name} uses the reserved prefix {RESERVED_PREFIX}")


def check_command(command: Iterable[str]) -> None:
    """Refuse empty arguments in an override (own wording)."""
    if any(argument == "" for argument in command):
        raise refused("Command must not contain empty strings")


def check_tags(tags: dict[str, str]) -> None:
    """Refuse more tags than AWS allows on a resource, and its own prefix (own wording)."""
    if len(tags) > MAX_TAGS:
        raise refused(f"A resource must not have more than {MAX_TAGS} tags")
    for key in tags:
        if key.lower().startswith(RESERVED_TAG_PREFIX):
            raise refused(f"Tag key {key} uses the reserved prefix {RESERVED_TAG_PREFIX}")


def check_share_identifier(identifier: str) -> None:
    """Refuse an identifier of other characters than AWS documents (own wording)."""
    if SHARE_PATTERN.fullmatch(identifier) is None:
        raise refused("shareIdentifier should match valid pattern")


def check_scheduling_priority(priority: int) -> None:
    """Refuse a priority outside AWS's limits (own wording)."""
    if not 0 <= priority <= MAX_SCHEDULING_PRIORITY:
        raise refused(f"schedulingPriority must be between 0 and {MAX_SCHEDULING_PRIORITY}")


def check_reason(reason: str) -> None:
    """Refuse a reason that is too long (own wording)."""
    if len(reason) > MAX_REASON_CHARACTERS:
        raise refused(f"Reason must not be longer than {MAX_REASON_CHARACTERS} characters")


def fill_placeholders(command: list[str], parameters: dict[str, str]) -> list[str]:
    """Return the command with each argument `Ref::name` replaced by that parameter."""
    return [_fill(argument, parameters) for argument in command]


def _fill(argument: str, parameters: dict[str, str]) -> str:
    match = PLACEHOLDER.fullmatch(argument)
    if match is None:
        return argument
    if match[1] not in parameters:
        raise refused(f"Unable to substitute value. No parameter found for reference {match[1]}")
    return parameters[match[1]]


def demand_of(container: Json, fargate: bool) -> Demand:
    """Return what a container asks for.

    Refuses what AWS refuses: missing or fractional vCPUs on EC2, memory below 4 MiB, pairs that
    Fargate does not have.
    """
    asked = {each["type"]: each["value"] for each in container.get("resourceRequirements", [])}
    vcpus = _vcpus(asked.get("VCPU", container.get("vcpus")), fargate)
    memory_mib = _memory_mib(asked.get("MEMORY", container.get("memory")))
    if fargate and memory_mib not in FARGATE_MEMORY_MIB.get(vcpus, ()):
        raise refused(f"Fargate resource requirements ({vcpus:.2f} vCPU, {memory_mib} MiB) not valid.")
    gpus = _whole("GPU", asked.get("GPU", 0))
    return Demand(round(vcpus * CPU_UNITS_PER_VCPU), memory_mib, gpus)


def _vcpus(value: Any, fargate: bool) -> float:
    if value is None:
        raise refused("vCPU is not provided.")
    if not fargate:
        return _whole("VCPU", value, minimum=1)
    try:
        return float(value)
    except ValueError as error:
        raise _not_numeric("VCPU", value) from error


def _memory_mib(value: Any) -> int:
    if value is None:
        raise refused("Memory is not provided.")
    return _whole("MEMORY", value, minimum=MIN_MEMORY_MIB)


def _whole(kind: str, value: Any, minimum: int = 0) -> int:
    if not str(value).isascii() or not str(value).isdecimal():
        raise _not_numeric(kind, value)
    if int(value) < minimum:
        raise refused(f"Value {value} for type {kind} in resourceRequirement must be at least {minimum}")
    return int(value)


def _not_numeric(kind: str, value: Any) -> Exception:
    return refused(
        f"Value {value} for type {kind} in resourceRequirement is not valid. Please provide a numeric value."
    )
