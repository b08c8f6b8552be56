"""Leaving outcomes: what became of a task, with value and streams, written once and sealed."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from covalent_awsbatch_plugin.contract import (
    EXIT_RUNTIME_FAULT,
    EXIT_TERMINATED,
    EXIT_USER_EXCEPTION,
    EXIT_VALUE,
    INLINE_BYTES,
    Container,
    Detached,
    Failure,
    Outcome,
    OutcomeStatus,
    Payload,
    attempt_of,
    chunk_bytes_of,
    detached_key,
    outcome_key,
    pack_outcome,
)
from covalent_awsbatch_plugin.runtime.fault import Conflict, RuntimeFault, complain
from covalent_awsbatch_plugin.runtime.messages import Hello
from covalent_awsbatch_plugin.runtime.store import Store

T = TypeVar("T")

PAUSES_S = (1, 2, 4)
"""Between tries. What fails on the way the store itself repeats, for minutes; a refusal may pass, too: a
token has expired in this moment, a policy is being changed."""

_EXIT_CODES = {
    OutcomeStatus.VALUE: EXIT_VALUE,
    OutcomeStatus.EXCEPTION: EXIT_USER_EXCEPTION,
    OutcomeStatus.TERMINATED: EXIT_TERMINATED,
    OutcomeStatus.FAULT: EXIT_RUNTIME_FAULT,
}


@dataclass(frozen=True)
class Ending:
    """How a task ended. A crash has the exit code that a shell would give it instead of the status's."""

    status: OutcomeStatus
    failure: Failure | None = None
    container: Container | None = None
    crash_exit_code: int | None = None

    @property
    def is_raised(self) -> bool:
        """Whether an exception ended it, and no crash."""
        return self.status is OutcomeStatus.EXCEPTION and self.crash_exit_code is None

    @property
    def exit_code(self) -> int:
        """The exit code of a job whose last task to run ended like this."""
        return _EXIT_CODES[self.status] if self.crash_exit_code is None else self.crash_exit_code


class Outcomes:
    """Writes the outcomes of one attempt of one job."""

    def __init__(self, store: Store, payload: Payload, hello: Hello, environment: Mapping[str, str]) -> None:
        """Take what all outcomes of the job have in common."""
        self._store = store
        self._dispatch_id = payload.dispatch_id
        self._key = payload.origin_key
        self._hello = hello
        self._job_id = environment.get("AWS_BATCH_JOB_ID", "")
        self._attempt = attempt_of(environment)

    def leave(
        self, node_id: int, ending: Ending, started_at: float, sections: Mapping[str, Path | str]
    ) -> None:
        """Store the outcome of a task that has just ended; a section is a file or a text.

        Raises Conflict where there is one already, RuntimeFault where S3 does not take it.
        """
        finished_at = time.time()
        contents = {name: _content(each) for name, each in sections.items()}
        detached = {
            name: _patiently(partial(self._detach, node_id, name, each))
            for name, each in contents.items()
            if _length_bytes(each) > INLINE_BYTES
        }
        outcome = Outcome(
            dispatch_id=self._dispatch_id,
            node_id=node_id,
            status=ending.status,
            job_id=self._job_id,
            attempt=self._attempt,
            started_at=started_at,
            finished_at=finished_at,
            python_version=self._hello.python_version,
            cloudpickle_version=self._hello.cloudpickle_version or "",
            failure=ending.failure,
            container=ending.container,
            detached=detached,
        )
        inline = {name: _whole(each) for name, each in contents.items() if name not in detached}
        self._commit(outcome_key(self._dispatch_id, node_id, self._attempt), outcome, inline)

    def _commit(self, key: str, outcome: Outcome, inline: Mapping[str, bytes]) -> None:
        content = pack_outcome(outcome, inline, self._key)
        found = _patiently(partial(self._store.create, key, content))
        if found is not None and found != content:
            raise Conflict(
                f"Another attempt, or a foreign writer, has already left an outcome at "
                f"{self._store.uri(key)}: it stays, and that of this job is lost."
            )

    def _detach(self, node_id: int, section: str, content: Path | bytes) -> Detached:
        """Store a large section by itself, under a key that no other writer has."""
        key = detached_key(self._dispatch_id, node_id, self._attempt, section, os.urandom(8).hex())
        length = _length_bytes(content)
        chunk_bytes = chunk_bytes_of(length)
        checksums: list[str] = []

        def summed() -> Iterator[bytes]:
            for chunk in _chunks(content, chunk_bytes):
                checksums.append(hashlib.sha256(chunk).hexdigest())
                yield chunk

        self._store.upload(key, summed(), chunk_bytes)
        return Detached(key, length, checksums)


def _patiently(store: Callable[[], T]) -> T:
    """Do what stores something that was computed, and again where S3 refuses it, before that is lost."""
    for pause_s in PAUSES_S:
        try:
            return store()
        except RuntimeFault as fault:
            complain(f"{fault} The next try comes in {pause_s} s.")
            time.sleep(pause_s)
    return store()


def _content(section: Path | str) -> Path | bytes:
    return section if isinstance(section, Path) else section.encode("utf-8", "backslashreplace")


def _length_bytes(content: Path | bytes) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _whole(content: Path | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _chunks(content: Path | bytes, chunk_bytes: int) -> Iterator[bytes]:
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        while chunk := file.read(chunk_bytes):
            yield chunk
