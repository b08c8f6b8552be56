"""A stream of the worker: passed on live to the container's own, and its end kept for the outcome."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import termios
import threading

KEPT_BYTES = 10 * 2**20
_READ_BYTES = 64 * 2**10
_LONGEST_CHARACTER_BYTES = 4


class Tail:
    """The last bytes of a stream."""

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        """Keep at most `limit_bytes`."""
        self._limit_bytes = limit_bytes
        self._seen_bytes = 0
        self._kept = bytearray()

    def append(self, data: bytes) -> None:
        """Add what the stream brought."""
        self._seen_bytes += len(data)
        self._kept += data
        # Cutting only at twice the limit moves each byte once at most.
        if len(self._kept) > 2 * self._limit_bytes:
            del self._kept[: -self._limit_bytes]

    def text(self) -> str:
        """Return the end of the stream, under a line that says how much was cut, if any was."""
        if self._seen_bytes <= self._limit_bytes:
            return self._kept.decode("utf-8", "replace")
        kept = _from_character_start(bytes(self._kept[-self._limit_bytes :]))
        cut_bytes = self._seen_bytes - len(kept)
        return f"[the first {cut_bytes} bytes were cut; the job's log has them]\n" + kept.decode(
            "utf-8", "replace"
        )


def _from_character_start(data: bytes) -> bytes:
    """Drop the rest of a UTF-8 character that was cut in two."""
    for index, byte in enumerate(data[: _LONGEST_CHARACTER_BYTES - 1]):
        if byte & 0b1100_0000 != 0b1000_0000:
            return data[index:]
    return data[_LONGEST_CHARACTER_BYTES - 1 :]


class Stream:
    """The reading end of the pipe that is the worker's stdout or stderr."""

    def __init__(self, pipe_fd: int, live_fd: int) -> None:
        """Start to pass `pipe_fd` on to `live_fd`."""
        self._pipe_fd = pipe_fd
        self._live_fd: int | None = live_fd
        self._tail = Tail()
        self._lock = threading.Lock()
        os.set_blocking(pipe_fd, False)
        threading.Thread(target=self._pump, name=f"stream-{live_fd}", daemon=True).start()

    def take(self) -> str:
        """Return all that was written up to now, and begin anew.

        It does not wait for the end of the stream, which a background process may keep open.
        """
        with self._lock:
            remaining_bytes = _readable_bytes(self._pipe_fd)
            while remaining_bytes > 0:
                data = os.read(self._pipe_fd, min(remaining_bytes, _READ_BYTES))
                remaining_bytes -= len(data)
                self._pass_on(data)
            text = self._tail.text()
            self._tail = Tail()
        return text

    def _pump(self) -> None:
        while True:
            select.select([self._pipe_fd], [], [])
            with self._lock:
                try:
                    data = os.read(self._pipe_fd, _READ_BYTES)
                except BlockingIOError:  # `take` was faster
                    continue
                if not data:
                    return
                self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        self._tail.append(data)
        if self._live_fd is None:
            return
        try:
            _write_all(self._live_fd, data)
        except OSError as error:
            # Nobody reads the container's stream any more; the outcome still gets it all.
            self._live_fd = None
            self._tail.append(f"[from here on the job's log has nothing: {error}]\n".encode())


def _readable_bytes(fd: int) -> int:
    count = bytearray(4)
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return int.from_bytes(count, sys.byteorder)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            select.select([], [fd], [])
