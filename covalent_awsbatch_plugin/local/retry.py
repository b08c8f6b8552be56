"""Decide after a failed attempt whether AWS Batch tries again (`evaluateOnExit`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .jobs import RetryStrategy

CONDITIONS = ("onStatusReason", "onReason", "onExitCode")


def should_retry(
    strategy: RetryStrategy,
    attempts_made: int,
    *,
    status_reason: str | None,
    reason: str | None,
    exit_code: int | None,
) -> bool:
    """Tell whether a job whose latest attempt failed gets another one.

    The first rule whose conditions all hold decides; where none does, Batch retries.
    """
    if attempts_made >= strategy.attempts:
        return False
    observed = {
        "onStatusReason": status_reason or "",
        "onReason": reason or "",
        "onExitCode": "" if exit_code is None else str(exit_code),
    }
    return _action(strategy.evaluate_on_exit, observed) == "RETRY"


def _action(rules: Iterable[dict[str, Any]], observed: dict[str, str]) -> str:
    for rule in rules:
        if all(matches(rule[name], observed[name]) for name in CONDITIONS if name in rule):
            return str(rule["action"]).upper()
    return "RETRY"


def matches(pattern: str, text: str) -> bool:
    """Tell whether the text equals the pattern, or begins with it where it ends in `*`.

    `*` alone matches an absent text too: the common pair of rules RETRY on `Host EC2*` and EXIT on
    reason `*` relies on it.
    """
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    return text == pattern
