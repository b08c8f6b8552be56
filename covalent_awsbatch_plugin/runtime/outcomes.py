"""Leaving outcomes: what became of a task, with value and streams, streamed into the bucket."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from covalent_awsbatch_plugin.contract import (
    EXIT_RUNTIME_FAULT,
    EXIT_TERMINATED,
    EXIT_USER_EXCEPTION,
    EXIT_VALUE,
    Container,
    Failure,
    Outcome,
    OutcomeStatus,
    attempt_of,
    outcome_key,
    pack_header,
)
from covalent_awsbatch_plugin.runtime.messages import Hello
from covalent_awsbatch_plugin.runtime.store import CHUNK_BYTES, Store

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

    def __init__(self, store: Store, dispatch_id: str, hello: Hello, environment: Mapping[str, str]) -> None:
        """Take what all outcomes of the job have in common."""
        self._store = store
        self._dispatch_id = dispatch_id
        self._hello = hello
        self._job_id = environment.get("AWS_BATCH_JOB_ID", "")
        self._attempt = attempt_of(environment)

    def leave(
        self, node_id: int, ending: Ending, started_at: float, sections: Mapping[str, Path | str]
    ) -> None:
        """Store the outcome of a task that has just ended; a section is a file or a text.

        Raises RuntimeFault where S3 does not take it.
        """
        outcome = Outcome(
            dispatch_id=self._dispatch_id,
            node_id=node_id,
            status=ending.status,
            job_id=self._job_id,
            attempt=self._attempt,
            started_at=started_at,
            finished_at=time.time(),
            python_version=self._hello.python_version,
            cloudpickle_version=self._hello.cloudpickle_version or "",
            failure=ending.failure,
            container=ending.container,
        )
        contents = {name: _content(each) for name, each in sections.items()}
        lengths = {name: _length_bytes(each) for name, each in contents.items()}
        header = pack_header(outcome.to_json(), lengths)
        key = outcome_key(self._dispatch_id, node_id, self._attempt)
        self._store.upload(key, _chunks(header, contents), len(header) + sum(lengths.values()))


def _content(section: Path | str) -> Path | bytes:
    return section if isinstance(section, Path) else section.encode("utf-8", "backslashreplace")


def _length_bytes(content: Path | bytes) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _chunks(header: bytes, contents: Mapping[str, Path | bytes]) -> Iterator[bytes]:
    yield header
    for content in contents.values():
        if isinstance(content, bytes):
            yield content
            continue
        with open(content, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
