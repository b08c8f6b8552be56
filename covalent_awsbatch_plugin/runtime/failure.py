"""Why a call has no value, in words: exceptions, unusable pickles and the death of the worker."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from covalent_awsbatch_plugin.contract import Failure
from covalent_awsbatch_plugin.runtime.process import Death

LONGEST_MESSAGE_CHARACTERS = 10_000
LONGEST_TRACEBACK_CHARACTERS = 200_000
_LAST_LINES = 20
_OWN_DIRECTORY = Path(__file__).parent

_SIGNAL_NAMES: dict[int, str] = {each.value: each.name for each in signal.Signals}
_SIGNAL_CAUSES: dict[int, str] = {
    signal.SIGKILL: "most often the kernel sends it because the memory of the container ran out; "
    "ask for more memory, or stop what kills the process",
    signal.SIGSEGV: "compiled code touched memory that is not its own",
    signal.SIGABRT: "compiled code gave up; its last words are in stderr",
    signal.SIGBUS: "a file that was mapped into memory, or shared memory, ran out",
    signal.SIGILL: "compiled code is for another processor",
    signal.SIGFPE: "compiled code divided by zero",
}


class Unusable(Exception):
    """A pickle could not be read or written; the text says which, `__cause__` why."""


def describe(error: BaseException) -> Failure:
    """Return the failure that a user's exception is."""
    cause = error.__cause__ if isinstance(error, Unusable) and error.__cause__ is not None else error
    message = _text(error) if cause is error else f"{_text(error)}: {_text(cause)}"
    output = "\n".join(_last_lines(cause))
    if output:
        message = f"{message}\n{output}"
    return Failure(
        _qualified_name(type(cause)),
        _shorten(message, LONGEST_MESSAGE_CHARACTERS),
        _shorten(_traceback(cause), LONGEST_TRACEBACK_CHARACTERS),
    )


def describe_death(death: Death) -> Failure:
    """Return the failure that the worker's death in the middle of a call is."""
    if death.signal_number is None:
        return Failure(
            "ProcessExit",
            f"The process ended with exit code {death.exit_code} before the function returned: "
            "something in it called os._exit, or a library did.",
        )
    number = death.signal_number
    cause = _SIGNAL_CAUSES.get(number)
    return Failure(
        "ProcessKilled",
        f"Signal {number} ({_SIGNAL_NAMES.get(number, 'real-time')}) ended the process before the function "
        "returned" + ("." if cause is None else f": {cause}."),
    )


def _qualified_name(kind: type[BaseException]) -> str:
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - the user's own __str__
        return f"{type(error).__qualname__} (its text cannot be had: {type(broken).__qualname__})"


def _traceback(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(type(error), error, _from_user_code(error.__traceback__))
    except Exception as broken:  # noqa: BLE001 - exceptions may be of any make
        return f"{_qualified_name(type(error))} (its traceback cannot be had: {type(broken).__qualname__})\n"
    return "".join(lines) + "".join(_captured_output(error))


def _from_user_code(frames: TracebackType | None) -> TracebackType | None:
    """Leave out the runtime's own frames, with which every traceback begins."""
    while frames is not None and Path(frames.tb_frame.f_code.co_filename).parent == _OWN_DIRECTORY:
        frames = frames.tb_next
    return frames


def _captured_output(error: BaseException) -> Iterator[str]:
    """Yield what failed commands wrote, which their exceptions hold but do not show."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        lines = _last_lines(link)
        if lines:
            yield "\nThe command's last lines:\n" + "".join(f"  {line}\n" for line in lines)
        link = link.__cause__ or link.__context__


def _last_lines(error: BaseException) -> list[str]:
    """Return the end of a failed command's stderr, or else stdout, where the exception captured it."""
    subprocess = sys.modules.get("subprocess")  # not imported: no such exception
    if subprocess is None or not isinstance(error, subprocess.CalledProcessError | subprocess.TimeoutExpired):
        return []
    for captured in (error.stderr, error.stdout):
        text = captured.decode("utf-8", "replace") if isinstance(captured, bytes) else captured
        if isinstance(text, str) and text.strip():
            return text.rstrip().splitlines()[-_LAST_LINES:]
    return []


def _shorten(text: str, limit_characters: int) -> str:
    """Cut the middle out of a long text, and write lone surrogates, which no UTF-8 can hold, as escapes."""
    if len(text) > limit_characters:
        half = limit_characters // 2
        text = f"{text[:half]}\n[… {len(text) - 2 * half} characters cut …]\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()
