"""How AWS says that an attempt ended which never ran, or whose end nobody saw.

The texts are those of AWS's guides and of ECS's agent, as people have met them.
"""

from __future__ import annotations

from ..attempts import CONTAINER_EXITED, MAX_REASON_CHARACTERS, START_FAILED, Ending
from ..jobs import Job
from .effects import (
    AgentGone,
    CannotPull,
    CannotStart,
    EndWith,
    NetworkInterface,
    ResourceInitialization,
    Role,
)

StartEffect = (
    CannotPull | CannotStart | AgentGone | ResourceInitialization | Role | NetworkInterface | EndWith
)

CANNOT_PULL = {
    "missing": (
        "Error response from daemon: manifest for {image} not found: manifest unknown: Requested image "
        "not found"
    ),
    "forbidden": (
        "Error response from daemon: pull access denied for {image}, repository does not exist or may "
        "require 'docker login'"
    ),
    "architecture": "no matching manifest for linux/arm64/v8 in the manifest list entries",
    "disk_full": "failed to register layer: write /usr/lib/libpython.so: no space left on device",
    "rate_limit": (
        "toomanyrequests: You have reached your pull rate limit. You may increase the limit by "
        "authenticating and upgrading: https://www.docker.com/increase-rate-limit"
    ),
    "no_route": (
        "Error response from daemon: Get https://{registry}/v2/: net/http: request canceled while "
        "waiting for connection (Client.Timeout exceeded while awaiting headers)"
    ),
}

CANNOT_START = {
    "create": (
        "CannotCreateContainerError: API error (500): devmapper: Thin Pool has 4350 free data blocks "
        "which is less than minimum required 4454 free data blocks. Create more free space in thin "
        "pool or use dm.min_free_space option to change behavior"
    ),
    "start": (
        "CannotStartContainerError: Error response from daemon: failed to create task for container: "
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start "
        "container process: error during container init: unknown"
    ),
    "timeout": "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s",
}

AGENT_GONE = "AGENT"
RESOURCE_INITIALIZATION = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
    "retrieval failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): "
    "RequestError: send request failed caused by: dial tcp: i/o timeout"
)
ROLE = (
    "ECS was unable to assume the role '{role}' that was provided for this task. Please verify that "
    "the role being passed has the proper trust relationship and permissions and that your IAM user "
    "has permissions to pass this role."
)
NETWORK_INTERFACE = "Timeout waiting for network interface provisioning to complete."

UNSEEN_END = Ending(
    CONTAINER_EXITED,
    None,
    "CannotInspectContainerError: Could not transition to inspecting; timed out after waiting 30s",
)
"""What AWS says of a program that Docker could not tell the end of, whatever it did."""


def start_ending(effect: StartEffect, job: Job) -> Ending:
    """Return how AWS says that an attempt ended before anything of it ran."""
    if isinstance(effect, EndWith):
        ends = effect.end_with
        return Ending(ends.status_reason, ends.exit_code, _cut(ends.container_reason))
    if isinstance(effect, ResourceInitialization):
        return Ending(RESOURCE_INITIALIZATION, None, None)
    if isinstance(effect, NetworkInterface):
        return Ending(NETWORK_INTERFACE, None, None)
    if isinstance(effect, Role):
        return Ending(ROLE.format(role=job.spec.container.get("jobRoleArn", "")), None, None)
    return Ending(START_FAILED, None, _cut(_start_reason(effect, job)))


def _start_reason(effect: CannotPull | CannotStart | AgentGone, job: Job) -> str:
    if isinstance(effect, CannotStart):
        return CANNOT_START[effect.cannot_start]
    if isinstance(effect, AgentGone):
        return AGENT_GONE
    image = job.spec.container.get("image", "")
    text = CANNOT_PULL[effect.cannot_pull].format(image=image, registry=image.partition("/")[0])
    return f"CannotPullContainerError: {text}"


def _cut(reason: str | None) -> str | None:
    return None if reason is None else reason[:MAX_REASON_CHARACTERS]
