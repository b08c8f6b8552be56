"""The queues, and the compute environments behind them against what jobs ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from .. import preflight, submit
from ..errors import QueueError
from ..job import Job, JobStatus
from ..settings import Settings
from ..waiting import Environment, why_not
from . import instances
from .commands import configure
from .finding import Finding, failed, ok, warning
from .subject import Subject

WHY_QUEUE = "every job goes through it"
WHY_ENVIRONMENT = "a job that no environment can take waits in RUNNABLE for ever"


async def look_at_queue(subject: Subject) -> AsyncIterator[Finding]:
    """See whether the queue takes jobs."""
    yield await _queue(subject, "queue", "batch_queue", subject.settings.batch_queue)


async def look_at_on_demand_queue(subject: Subject) -> AsyncIterator[Finding]:
    """See whether the queue takes jobs in which tasks go on that have lost their hosts."""
    queue = subject.settings.on_demand_queue
    if queue not in ("", subject.settings.batch_queue):
        yield await _queue(subject, "on-demand queue", "on_demand_queue", queue)


async def _queue(subject: Subject, check: str, option: str, queue: str) -> Finding:
    try:
        detail = await subject.queue(queue)
    except QueueError as error:
        return failed(check, str(error).rstrip("."), WHY_QUEUE, await _other_queue(subject, option))
    try:
        preflight.check_state(queue, detail)
    except QueueError as error:
        return failed(check, str(error).rstrip("."), WHY_QUEUE, _mend_queue(subject, detail))
    count = len(detail.get("computeEnvironmentOrder", ()))
    text = "one compute environment" if count == 1 else f"{count} compute environments"
    return ok(check, f"{queue} is ENABLED and {detail.get('status', 'VALID')}, with {text}")


async def _other_queue(subject: Subject, option: str) -> str:
    known = [arn.rpartition("/")[2] for arn in await submit.queues(subject.session)]
    return configure(option, known[0]) if known else "covalent-awsbatch infra up"


def _mend_queue(subject: Subject, detail: dict[str, Any]) -> str:
    if detail["state"] != "ENABLED":
        name = detail["jobQueueName"]
        return subject.commands.aws("batch", "update-job-queue", "--job-queue", name, "--state", "ENABLED")
    arns = [each["computeEnvironment"] for each in detail["computeEnvironmentOrder"]]
    return subject.commands.aws("batch", "describe-compute-environments", "--compute-environments", *arns)


# --- compute environments -----------------------------------------------------------------------------------


async def environments(subject: Subject, queue: str) -> list[Environment]:
    """Return the compute environments of a queue, in its order; those that are gone are DELETED."""
    detail = await subject.queue(queue)
    order = sorted(detail.get("computeEnvironmentOrder", ()), key=lambda each: int(each["order"]))
    arns = [each["computeEnvironment"] for each in order]
    answer = await subject.ask("batch", "describe_compute_environments", computeEnvironments=arns)
    found = {each["computeEnvironmentArn"]: each for each in answer["computeEnvironments"]}
    return [
        Environment.from_aws(found[arn])
        if arn in found
        else Environment(arn.rpartition("/")[2], status="DELETED")
        for arn in arns
    ]


async def all_environments(subject: Subject) -> list[Environment]:
    """Return the compute environments of all queues that tasks may be in, each once."""
    queues = dict.fromkeys(subject.settings.queues)
    found = {each.name: each for queue in queues for each in await environments(subject, queue)}
    return list(found.values())


async def look_at_environments(subject: Subject) -> AsyncIterator[Finding]:
    """See for each compute environment whether it can take a job; one of a queue must."""
    for queue in dict.fromkeys(subject.settings.queues):
        found = [await _environment(subject, each) for each in await environments(subject, queue)]
        some_do = any(each.mend == "" for each in found)
        for each in found:
            if each.mend and some_do:
                yield warning(each.check, each.seen, "others of the queue take the jobs meanwhile", each.mend)
            else:
                yield each


async def _environment(subject: Subject, environment: Environment) -> Finding:
    check, settings, name = "environment", subject.settings, environment.name
    reason = why_not(environment, _job(settings))
    if reason is not None:
        return failed(check, reason.what, WHY_ENVIRONMENT, _mend_environment(subject, environment))
    size = f"{environment.type or 'not managed'}, up to {environment.max_vcpus} vCPUs"
    if environment.is_fargate or not environment.type:
        return ok(check, f"{name} is ENABLED and {environment.status}; {size}")
    types = await instances.of(subject, environment.instance_types)
    reason_text = instances.why_none_fits(types, settings)
    if reason_text:
        return failed(check, f"{name}: {reason_text}", WHY_ENVIRONMENT, instances.mend(subject, types))
    return ok(
        check,
        f"{name} is ENABLED and {environment.status}; {size} of {', '.join(environment.instance_types)}",
    )


def _job(settings: Settings) -> Job:
    """Return a job that asks for what the settings say."""
    return Job(
        "",
        "",
        JobStatus.RUNNABLE,
        memory_mib=settings.memory_mib,
        vcpus=float(settings.vcpu),
        gpus=settings.num_gpus,
        platforms=(settings.platform,),
    )


def _mend_environment(subject: Subject, environment: Environment) -> str:
    settings, aws, name = subject.settings, subject.commands.aws, environment.name
    update = ("batch", "update-compute-environment", "--compute-environment", name)
    if environment.status in {"INVALID", "DELETING", "DELETED"}:
        return aws("batch", "describe-compute-environments", "--compute-environments", name)
    if environment.state == "DISABLED":
        return aws(*update, "--state", "ENABLED")
    if environment.max_vcpus is not None and settings.vcpu > environment.max_vcpus:
        return aws(*update, "--compute-resources", f"maxvCpus={settings.vcpu:g}")
    if environment.is_fargate != (settings.platform == "FARGATE"):
        return configure("platform", "FARGATE" if environment.is_fargate else "EC2")
    return configure("num_gpus", 0)
