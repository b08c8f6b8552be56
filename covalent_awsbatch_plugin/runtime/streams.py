"""The worker's stdout and stderr: whole again for each call, whatever the last one did to them."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
from dataclasses import dataclass

from covalent_awsbatch_plugin.runtime.process import STDERR_FD, STDOUT_FD


@dataclass(frozen=True)
class Output:
    """Spare descriptors of the two pipes, in case the user's code redirects or closes 1 and 2."""

    stdout_fd: int
    stderr_fd: int


def adopt(stdout_fd: int, stderr_fd: int) -> Output:
    """Make the pipes this process's stdout and stderr, and that of its children."""
    output = Output(stdout_fd, stderr_fd)
    renew(output)
    return output


def renew(output: Output) -> None:
    """Set up descriptors 1 and 2 and Python's streams on them, line by line so that logs are live."""
    os.dup2(output.stdout_fd, STDOUT_FD)
    os.dup2(output.stderr_fd, STDERR_FD)
    sys.stdout = _text_stream(STDOUT_FD)
    sys.stderr = _text_stream(STDERR_FD)


def flush() -> None:
    """Write out what Python and C still hold back."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        # The user's code may have closed it, or put anything at all in its place.
        if stream is not None:
            with contextlib.suppress(Exception):
                stream.flush()
    ctypes.CDLL(None).fflush(None)


def _text_stream(fd: int) -> io.TextIOWrapper:
    # Printing must not fail because the image has no locale, or the text a lone surrogate.
    return open(fd, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
