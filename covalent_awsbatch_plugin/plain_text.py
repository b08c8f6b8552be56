"""Somebody else's text, as it can be passed on without harm."""

from __future__ import annotations

import re

_NOT_SHOWN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What would do something to a terminal, or turn its text around, instead of standing there."""


def escaped(line: str) -> str:
    r"""Return a line of somebody else's as a terminal may have it: an escape character is shown as `\x1b`."""
    return _NOT_SHOWN.sub(lambda found: found[0].encode("unicode_escape").decode(), line)


def harmless(text: str) -> str:
    """Return a text of somebody else's as an error may have it.

    Lines and tabs stay, other control characters are escaped, and credentials are left out.
    """
    return "\n".join(escaped(line) for line in without_secrets(text).split("\n"))


def without_secrets(text: str) -> str:
    """Return a text with `…` in place of signatures, tokens, keys and passwords.

    A registry's answer may hold an address that is signed, S3's the whole request that it refused.
    """
    for pattern in _SECRETS:
        text = pattern.sub(r"\g<name>…", text)
    return text


_SECRETS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<name>X-Amz-(?:Signature|Credential|Security-Token)[\"']?\s*[=:]\s*[\"']?)[^\s&\"'<>\\]+",
        r"(?P<name>authorization[\"']?\s*[=:]\s*[\"']?(?:Basic|Bearer|AWS4-HMAC-SHA256)\s+)[^\"'\n<>\\]+",
        r"(?P<name>\b(?:aws_?)?(?:secret_?access_?key|session_?token)[\"']?\s*[=:]\s*[\"']?)[\w%/+=]{16,}",
        r"(?P<name>\bSignature=)[\w%/+=-]{16,}",
        r"(?P<name>\b(?:AKIA|ASIA))[A-Z0-9]{16}\b",
        r"(?P<name>://)[^\s/@:]+:[^\s/@]+(?=@)",
    )
]


def encodable(text: str) -> str:
    """Return a text that can be written as UTF-8: a lone surrogate would leave a node RUNNING for ever."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")
