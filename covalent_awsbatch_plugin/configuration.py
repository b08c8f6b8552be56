"""`[executors.awsbatch]` of Covalent's configuration, read without importing Covalent."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from .errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]  # is the same, for 3.10


def configured() -> dict[str, Any]:
    """Return the section; empty where there is none, or no Covalent.

    Raises SettingsError where the file cannot be read.
    """
    path = config_file()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"Covalent's configuration {str(path)!r} cannot be read: {error}") from error
    section = content.get("executors", {}).get("awsbatch", {})
    return dict(section) if isinstance(section, dict) else {}


def config_file() -> Path:
    """Return where Covalent keeps its configuration, as Covalent itself finds it."""
    directory = os.environ.get("COVALENT_CONFIG_DIR") or os.environ.get("XDG_CONFIG_DIR")
    return Path(directory or "~/.config/covalent").expanduser() / "covalent.conf"
