"""A job's variables, secrets and tags, as far as AWS takes them: names and values, both texts.

Refusals name the variable and never its value, which may be a password that should not have been there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from .contract import ENV_PAYLOAD, ENV_RUNG

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

RESERVED_PREFIX = "AWS_BATCH"
"""AWS Batch keeps it for itself."""

OURS = (ENV_PAYLOAD, ENV_RUNG, "AWS_REGION", "AWS_DEFAULT_REGION")
"""What every job is given anyway."""

MAX_ENVIRONMENT_CHARS = 6500
"""As JSON. The overrides of a job have 8,192 at most; what we and AWS Batch add needs less than the rest."""

SECRET = re.compile(
    r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+(?::[^\s:]*){0,3}"
    r"|arn:[a-z-]+:ssm:[a-z0-9-]+:\d{12}:parameter/[\w./-]+"
)
SECRET_EXAMPLE = "arn:aws:secretsmanager:us-east-1:123456789012:secret:my-secret-AbCdEf"

MAX_TAGS = 50
MAX_TAG_KEY_CHARS = 128
MAX_TAG_VALUE_CHARS = 256
TAG_TEXT = re.compile(r"[\w\s.:/=+@-]*")
MAX_TAGS_BYTES = 19_600
"""As JSON: 50 tags of the greatest length without accents. A submission has 30 KiB at most."""


def checked_environment(given: Any) -> dict[str, str]:
    """Return variables as they are given; None and an empty text are none.

    Raises what pydantic collects, as the others here.
    """
    found = _texts(given, "{'OMP_NUM_THREADS': '4'}")
    for name, value in found.items():
        _check_name(name)
        if "\0" in value:
            raise _refusal("the value of {name} has a character that ends texts; leave it out", name)
    if len(json.dumps(as_list(found))) > MAX_ENVIRONMENT_CHARS:
        limit = f"{MAX_ENVIRONMENT_CHARS:,}"
        raise _refusal(
            f"as JSON it may have {limit} characters; hand large texts over as arguments, or in S3"
        )
    return found


def as_list(variables: Mapping[str, str], value: str = "value") -> list[dict[str, str]]:
    """Return texts by name as AWS has them: a list of pairs, of which `value` is the second's name."""
    return [{"name": name, value: text} for name, text in variables.items()]


def checked_secrets(given: Any) -> dict[str, str]:
    """Return variables and where their values come from: ARNs of Secrets Manager or Parameter Store."""
    found = _texts(given, f"{{'TOKEN': '{SECRET_EXAMPLE}'}}")
    for name, arn in found.items():
        _check_name(name)
        if SECRET.fullmatch(arn) is None:
            rule = "{name} must be the ARN of a secret or of an SSM parameter; "
            raise _refusal(rule + f"'{SECRET_EXAMPLE}' would do", name)
    return found


def checked_tags(given: Any) -> dict[str, str]:
    """Return tags as they are given."""
    found = _texts(given, "{'project': 'x'}")
    if len(found) > MAX_TAGS:
        raise _refusal(f"AWS takes {MAX_TAGS} tags at most, these are {len(found)}")
    for key, value in found.items():
        _check_tag(key, value)
    if len(json.dumps(found)) > MAX_TAGS_BYTES:
        raise _refusal("they are too long for AWS Batch's requests, which have 30 KiB; shorter ones would do")
    return found


def _check_tag(key: str, value: str) -> None:
    if key.lower().startswith("aws:"):
        raise _refusal("{name} begins with 'aws:', which AWS keeps for itself", key)
    if not 1 <= len(key) <= MAX_TAG_KEY_CHARS or len(value) > MAX_TAG_VALUE_CHARS:
        limits = f"keys have 1 to {MAX_TAG_KEY_CHARS} characters and values {MAX_TAG_VALUE_CHARS} at most"
        raise _refusal(f"{limits}, unlike {{name}}", key)
    if TAG_TEXT.fullmatch(key + value) is None:
        raise _refusal("tags have letters, digits, blanks and '+-=._:/@', unlike {name}", key)


def _check_name(name: str) -> None:
    if NAME.fullmatch(name) is None:
        rule = (
            "a variable's name has letters, digits and '_.-', and does not begin with a digit, unlike {name}"
        )
        raise _refusal(rule, name)
    if name.startswith(RESERVED_PREFIX):
        raise _refusal("{name} begins with " + f"{RESERVED_PREFIX!r}, which AWS Batch keeps for itself", name)
    if name in OURS:
        raise _refusal("{name} is given to every job anyway, with the right value; leave it out", name)


def _texts(given: Any, example: str) -> dict[str, str]:
    if given is None or given == "":
        return {}
    if not isinstance(given, Mapping) or not all(map(_is_text, given)):
        raise _refusal("it must be a dict of texts; {name} would do", example, quote=False)
    for name, value in given.items():
        if not _is_text(value):
            raise _refusal("the value of {name} must be a text; '4' would do, for 4", name)
    return dict(given)


def _is_text(value: object) -> bool:
    """Tell texts that UTF-8 can hold."""
    return isinstance(value, str) and not any("\ud800" <= each <= "\udfff" for each in value)


def _refusal(rule: str, name: str = "", *, quote: bool = True) -> PydanticCustomError:
    return PydanticCustomError("variables", rule, {"name": repr(name) if quote else name})
