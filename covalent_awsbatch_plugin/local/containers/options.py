"""From AWS's container properties to the body of the engine's `POST /containers/create`.

Pure functions; AWS's names end here and the engine's begin. The settings are those that ECS's agent
makes on an EC2 host.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..jobs import Json
from ..runner import Launch, StartFailure

MIB = 2**20

MIN_ENGINE_MEMORY_MIB = 6
"""The engine refuses less; ECS's agent raises what AWS Batch lets pass."""

PERMISSIONS = {"READ": "r", "WRITE": "w", "MKNOD": "m"}

ELSEWHERE = ("s3filesVolumeConfiguration",)
"""Kinds of volumes that the local AWS does not have; those of EFS are directories by now (`efs.py`)."""


def container_name(launch: Launch) -> str:
    """Return the name under which a person finds an attempt in `docker ps`."""
    return f"covalent-awsbatch-{launch.job_id.replace(':', '-')}-{launch.attempt}"


def task_volumes(launch: Launch) -> dict[str, str]:
    """Return the engine's names of the volumes that live as long as the attempt, by AWS's names."""
    name = container_name(launch)
    return {
        volume["name"]: f"{name}-{volume['name']}"
        for volume in launch.container.get("volumes", [])
        if _host_path(volume) is None
    }


def create_body(launch: Launch, surroundings: Mapping[str, str], labels: Mapping[str, str]) -> Json:
    """Return the body of the request that creates an attempt's container.

    `surroundings` are variables of every job, which the job's own override. Raises StartFailure for
    volumes that cannot be had.
    """
    environment = {**surroundings, **launch.environment}
    body = {
        "Image": launch.image,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "User": launch.container.get("user", ""),
        "Labels": dict(labels),
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": _host_config(launch, labels),
    }
    return body | ({"Cmd": launch.command} if launch.command else {})


def _host_config(launch: Launch, labels: Mapping[str, str]) -> Json:
    container = launch.container
    linux = container.get("linuxParameters") or {}
    return {
        "NetworkMode": "host",  # as on AWS Batch's EC2 hosts, and the local AWS listens on loopback
        "LogConfig": {"Type": "none"},  # output goes through the attached stream to CloudWatch Logs
        "CpuShares": launch.cpu_units,
        "Privileged": container.get("privileged", False),
        "ReadonlyRootfs": container.get("readonlyRootFilesystem", False),
        "Ulimits": [_ulimit(each) for each in container.get("ulimits", [])],
        **_memory(launch.memory_mib, linux),
        **_linux(linux),
        **_mounts(launch, labels),
    }


def _memory(memory_mib: int, linux: Json) -> Json:
    """Limit memory hard; like AWS's hosts, a container has swap only where it asks for it."""
    limit_mib = max(memory_mib, MIN_ENGINE_MEMORY_MIB)
    swap_mib = linux.get("maxSwap", 0)
    limits = {"Memory": limit_mib * MIB, "MemorySwap": (limit_mib + swap_mib) * MIB}
    if "swappiness" in linux and "maxSwap" in linux:  # AWS ignores the one without the other
        limits["MemorySwappiness"] = linux["swappiness"]
    return limits


def _linux(linux: Json) -> Json:
    settings: Json = {
        "Init": linux.get("initProcessEnabled", False),
        "Tmpfs": {each["containerPath"]: _tmpfs_options(each) for each in linux.get("tmpfs", [])},
        "Devices": [_device(each) for each in linux.get("devices", [])],
    }
    if "sharedMemorySize" in linux:
        settings["ShmSize"] = linux["sharedMemorySize"] * MIB
    return settings


def _tmpfs_options(tmpfs: Json) -> str:
    return ",".join([*tmpfs.get("mountOptions", []), f"size={tmpfs['size']}m"])


def _device(device: Json) -> Json:
    return {
        "PathOnHost": device["hostPath"],
        "PathInContainer": device.get("containerPath", device["hostPath"]),
        "CgroupPermissions": "".join(PERMISSIONS[each] for each in device.get("permissions", PERMISSIONS)),
    }


def _ulimit(ulimit: Json) -> Json:
    return {"Name": ulimit["name"], "Soft": ulimit["softLimit"], "Hard": ulimit["hardLimit"]}


def _mounts(launch: Launch, labels: Mapping[str, str]) -> Json:
    volumes = {volume["name"]: volume for volume in launch.container.get("volumes", [])}
    own = task_volumes(launch)
    binds: list[str] = []
    mounts: list[Json] = []
    for point in launch.container.get("mountPoints", []):
        volume = _usable(volumes, point["sourceVolume"])
        if volume["name"] in own:
            mounts.append(_volume_mount(point, own[volume["name"]], labels))
        else:
            binds.append(_bind(point, str(_host_path(volume))))
    return {"Binds": binds, "Mounts": mounts}


def _usable(volumes: Mapping[str, Json], name: str) -> Json:
    if name not in volumes:
        raise StartFailure(f"CannotCreateVolumeError: the job definition has no volume {name}")
    for kind in ELSEWHERE:
        if kind in volumes[name]:
            raise StartFailure(f"CannotCreateVolumeError: the local AWS Batch does not have {kind}")
    return volumes[name]


def _host_path(volume: Json) -> str | None:
    path = (volume.get("host") or {}).get("sourcePath")
    return None if path is None else str(path)


def _bind(point: Json, host_path: str) -> str:
    return f"{host_path}:{point['containerPath']}:{'ro' if point.get('readOnly') else 'rw'}"


def _volume_mount(point: Json, name: str, labels: Mapping[str, str]) -> Json:
    return {
        "Type": "volume",
        "Source": name,
        "Target": point["containerPath"],
        "ReadOnly": point.get("readOnly", False),
        "VolumeOptions": {"Labels": dict(labels)},
    }
