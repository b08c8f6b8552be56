"""What a new local AWS holds, so that it can be used at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from . import moto_services
from .jobs import Account, Json
from .logstream import DEFAULT_GROUP
from .operations.environments import MEMORY_TAG, machine_memory_mib, new_environment
from .operations.queues import new_queue
from .runner import RunnerKind
from .store import Store

NAME = "covalent-awsbatch-local"
"""The name of the bucket, the queue, the compute environment and the repository; the stem of the roles'."""

JOB_ROLE = f"{NAME}-job"
EXECUTION_ROLE = f"{NAME}-execution"

CREDENTIALS = "[default]\naws_access_key_id = local\naws_secret_access_key = local\n"


def write_settings(state_dir: Path, endpoint_url: str, region: str, runner: RunnerKind) -> Json:
    """Write the credentials file and return what goes into Covalent's `[executors.awsbatch]`."""
    credentials = state_dir / "credentials"
    credentials.write_text(CREDENTIALS)
    return {
        "endpoint_url": endpoint_url,
        "region": region,
        "credentials": str(credentials),
        "profile": "default",
        "s3_bucket_name": NAME,
        "batch_queue": NAME,
        "batch_job_role_name": JOB_ROLE,
        "batch_execution_role_name": EXECUTION_ROLE,
        "batch_job_log_group_name": DEFAULT_GROUP,
        # Small jobs, so that several fit on a laptop.
        "vcpu": 1,
        "memory": 1,
        **_image_settings(runner),
    }


def _image_settings(runner: RunnerKind) -> Json:
    """Return where images go; jobs without containers need only the name of one."""
    if runner is RunnerKind.DOCKER:
        # The empty image is written out, so that it wins over one that was configured before.
        return {"ecr_repo_name": NAME, "container_image_uri": ""}
    return {"container_image_uri": f"local/python:{sys.version_info.major}.{sys.version_info.minor}"}


def create_resources(account: Account, store: Store, vcpus: int | None, memory_mib: int | None) -> None:
    """Create what the settings name; None stands for all that the machine has."""
    moto_services.create_bucket(account, NAME)
    moto_services.create_log_group(account, DEFAULT_GROUP)
    moto_services.create_task_role(account, JOB_ROLE)
    moto_services.create_task_role(account, EXECUTION_ROLE)
    environment = new_environment(account, _environment_request(vcpus, memory_mib))
    environment.status = "VALID"
    store.environments[NAME] = environment
    queue = new_queue(account, {"jobQueueName": NAME, "priority": 1}, [environment], [1])
    queue.status = "VALID"
    store.queues[NAME] = queue


def _environment_request(vcpus: int | None, memory_mib: int | None) -> Json:
    return {
        "computeEnvironmentName": NAME,
        "type": "MANAGED",
        "computeResources": {
            "type": "EC2",
            "minvCpus": 0,
            "maxvCpus": vcpus if vcpus is not None else os.cpu_count() or 1,
            "desiredvCpus": 0,
            "instanceTypes": ["optimal"],
            "instanceRole": "ecsInstanceRole",
            "subnets": [],
            "securityGroupIds": [],
        },
        "tags": {MEMORY_TAG: str(memory_mib if memory_mib is not None else machine_memory_mib())},
    }
