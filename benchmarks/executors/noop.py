"""An executor that does nothing for as long as a job takes: what is left is Covalent's own time.

It is managed, as the plugin is, and hands over as many assets for each node, which the server fetches. The
value is always the same. Covalent loads it by `COVALENT_EXECUTOR_DIR`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from covalent._shared_files.schemas.asset import AssetUpdate
from covalent._shared_files.util_classes import RESULT_STATUS
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.base import AsyncBaseExecutor
from covalent.executor.schemas import ResourceMap, TaskSpec, TaskUpdate

EXECUTOR_PLUGIN_NAME = "NoopExecutor"

_EXECUTOR_PLUGIN_DEFAULTS: dict[str, Any] = {}

JOB_S = float(os.environ.get("NOOP_JOB_S", "1"))


class NoopExecutor(AsyncBaseExecutor):  # type: ignore[misc, unused-ignore]
    """Waits, and calls it done."""

    SUPPORTS_MANAGED_EXECUTION = True

    def get_upload_uri(self, task_group_metadata: dict[str, Any], object_key: str) -> str:
        """Return a file that the server may write."""
        names = task_group_metadata["dispatch_id"], str(task_group_metadata["task_group_id"])
        directory = _directory().joinpath(*names)
        directory.mkdir(parents=True, exist_ok=True)
        return f"file://{directory / object_key}"

    async def run(self, *_: Any) -> None:
        """Never be called: execution is managed."""
        raise NotImplementedError

    async def send(
        self, task_specs: list[TaskSpec], resources: ResourceMap, metadata: dict[str, Any]
    ) -> None:
        """Do nothing."""

    async def poll(self, metadata: dict[str, Any], data: Any) -> dict[str, Any]:
        """Wait as long as a job takes."""
        await asyncio.sleep(JOB_S)
        return {}

    async def receive(self, metadata: dict[str, Any], data: Any) -> list[TaskUpdate]:
        """Return the same value for each node."""
        return [
            TaskUpdate(
                dispatch_id=metadata["dispatch_id"],
                node_id=node_id,
                status=RESULT_STATUS.COMPLETED,
                assets={name: AssetUpdate(**asset) for name, asset in _assets().items()},
            )
            for node_id in metadata["node_ids"]
        ]


@cache
def _directory() -> Path:
    return Path(tempfile.mkdtemp())  # in the private server's own temporary directory


@cache
def _assets() -> dict[str, dict[str, Any]]:
    contents = {"output": TransportableObject(0).serialize(), "error": b"", "stdout": b"", "stderr": b""}
    for name, content in contents.items():
        (_directory() / name).write_bytes(content)
    return {
        name: {"remote_uri": f"file://{_directory() / name}", "size": len(content)}
        for name, content in contents.items()
    }
