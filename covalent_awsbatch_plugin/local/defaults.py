"""What a new local AWS holds, so that it can be used at once."""

from __future__ import annotations

import sys
from pathlib import Path

from . import moto_services
from .jobs import CPU_UNITS_PER_VCPU, Account, Demand, Json
from .logstream import DEFAULT_GROUP
from .operations.environments import MEMORY_TAG, new_environment
from .operations.queues import new_queue
from .runner import RunnerKind
from .store import Store

NAME = "covalent-awsbatch-local"
"""The name of the bucket, the queue, the compute environment and the repository; the stem of the roles'."""

JOB_ROLE = f"{NAME}-job"
EXECUTION_ROLE = f"{NAME}-execution"

INSTANCE_PROFILE = "ecsInstanceRole"

USER = "local"
"""Who uses the local AWS, by whatever access key."""

CREDENTIALS = "[default]\naws_access_key_id = local\naws_secret_access_key = local\n"


NO_IMAGE = {"container_image_uri": f"local/python:{sys.version_info.major}.{sys.version_info.minor}"}
"""Jobs without containers need only the name of an image."""


def write_settings(state_dir: Path, endpoint_url: str, region: str, runner: RunnerKind, empty: bool) -> Json:
    """Write the credentials file and return what goes into Covalent's `[executors.awsbatch]`."""
    credentials = state_dir / "credentials"
    credentials.write_text(CREDENTIALS)
    place = {
        "endpoint_url": endpoint_url,
        "region": region,
        "credentials": str(credentials),
        "profile": "default",
    }
    if empty:
        return place | (NO_IMAGE if runner is RunnerKind.PROCESS else {})
    return place | {
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
    """Return where images go."""
    if runner is RunnerKind.DOCKER:
        # The empty image is written out, so that it wins over one that was configured before.
        return {"ecr_repo_name": NAME, "container_image_uri": ""}
    return NO_IMAGE


def create_resources(account: Account, store: Store, machine: Demand) -> None:
    """Create what the settings name, with all that jobs may use of the machine."""
    moto_services.create_bucket(account, NAME)
    moto_services.create_log_group(account, DEFAULT_GROUP)
    moto_services.create_role(account, JOB_ROLE, moto_services.TASKS)
    moto_services.create_role(account, EXECUTION_ROLE, moto_services.TASKS)
    moto_services.create_instance_profile(account, INSTANCE_PROFILE)
    environment = new_environment(account, _environment_request(machine), machine)
    environment.status = "VALID"
    store.environments[NAME] = environment
    queue = new_queue(account, {"jobQueueName": NAME, "priority": 1}, [environment], [1])
    queue.status = "VALID"
    store.queues[NAME] = queue


def _environment_request(machine: Demand) -> Json:
    return {
        "computeEnvironmentName": NAME,
        "type": "MANAGED",
        "computeResources": {
            "type": "EC2",
            "minvCpus": 0,
            "maxvCpus": machine.cpu_units // CPU_UNITS_PER_VCPU,
            "desiredvCpus": 0,
            "instanceTypes": ["optimal"],
            "instanceRole": INSTANCE_PROFILE,
            "subnets": [],
            "securityGroupIds": [],
        },
        "tags": {MEMORY_TAG: str(machine.memory_mib)},
    }
