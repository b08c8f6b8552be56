"""A user's exception as its outcome carries it: a pickle that is known to open, or nothing."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cloudpickle

from covalent_awsbatch_plugin.runtime import child
from covalent_awsbatch_plugin.runtime.failure import Unusable
from covalent_awsbatch_plugin.runtime.process import STDERR_FD, STDOUT_FD

LARGEST_BYTES = 2**20
_LONGEST_S = 3
_TEXT = ("args",)
_CHAIN = ("__context__", "__cause__", "__suppress_context__")
"""In this order: to set a cause suppresses the context."""
_ADDRESS = re.compile("0x[0-9a-f]+")


def leave(error: BaseException, path: Path) -> None:
    """Write the pickled exception into a new file, with its chain where that can be pickled.

    There is no file where the exception would not arrive as it was, is larger than `LARGEST_BYTES`, is the
    runtime's own, or is one that ends a program: nobody wants a SystemExit in the program that waits.

    To pickle is to run code of the exception's class, so a process of its own does it: whatever that code
    breaks, and however long it takes, the failure itself is told. SIGTERM is ignored from now on: the
    call has ended, and the supervisor has had the signal too.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not isinstance(error, Exception) or isinstance(error, Unusable):
        return
    with contextlib.suppress(OSError):  # no process is to be had; what counts is the failure
        os.waitpid(child.start(partial(_leave, error, path)), 0)


def _leave(error: Exception, path: Path) -> None:
    _limit_time()
    _silence()
    pickled = _pickle(error)
    if pickled is not None:
        part = path.with_suffix(".part")
        part.write_bytes(pickled)
        part.rename(path)


def _limit_time() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.alarm(_LONGEST_S)


def _silence() -> None:
    """Keep what goes wrong in here, a crash's last words too, out of the task's streams."""
    null_fd = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_fd, STDOUT_FD)
    os.dup2(null_fd, STDERR_FD)


def _pickle(error: Exception) -> bytes | None:
    links = list(_chain(error))
    for link in links:
        link.__traceback__ = None  # some libraries teach pickle to keep it
    _keep(_TEXT, links)  # or an __init__ that words a text would word that text again
    alone = _pickle_that_opens(error)
    if alone is None:
        return None
    _keep(_CHAIN, links)
    return _pickle_that_opens(error) or alone


def _keep(names: tuple[str, ...], links: list[BaseException]) -> None:
    """Have pickle keep more than the attributes in `__dict__`; opening sets all of them one by one."""
    for link in links:
        link.__dict__.update({name: getattr(link, name) for name in names})


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: list[BaseException | None] = [error]
    while found:
        link = found.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            found += [link.__cause__, link.__context__]


def _pickle_that_opens(error: Exception) -> bytes | None:
    file = _SmallFile()
    try:
        cloudpickle.dump(error, file)
        copy = pickle.loads(file.getvalue())
        is_same = type(copy) is type(error) and _text(copy) == _text(error)
    except Exception:  # noqa: BLE001 - the user's own __reduce__, __init__ and __str__
        return None
    return file.getvalue() if is_same else None


def _text(error: Exception) -> str:
    return _ADDRESS.sub("", str(error))


class _SmallFile(io.BytesIO):
    """Takes no more than an outcome should carry, so that pickling ends early."""

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        if self.tell() + view.nbytes > LARGEST_BYTES:
            raise ValueError("too large")
        return super().write(view)
