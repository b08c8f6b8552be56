"""pip's requirement lines: read, refused where an image cannot hold them, and brought to one order.

An image is built elsewhere than where the line was written, may be pulled by others and says what it was
made from. So a line must mean the same everywhere (no paths, no included files) and hold no secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

OPTIONS = (
    "--extra-index-url",
    "--find-links",
    "--index-url",
    "--no-binary",
    "--no-index",
    "--only-binary",
    "--pre",
    "--prefer-binary",
    "--trusted-host",
    "-f",
    "-i",
)
"""pip's options that mean the same wherever they are read; pip takes them before the requirements."""

_REMOTE = re.compile(r"(?:(?:git|hg|svn|bzr)\+)?(?:https?|ssh)://", re.IGNORECASE)
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


class UnusableRequirement(ValueError):
    """A line that an image cannot be made from; the text says why, without the line's secrets."""


def lines_of(text: str) -> list[str]:
    """Return the lines of a requirements file's text, continued lines joined."""
    return text.replace("\\\n", " ").splitlines()


def normalised(lines: Iterable[str]) -> list[str]:
    """Return the lines that mean something, each once: options as they stand, then requirements sorted.

    Raises UnusableRequirement for a line that an image cannot be made from.
    """
    stripped = [_COMMENT.sub("", line).strip() for line in lines]
    options: dict[str, None] = {}
    wanted: set[str] = set()
    for line in filter(None, stripped):
        _refuse_secret(line)
        if line.startswith("-"):
            options[_option(line)] = None
        else:
            wanted.add(_requirement(line))
    return [*options, *sorted(wanted)]


def are_compatible(lists: Sequence[Sequence[str]]) -> bool:
    """Tell whether lists of normalised lines name no package in two ways, so that one image can have all."""
    lines_by_name: dict[str, str] = {}
    for line in (line for each in lists for line in each if not line.startswith("-")):
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower()
        if lines_by_name.setdefault(name, line) != line:
            return False
    return True


def _refuse_secret(line: str) -> None:
    for url in _URL.findall(line):
        parts = urlsplit(url)
        # git@github.com is a name that everybody has; a user with a password, or a token alone, is not.
        if parts.password is not None or (parts.username is not None and parts.scheme.endswith("https")):
            raise UnusableRequirement(
                f"the address at {parts.hostname} holds a user name or password, which whoever can pull the "
                "image could read; put pip's configuration into base_image instead"
            )


def _option(line: str) -> str:
    name = re.split(r"[\s=]", line, maxsplit=1)[0]
    value = line[len(name) :].lstrip(" =\t")
    if name not in OPTIONS:
        raise UnusableRequirement(
            f"{name} is no option that an image can be made with; write packages line by line"
        )
    if name in {"--find-links", "-f"} and not _REMOTE.match(value):
        text = f"{name} must name an address: a path is not there where the image is built"
        raise UnusableRequirement(text)
    return f"{name} {value}".rstrip()


def _requirement(line: str) -> str:
    if _REMOTE.match(line):
        return line
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        found = Requirement(line)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        text = f"{line!r} is no requirement that pip takes everywhere ({reason})"
        raise UnusableRequirement(text) from error
    if found.url is not None and not _REMOTE.match(found.url):
        raise UnusableRequirement(f"{line!r} names a path, which is not there where the image is built")
    return str(found)
