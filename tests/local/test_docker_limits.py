"""The settings of a job definition, as the container and the engine show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from tests import docker_engine

from .containers import (
    EXITED,
    WAIT_S,
    containers_of,
    mounted,
    needs,
    printed,
    python3,
    run,
    start_failure,
    submit,
)
from .driving import FINAL, Driver, sh

OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
EAT = "x = b'.' * (256 * 2**20)"


def inspected(local: Driver, engine: Any, **container: Any) -> dict[str, Any]:
    """Return what the engine says of a running job's container."""
    job_id = submit(local, sh("sleep 300"), container)
    try:
        local.wait(job_id, "RUNNING", *FINAL, wait_s=WAIT_S)
        (found,) = containers_of(engine, job_id)
        return dict(found.attrs)
    finally:
        local.batch.terminate_job(jobId=job_id, reason="seen")
        local.wait(job_id, wait_s=WAIT_S)


def test_memory_and_cpu_are_the_jobs(in_docker: Driver, engine: Any) -> None:
    settings = inspected(in_docker, engine, **needs(2, 100))["HostConfig"]
    assert (settings["Memory"], settings["MemorySwap"]) == (100 * 2**20, 100 * 2**20)
    assert settings["CpuShares"] == 2048
    assert (settings["NetworkMode"], settings["LogConfig"]["Type"]) == ("host", "none")


def test_swap_is_had_by_asking_for_it(in_docker: Driver, engine: Any) -> None:
    linux = {"maxSwap": 50, "swappiness": 10}
    settings = inspected(in_docker, engine, linuxParameters=linux, **needs(1, 100))["HostConfig"]
    assert (settings["Memory"], settings["MemorySwap"]) == (100 * 2**20, 150 * 2**20)


def test_the_smallest_job_of_aws_starts_here_too(in_docker: Driver) -> None:
    assert printed(in_docker, sh("echo small"), **needs(1, 4)) == ["small"]


def test_out_of_memory_ends_the_job_with_awss_reason(in_docker: Driver) -> None:
    job = run(in_docker, python3(EAT), needs(1, 64))
    assert (job["status"], job["statusReason"]) == ("FAILED", EXITED)
    assert (job["container"]["exitCode"], job["container"]["reason"]) == (137, OUT_OF_MEMORY)


@pytest.mark.parametrize("code", [3, 0])
def test_a_child_out_of_memory_gives_the_reason_with_any_exit_code(in_docker: Driver, code: int) -> None:
    job = run(in_docker, sh(f'python3 -c "{EAT}"; exit {code}'), needs(1, 64))
    assert job["status"] == ("FAILED" if code else "SUCCEEDED")
    assert (job["container"]["exitCode"], job["container"]["reason"]) == (code, OUT_OF_MEMORY)


def test_shared_memory_tmpfs_and_limits_inside(in_docker: Driver) -> None:
    linux = {
        "sharedMemorySize": 128,
        "tmpfs": [{"containerPath": "/fast", "size": 16, "mountOptions": ["mode=1777", "noexec"]}],
        "initProcessEnabled": True,
    }
    code = (
        "import os, resource\n"
        "size = lambda path: os.statvfs(path).f_blocks * os.statvfs(path).f_frsize >> 20\n"
        "print(size('/dev/shm'), size('/fast'), resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        "print('init' in open('/proc/1/cmdline').read())\n"
        "print(any('/fast' in line and 'noexec' in line for line in open('/proc/mounts')))"
    )
    ulimits = [{"name": "nofile", "softLimit": 111, "hardLimit": 222}]
    lines = printed(in_docker, python3(code), linuxParameters=linux, ulimits=ulimits)
    assert lines == ["128 16 (111, 222)", "True", "True"]


def test_user_and_read_only_root_inside(in_docker: Driver) -> None:
    script = "id -u; id -g; touch /made 2>/dev/null || echo refused; echo > /dev/shm/made && echo written"
    lines = printed(in_docker, sh(script), user="1234:99", readonlyRootFilesystem=True)
    assert lines == ["1234", "99", "refused", "written"]


def privileged_outcome(engine: Any, command: list[str]) -> str:
    """Return what a privileged container says, or what the engine says that may not start one itself."""
    options = {"privileged": True, "network_mode": "host"}
    container = engine.containers.create(docker_engine.BASE_IMAGE, command, **options)
    try:
        container.start()
        container.wait()
        return str(container.logs().decode())
    except APIError as refusal:
        return str(refusal.explanation)
    finally:
        container.remove(force=True)


def test_a_privileged_job_is_a_privileged_container(in_docker: Driver, engine: Any) -> None:
    script = sh("mount -t tmpfs none /mnt && echo mounted")
    outcome = privileged_outcome(engine, script)
    job = run(in_docker, script, {"privileged": True})
    if outcome == "mounted\n":
        assert in_docker.output(job) == ["mounted"]
    else:
        assert outcome[:150] in start_failure(job)


def test_a_job_without_privileges_cannot_mount(in_docker: Driver) -> None:
    assert printed(in_docker, sh("mount -t tmpfs none /mnt 2>/dev/null || echo refused")) == ["refused"]


def test_a_device_of_the_host_is_there(in_docker: Driver, engine: Any) -> None:
    devices = [{"hostPath": "/dev/zero", "containerPath": "/dev/mine", "permissions": ["READ"]}]
    job = run(in_docker, sh("head -c 3 /dev/mine | wc -c"), {"linuxParameters": {"devices": devices}})
    assert in_docker.output(job) == ["3"]
    devices = [{"hostPath": "/dev/zero"}]
    (device,) = inspected(in_docker, engine, linuxParameters={"devices": devices})["HostConfig"]["Devices"]
    assert (device["PathInContainer"], device["CgroupPermissions"]) == ("/dev/zero", "rwm")


def test_a_directory_of_the_host_is_shared(in_docker: Driver, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("given\n")
    script = sh("cat /data/given; echo back > /data/taken")
    assert printed(in_docker, script, **mounted(tmp_path, "/data")) == ["given"]
    assert (tmp_path / "taken").read_text() == "back\n"


def test_a_read_only_mount_cannot_be_written(in_docker: Driver, tmp_path: Path) -> None:
    script = sh("touch /data/made 2>/dev/null || echo refused")
    assert printed(in_docker, script, **mounted(tmp_path, "/data", readOnly=True)) == ["refused"]
    assert list(tmp_path.iterdir()) == []


def test_a_volume_without_a_host_path_lives_with_its_job(in_docker: Driver, engine: Any) -> None:
    volumes = {
        "volumes": [{"name": "scratch"}],
        "mountPoints": [
            {"sourceVolume": "scratch", "containerPath": "/one"},
            {"sourceVolume": "scratch", "containerPath": "/two", "readOnly": True},
        ],
    }
    script = "echo shared > /one/file; cat /two/file; touch /two/made 2>/dev/null || echo refused"
    job = run(in_docker, sh(script), volumes)
    assert in_docker.output(job) == ["shared", "refused"]
    assert engine.volumes.list(filters={"name": job["jobId"]}) == []


def test_a_file_system_of_efs_outlives_its_jobs(in_docker: Driver) -> None:
    def seen(script: str, read_only: bool = False, **efs: Any) -> list[str]:
        volume = {"fileSystemId": "fs-0123abcd", "transitEncryption": "ENABLED", **efs}
        return printed(
            in_docker,
            sh(script),
            volumes=[{"name": "efs", "efsVolumeConfiguration": volume}],
            mountPoints=[{"sourceVolume": "efs", "containerPath": "/mnt/efs", "readOnly": read_only}],
        )

    assert seen("mkdir -p /mnt/efs/lab; echo kept > /mnt/efs/lab/file; echo written") == ["written"]
    read = "cat /mnt/efs/file; touch /mnt/efs/made 2>/dev/null || echo refused"
    assert seen(read, read_only=True, rootDirectory="/lab") == ["kept", "refused"]
    other = {"authorizationConfig": {"accessPointId": "fsap-0123abcd"}}
    assert seen("ls /mnt/efs; echo empty", **other) == ["empty"]
    assert seen("ls /mnt/efs; echo empty", fileSystemId="fs-4567") == ["empty"]


@pytest.mark.parametrize(
    ("volumes", "what"),
    [([], "no volume"), ([{"name": "v", "s3filesVolumeConfiguration": {"fileSystemArn": "arn"}}], "s3files")],
)
def test_a_volume_that_cannot_be_had_fails_the_start(in_docker: Driver, volumes: Any, what: str) -> None:
    points = [{"sourceVolume": "v", "containerPath": "/v"}]
    reason = start_failure(run(in_docker, sh("true"), {"volumes": volumes, "mountPoints": points}))
    assert reason.startswith("CannotCreateVolumeError: ")
    assert what in reason
