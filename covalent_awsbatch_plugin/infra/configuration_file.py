"""`[executors.awsbatch]` of Covalent's configuration: what it would become, and the writing of it.

Everything else in the file stays as it is, comments and order too. Covalent rewrites the file itself, under a
lock that is kept here as well.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import configuration
from ..errors import SettingsError
from ..settings import CONFIG_SECTION

if TYPE_CHECKING:
    from tomlkit.container import Container

LOCK_TIMEOUT_S = 10.0
"""Covalent itself gives up after a second; it holds the lock for milliseconds."""

NEW_FILE_MODE = 0o600


@dataclass(frozen=True)
class Revision:
    """What the section is to have, and which values are to go if they are still there."""

    values: Mapping[str, Any]
    former: Mapping[str, Any]
    """What was written here before: it goes where it is not among the values, unless it was changed since."""

    def of(self, section: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a section becomes; what somebody else wrote stays."""
        stale = {key for key, value in self.former.items() if section.get(key) == value}
        kept = {key: value for key, value in section.items() if key in self.values or key not in stale}
        return {**kept, **self.values}

    @property
    def takes_away(self) -> bool:
        """Tell whether the section as it is now has keys that would go.

        Raises SettingsError where the file cannot be read.
        """
        present = configuration.configured()
        return bool(set(present) - set(self.of(present)))

    @property
    def diff(self) -> list[str]:
        """Return the lines of a unified diff of the section as it is now; none where nothing changes.

        Raises SettingsError where the file cannot be read.
        """
        present = configuration.configured()
        before, after = _lines(present), _lines(self.of(present))
        name = str(configuration.config_file())
        return list(difflib.unified_diff(before, after, name, name, lineterm=""))


def _lines(section: Mapping[str, Any]) -> list[str]:
    import tomlkit

    return [f"[{CONFIG_SECTION}]", *tomlkit.dumps(section).splitlines()] if section else []


def write(revision: Revision) -> Path:
    """Revise the section as it is at this moment, and return the file.

    Makes the file where there is none. Raises SettingsError where it cannot be read or written.
    """
    from filelock import FileLock, Timeout

    path = configuration.config_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT_S):
            _replace(path, revised(_read(path), revision))
    except Timeout as error:
        raise SettingsError(
            f"Another program has held the lock {str(path) + '.lock'!r} for {LOCK_TIMEOUT_S:.0f} s: end it, "
            f"or try again."
        ) from error
    except OSError as error:
        raise SettingsError(f"Covalent's configuration {str(path)!r} cannot be written: {error}") from error
    return path


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def revised(text: str, revision: Revision) -> str:
    """Return the text of a configuration with its section revised and all else as it stands.

    Raises SettingsError where the text is no TOML.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise SettingsError(f"Covalent's configuration cannot be read: {error}") from error
    section = _section(document)
    wanted = revision.of(section)
    for key in [key for key in section if key not in wanted]:
        del section[key]
    for key, value in wanted.items():
        if section.get(key) != value:
            section[key] = value
    if not wanted:
        del document["executors"]["awsbatch"]
    return tomlkit.dumps(document)


def _section(document: Container) -> Any:
    """Return the section of a document, made where it is missing."""
    import tomlkit
    from tomlkit.items import InlineTable

    if "executors" not in document:
        document["executors"] = tomlkit.table(is_super_table=True)
    executors: Any = document["executors"]
    if "awsbatch" not in executors:
        is_inline = isinstance(executors, InlineTable)
        executors["awsbatch"] = tomlkit.inline_table() if is_inline else tomlkit.table()
    return executors["awsbatch"]


def _replace(path: Path, text: str) -> None:
    """Put a text in the file's place in one step, so that nobody reads half of it."""
    target = path.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else NEW_FILE_MODE
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
