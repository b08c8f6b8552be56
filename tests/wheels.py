"""The smallest wheel that pip installs, so that tests of DepsPip need no registry."""

from __future__ import annotations

import zipfile
from pathlib import Path


def write_wheel(directory: Path) -> Path:
    """Make the wheel of a package `tiny-late`, whose module `tiny_late` has the ANSWER 42."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "tiny_late-1.0-py3-none-any.whl"
    info = "tiny_late-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_late.py", "ANSWER = 42\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-late\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path
