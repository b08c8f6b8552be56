"""What a job's container does, by `contract`, without a container: payload in, call, outcome out.

`run` is the plugin's runtime as far as a driver can see it. Another project's jobs need another function
of this kind; `--container module:function` names it.
"""

from __future__ import annotations

import hashlib
import pickle
import platform
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cloudpickle

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.contract import Failure, Outcome, OutcomeStatus

from .objects import Bucket, StoredObject

_PYTHON_VERSION = platform.python_version()


@dataclass(frozen=True)
class Ended:
    """A job that is over: its exit code, and the tasks whose outcomes it stored, as `dispatch/node`."""

    exit_code: int
    tasks: list[str]


Container = Callable[[list[str], Mapping[str, str], Mapping[str, Bucket]], Ended]
"""Takes command, environment and buckets."""


def run(command: list[str], environment: Mapping[str, str], buckets: Mapping[str, Bucket]) -> Ended:
    """Do the tasks of a job's payload in order, until one returns no value."""
    bucket_name, _, key = environment[contract.ENV_PAYLOAD].removeprefix("s3://").partition("/")
    payload, sections = _payload(buckets[bucket_name][key], int(environment.get(contract.ENV_ARRAY_INDEX, 0)))
    job = _Job(buckets[bucket_name], environment, payload)
    if not job.claim():
        return Ended(contract.EXIT_DUPLICATE, [])
    exit_code = contract.EXIT_VALUE
    for task in payload.tasks:
        status = OutcomeStatus.SKIPPED
        if exit_code == contract.EXIT_VALUE:
            status = job.run(task, sections)
        else:
            job.leave(task.node_id, status, Failure("Skipped", "not run"), None)
        if status is not OutcomeStatus.VALUE:
            exit_code = contract.EXIT_USER_EXCEPTION
    return Ended(exit_code, [f"{payload.dispatch_id}/{task.node_id}" for task in payload.tasks])


def _payload(pack: StoredObject, index: int) -> tuple[contract.Payload, dict[str, bytes]]:
    """Return the payload of an index, and its sections."""
    ((_, place),) = contract.parse_entries(pack.read(*contract.entries_range(index, 1)))
    envelope = pack.read(place.offset, place.offset + place.length)
    body_end = contract.PREAMBLE_BYTES + contract.header_length(envelope[: contract.PREAMBLE_BYTES])
    header, sections = contract.parse_header(envelope[contract.PREAMBLE_BYTES : body_end])
    return contract.Payload.from_json(header), {
        name: envelope[each.offset : each.offset + each.length] for name, each in sections.items()
    }


class _Job:
    """One attempt of one job."""

    def __init__(self, bucket: Bucket, environment: Mapping[str, str], payload: contract.Payload) -> None:
        self._bucket = bucket
        self._payload = payload
        self._id = environment.get("AWS_BATCH_JOB_ID", "")
        self._rung = contract.rung_of(environment)
        self._attempt = contract.attempt_of(environment)
        self._values: dict[int, Any] = {}

    def claim(self) -> bool:
        """Tell whether the tasks are this job's, and not those of another one of the same submission."""
        key = contract.claim_key(self._payload.dispatch_id, self._payload.tasks[0].node_id, self._rung)
        self._bucket.create(key, StoredObject([self._id.encode()]))
        return self._bucket[key].read() == self._id.encode()

    def run(self, task: contract.Task, sections: Mapping[str, bytes]) -> OutcomeStatus:
        """Run a task and store what became of it."""
        if task.call_before or task.call_after:
            raise NotImplementedError("hooks are not run by the benchmarks' AWS")

        def load(each: contract.Input) -> Any:
            if each.node_id is not None:
                return self._values[each.node_id]
            return pickle.loads(
                sections[each.section] if each.section is not None else self._bucket[each.key or ""].read()
            )

        try:
            function = pickle.loads(self._bucket[task.function_key].read())
            arguments = [load(each) for each in task.args]
            value = function(*arguments, **{name: load(each) for name, each in task.kwargs.items()})
        except Exception as error:  # noqa: BLE001 — the task's own
            failure = Failure(type(error).__qualname__, str(error), traceback.format_exc())
            self.leave(task.node_id, OutcomeStatus.EXCEPTION, failure, error)
            return OutcomeStatus.EXCEPTION
        self._values[task.node_id] = value
        self.leave(task.node_id, OutcomeStatus.VALUE, None, value)
        return OutcomeStatus.VALUE

    def leave(self, node_id: int, status: OutcomeStatus, failure: Failure | None, value: Any) -> None:
        """Store an outcome; where the task failed, `value` is its exception."""
        sections = {contract.SECTION_VALUE: cloudpickle.dumps(value)}
        if status is OutcomeStatus.VALUE:
            sections[contract.SECTION_OBJECT_STRING] = str(value)[:100].encode()
        detached: dict[str, contract.Detached] = {}
        if len(sections[contract.SECTION_VALUE]) > contract.INLINE_BYTES:
            pickled = sections.pop(contract.SECTION_VALUE)
            detached[contract.SECTION_VALUE] = self._detach(node_id, pickled)
        now = time.time()
        outcome = Outcome(
            dispatch_id=self._payload.dispatch_id,
            node_id=node_id,
            status=status,
            job_id=self._id,
            attempt=self._attempt,
            started_at=now,
            finished_at=now,
            python_version=_PYTHON_VERSION,
            cloudpickle_version=cloudpickle.__version__,
            failure=failure,
            detached=detached,
        )
        key = contract.outcome_key(self._payload.dispatch_id, node_id, self._attempt)
        content = contract.pack_outcome(outcome, sections, self._payload.origin_key)
        self._bucket.create(key, StoredObject([content]))

    def _detach(self, node_id: int, pickled: bytes) -> contract.Detached:
        key = contract.detached_key(
            self._payload.dispatch_id, node_id, self._attempt, contract.SECTION_VALUE, self._id
        )
        self._bucket.put(key, StoredObject([pickled]))
        chunk_bytes = contract.chunk_bytes_of(len(pickled))
        view = memoryview(pickled)
        chunks = (view[start : start + chunk_bytes] for start in range(0, len(view), chunk_bytes))
        checksums = [hashlib.sha256(each).hexdigest() for each in chunks]
        return contract.Detached(key, len(pickled), checksums)
