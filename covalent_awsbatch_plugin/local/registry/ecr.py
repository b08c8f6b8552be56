"""The local ECR, assembled and running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from ..calls import CallCounts
from ..guarded import Guardian
from ..jobs import Account
from .api import EcrApi
from .distribution import Distribution
from .faults import Faults
from .images import ImageOperations
from .proxy import RegistryProxy
from .records import Records
from .relay import Relay
from .repositories import RepositoryOperations
from .settings import SettingsOperations
from .store import ImageStore
from .tokens import USER, Tokens

RECORDS = "repositories.json"
CONNECT_TIMEOUT_S = 10.0


@dataclass
class Registry:
    """ECR's API, its registry at `/v2/`, and what tests may break in both."""

    host: str
    api: EcrApi
    proxy: RegistryProxy
    faults: Faults
    tokens: Tokens

    def credentials(self, host: str) -> dict[str, str] | None:
        """Return what an engine needs to pull from a registry; None for any other than this one."""
        if host != self.host:
            return None
        return {"username": USER, "password": self.tokens.issue().password}


@asynccontextmanager
async def running(
    account: Account, host: str, directory: Path, removed_at_end: Path, counts: CallCounts
) -> AsyncIterator[Registry]:
    """Run ECR at a host such as `127.0.0.1:4599`, with everything that it keeps in a directory.

    `removed_at_end` is a directory that goes with the local AWS even if that is killed. Raises
    MissingProgram where this machine has no registry.
    """
    guardian = Guardian(removed_at_end)
    try:
        distribution = await Distribution.start(directory, guardian)
        try:
            async with _session(distribution.url) as session:
                yield _assembled(account, host, directory, session, counts)
        finally:
            await distribution.stop()
    finally:
        await guardian.close()


def _session(url: str) -> aiohttp.ClientSession:
    """Return a session that changes nothing of what passes through it, and waits as long as it takes."""
    return aiohttp.ClientSession(
        url,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
    )


def _assembled(
    account: Account, host: str, directory: Path, session: aiohttp.ClientSession, counts: CallCounts
) -> Registry:
    records, tokens, faults = Records(account, directory / RECORDS), Tokens(), Faults()
    images = ImageStore(session, directory, records)
    operations = [
        RepositoryOperations(account, host, records, tokens, images),
        ImageOperations(account, records, images),
        SettingsOperations(account, records),
    ]
    return Registry(
        host=host,
        api=EcrApi(account, faults, operations),
        proxy=RegistryProxy(account, Relay(session, faults), records, tokens, images, faults, counts),
        faults=faults,
        tokens=tokens,
    )
