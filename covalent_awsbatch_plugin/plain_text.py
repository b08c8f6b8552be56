"""Somebody else's text, as it can be passed on without harm."""

from __future__ import annotations

import re

_NOT_SHOWN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What would do something to a terminal, or turn its text around, instead of standing there."""


def escaped(line: str) -> str:
    r"""Return a line of somebody else's as a terminal may have it: an escape character is shown as `\x1b`."""
    return _NOT_SHOWN.sub(lambda found: found[0].encode("unicode_escape").decode(), line)


def encodable(text: str) -> str:
    """Return a text that can be written as UTF-8: a lone surrogate would leave a node RUNNING for ever."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")
