"""A job from SUBMITTED to its end: states, times, exit codes, environment and output."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from .driving import Driver, python, sh, until

ORDER = ["SUBMITTED", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED"]


def states_seen(local: Driver, job_id: str) -> list[str]:
    seen: list[str] = []
    while not seen or seen[-1] not in ("SUCCEEDED", "FAILED"):
        status = local.status(job_id)
        if status not in seen:
            seen.append(status)
    return seen


def test_a_job_passes_the_documented_states_in_order(local: Driver) -> None:
    seen = states_seen(local, local.submit(sh("sleep 0.2")))
    assert seen == [status for status in ORDER if status in seen]
    assert {"STARTING", "RUNNING", "SUCCEEDED"} <= set(seen)


def test_a_success_is_described_as_aws_does(local: Driver) -> None:
    before_ms = time.time() * 1000
    job = local.run(["true"], jobName="fine")
    assert job["jobName"] == "fine"
    assert job["jobArn"] == f"arn:aws:batch:us-east-1:123456789012:job/{job['jobId']}"
    assert job["jobQueue"].endswith(f":job-queue/{local.queue}")
    assert job["jobDefinition"].endswith(":1")
    assert job["statusReason"] == "Essential container in task exited"
    assert before_ms - 1 <= job["createdAt"] <= job["startedAt"] <= job["stoppedAt"]
    (attempt,) = job["attempts"]
    assert attempt["statusReason"] == "Essential container in task exited"
    assert attempt["container"]["exitCode"] == job["container"]["exitCode"] == 0
    assert "reason" not in attempt["container"]
    assert attempt["container"]["logStreamName"] == job["container"]["logStreamName"]
    assert (attempt["startedAt"], attempt["stoppedAt"]) == (job["startedAt"], job["stoppedAt"])
    assert "isCancelled" not in job
    assert "isTerminated" not in job


def test_attempts_appear_when_they_end(local: Driver) -> None:
    job_id = local.submit(sh("sleep 5"))
    running = local.wait(job_id, "RUNNING")
    assert running["attempts"] == []
    assert running["container"]["taskArn"].startswith("arn:aws:ecs:")
    assert running["startedAt"] > 0
    assert "exitCode" not in running["container"]
    assert "stoppedAt" not in running
    local.batch.terminate_job(jobId=job_id, reason="seen enough")
    assert len(local.wait(job_id)["attempts"]) == 1


def test_a_waiting_job_has_no_start_and_no_task(paused: Driver) -> None:
    job = paused.wait(paused.submit(["true"]), "RUNNABLE")
    assert "startedAt" not in job
    assert "taskArn" not in job["container"]
    assert "logStreamName" not in job["container"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (sh("exit 3"), 3),
        (sh("exit 255"), 255),
        (sh("kill -KILL $$"), 137),
        (sh("kill -TERM $$"), 143),
        (python("import os; os.abort()"), 134),
        (["sh", "-c", "not-a-command"], 127),
    ],
)
def test_exit_codes_are_those_a_container_would_give(local: Driver, command: list[str], code: int) -> None:
    job = local.run(command)
    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", code)
    assert job["statusReason"] == "Essential container in task exited"


@pytest.mark.parametrize("command", [["no-such-program"], ["/dev/null"]])
def test_a_command_that_cannot_start_fails_to_start(local: Driver, command: list[str]) -> None:
    job = local.run(command)
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    reason = job["attempts"][0]["container"]["reason"]
    assert reason.startswith("CannotStartContainerError: ")
    assert len(reason) <= 255
    assert "exitCode" not in job["container"]
    assert "startedAt" not in job


def environment_of(local: Driver, **request: Any) -> dict[str, str]:
    job = local.run(python("import os\nfor item in os.environ.items(): print('='.join(item))"), **request)
    return dict(line.split("=", 1) for line in local.output(job))


def test_a_job_finds_the_variables_that_aws_sets(local: Driver) -> None:
    job_id = local.submit(python("import os\nfor item in os.environ.items(): print('='.join(item))"))
    found = dict(line.split("=", 1) for line in local.output(local.wait(job_id)))
    batch = {name: value for name, value in found.items() if name.startswith("AWS_BATCH")}
    assert batch == {
        "AWS_BATCH_JOB_ID": job_id,
        "AWS_BATCH_JOB_ATTEMPT": "1",
        "AWS_BATCH_CE_NAME": "covalent-awsbatch-local",
        "AWS_BATCH_JQ_NAME": "covalent-awsbatch-local",
    }
    assert found["AWS_ENDPOINT_URL"] == local.aws.endpoint_url
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "us-east-1"


def test_overrides_are_merged_over_the_definition(local: Driver) -> None:
    definition = local.define(
        ["false"],
        container={"environment": [{"name": "KEPT", "value": "k"}, {"name": "CHANGED", "value": "old"}]},
    )
    overrides = {
        "command": sh('echo "$KEPT $CHANGED $ADDED"'),
        "environment": [{"name": "CHANGED", "value": "new"}, {"name": "ADDED", "value": ""}],
        "resourceRequirements": [{"type": "VCPU", "value": "2"}],
    }
    job = local.wait(local.submit(jobDefinition=definition, containerOverrides=overrides))
    assert local.output(job) == ["k new "]
    assert {each["type"]: each["value"] for each in job["container"]["resourceRequirements"]} == {
        "VCPU": "2",
        "MEMORY": "64",
    }
    assert "AWS_BATCH_JOB_ID" not in {each["name"] for each in job["container"]["environment"]}


@pytest.mark.parametrize(
    ("container", "shown"),
    [
        ({}, {"VCPU": "1", "MEMORY": "64"}),
        ({"resourceRequirements": [], "vcpus": 1, "memory": 64}, {"vcpus": 2, "memory": 128}),
    ],
)
def test_old_style_overrides_count_only_over_old_style_definitions(
    local: Driver, container: dict[str, Any], shown: dict[str, Any]
) -> None:
    definition = local.define(["true"], container=container)
    overrides = {"vcpus": 2, "memory": 128}
    found = local.wait(local.submit(jobDefinition=definition, containerOverrides=overrides))["container"]
    needs = {each["type"]: each["value"] for each in found["resourceRequirements"]}
    assert needs | {name: found[name] for name in ("vcpus", "memory") if name in found} == shown


def test_parameters_fill_placeholders(local: Driver) -> None:
    definition = local.define(["echo", "Ref::first", "Ref::second"], parameters={"first": "a", "second": "b"})
    job = local.wait(local.submit(jobDefinition=definition, parameters={"second": "c"}))
    assert local.output(job) == ["a c"]
    assert job["container"]["command"] == ["echo", "a", "c"]


def test_a_job_does_not_see_its_users_credentials_or_covalent(
    local: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "COVALENT_HOME", "UNRELATED"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("SSL_CERT_FILE", "/certificates")
    found = environment_of(local)
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "COVALENT_HOME", "UNRELATED"} & set(found)
    assert found["SSL_CERT_FILE"] == "/certificates"


def test_a_job_has_a_private_directory_that_is_gone_afterwards(local: Driver) -> None:
    job = local.run(sh("pwd; echo $HOME; echo $TMPDIR; echo $PIP_TARGET; touch left-behind"))
    directory, home, temporary, packages = local.output(job)
    assert directory == home == temporary
    assert packages == f"{directory}/site-packages"
    until(lambda: not os.path.exists(directory))


def test_what_pip_would_install_can_be_imported_by_the_job_only(local: Driver) -> None:
    install = "echo 'value = 42' > $PIP_TARGET/freshly_installed.py; "
    use = "python -c 'import freshly_installed; print(freshly_installed.value)'"
    assert local.output(local.run(sh(install + use))) == ["42"]
    assert local.run(sh(use))["container"]["exitCode"] == 1


def test_what_a_job_leaves_running_is_killed(local: Driver) -> None:
    in_group = "env -i sleep 300 & echo $!; "
    elsewhere = "python -c 'import os, time; os.setsid() if os.fork() == 0 else os._exit(0); "
    elsewhere += "print(os.getpid(), flush=True); time.sleep(300)' & sleep 0.5"
    pids = [int(line) for line in local.output(local.run(sh(in_group + elsewhere)))]
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"


def test_output_can_be_read_while_the_job_runs(local: Driver) -> None:
    job_id = local.submit(sh("echo first; echo oops >&2; sleep 30"))
    job = local.wait(job_id, "RUNNING")

    def lines() -> list[str]:
        try:
            return local.output(job)
        except local.logs.exceptions.ResourceNotFoundException:
            return []

    assert until(lines) == ["first", "oops"]
    assert local.status(job_id) == "RUNNING"
    local.batch.terminate_job(jobId=job_id, reason="read")


def test_all_output_is_there_when_the_job_is_over(local: Driver) -> None:
    code = "for n in range(20000): print(n)\nprint('no newline', end='')"
    job = local.run(python(code))
    stream = job["container"]["logStreamName"]
    lines: list[str] = []
    token = None
    while True:
        more: dict[str, str] = {} if token is None else {"nextToken": token}
        page = local.logs.get_log_events(
            logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True, **more
        )
        lines += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == token:
            break
        token = page["nextForwardToken"]
    assert lines == [*map(str, range(20000)), "no newline"]


def test_a_stream_exists_only_after_output(local: Driver) -> None:
    job = local.run(["true"])
    with pytest.raises(local.logs.exceptions.ResourceNotFoundException):
        local.output(job)


def test_output_goes_to_the_group_of_the_definition(local: Driver) -> None:
    options = {
        "awslogs-group": "/own/group",
        "awslogs-create-group": "true",
        "awslogs-stream-prefix": "own-prefix",
    }
    container = {"logConfiguration": {"logDriver": "awslogs", "options": options}}
    job = local.wait(local.submit(jobDefinition=local.define(["echo", "here"], container=container)))
    assert local.output(job, "/own/group") == ["here"]
    assert job["container"]["logStreamName"].startswith("own-prefix/default/")


def test_a_missing_log_group_is_a_start_failure(local: Driver) -> None:
    container = {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/missing"}}}
    job = local.wait(local.submit(jobDefinition=local.define(["true"], container=container)))
    assert job["statusReason"] == "Task failed to start"
    assert "The specified log group does not exist." in job["container"]["reason"]


def test_the_stream_is_named_after_definition_and_task(local: Driver) -> None:
    job = local.run(["true"])
    name = job["jobDefinition"].rpartition("/")[2].partition(":")[0]
    task = job["container"]["taskArn"].rpartition("/")[2]
    assert job["container"]["logStreamName"] == f"{name}/default/{task}"


def test_overrides_over_8192_characters_are_accepted_and_fail_without_an_attempt(local: Driver) -> None:
    overrides = {"environment": [{"name": "LONG", "value": "x" * 9000}]}
    job = local.run(["true"], containerOverrides=overrides)
    assert (job["status"], job["attempts"]) == ("FAILED", [])
    assert job["statusReason"] == "Container Overrides length must be at most 8192"
