"""Covalent's configuration, read without importing Covalent."""

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


DEFAULT_ADDRESS = "localhost"
DEFAULT_PORT = 48008
"""Covalent's own defaults."""

HTTP_PORT = 80
HTTPS_PORT = 443


def configured() -> dict[str, Any]:
    """Return `[executors.awsbatch]`; empty where there is none, or no Covalent.

    Raises SettingsError where the file cannot be read.
    """
    return _section(_section(_content(), "executors"), "awsbatch")


def server_url() -> str:
    """Return where Covalent's server is, as Covalent's own client finds it.

    Raises SettingsError where the configuration cannot be read.
    """
    dispatcher = _section(_content(), "dispatcher")
    host = str(dispatcher.get("address") or os.environ.get("COVALENT_DISPATCHER_ADDR") or DEFAULT_ADDRESS)
    port = int(dispatcher.get("port") or os.environ.get("COVALENT_SVC_PORT") or DEFAULT_PORT)
    host = host.rstrip("/")
    if not host.startswith(("http://", "https://")):
        host = f"{'https' if port == HTTPS_PORT else 'http'}://{host}"
    return host if port in (HTTP_PORT, HTTPS_PORT) else f"{host}:{port}"


def database_path() -> str:
    """Return the file of Covalent's database; empty where the configuration does not say.

    Raises SettingsError where the configuration cannot be read.
    """
    return str(_section(_content(), "dispatcher").get("db_path", ""))


def _content() -> dict[str, Any]:
    path = config_file()
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"Covalent's configuration {str(path)!r} cannot be read: {error}") from error


def _section(content: dict[str, Any], name: str) -> dict[str, Any]:
    section = content.get(name, {})
    return dict(section) if isinstance(section, dict) else {}


def config_file() -> Path:
    """Return where Covalent keeps its configuration, as Covalent itself finds it."""
    directory = os.environ.get("COVALENT_CONFIG_DIR") or os.environ.get("XDG_CONFIG_DIR")
    return Path(directory or "~/.config/covalent").expanduser() / "covalent.conf"
