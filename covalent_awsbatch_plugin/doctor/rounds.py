"""A round of checks: those that do not stand on each other at once, and told in their order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from ..errors import AWSBatchError
from ..refusals import error_code, error_message
from .finding import Finding, State, failed, skipped, warning
from .subject import NotAllowedError, Subject

log = logging.getLogger(__name__)

Look = Callable[[Subject], AsyncIterator[Finding]]
"""Yields what is found; nothing where the check does not apply."""


@dataclass(frozen=True)
class Check:
    """Something to be looked at, and the checks that it stands on."""

    name: str
    look: Look
    after: tuple[str, ...] = ()


async def examine(subject: Subject, checks: Sequence[Check]) -> AsyncIterator[Finding]:
    """Yield what the checks find, in their order; a check stands on earlier ones only."""
    going: dict[str, asyncio.Task[_Result]] = {}
    for check in checks:
        ground = {name: going[name] for name in check.after}
        going[check.name] = asyncio.create_task(_result(check, subject, ground), name=check.name)
    try:
        for task in going.values():
            for finding in (await task).findings:
                yield finding
    finally:
        for task in going.values():
            task.cancel()


@dataclass(frozen=True)
class _Result:
    findings: list[Finding]
    stands: bool
    """Whether others may stand on it."""


async def _result(check: Check, subject: Subject, ground: dict[str, asyncio.Task[_Result]]) -> _Result:
    for name, task in ground.items():
        if not (await task).stands:
            return _Result(
                [skipped(check.name, f"it stands on the check {name!r}, which did not pass")], False
            )
    findings = [finding async for finding in _looked(check, subject)]
    return _Result(findings, all(each.state is not State.FAILED for each in findings))


async def _looked(check: Check, subject: Subject) -> AsyncIterator[Finding]:
    """Yield what a check finds, and what kept it from looking."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        async for finding in check.look(subject):
            yield finding
    except NotAllowedError as error:
        yield await _not_allowed(check, subject, str(error))
    except ClientError as error:
        seen = f"AWS refused {error.operation_name} ({error_code(error)}): {error_message(error)}".rstrip(".")
        yield warning(check.name, seen, "so it could not be looked at")
    except AWSBatchError as error:
        yield failed(check.name, str(error).rstrip("."), "jobs need what was asked for here", "")
    except (BotoCoreError, ResponseParserError, OSError) as error:
        yield warning(check.name, error_message(error).rstrip("."), "so it could not be looked at")
    except Exception as error:
        log.debug("The check %r has a fault", check.name, exc_info=True)
        seen = f"this check has a fault, please report it: {type(error).__name__}: {error}"
        yield warning(check.name, seen, "so it could not be looked at")


async def _not_allowed(check: Check, subject: Subject, action: str) -> Finding:
    caller = (await subject.identity()).principal_arn
    seen = f"could not be looked at: these credentials lack {action}"
    why = "jobs may run all the same; only the doctor needs this right"
    return warning(check.name, seen, why, subject.commands.allow(caller, [action], ["*"]))
