"""The bucket: the only place that talks to S3."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from covalent_awsbatch_plugin.contract import CHUNK_BYTES
from covalent_awsbatch_plugin.runtime.fault import RuntimeFault

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

_PARALLEL_TRANSFERS = 4
_LOOKS = 10
_BETWEEN_LOOKS_S = 1.0
_SHOWN_BYTES = 2**10
"""Of what stands in another object's place."""


class Store:
    """One bucket. Every method raises RuntimeFault where S3 does not do what it is asked."""

    def __init__(self, bucket: str, kms_key_id: str = "") -> None:
        """Connect as the environment says; obstore finds credentials there or at the job role's endpoint.

        What is written is encrypted with the KMS key; empty: as the bucket itself does.
        """
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self._bucket = bucket
        self._store = S3Store(
            bucket,
            config=_config(region, endpoint, kms_key_id),
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
            raise RuntimeFault(f"The object {self.uri(key)} is cut short.")
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

    def upload(self, key: str, chunks: Iterable[bytes], chunk_bytes: int) -> None:
        """Store an object that comes in chunks of a length, of which S3 takes 10,000."""
        with self._faults("write", key):
            obstore.put(
                self._store,
                key,
                chunks,
                use_multipart=True,
                chunk_size=chunk_bytes,
                max_concurrency=_PARALLEL_TRANSFERS,
            )

    def create(self, key: str, content: bytes) -> bytes | None:
        """Store an object unless there is one, of which it returns enough to compare the two.

        A request is repeated after a lost answer, so what is there may be this very content.
        """
        for _ in range(_LOOKS):
            with self._faults("write", key):
                if self._put_new(key, content):
                    return None
            with self._faults("read", key):
                found = self._beginning(key, max(_SHOWN_BYTES, len(content) + 1))
            if found is not None:
                return found
            time.sleep(_BETWEEN_LOOKS_S)  # somebody else is writing it, or has deleted it
        raise RuntimeFault(f"S3 says that {self.uri(key)} is there, but does not show it.")

    def exists(self, key: str) -> bool:
        """Tell whether there is an object.

        Who may read, but not list, is not told that there is none: S3 then denies the right to read it.
        """
        with self._faults("read", key):
            try:
                obstore.head(self._store, key)
            except (FileNotFoundError, PermissionDeniedError):
                return False
            return True

    def uri(self, key: str) -> str:
        """Return an object's address."""
        return f"s3://{self._bucket}/{key}"

    def _put_new(self, key: str, content: bytes) -> bool:
        try:
            # Only a single request can be conditional, not a multipart upload.
            obstore.put(self._store, key, content, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        return True

    def _beginning(self, key: str, length_bytes: int) -> bytes | None:
        try:
            stream = obstore.get(self._store, key).stream(min_chunk_size=length_bytes)
        except FileNotFoundError:
            return None
        return bytes(next(iter(stream), b""))[:length_bytes]

    @contextmanager
    def _faults(self, verb: str, key: str) -> Iterator[None]:
        """Turn obstore's errors into one sentence."""
        try:
            yield
        except FileNotFoundError as error:
            raise RuntimeFault(f"There is no {self.uri(key)}: object or bucket is missing.") from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise RuntimeFault(
                f"S3 does not let the container {verb} {self.uri(key)}: check the job role's permissions."
            ) from error
        except BaseError as error:
            reason = str(error).strip().splitlines()[0]
            raise RuntimeFault(f"S3 did not {verb} {self.uri(key)}: {reason}") from error


def _config(region: str, endpoint: str | None, kms_key_id: str) -> S3Config:
    config: S3Config = {"region": region}
    if endpoint is not None:
        config["endpoint"] = endpoint
    if kms_key_id:
        config["server_side_encryption"] = "aws:kms"
        config["sse_kms_key_id"] = kms_key_id
    return config


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
