"""Carry the output of attempts into CloudWatch Logs while they run.

Moto's Logs lives in this process, so events go straight into it. The rules are those of Docker's
awslogs driver: one event a line, empty lines dropped, a line without an end held back, the stream
created by the first output.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from .jobs import Json, now_ms
from .runner import StartFailure

DEFAULT_GROUP = "/aws/batch/job"

MAX_EVENT_BYTES = 262_144 - 26
"""Docker's awslogs driver splits longer lines; CloudWatch counts 26 bytes more for each event."""

MAX_BATCH_EVENTS = 10_000
MAX_BATCH_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26

PutEvents = Callable[[str, str, list[Json]], None]
"""Takes a log group, a stream and events `{timestamp, message}`."""


class LogSink(Protocol):
    """Where an attempt's output goes."""

    def write(self, data: bytes) -> None:
        """Take output as it comes, in pieces that need not be lines."""

    def close(self) -> None:
        """Hand over what is left, the line without an end included."""


class OpensLogs(Protocol):
    """What an attempt needs of CloudWatch Logs."""

    def open(self, container: Json, stream: str) -> LogSink:
        """Return the sink for a container's output."""


class LogStore(Protocol):
    """The part of CloudWatch Logs that jobs need."""

    def ensure_group(self, group: str, create: bool) -> bool:
        """Tell whether the group exists, creating it first where asked."""

    def put(self, group: str, stream: str, events: list[Json]) -> None:
        """Append events, creating the stream where it is missing."""


class LogStreams:
    """Opens the log streams of attempts."""

    def __init__(self, store: LogStore, flush_interval_s: float = 0.5) -> None:
        self._store = store
        self._flush_interval_s = flush_interval_s

    def open(self, container: Json, stream: str) -> LogSink:
        """Return the sink for a container's output.

        Raises StartFailure where the log group does not exist and was not to be created.
        """
        configuration = container.get("logConfiguration") or {}
        options = configuration.get("options") or {}
        group = options.get("awslogs-group", DEFAULT_GROUP)
        create = group == DEFAULT_GROUP or options.get("awslogs-create-group") == "true"
        if not self._store.ensure_group(group, create):
            raise StartFailure(
                "CannotStartContainerError: Error response from daemon: failed to create task for container: "
                "failed to initialize logging driver: failed to create Cloudwatch log stream: "
                "ResourceNotFoundException: The specified log group does not exist."
            )
        return LineBatcher(lambda events: self._store.put(group, stream, events), self._flush_interval_s)


class LineBatcher:
    """Cuts bytes into lines and hands them over in batches, at most one interval after they came."""

    def __init__(self, put: Callable[[list[Json]], None], flush_interval_s: float) -> None:
        self._put = put
        self._flush_interval_s = flush_interval_s
        self._partial = bytearray()
        self._events: list[Json] = []
        self._bytes = 0
        self._latest_ms = 0
        self._timer: asyncio.TimerHandle | None = None

    def write(self, data: bytes) -> None:
        """Take output as it comes."""
        *lines, rest = (self._partial + data).split(b"\n")
        for line in lines:
            self._add_line(bytes(line))
        while len(rest) > MAX_EVENT_BYTES:
            self._add_event(bytes(rest[:MAX_EVENT_BYTES]))
            rest = rest[MAX_EVENT_BYTES:]
        self._partial = bytearray(rest)
        if self._events and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._flush_interval_s, self._flush)

    def close(self) -> None:
        """Hand over everything that is left."""
        self._add_line(bytes(self._partial))
        self._partial.clear()
        self._flush()

    def _add_line(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        for start in range(0, len(line), MAX_EVENT_BYTES):
            self._add_event(line[start : start + MAX_EVENT_BYTES])

    def _add_event(self, message: bytes) -> None:
        size = len(message) + EVENT_OVERHEAD_BYTES
        if len(self._events) >= MAX_BATCH_EVENTS or self._bytes + size > MAX_BATCH_BYTES:
            self._flush()
        # CloudWatch wants events in order of time, which the clock of a machine does not promise.
        self._latest_ms = max(self._latest_ms, now_ms())
        self._events.append({"timestamp": self._latest_ms, "message": message.decode(errors="replace")})
        self._bytes += size

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._events:
            events, self._events, self._bytes = self._events, [], 0
            self._put(events)


class MotoLogs:
    """CloudWatch Logs as moto keeps it in this process."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def ensure_group(self, group: str, create: bool) -> bool:
        """Tell whether the group exists, creating it first where asked."""
        if create:
            self._backend.ensure_log_group(group)
        return group in self._backend.groups

    def put(self, group: str, stream: str, events: list[Json]) -> None:
        """Append events, creating the stream where it is missing."""
        self._backend.ensure_log_group(group)
        self._backend.ensure_log_stream(group, stream)
        self._backend.put_log_events(group, stream, events)
