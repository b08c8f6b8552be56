"""One way to hash a list of things, so that no two lists look alike and none depends on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

HASH_CHARS = 16
"""Of the hexadecimal digest: 64 bits, far more than the images of one repository need."""


def hash_of(parts: Iterable[bytes]) -> str:
    """Return a short hash of parts in their order; each counts with its length."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:HASH_CHARS]
