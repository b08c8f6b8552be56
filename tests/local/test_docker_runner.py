"""Jobs in real containers: what they find, how they end, and that nothing of them stays."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import docker
import pytest
from docker.errors import ImageNotFound

from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.errors import MissingProgram
from covalent_awsbatch_plugin.local.runner import RunnerKind
from tests import docker_engine

from .containers import (
    EXITED,
    IGNORES_SIGTERM,
    OBEYS_SIGTERM,
    WAIT_S,
    Repository,
    containers_of,
    mounted,
    printed,
    python3,
    run,
    submit,
    wait_for_line,
)
from .driving import Driver, sh, until
from .program import COMMAND, ROOT


def test_a_job_finds_its_variables_and_nothing_of_this_machines(
    in_docker: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLY_ON_THIS_MACHINE", "1")
    own = [{"name": "OWN", "value": "a=b c"}, {"name": "AWS_REGION", "value": "eu-west-1"}]
    found = dict(line.split("=", 1) for line in printed(in_docker, ["env"], environment=own))
    assert found["OWN"] == "a=b c"
    assert (found["AWS_REGION"], found["AWS_DEFAULT_REGION"]) == ("eu-west-1", "us-east-1")
    assert found["AWS_ENDPOINT_URL"] == in_docker.aws.endpoint_url
    assert (found["AWS_BATCH_JOB_ATTEMPT"], found["AWS_BATCH_CE_NAME"]) == ("1", "covalent-awsbatch-local")
    assert found["AWS_EC2_METADATA_DISABLED"] == "true"
    assert not {"ONLY_ON_THIS_MACHINE", "PYTHONPATH", "DOCKER_HOST"} & set(found)


def test_a_job_reaches_the_local_aws(in_docker: Driver) -> None:
    code = (
        "import os, urllib.request\n"
        "print(urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'] + '/_local/health').status)"
    )
    assert printed(in_docker, python3(code)) == ["200"]


def test_output_comes_while_the_job_runs(in_docker: Driver, tmp_path: Path) -> None:
    script = sh("echo out; echo err >&2; until [ -e /signal/go ]; do sleep 0.1; done; echo done")
    job_id = submit(in_docker, script, mounted(tmp_path, "/signal"))
    wait_for_line(in_docker, job_id, "err")
    assert in_docker.status(job_id) == "RUNNING"
    (tmp_path / "go").touch()
    job = in_docker.wait(job_id, wait_s=WAIT_S)
    assert sorted(in_docker.output(job)[:2]) == ["err", "out"]
    assert in_docker.output(job)[2:] == ["done"]


def test_not_a_line_of_much_output_is_lost(in_docker: Driver) -> None:
    lines = 200_000
    job = run(in_docker, python3(f"for i in range({lines}): print(i, '.' * 40)"))
    assert job["status"] == "SUCCEEDED"
    numbers = [int(line.split()[0]) for line in all_output(in_docker, job)]
    assert numbers == list(range(lines))


def all_output(local: Driver, job: dict[str, Any]) -> list[str]:
    """Return the lines that a job wrote, from as many pages as they fill."""
    request = {"logGroupName": "/aws/batch/job", "logStreamName": job["container"]["logStreamName"]}
    lines: list[str] = []
    while True:
        page = local.logs.get_log_events(startFromHead=True, **request)
        if not page["events"]:
            return lines
        lines += [event["message"] for event in page["events"]]
        request["nextToken"] = page["nextForwardToken"]


def test_output_of_a_job_that_ends_at_once_is_there(in_docker: Driver) -> None:
    jobs = [submit(in_docker, sh(f"printf {number}")) for number in range(8)]
    outputs = [in_docker.output(in_docker.wait(job_id, wait_s=WAIT_S)) for job_id in jobs]
    assert outputs == [[str(number)] for number in range(8)]


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -SEGV $$", 139)])
def test_exit_codes_are_the_containers(in_docker: Driver, script: str, code: int) -> None:
    # The shell has a child run the script: nobody but the kernel can end PID 1 by a signal.
    job = run(in_docker, sh(f"sh -c '{script}'"))
    assert job["status"] == ("FAILED" if code else "SUCCEEDED")
    assert (job["container"]["exitCode"], job["statusReason"]) == (code, EXITED)
    assert "reason" not in job["container"]


def test_the_images_own_command_and_stop_signal_count(in_docker: Driver, engine: Any) -> None:
    name = f"covalent-awsbatch-test-own-command:{uuid4().hex}"
    made = engine.containers.create(docker_engine.BASE_IMAGE, ["true"])
    made.commit(name, conf={"Cmd": ["echo", "the image's own"], "StopSignal": "SIGINT"})
    made.remove()
    code = (
        "import time\n"
        "try: print('up', flush=True); time.sleep(300)\n"
        "except KeyboardInterrupt: print('SIGINT')"
    )
    try:
        assert printed(in_docker, [], image=name) == ["the image's own"]
        job_id = submit(in_docker, python3(code), {"image": name})
        wait_for_line(in_docker, job_id, "up")
        in_docker.batch.terminate_job(jobId=job_id, reason="enough")
        assert in_docker.output(in_docker.wait(job_id, wait_s=WAIT_S)) == ["up", "SIGINT"]
    finally:
        engine.images.remove(name)


# --- ends that somebody asks for ---


def test_terminate_lets_the_program_answer_sigterm(in_docker: Driver) -> None:
    job_id = submit(in_docker, OBEYS_SIGTERM, retryStrategy={"attempts": 3})
    wait_for_line(in_docker, job_id, "up")
    in_docker.batch.terminate_job(jobId=job_id, reason="no longer wanted")
    job = in_docker.wait(job_id, wait_s=WAIT_S)
    assert (job["status"], job["statusReason"]) == ("FAILED", "no longer wanted")
    assert (job["container"]["exitCode"], len(job["attempts"])) == (9, 1)
    assert in_docker.output(job) == ["up", "asked to stop"]


def test_terminate_kills_after_the_grace(in_docker: Driver) -> None:
    job_id = submit(in_docker, IGNORES_SIGTERM)
    wait_for_line(in_docker, job_id, "up")
    in_docker.batch.terminate_job(jobId=job_id, reason="no longer wanted")
    job = in_docker.wait(job_id, wait_s=WAIT_S)
    assert job["container"]["exitCode"] == 137
    assert in_docker.output(job) == ["up", "asked to stop"]


def test_terminate_reaches_a_job_that_is_starting(in_docker: Driver, engine: Any) -> None:
    job_id = submit(in_docker, sh("sleep 300"))
    in_docker.wait(job_id, "STARTING", "RUNNING", wait_s=WAIT_S)
    in_docker.batch.terminate_job(jobId=job_id, reason="no longer wanted")
    job = in_docker.wait(job_id, wait_s=WAIT_S)
    assert (job["status"], job["statusReason"]) == ("FAILED", "no longer wanted")
    assert containers_of(engine, job_id) == []


def test_a_job_over_its_time_is_stopped(in_docker: Driver) -> None:
    job = run(in_docker, ["sleep", "300"], timeout={"attemptDurationSeconds": 60})
    assert (job["status"], job["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")
    assert job["container"]["exitCode"] == 137  # PID 1 without a handler does not hear SIGTERM


def test_a_lost_host_takes_the_container_with_it(in_docker: Driver, engine: Any) -> None:
    job_id = submit(in_docker, IGNORES_SIGTERM)
    wait_for_line(in_docker, job_id, "up")
    assert in_docker.local("POST", f"jobs/{job_id}/lose-host") == (200, {})
    job = in_docker.wait(job_id, wait_s=WAIT_S)
    assert job["statusReason"].startswith("Host EC2 (instance i-")
    assert "exitCode" not in job["container"]
    assert containers_of(engine, job_id) == []


def test_each_attempt_is_a_container_of_its_own(in_docker: Driver, engine: Any) -> None:
    script = sh('touch /made-by-$AWS_BATCH_JOB_ATTEMPT; ls -d /made-by-*; [ "$AWS_BATCH_JOB_ATTEMPT" = 3 ]')
    job = run(in_docker, script, retryStrategy={"attempts": 3})
    assert (job["status"], len(job["attempts"])) == ("SUCCEEDED", 3)
    assert in_docker.output(job) == ["/made-by-3"]
    assert containers_of(engine, job["jobId"]) == []


def test_children_of_an_array_know_their_index(in_docker: Driver) -> None:
    script = sh("echo $AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JOB_ARRAY_SIZE")
    job = run(in_docker, script, arrayProperties={"size": 3})
    assert job["status"] == "SUCCEEDED"
    children = [in_docker.job(f"{job['jobId']}:{index}") for index in range(3)]
    assert [in_docker.output(child) for child in children] == [[f"{index} of 3"] for index in range(3)]


# --- nothing stays ---


def test_stopping_leaves_no_container_no_volume_and_no_reference(engine: Any) -> None:
    with LocalAWS(vcpus=2, memory_mib=1024, runner=RunnerKind.DOCKER) as aws:
        local = Driver(aws, docker_engine.BASE_IMAGE)
        repository = Repository(local, engine)
        repository.push(docker_engine.BASE_IMAGE, "pulled")
        volume = {"volumes": [{"name": "v"}], "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}
        job_id = submit(local, IGNORES_SIGTERM, {"image": f"{repository.uri}:pulled", **volume})
        wait_for_line(local, job_id, "up")
        assert len(containers_of(engine, job_id)) == 1
        assert engine.images.get(f"{repository.uri}:pulled")
    assert containers_of(engine, job_id) == []
    assert engine.volumes.list(filters={"name": job_id}) == []
    with pytest.raises(ImageNotFound):
        engine.images.get(f"{repository.uri}:pulled")
    assert engine.images.get(docker_engine.BASE_IMAGE)


def test_even_sigkill_leaves_no_container_and_no_files(engine: Any, start: Any, tmp_path: Path) -> None:
    program = start("--json", "--runner", "docker")
    info = json.loads(program.line())
    assert info["settings"].get("container_image_uri", "") == ""  # which is to be built
    aws = SimpleNamespace(region="us-east-1", **info)
    job_id = submit(Driver(aws, docker_engine.BASE_IMAGE), sh("sleep 300"))
    until(lambda: containers_of(engine, job_id), WAIT_S)
    program.end(signal.SIGKILL)
    until(lambda: containers_of(engine, job_id) == [], WAIT_S)
    until(lambda: list(tmp_path.iterdir()) == [], WAIT_S)


# --- no engine ---


def test_a_missing_engine_is_said_in_one_sentence(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/nobody.sock"
    done = subprocess.run(
        [*COMMAND, "--runner", "docker"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "DOCKER_HOST": address},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: no Docker engine answers at {address}: ")
    assert line.endswith("; start Docker, or use --runner process")


def test_a_missing_engine_is_an_error_of_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(MissingProgram, match="start Docker"):
        LocalAWS(runner=RunnerKind.DOCKER).start()


def test_the_engine_of_the_current_docker_context_is_used(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = os.environ.get("DOCKER_HOST", docker.constants.DEFAULT_UNIX_SOCKET)
    endpoint = {"Host": address.replace("http+unix", "unix"), "SkipTLSVerify": False}
    directory = tmp_path / "contexts" / "meta" / hashlib.sha256(b"mine").hexdigest()
    directory.mkdir(parents=True)
    meta = {"Name": "mine", "Metadata": {}, "Endpoints": {"docker": endpoint}}
    (directory / "meta.json").write_text(json.dumps(meta))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "mine"}))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with LocalAWS(vcpus=1, memory_mib=1024, runner=RunnerKind.DOCKER) as aws:
        assert printed(Driver(aws, docker_engine.BASE_IMAGE), sh("echo found")) == ["found"]
