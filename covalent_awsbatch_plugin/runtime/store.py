"""The bucket: the only place that talks to S3."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from covalent_awsbatch_plugin.runtime.fault import RuntimeFault

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CHUNK_BYTES = 8 * 2**20
_PARALLEL_TRANSFERS = 4
_MOST_PARTS = 10_000
"""S3's limit for one multipart upload."""


class Store:
    """One bucket. Every method raises RuntimeFault where S3 does not do what it is asked."""

    def __init__(self, bucket: str) -> None:
        """Connect as the environment says; obstore finds credentials there or at the job role's endpoint."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self._bucket = bucket
        self._store = S3Store(
            bucket,
            config={"region": region} if endpoint is None else {"region": region, "endpoint": endpoint},
            client_options=_client_options(endpoint),
            retry_config=_retry_config(),
        )

    def read_start(self, key: str, length_bytes: int) -> tuple[bytes, int]:
        """Return the first bytes of an object, and its whole size."""
        with self._faults("read", key):
            result = obstore.get(self._store, key, options={"range": (0, length_bytes)})
            return bytes(result.bytes()), result.meta["size"]

    def read(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`."""
        with self._faults("read", key):
            data = bytes(obstore.get_range(self._store, key, start=start, end=end))
        if len(data) != end - start:
            raise RuntimeFault(f"The object {self._uri(key)} is cut short.")
        return data

    def download(self, key: str, start: int, end: int, path: Path) -> None:
        """Copy a range of an object into a new file, a chunk at a time and several at once."""
        from concurrent.futures import ThreadPoolExecutor  # only large objects come here

        with open(path, "wb") as file, ThreadPoolExecutor(_PARALLEL_TRANSFERS) as pool:

            def copy(chunk_start: int) -> None:
                data = self.read(key, chunk_start, min(chunk_start + CHUNK_BYTES, end))
                os.pwrite(file.fileno(), data, chunk_start - start)

            for _ in pool.map(copy, range(start, end, CHUNK_BYTES)):
                pass

    def upload(self, key: str, chunks: Iterable[bytes], length_bytes: int) -> None:
        """Store an object, which appears whole or not at all."""
        with self._faults("write", key):
            if length_bytes <= CHUNK_BYTES:
                obstore.put(self._store, key, b"".join(chunks), use_multipart=False)
                return
            obstore.put(
                self._store,
                key,
                chunks,
                use_multipart=True,
                chunk_size=max(CHUNK_BYTES, math.ceil(length_bytes / _MOST_PARTS)),
                max_concurrency=_PARALLEL_TRANSFERS,
            )

    def _uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    @contextmanager
    def _faults(self, verb: str, key: str) -> Iterator[None]:
        """Turn obstore's errors into one sentence."""
        try:
            yield
        except FileNotFoundError as error:
            raise RuntimeFault(f"There is no {self._uri(key)}: object or bucket is missing.") from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise RuntimeFault(
                f"S3 does not let the container {verb} {self._uri(key)}: check the job role's permissions."
            ) from error
        except BaseError as error:
            reason = str(error).strip().splitlines()[0]
            raise RuntimeFault(f"S3 did not {verb} {self._uri(key)}: {reason}") from error


def _client_options(endpoint: str | None) -> ClientConfig:
    return {
        "timeout": timedelta(minutes=5),
        "connect_timeout": timedelta(seconds=5),
        "allow_http": endpoint is not None and endpoint.startswith("http://"),
    }


def _retry_config() -> RetryConfig:
    return {
        "max_retries": 8,
        "retry_timeout": timedelta(minutes=2),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }
