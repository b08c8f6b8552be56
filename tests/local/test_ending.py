"""CancelJob and TerminateJob in every state, time limits, and faults that are asked for."""

from __future__ import annotations

import pytest

from .driving import FINAL, Driver, python, sh, until

IGNORES_SIGTERM = python(
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: print('asked to stop', flush=True))\n"
    "print('up', flush=True)\n"
    "for _ in range(300): time.sleep(0.1)"
)
OBEYS_SIGTERM = python(
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
    "print('up', flush=True)\n"
    "time.sleep(30)"
)
BOTH = pytest.mark.parametrize("verb", ["cancel_job", "terminate_job"])
BULK = pytest.mark.parametrize("verb", ["cancel_jobs", "terminate_jobs"])


def end(local: Driver, verb: str, job_id: str, reason: str = "no longer wanted") -> None:
    if verb.endswith("jobs"):
        answer = getattr(local.batch, verb)(jobs=[job_id], reason=reason)
        assert (answer["successful"], answer["errors"]) == ([job_id], [])
    else:
        getattr(local.batch, verb)(jobId=job_id, reason=reason)


def mark(verb: str) -> str:
    return "isCancelled" if verb.startswith("cancel") else "isTerminated"


def wait_for_output(local: Driver, job_id: str, line: str) -> None:
    job = local.wait(job_id, "RUNNING", *FINAL)

    def written() -> bool:
        try:
            return line in local.output(job)
        except local.logs.exceptions.ResourceNotFoundException:
            return False

    until(written)


@pytest.mark.parametrize("verb", ["cancel_job", "terminate_job", "cancel_jobs", "terminate_jobs"])
def test_a_runnable_job_fails_with_the_reason(paused: Driver, verb: str) -> None:
    job_id = paused.submit(["true"])
    paused.wait(job_id, "RUNNABLE")
    end(paused, verb, job_id)
    job = paused.wait(job_id)
    assert (job["status"], job["statusReason"], job["attempts"]) == ("FAILED", "no longer wanted", [])
    assert job[mark(verb)] is True
    assert "startedAt" not in job
    assert job["stoppedAt"] >= job["createdAt"]


@BOTH
def test_a_submitted_job_fails_with_the_reason(local: Driver, verb: str) -> None:
    job_id = local.submit(["true"])
    end(local, verb, job_id)  # mostly before the scheduler looked at it; RUNNABLE ends the same way
    assert local.wait(job_id)["status"] in FINAL


@BOTH
def test_a_pending_job_fails_only_after_its_dependencies(local: Driver, verb: str) -> None:
    parent = local.submit(sh("sleep 30"))
    child = local.submit(["true"], dependsOn=[{"jobId": parent}])
    local.wait(child, "PENDING")
    end(local, verb, child)
    job = local.job(child)
    assert (job["status"], job[mark(verb)]) == ("PENDING", True)
    end(local, "terminate_job", parent)
    job = local.wait(child)
    assert (job["status"], job["statusReason"], job["attempts"]) == ("FAILED", "no longer wanted", [])


def test_cancel_leaves_a_running_job_alone(local: Driver) -> None:
    job_id = local.submit(sh("sleep 0.5"))
    local.wait(job_id, "RUNNING")
    end(local, "cancel_job", job_id)
    job = local.wait(job_id)
    assert job["status"] == "SUCCEEDED"
    assert "isCancelled" not in job


def test_terminate_stops_a_running_job_with_sigterm(local: Driver) -> None:
    job_id = local.submit(OBEYS_SIGTERM, retryStrategy={"attempts": 3})
    wait_for_output(local, job_id, "up")
    end(local, "terminate_job", job_id)
    job = local.wait(job_id)
    assert (job["status"], job["statusReason"]) == ("FAILED", "no longer wanted")
    assert (job["container"]["exitCode"], job["isTerminated"]) == (9, True)
    assert len(job["attempts"]) == 1


def test_terminate_kills_what_ignores_sigterm_after_the_grace(local: Driver) -> None:
    job_id = local.submit(IGNORES_SIGTERM)
    wait_for_output(local, job_id, "up")
    end(local, "terminate_job", job_id)
    job = local.wait(job_id)
    assert job["container"]["exitCode"] == 137
    assert local.output(job) == ["up", "asked to stop"]


def test_terminate_reaches_a_job_that_is_starting(local: Driver) -> None:
    job_id = local.submit(sh("sleep 30"))
    local.wait(job_id, "STARTING", "RUNNING")
    end(local, "terminate_job", job_id)
    job = local.wait(job_id)
    assert (job["status"], job["statusReason"]) == ("FAILED", "no longer wanted")


@BOTH
def test_a_finished_job_stays_as_it_is(local: Driver, verb: str) -> None:
    job = local.run(["true"])
    end(local, verb, job["jobId"])
    assert local.job(job["jobId"]) == job


@pytest.mark.parametrize("verb", ["cancel_job", "terminate_job", "cancel_jobs", "terminate_jobs"])
def test_an_unknown_job_is_no_error(local: Driver, verb: str) -> None:
    end(local, verb, "00000000-0000-0000-0000-000000000000")


def test_terminating_overwrites_a_blocked_reason(local: Driver) -> None:
    queue = local.new_queue(vcpus=1)
    job_id = local.submit(jobDefinition=local.define(["true"], vcpus="2"), jobQueue=queue)
    until(lambda: "MISCONFIGURATION" in local.job(job_id).get("statusReason", ""))
    end(local, "terminate_job", job_id)
    assert local.wait(job_id)["statusReason"] == "no longer wanted"


def test_a_job_over_its_time_is_stopped_and_not_retried(local: Driver) -> None:
    job_id = local.submit(
        OBEYS_SIGTERM, timeout={"attemptDurationSeconds": 60}, retryStrategy={"attempts": 5}
    )
    job = local.wait(job_id)
    assert (job["status"], job["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")
    assert job["timeout"] == {"attemptDurationSeconds": 60}
    (attempt,) = job["attempts"]
    assert attempt["container"]["exitCode"] == 9
    assert attempt["statusReason"] == "Job attempt duration exceeded timeout"
    assert attempt["stoppedAt"] - attempt["startedAt"] >= 990  # a minute lasts a second here
    assert "isTerminated" not in job


def test_a_job_over_its_time_that_ignores_sigterm_is_killed(local: Driver) -> None:
    definition = local.define(IGNORES_SIGTERM, timeout={"attemptDurationSeconds": 60})
    job = local.wait(local.submit(jobDefinition=definition))
    assert job["container"]["exitCode"] == 137
    assert local.output(job) == ["up", "asked to stop"]


def test_every_attempt_has_its_own_time(local: Driver) -> None:
    script = sh('sleep 0.6; [ "$AWS_BATCH_JOB_ATTEMPT" = 3 ]')
    job = local.run(script, timeout={"attemptDurationSeconds": 60}, retryStrategy={"attempts": 3})
    assert (job["status"], len(job["attempts"])) == ("SUCCEEDED", 3)


def test_a_lost_host_leaves_neither_exit_code_nor_reason(local: Driver) -> None:
    job_id = local.submit(sh("sleep 30"))
    local.wait(job_id, "RUNNING")
    assert local.local("POST", f"jobs/{job_id}/lose-host") == (200, {})
    job = local.wait(job_id)
    assert job["status"] == "FAILED"
    assert job["statusReason"].startswith("Host EC2 (instance i-")
    assert job["statusReason"].endswith(") terminated.")
    (attempt,) = job["attempts"]
    assert attempt["statusReason"] == job["statusReason"]
    assert not {"exitCode", "reason"} & (set(attempt["container"]) | set(job["container"]))


def test_a_lost_host_is_retried_by_its_status_reason(local: Driver) -> None:
    strategy = {
        "attempts": 3,
        "evaluateOnExit": [
            {"onStatusReason": "Host EC2*", "action": "RETRY"},
            {"onReason": "*", "action": "EXIT"},
        ],
    }
    job_id = local.submit(sh('[ "$AWS_BATCH_JOB_ATTEMPT" = 1 ] && sleep 30; exit 4'), retryStrategy=strategy)
    local.wait(job_id, "RUNNING")
    local.local("POST", f"jobs/{job_id}/lose-host")
    job = local.wait(job_id)
    assert [attempt["container"].get("exitCode") for attempt in job["attempts"]] == [None, 4]


@pytest.mark.parametrize("reason", [None, "OutOfMemoryError: Container killed due to memory usage"])
def test_a_kill_looks_as_aws_shows_it(local: Driver, reason: str | None) -> None:
    job_id = local.submit(sh("sleep 30"))
    local.wait(job_id, "RUNNING")
    body = None if reason is None else {"reason": reason}
    assert local.local("POST", f"jobs/{job_id}/kill", body) == (200, {})
    job = local.wait(job_id)
    assert (job["container"]["exitCode"], job["container"].get("reason")) == (137, reason)
    assert job["statusReason"] == "Essential container in task exited"


def test_faults_need_a_running_job(paused: Driver) -> None:
    job_id = paused.submit(["true"])
    assert paused.local("POST", f"jobs/{job_id}/kill")[0] == 409
    assert paused.local("POST", "jobs/unknown/kill")[0] == 404
    assert paused.local("POST", f"jobs/{job_id}/unknown")[0] == 404
    assert paused.local("POST", f"jobs/{job_id}/kill", ["no reason"])[0] == 400
