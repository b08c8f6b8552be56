"""Pass requests on to the registry, and answers back, in pieces: no blob is ever in memory as a whole."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from yarl import URL

from .faults import Faults
from .refusals import disk_full, refused

logger = logging.getLogger(__name__)

NOT_PASSED_ON = frozenset(
    b"authorization connection date expect host keep-alive server te trailer transfer-encoding".split()
)
"""Headers that belong to one of the two connections, and the password."""


@dataclass
class Upload:
    """The body of a request on its way to the registry's disk."""

    chunks: AsyncIterator[bytes]
    faults: Faults
    overflowed: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Pass on what fits, and break the request off there."""
        async for chunk in self.chunks:
            fits_bytes = self.faults.fitting(len(chunk))
            yield chunk[:fits_bytes]
            if fits_bytes < len(chunk):
                self.overflowed = True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Relay:
    """The way to the registry and back."""

    def __init__(self, session: aiohttp.ClientSession, faults: Faults) -> None:
        """Talk to the registry through a session that has its address."""
        self._session = session
        self._faults = faults

    async def ask(self, request: Request) -> aiohttp.ClientResponse:
        """Send a request on and return the beginning of the registry's answer."""
        upload = Upload(request.stream(), self._faults)
        try:
            return await self._session.request(
                request.method,
                URL(_path_and_query(request), encoded=True),
                headers=_passed_headers(request.headers.raw),
                data=upload if _has_body(request) else None,
                allow_redirects=False,
            )
        except aiohttp.ClientError as error:
            if upload.overflowed:
                raise disk_full() from error
            logger.warning("a request to the registry broke off: %s", error)
            raise refused(503, "UNAVAILABLE", "the registry does not answer") from error


def streamed(answer: aiohttp.ClientResponse) -> Response:
    """Return the registry's answer, of which the body is still on its way."""

    async def body() -> AsyncIterator[bytes]:
        async with answer:
            async for chunk in answer.content.iter_any():
                yield chunk

    response = StreamingResponse(body(), answer.status)
    response.raw_headers = [
        (name.lower(), value) for name, value in answer.raw_headers if name.lower() not in NOT_PASSED_ON
    ]
    return response


def _path_and_query(request: Request) -> str:
    raw = request.scope.get("raw_path", request.scope["path"].encode())
    query = request.scope["query_string"]
    return str((raw + b"?" + query if query else raw).decode("latin-1"))


def _passed_headers(raw: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in raw
        if name.lower() not in NOT_PASSED_ON
    ]


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
