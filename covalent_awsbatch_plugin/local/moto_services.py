"""S3, IAM, STS, Logs, EC2 and all else that moto has, behind one ASGI application.

Moto keeps its state in this process, once for all servers in it.
"""

from __future__ import annotations

import json
import sys
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

from .bucket_policies import heed_conditions
from .jobs import Account

THREADS = 16
"""How many of moto's requests are served at once."""

NOT_FROM_MOTO = ("batch", "batch_simple", None)
"""Moto's own Batch must not be mistaken for ours; None is what moto calls a service that it does not know."""

TASKS, INSTANCES = "ecs-tasks.amazonaws.com", "ec2.amazonaws.com"
"""Who may have a role."""

ANY_KEY_ID = "AKIAEXAMPLE"
"""What moto takes every access key for that does not look like one of AWS's."""


def moto_app() -> Any:
    """Return moto as an ASGI application that serves requests in a bounded number of threads."""
    heed_conditions()
    return WSGIMiddleware(_with_raw_path(DomainDispatcherApplication(_create_app)), workers=THREADS)


def close(app: Any) -> None:
    """End the threads of an application made by `moto_app`."""
    app.executor.shutdown()


def _create_app(service: Any) -> Any:
    return create_backend_app(service) if service not in NOT_FROM_MOTO else _not_here


def _not_here(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    what = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
    start_response("501 Not Implemented", [("Content-Type", "application/json")])
    return [json.dumps({"message": f"the local AWS does not have {what}"}).encode()]


def _with_raw_path(app: Any) -> Any:
    """Give moto what WSGI loses: the path as it was sent, and underscores in the names of metadata."""

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        scope = environ["asgi.scope"]
        environ["RAW_URI"] = scope["raw_path"].decode("latin-1")
        environ["wsgi.input_terminated"] = True
        environ["wsgi.errors"] = sys.stderr
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


def halve_object(account: Account, bucket: str, key: str) -> None:
    """Cut an object to its first half, with the metadata of the whole; does nothing where there is none."""
    s3 = backend("s3", account, "aws")
    whole = s3.get_object(bucket, key)
    if whole is None:
        return
    half = whole.value[: len(whole.value) // 2]
    written = s3.put_object(bucket, key, half, encryption=whole.encryption, kms_key_id=whole.kms_key_id)
    written.set_metadata(dict(whole.metadata))


def create_user(account: Account, name: str) -> None:
    """Create a user who may do everything, and whom everybody is that IAM does not know, unless it exists."""
    iam = backend("iam", account, "aws")
    if name not in iam.users:
        iam.create_user(account.region, name)
        iam.put_user_policy(name, "everything", _policy(Action="*", Resource="*"))
        iam.create_access_key(name).access_key_id = ANY_KEY_ID


def create_role(account: Account, name: str, service: str) -> None:
    """Create a role that a service may assume and that may do everything, unless it exists."""
    iam = backend("iam", account, "aws")
    if all(role.name != name for role in iam.roles.values()):
        trust = _policy(Principal={"Service": service}, Action="sts:AssumeRole")
        iam.create_role(name, trust, "/", None, "", [], 3600)
        iam.put_role_policy(name, "everything", _policy(Action="*", Resource="*"))


def create_instance_profile(account: Account, name: str) -> None:
    """Create an instance profile with a role of its name, unless it exists."""
    create_role(account, name, INSTANCES)
    iam = backend("iam", account, "aws")
    if name not in iam.instance_profiles:
        iam.create_instance_profile(name, "/", [name])


def _policy(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def create_log_group(account: Account, name: str) -> None:
    """Create a log group, unless it exists."""
    backend("logs", account).ensure_log_group(name)


def reset() -> None:
    """Forget everything that moto keeps in this process."""
    BackendDict.reset()
    reset_model_data()
