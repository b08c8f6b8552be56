"""Progress bars for what runs in the background: one display for the process, on a terminal only."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_lock = threading.Lock()
_display: Progress | None = None
_open_bars = 0


def is_wanted(progress: bool | None) -> bool:
    """Tell whether to show bars: as the user says, else where stderr is a terminal."""
    return sys.stderr.isatty() if progress is None else progress


class Bar:
    """One line of the display, for `total` tasks; it appears at once and stays when it is full."""

    def __init__(self, label: str, total: int) -> None:
        global _open_bars
        self._label = label
        self._total = total
        self._done = self._failed = 0
        with _lock:
            self._display = _shared_display()
            _open_bars += 1
            self._line: TaskID = self._display.add_task(label, total=total)

    def advance(self, *, failed: bool) -> None:
        """Count a task that has ended."""
        with _lock:
            self._done += 1
            self._failed += failed
            text = f"{self._label} [red]({self._failed} failed)[/red]" if self._failed else self._label
            self._display.update(self._line, advance=1, description=text)
            if self._done == self._total:
                _close_bar()


def _shared_display() -> Progress:
    global _display
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    if _display is None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        _display = Progress(*columns, console=Console(stderr=True))
        _display.start()
    return _display


def _close_bar() -> None:
    global _display, _open_bars
    _open_bars -= 1
    if _open_bars == 0 and _display is not None:
        _display.stop()
        _display = None
