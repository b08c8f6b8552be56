"""Batch: the local AWS's own model of it, with jobs that need no process, and answers that nobody checks."""

from __future__ import annotations

import json
import logging
from typing import Any

from covalent_awsbatch_plugin.local.api import error_answer, offered, parse
from covalent_awsbatch_plugin.local.engine import Engine
from covalent_awsbatch_plugin.local.errors import ApiError, NotLocal, Throttled
from covalent_awsbatch_plugin.local.jobs import Account, Json
from covalent_awsbatch_plugin.local.operations.environments import (
    MEMORY_TAG,
    machine_has,
    new_environment,
)
from covalent_awsbatch_plugin.local.operations.providers import providers
from covalent_awsbatch_plugin.local.operations.queues import new_queue
from covalent_awsbatch_plugin.local.runner import Runner
from covalent_awsbatch_plugin.local.store import Store
from covalent_awsbatch_plugin.local.throttle import BatchThrottle
from covalent_awsbatch_plugin.local.timing import Timing

from .http import Request, Response
from .records import Records

log = logging.getLogger(__name__)

UNLIMITED = 10**9
"""vCPUs, and MiB of memory, that are never used up: every job is placed at once."""

_JSON = [("content-type", "application/json")]


class _NoLogs:
    """Takes the output of jobs, which have none."""

    def open(self, container: Json, stream: str) -> _NoLogs:
        """Return a sink."""
        return self

    def write(self, data: bytes) -> None:
        """Drop it."""

    def close(self) -> None:
        """Do nothing."""


class Batch:
    """AWS Batch with one queue on one compute environment without limits."""

    def __init__(
        self, account: Account, name: str, runner: Runner, records: Records, throttle: BatchThrottle | None
    ) -> None:
        engine = Engine(account, runner, _NoLogs(), Timing(admit_delay_s=0, start_delay_s=0))
        self._store = Store(engine.jobs, engine.placement.queues)
        self._records = records
        self._throttle = throttle
        self._operations = offered("batch", providers(engine, self._store))
        # Requests name operations in lower case.
        self._names = {name.lower(): name for name in self._operations}
        _add_queue(self._store, account, name)

    @property
    def registered(self) -> int:
        """How many revisions of job definitions there are."""
        return sum(map(len, self._store.definitions.values()))

    def answer(self, request: Request) -> tuple[str, Response]:
        """Do what a request asks, and return the operation's name and the answer."""
        path = request.path.removeprefix("/v1/")
        operation = self._names.get(path, path)
        if self._throttle is not None and not self._throttle.take(operation):
            self._records.throttled[operation] += 1
            return operation, _refusal(Throttled())
        try:
            return operation, _response(self._perform(operation, parse(request.body)))
        except ApiError as error:
            return operation, _refusal(error)
        except Exception as error:
            log.exception("%s failed", operation)
            return operation, _response({"message": repr(error)}, 500, "ServerException")

    def _perform(self, operation: str, request: Json) -> Json:
        if operation not in self._operations:
            raise NotLocal(operation)
        answer = self._operations[operation](request)
        if operation == "SubmitJob":
            size = request.get("arrayProperties", {}).get("size", 1)
            self._records.submitted(answer["jobId"], answer["jobName"], size)
        return answer


def _add_queue(store: Store, account: Account, name: str) -> None:
    resources: dict[str, Any] = {
        "type": "EC2",
        "minvCpus": 0,
        "maxvCpus": UNLIMITED,
        "instanceTypes": ["optimal"],
        "instanceRole": "ecsInstanceRole",
        "subnets": [],
        "securityGroupIds": [],
    }
    environment = new_environment(
        account,
        {
            "computeEnvironmentName": name,
            "type": "MANAGED",
            "computeResources": resources,
            "tags": {MEMORY_TAG: str(UNLIMITED)},
        },
        machine_has(),
    )
    queue = new_queue(account, {"jobQueueName": name, "priority": 1}, [environment], [1])
    environment.status = queue.status = "VALID"
    store.environments[name], store.queues[name] = environment, queue


def _response(body: Json, status: int = 200, error_code: str | None = None) -> Response:
    headers = _JSON if error_code is None else [*_JSON, ("x-amzn-ErrorType", error_code)]
    return Response(status, [json.dumps(body).encode()], headers)


def _refusal(error: ApiError) -> Response:
    answer = error_answer(error)
    return _response(answer.body, answer.status, answer.error_code)
