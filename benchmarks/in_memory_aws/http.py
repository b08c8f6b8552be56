"""As much of HTTP/1.1 as AWS's clients speak, with an answer that comes after a latency."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

import httptools

Bytes = bytes | memoryview

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

JOINED_BYTES = 64 << 10
"""A body up to this size is copied behind its head, for one write is cheaper than two."""

_STATUS_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n" for each in HTTPStatus}


@dataclass(slots=True)
class Request:
    """A request that has arrived whole; `path` and `query` are still quoted, names of headers lower-case."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    chunks: list[bytes]

    @property
    def body(self) -> bytes:
        """Return the body in one piece."""
        return self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)


@dataclass(slots=True)
class Response:
    """An answer; `length` is told where the body itself is left out, as for HEAD."""

    status: int = 200
    body: Sequence[Bytes] = ()
    headers: Sequence[tuple[str, str]] = ()
    length: int | None = None
    is_immediate: bool = False
    """The harness's own questions are answered without the latency."""

    def head(self) -> bytes:
        """Return the head as it is sent."""
        length = sum(map(len, self.body)) if self.length is None else self.length
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return f"{_STATUS_LINES[self.status]}{lines}content-length: {length}\r\n\r\n".encode("latin-1")


Handler = Callable[[Request], Response]


@dataclass
class Connection(asyncio.Protocol):
    """One client's connection: its requests come one after the other, as AWS's clients send them."""

    handler: Handler
    latency_s: float
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _chunks: list[bytes] = field(default_factory=list)
    _url: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to parse."""
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    # --- what the parser calls ---

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Let a client go on that waits for leave to send its body, as botocore does."""
        if b"expect" in self._headers:
            self._transport.write(CONTINUE)

    def on_body(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """Answer: what the request does is done at once, and told after the latency."""
        path, _, query = self._url.decode("latin-1").partition("?")
        method = self._parser.get_method().decode()
        request = Request(method, path, query, self._headers, self._chunks)
        self._url, self._headers, self._chunks = b"", {}, []
        response = self.handler(request)
        if self.latency_s > 0 and not response.is_immediate:
            self._loop.call_later(self.latency_s, self._send, response)
        else:
            self._send(response)

    def _send(self, response: Response) -> None:
        if self._transport.is_closing():
            return
        head = response.head()
        if sum(map(len, response.body)) <= JOINED_BYTES:
            self._transport.write(b"".join([head, *response.body]))
            return
        self._transport.write(head)
        for piece in response.body:
            self._transport.write(piece)
