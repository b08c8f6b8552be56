"""Whose outcomes count: a key of this machine, of which each dispatch's own is made.

The machine's key stays in a file here. A job is given its dispatch's key in its payload and seals its
outcomes with it, so whoever cannot read the payloads cannot forge an outcome. Nothing is stored for a
dispatch: after a restart, and in another process of this machine, its key is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from functools import partial
from pathlib import Path

from .errors import SetupError
from .settings import Settings
from .threads import in_thread

FILE_NAME = "origin.key"
KEY_BYTES = 32

_known: dict[str, bytes] = {}
"""The machine's keys that this process has read, by `cache_dir`: mostly there is one."""


def key_path(settings: Settings) -> Path:
    """Return the file with this machine's key."""
    return settings.cache_path / FILE_NAME


async def dispatch_key(settings: Settings, dispatch_id: str) -> bytes:
    """Return the key with which the outcomes of a dispatch are sealed.

    Makes this machine's key where there is none. Raises SetupError where that cannot be read or made.
    """
    if settings.cache_dir not in _known:
        _known[settings.cache_dir] = await in_thread(partial(_machine_key, key_path(settings)))
    machine_key = _known[settings.cache_dir]
    return hashlib.blake2b(dispatch_id.encode(), key=machine_key, digest_size=KEY_BYTES).digest()


def _machine_key(path: Path) -> bytes:
    """Read the machine's key, or make one; of several processes that do, the first one's counts for all."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _leave(path, secrets.token_bytes(KEY_BYTES))
        key = path.read_bytes()
    except OSError as error:
        raise SetupError(
            f"The file {str(path)!r}, with the key that tells this machine's outcomes from others, cannot be "
            f"read or made: {error.strerror}. Make it accessible, or set `cache_dir` to another directory."
        ) from error
    if len(key) != KEY_BYTES:
        raise SetupError(
            f"The key in {str(path)!r} has {len(key)} bytes, not {KEY_BYTES}: it is damaged. Delete the "
            f"file; outcomes of tasks that run now then count only with verify_origin=False."
        )
    return key


def _leave(path: Path, key: bytes) -> None:
    """Write a file that appears whole or not at all, for its owner alone, unless there is one already."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
