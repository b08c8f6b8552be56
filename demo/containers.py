"""The base image of jobs in containers, where the public registry cannot be reached."""

from __future__ import annotations

import os
import sys

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

OWN_BASE_IMAGE = f"covalent-awsbatch-base:{PYTHON}"
"""`make base-image` makes it from Debian's packages, which have one Python."""


def base_image() -> str | None:
    """Return the base image that AWSBATCH_BASE_IMAGE names, or the engine's own; None: the default one."""
    from covalent_awsbatch_plugin.errors import NoEngineError
    from covalent_awsbatch_plugin.image.engine import connect

    if named := os.environ.get("AWSBATCH_BASE_IMAGE"):
        return named
    try:
        engine = connect()
    except NoEngineError:
        return None  # whoever needs the engine will say so
    try:
        return OWN_BASE_IMAGE if engine.has(OWN_BASE_IMAGE) else None
    finally:
        engine.close()
