"""File systems that a job finds in its container: of EFS, or directories of its EC2 instance.

As options they are plain JSON, such as `{"efs": "fs-0123", "path": "/mnt/data"}`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import PydanticCustomError

EXAMPLE = '{"efs": "fs-0123456789abcdef0", "path": "/mnt/data"}'

FILE_SYSTEM = re.compile(r"fs-[0-9a-f]{4,40}")
ACCESS_POINT = re.compile(r"fsap-[0-9a-f]{4,40}")
DIRECTORY = re.compile(r"/[^\0:]*")
"""Absolute; a colon separates the two sides of a mount in Docker."""

OF_EFS = ("root", "access_point", "iam")
"""What only a volume of EFS has."""


class Volume(BaseModel):
    """A volume and where the container has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    efs: str = ""
    """Id of the EFS file system; it is reached through TLS."""
    host: str = ""
    """Directory of the EC2 instance."""
    path: str = ""
    """Directory in the container."""
    root: str = "/"
    """Directory of the file system that is taken for its root."""
    access_point: str = ""
    iam: bool = False
    """Whether the file system is mounted with the job role's rights."""
    read_only: bool = False

    @model_validator(mode="after")
    def _check(self) -> Volume:
        """Refuse what AWS, or the Docker engine, would refuse."""
        if problem := _problem(self):
            raise PydanticCustomError("volume", "{problem}", {"problem": problem})
        return self

    @model_serializer(mode="wrap")
    def _written(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Give what was written, and no defaults."""
        return {name: value for name, value in serialize(self).items() if name in self.model_fields_set}


def _problem(volume: Volume) -> str:
    """Say what is wrong with a volume, and what would do; empty where nothing is."""
    if bool(volume.efs) == bool(volume.host):
        return f"a volume is either 'efs' or 'host'; {EXAMPLE} would do"
    if volume.path == "/" or DIRECTORY.fullmatch(volume.path) is None:
        return "'path' is a directory in the container, and begins with '/'; '/mnt/data' would do"
    return _host_problem(volume) if volume.host else _efs_problem(volume)


def _host_problem(volume: Volume) -> str:
    if DIRECTORY.fullmatch(volume.host) is None:
        return "'host' is a directory of the instance, and begins with '/'; '/scratch' would do"
    if given := [name for name in OF_EFS if name in volume.model_fields_set]:
        return f"{given[0]!r} goes with 'efs' alone; leave it out"
    return ""


def _efs_problem(volume: Volume) -> str:
    if FILE_SYSTEM.fullmatch(volume.efs) is None:
        return "'efs' is the id of a file system; 'fs-0123456789abcdef0' would do"
    if volume.access_point and ACCESS_POINT.fullmatch(volume.access_point) is None:
        return "'access_point' is the id of an access point; 'fsap-0123456789abcdef0' would do"
    if DIRECTORY.fullmatch(volume.root) is None:
        return "'root' is a directory of the file system, and begins with '/'; '/data' would do"
    if volume.access_point and volume.root != "/":
        return "'root' is fixed by the access point; leave it out"
    return ""


def distinct(volumes: list[Volume]) -> list[Volume]:
    """Return the volumes, or refuse two of them in one place."""
    paths = [each.path.rstrip("/") for each in volumes]
    for path in paths:
        if paths.count(path) > 1:
            text = "two volumes have the 'path' {path}; give each its own"
            raise PydanticCustomError("volume", text, {"path": repr(path)})
    return volumes


def container_properties(volumes: Sequence[Volume]) -> dict[str, Any]:
    """Return the members of a job definition's container for these volumes; none where there are none."""
    if not volumes:
        return {}
    named = {f"volume-{number}": volume for number, volume in enumerate(volumes)}
    return {
        "volumes": [{"name": name, **_source(volume)} for name, volume in named.items()],
        "mountPoints": [
            {"sourceVolume": name, "containerPath": volume.path, "readOnly": volume.read_only}
            for name, volume in named.items()
        ],
    }


def _source(volume: Volume) -> dict[str, Any]:
    if volume.host:
        return {"host": {"sourcePath": volume.host}}
    source: dict[str, Any] = {
        "fileSystemId": volume.efs,
        "rootDirectory": volume.root,
        "transitEncryption": "ENABLED",
    }
    authorization = {
        **({"accessPointId": volume.access_point} if volume.access_point else {}),
        **({"iam": "ENABLED"} if volume.iam else {}),
    }
    return {
        "efsVolumeConfiguration": source | ({"authorizationConfig": authorization} if authorization else {})
    }
