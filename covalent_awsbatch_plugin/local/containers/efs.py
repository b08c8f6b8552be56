"""EFS on this machine: a file system is a directory, which stays as long as the local AWS's state does.

An access point is a directory of its own in its file system; who may mount what is not looked at.
"""

from __future__ import annotations

from pathlib import Path

from ..jobs import Json

EFS = "efsVolumeConfiguration"


def with_directories(container: Json, directory: Path) -> Json:
    """Return a container with directories of the host in place of EFS, made where they are missing."""
    volumes = container.get("volumes", [])
    if not any(EFS in volume for volume in volumes):
        return container
    return container | {"volumes": [_hosted(volume, directory) for volume in volumes]}


def _hosted(volume: Json, directory: Path) -> Json:
    if EFS not in volume:
        return volume
    path = _path(volume[EFS], directory)
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)  # as whoever the image's user is
    return {"name": volume["name"], "host": {"sourcePath": str(path)}}


def _path(efs: Json, directory: Path) -> Path:
    """Return the directory of a file system, of its root or of its access point."""
    file_system = directory / Path(efs["fileSystemId"]).name
    access_point = efs.get("authorizationConfig", {}).get("accessPointId")
    if access_point:
        return file_system / ".access-points" / Path(access_point).name
    parts = [part for part in Path(efs.get("rootDirectory", "/")).parts[1:] if part != ".."]
    return file_system.joinpath(*parts)
