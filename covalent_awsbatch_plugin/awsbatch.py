"""The executor: `@ct.electron(executor="awsbatch")`, or `AWSBatchExecutor(vcpu=16, memory=16)`.

Covalent drives it in one of two ways, both thin adapters over `pipeline.py`: managed execution (`send`,
`poll`, `receive`), which the class announces because only there error, stdout and stderr all reach the
user; and `run()`, for whoever calls it.

This module is imported by every `import covalent`, so everything heavy is imported where it is used.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covalent._shared_files.config import get_config
from covalent._shared_files.exceptions import TaskCancelledError, TaskRuntimeError
from covalent._shared_files.logger import app_log
from covalent._shared_files.schemas.asset import AssetUpdate
from covalent._shared_files.util_classes import RESULT_STATUS
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.base import AsyncBaseExecutor
from covalent.executor.schemas import ResourceMap, TaskSpec, TaskUpdate

from .settings import CONFIG_SECTION, Settings, resolve

if TYPE_CHECKING:
    from .running import Running
    from .verdict import Verdict

EXECUTOR_PLUGIN_NAME = "AWSBatchExecutor"

_EXECUTOR_PLUGIN_DEFAULTS = Settings.defaults()

log = logging.getLogger(__name__)

_log_of_package = logging.getLogger(__package__)
_log_of_package.setLevel(app_log.level)
for _handler in app_log.handlers:  # what we tell stands in Covalent's log, at the level that it has
    _log_of_package.addHandler(_handler)

FETCHED_AFTER_S = 300
"""Covalent's server copies a task's files right after `receive()`; then they are deleted."""


class AWSBatchExecutor(AsyncBaseExecutor):
    """Runs electrons as AWS Batch jobs.

    Takes the options of `settings.Settings` as keywords; what is not written comes from
    `[executors.awsbatch]` in Covalent's configuration, and else has its default.

    Raises SettingsError for what AWS would refuse and UnknownOptionError for a misspelt keyword. Does no
    I/O. Holds nothing but JSON values: Covalent rebuilds it from them for every node.
    """

    SUPPORTS_MANAGED_EXECUTION = True

    def __init__(self, **options: Any) -> None:
        resolution = resolve(options, _configured())
        for text in resolution.warnings:
            warnings.warn(text, stacklevel=2)
        super().__init__()
        self.__dict__.update(resolution.settings.model_dump())

    # --- managed execution: how Covalent's server drives the executor -------------------------------

    def get_upload_uri(self, task_group_metadata: dict[str, Any], object_key: str) -> str:
        """Return where the server shall put an asset: a file of ours, so that it needs no credentials."""
        from . import covalent_assets

        return covalent_assets.uri_of(self._spool_dir(task_group_metadata) / object_key)

    async def send(
        self, task_specs: list[TaskSpec], resources: ResourceMap, task_group_metadata: dict[str, Any]
    ) -> None:
        """Set a task group on its way; image, upload and submission happen in the background."""
        from . import covalent_assets, pipeline
        from .threads import in_thread

        task = self._task_group(task_group_metadata)
        calls = await in_thread(partial(covalent_assets.calls_from_files, task_specs, resources))
        pipeline.start(task, calls)
        await self._announce(task)

    async def poll(self, task_group_metadata: dict[str, Any], data: Any) -> dict[str, Any]:
        """Wait until a task group has ended; the verdicts wait for `receive()`."""
        from . import pipeline

        dispatch_id, node_ids = task_group_metadata["dispatch_id"], task_group_metadata["node_ids"]
        await pipeline.ended(dispatch_id, node_ids)
        return {"task_group_id": task_group_metadata["task_group_id"]}

    async def receive(self, task_group_metadata: dict[str, Any], data: Any) -> list[TaskUpdate]:
        """Return what became of a group's tasks.

        Covalent calls this after `poll()`; for a task that was cancelled before it started, with no data;
        and when told to by its REST API, which is the way back in after a restart: then the verdicts are
        found from the group's names alone, after waiting for its job where it still runs. There are none
        where this server waits for the tasks already, or AWS does not let it look: they stay RUNNING, and
        it can be told again.
        """
        from . import covalent_assets, tidying

        task = self._task_group(task_group_metadata)
        verdicts = await self._verdicts(task, data)
        if not verdicts:
            return []
        directory = self._spool_dir(task_group_metadata)
        updates = [await self._update(task, verdict, directory) for verdict in verdicts]
        # A large value that could not be fetched is not lost yet.
        if [str(each.status) for each in updates] == [each.status.value for each in verdicts]:
            tidying.deliver(task)
        asyncio.get_running_loop().call_later(FETCHED_AFTER_S, covalent_assets.clear, directory)
        return updates

    async def _verdicts(self, task: Running, data: Any) -> list[Verdict]:
        from . import pipeline, settling

        if data == pipeline.RECOVER:
            return await pipeline.recover(task)
        verdicts = await pipeline.finish(task.dispatch_id, task.node_ids)
        if verdicts is not None:
            return verdicts
        return settling.all_cancelled(task) if data is None else await pipeline.recover(task)

    async def _update(self, task: Running, verdict: Verdict, directory: Path) -> TaskUpdate:
        from . import covalent_assets
        from .errors import AWSBatchError
        from .threads import in_thread
        from .verdict import failed

        try:
            files = await in_thread(partial(covalent_assets.write_assets, verdict, directory))
        except AWSBatchError as error:  # a large value is fetched only now
            verdict = failed(verdict.node_id, str(error), error, stdout=verdict.stdout, stderr=verdict.stderr)
            files = await in_thread(partial(covalent_assets.write_assets, verdict, directory))
        await self._write_logs(verdict, task.dispatch_id)
        return TaskUpdate(
            dispatch_id=task.dispatch_id,
            node_id=verdict.node_id,
            status=getattr(RESULT_STATUS, verdict.status.value),
            assets={name: AssetUpdate(**asset) for name, asset in files.items()},
        )

    async def _write_logs(self, verdict: Verdict, dispatch_id: str) -> None:
        """Append to the files that the user asked for, as Covalent itself does after `run()`."""
        settings = self._settings()
        try:
            await self.write_streams_to_file(
                (verdict.stdout, verdict.stderr),
                (settings.log_stdout, settings.log_stderr),
                dispatch_id,
                str(get_config("dispatcher.results_dir")),
            )
        except OSError as error:
            log.warning("log_stdout or log_stderr of node %d cannot be written: %s", verdict.node_id, error)

    # --- run(): the other door ----------------------------------------------------------------------

    async def run(
        self,
        function: Callable[..., Any],
        args: list[Any],
        kwargs: dict[str, Any],
        task_metadata: dict[str, Any],
    ) -> TransportableObject:
        """Run one function as an AWS Batch job and return its value, unopened.

        Raises TaskRuntimeError where it failed, its reasons in `task_stderr`, and TaskCancelledError; the
        `__cause__` of both is a JobFailedError.
        """
        from . import covalent_assets, covalent_stop, pipeline, settling, tidying

        node_id = task_metadata["node_id"]
        task = self._task_group({**task_metadata, "task_group_id": node_id, "node_ids": [node_id]})
        pipeline.start(task, [covalent_assets.call_from_objects(node_id, function, args, kwargs)])
        try:
            await self._announce(task)
            verdicts = await pipeline.finish(task.dispatch_id, task.node_ids)
        except asyncio.CancelledError as error:
            if covalent_stop.has_begun():
                raise  # Covalent then has the node as RUNNING, to be recovered; `cancel()` sees to its job
            # Escaping, it would leave Covalent's node RUNNING for ever.
            task.cancel()
            tidying.deliver(task)
            raise TaskCancelledError from error
        verdict = verdicts[0] if verdicts else settling.all_cancelled(task)[0]
        if verdict.value is None:
            tidying.deliver(task)
        answer = await self._answer_in_time(verdict)
        tidying.deliver(task)
        return answer

    async def _answer_in_time(self, verdict: Verdict) -> TransportableObject:
        from . import preparation
        from .threads import in_thread

        if verdict.value is not None and verdict.value.pickle.length <= preparation.SMALL_BYTES:
            return self._answer(verdict)
        return await in_thread(partial(self._answer, verdict))

    def _answer(self, verdict: Verdict) -> TransportableObject:
        from . import covalent_assets
        from .errors import AWSBatchError
        from .verdict import VerdictStatus, failed

        attributes: dict[str, Any] = {}
        try:
            if verdict.value is not None:
                attributes = covalent_assets.object_attributes(verdict.value)
        except AWSBatchError as error:  # a large value is fetched only now
            verdict = failed(verdict.node_id, str(error), error, stdout=verdict.stdout, stderr=verdict.stderr)
        self._print(verdict)
        if verdict.status is VerdictStatus.CANCELLED:
            raise TaskCancelledError from verdict.failure
        if verdict.value is None:
            raise TaskRuntimeError(verdict.error) from verdict.failure
        answer = TransportableObject(None)
        answer.__dict__.update(attributes)
        return answer

    def _print(self, verdict: Verdict) -> None:
        """Hand over the streams; Covalent drops the error's text here, so it goes into stderr, once."""
        error = "" if verdict.error in verdict.stderr else verdict.error
        for stream, text in (
            (self.task_stdout, verdict.stdout),
            (self.task_stderr, verdict.stderr),
            (self.task_stderr, error),
        ):
            if stream is not None and text:
                print(text, file=stream, end="" if text.endswith("\n") else "\n")

    # --- both doors ---------------------------------------------------------------------------------

    async def cancel(self, task_metadata: dict[str, Any], job_handle: Any) -> bool:
        """End a task's job at whatever stage it is, and say whether that worked.

        Covalent calls this for every node of the executor, also finished ones and, with no handle, those
        that were never submitted; and when its server is stopped, where `on_shutdown` says what becomes of
        the jobs. Then there is no waiting for anything, and the answer is no.
        """
        from . import covalent_stop, pipeline

        settings = self._settings()
        dispatch_id, node_id = task_metadata["dispatch_id"], task_metadata["node_id"]
        group_id = job_handle.get("task_group_id") if isinstance(job_handle, dict) else None
        if covalent_stop.has_begun():
            if settings.on_shutdown == "end" or covalent_stop.is_cancelled(dispatch_id, node_id):
                covalent_stop.end_job_of(settings, dispatch_id, node_id, group_id)
            return False
        # Shielded: a user's cancellation is not to be given up half-way.
        await asyncio.shield(pipeline.cancel(settings, dispatch_id, node_id, group_id))
        return True

    async def _announce(self, task: Running) -> None:
        """Tell Covalent how to find the job, and look whether the user has cancelled in the meantime."""
        from . import covalent_stop

        if not hasattr(self, "_send_queue"):
            return  # run() was called directly: nobody listens
        try:
            await self.set_job_handle({"task_group_id": task.group_id})
            if await self.get_cancel_requested() and not covalent_stop.has_begun():
                task.cancel()
        except (TimeoutError, asyncio.TimeoutError, RuntimeError) as error:
            # A slow server answers too late. The handle only helps to cancel after a restart; a
            # cancellation now reaches us all the same.
            log.debug("Covalent did not take the job's handle: %r", error)

    def _settings(self) -> Settings:
        return Settings.of(self.__dict__)

    def _task_group(self, task_group_metadata: dict[str, Any]) -> Running:
        from . import running

        return running.Running(
            settings=self._settings(),
            dispatch_id=task_group_metadata["dispatch_id"],
            group_id=task_group_metadata["task_group_id"],
            node_ids=list(task_group_metadata["node_ids"]),
            remarks_path=_remarks_path(self._settings().log_stderr, task_group_metadata["dispatch_id"]),
        )

    def _spool_dir(self, task_group_metadata: dict[str, Any]) -> Path:
        from . import covalent_assets

        dispatch_id, group_id = task_group_metadata["dispatch_id"], task_group_metadata["task_group_id"]
        return covalent_assets.spool_dir(self._settings().cache_path, dispatch_id, group_id)


def __getattr__(name: str) -> Any:
    """Return what only `covalent deploy` asks this module for, and tell then what stands in its way."""
    if name not in {"ExecutorPluginDefaults", "ExecutorInfraDefaults"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import covalent_deploy

    if name == "ExecutorInfraDefaults":
        covalent_deploy.tell_obstacles()
    return getattr(covalent_deploy, name)


def _remarks_path(log_stderr: str, dispatch_id: str) -> str:
    """Return where Covalent itself would write that file; empty where the user does not want any."""
    if log_stderr == "":
        return ""
    return str(Path(str(get_config("dispatcher.results_dir")), dispatch_id, Path(log_stderr).expanduser()))


def _configured() -> dict[str, Any]:
    """Return `[executors.awsbatch]` as Covalent has it in memory; empty before it knows this plugin."""
    try:
        section = get_config(CONFIG_SECTION)
    except KeyError:
        return {}
    return dict(section) if isinstance(section, dict) else {}


AWSBatchExecutor.__init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    + [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in _EXECUTOR_PLUGIN_DEFAULTS.items()
    ]
)
