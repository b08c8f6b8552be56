"""The account: its region, its clock, and who we are to it."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import CredentialsError, EndpointError, SetupError
from ..refusals import error_message
from ..threads import in_thread
from .commands import configure
from .finding import Finding, failed, ok, skipped, warning
from .subject import NotAllowedError, Subject

MAX_SKEW_S = 300
"""AWS refuses what was signed more than five minutes ago (S3: fifteen), or will have been."""
SUSPECT_SKEW_S = 60


async def look_at_region(subject: Subject) -> AsyncIterator[Finding]:
    """See whether a region is set, and one that the AWS SDK knows."""
    check = "region"
    try:
        await subject.session.client("sts")
    except CredentialsError:
        yield skipped(check, "the credentials come first")
        return
    except SetupError as error:
        why = "every AWS service is asked in one region"
        yield failed(check, str(error).rstrip("."), why, configure("region", "us-east-1"))
        return
    region, known = subject.session.region, await in_thread(_regions)
    if region in known:
        yield ok(check, region)
        return
    near = difflib.get_close_matches(region, known)
    seen = f"the AWS SDK knows no AWS Batch in {region!r}; near to it are {', '.join(near) or 'none'}"
    why = "either it is misspelt, or the region is newer than the SDK"
    yield warning(check, seen, why, configure("region", near[0] if near else "us-east-1"))


def _regions() -> list[str]:
    from botocore.session import Session

    sdk = Session()
    partitions = sdk.get_available_partitions()
    return [each for one in partitions for each in sdk.get_available_regions("batch", partition_name=one)]


async def look_at_clock(subject: Subject) -> AsyncIterator[Finding]:
    """Compare the time of AWS's answers with this machine's."""
    check = "clock"
    ahead_s = await _ahead_s(subject)
    if ahead_s is None:
        yield skipped(check, "AWS gave no answer with a time")
        return
    seen = f"this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} AWS's"
    why = f"AWS refuses requests that are signed more than {MAX_SKEW_S} s from its own time"
    if abs(ahead_s) > MAX_SKEW_S:
        yield failed(check, seen, why, _set_clock())
    elif abs(ahead_s) > SUSPECT_SKEW_S:
        yield warning(check, seen, why, _set_clock())
    else:
        yield ok(check, "within a minute of AWS's")


async def _ahead_s(subject: Subject) -> float | None:
    """Return how far this machine's clock is ahead of AWS's in s; None where AWS does not tell.

    Refusals tell it, too; AWS gives whole seconds.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    before_s = time.time()
    try:
        answer: dict[str, Any] = await (await subject.session.client("sts")).get_caller_identity()
    except ClientError as error:
        answer = error.response
    except (BotoCoreError, SetupError):
        return None
    now_s = (before_s + time.time()) / 2
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return None if date is None else now_s - parsedate_to_datetime(date).timestamp()


def _set_clock() -> str:
    if sys.platform == "darwin":
        return "sudo sntp -sS time.apple.com"
    return "sudo timedatectl set-ntp true"


async def look_at_credentials(subject: Subject) -> AsyncIterator[Finding]:
    """Ask AWS who we are, which needs no right."""
    from botocore.exceptions import ClientError

    check, why = "credentials", "every request to AWS is signed with them"
    try:
        who = await subject.identity()
    except EndpointError as error:
        yield failed(check, str(error).rstrip("."), "nothing works without an answer", _reach(subject))
    except CredentialsError as error:
        yield failed(check, str(error).rstrip("."), why, _sign_in(subject, str(error)))
    except (NotAllowedError, ClientError) as error:
        yield failed(check, error_message(error).rstrip("."), why, _sign_in(subject, ""))
    else:
        yield ok(check, who.arn)


def _reach(subject: Subject) -> str:
    endpoint_url = subject.settings.endpoint_url
    return f"curl -sS {endpoint_url or f'https://sts.{subject.session.region}.amazonaws.com'}"


def _sign_in(subject: Subject, text: str) -> str:
    profile = subject.settings.profile
    option = f" --profile {profile}" if profile else ""
    return f"aws sso login{option}" if "xpired" in text else f"aws configure{option}"
