"""S3, IAM, STS and Logs, as moto has them, behind one ASGI application.

Moto keeps its state in this process, once for all servers in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from a2wsgi import WSGIMiddleware
from moto import backends
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    environ_key_for_header,
    should_preserve_original_header_name,
)
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from .jobs import Account

THREADS = 16
"""How many of moto's requests are served at once."""

BATCH_OF_MOTO = ("batch", "batch_simple")

TASK_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def moto_app() -> Any:
    """Return moto as an ASGI application that serves requests in a bounded number of threads."""
    return WSGIMiddleware(_with_raw_path(DomainDispatcherApplication(_create_app)), workers=THREADS)


def _create_app(service: Any) -> Any:
    return _no_batch_of_moto if service in BATCH_OF_MOTO else create_backend_app(service)


def _no_batch_of_moto(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("501 Not Implemented", [("Content-Type", "application/json")])
    return [json.dumps({"message": "AWS Batch is reached by its own paths under /v1/"}).encode()]


def _with_raw_path(app: Any) -> Any:
    """Give moto what WSGI loses: the path as it was sent, and underscores in the names of metadata."""

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        scope = environ["asgi.scope"]
        environ["RAW_URI"] = scope["raw_path"].decode("latin-1")
        environ["wsgi.input_terminated"] = True
        names = [name.decode("latin-1") for name, _ in scope["headers"]]
        environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = {
            environ_key_for_header(name): name for name in names if should_preserve_original_header_name(name)
        }
        return app(environ, start_response)

    return call


def backend(service: str, account: Account, region: str | None = None) -> Any:
    """Return moto's state of a service; global services have the region `aws`."""
    return backends.get_backend(service)[account.account_id][region or account.region]  # type: ignore[call-overload]


def create_bucket(account: Account, name: str) -> None:
    """Create a bucket, unless it exists."""
    s3 = backend("s3", account, "aws")
    if name not in s3.buckets:
        s3.create_bucket(name, account.region)


def create_task_role(account: Account, name: str) -> None:
    """Create a role that ECS tasks may assume, unless it exists."""
    iam = backend("iam", account, "aws")
    if all(role.name != name for role in iam.roles.values()):
        iam.create_role(name, json.dumps(TASK_TRUST), "/", None, "", [], 3600)


def create_log_group(account: Account, name: str) -> None:
    """Create a log group, unless it exists."""
    backend("logs", account).ensure_log_group(name)


def reset() -> None:
    """Forget everything that moto keeps in this process."""
    BackendDict.reset()
    reset_model_data()
