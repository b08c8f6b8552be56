"""A mirror of the local AWS that shows some of its answers otherwise: what AWS would say, and it cannot."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

PASSED_ON = ("content-type", "x-amzn-errortype", "x-amz-bucket-region", "etag", "last-modified")


@dataclass
class Answer:
    """An answer on its way, and what was asked."""

    asked: str
    """The path and the body of the request."""
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def replace(self, old: str, new: str) -> None:
        """Put other words into the body; they must be there."""
        assert old.encode() in self.body, self.body
        self.body = self.body.replace(old.encode(), new.encode())

    def refuse(self, body: str, status: int = 403) -> None:
        """Answer with an error instead."""
        self.status, self.body = status, body.encode()


Change = Callable[[Answer], object]


@contextmanager
def mirror(endpoint_url: str, change: Change) -> Iterator[str]:
    """Serve what stands at an endpoint, each answer changed on its way; yield where."""
    place = urlsplit(endpoint_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            asked = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
            asked.request(self.command, self.path, body, dict(self.headers))
            given = asked.getresponse()
            answer = Answer(
                f"{self.command} {self.path} {body.decode('latin-1')}", given.status, given.read()
            )
            answer.headers = {name: value for name in PASSED_ON if (value := given.headers.get(name))}
            asked.close()
            change(answer)
            self.send_response_only(answer.status)
            for name, value in {"Date": self.date_time_string(), **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(Handler) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a port of one's own, and yield where."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
