"""A user's own Dockerfile and the files beside it, hashed for the tag."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from ..errors import ImageError
from .hashing import hash_of

READ_BYTES = 1 << 20


def digest(directory: Path) -> str:
    """Return the hash of a build context: names, contents and executable bits, and nothing else.

    What its .dockerignore excludes does not count: the engine does not get it either. Raises ImageError
    where there is no Dockerfile or a file cannot be read.
    """
    try:
        if not (directory / "Dockerfile").is_file():
            raise ImageError(f"build_context={str(directory)!r} has no Dockerfile where it is built.")
        return _digest(directory, _paths(directory))
    except OSError as error:
        raise ImageError(f"build_context={str(directory)!r} cannot be read: {error}.") from error


def _paths(directory: Path) -> list[str]:
    from docker.utils import exclude_paths

    ignored = directory / ".dockerignore"
    lines = ignored.read_text().splitlines() if ignored.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return sorted(exclude_paths(str(directory), patterns, dockerfile="Dockerfile"))


def _digest(directory: Path, paths: list[str]) -> str:
    files = ((Path(path).as_posix().encode(), *_held(directory / path)) for path in paths)
    return hash_of(part for file in files for part in file)


def _held(path: Path) -> tuple[bytes, bytes]:
    """Return what sort of file it is, and the hash of what it holds."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return b"link", os.readlink(path).encode()
    if not stat.S_ISREG(status.st_mode):
        return b"directory", b""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            hashed.update(chunk)
    return (b"program" if status.st_mode & stat.S_IXUSR else b"file"), hashed.digest()
