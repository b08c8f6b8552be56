"""What a task is submitted with again, as AWS Batch tells of its job; so it goes on after a restart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.job import Attempt, Job, JobStatus
from covalent_awsbatch_plugin.ladder import next_rung
from covalent_awsbatch_plugin.settings import Settings

OUT_OF_MEMORY = {
    "status_reason": "Essential container in task exited",
    "container_reason": "OutOfMemoryError: Container killed due to memory usage",
}
HOST_LOST = {"status_reason": "Host EC2 (instance i-0123456789abcdef0) terminated."}
SPOT_TASK_LOST = {"status_reason": "Your Spot Task was interrupted."}
RATE_LIMITED = {
    "status_reason": "Task failed to start",
    "container_reason": "CannotPullContainerError: toomanyrequests: You have reached your pull rate limit.",
}
IMAGE_MISSING = {
    "status_reason": "Task failed to start",
    "container_reason": "CannotPullContainerError: manifest for covalent:1 not found: manifest unknown",
}
RAISED = {"status_reason": "Essential container in task exited", "exit_code": 101}


def ended(settings: Settings, attempts: int = 1, **reasons: Any) -> Job:
    """Return a job that was submitted with these settings and has failed."""
    return Job(
        "id",
        "covalent-d-0",
        JobStatus.FAILED,
        attempts=[Attempt()] * attempts,
        allowed_attempts=settings.retry_attempts,
        memory_mib=settings.memory_mib,
        queue_arn=f"arn:aws:batch:us-east-1:123456789012:job-queue/{settings.batch_queue}",
        **reasons,
    )


def test_memory_climbs_and_what_is_below_the_present_one_is_left_out():
    settings = Settings(memory=4, memory_on_oom=[2, 8, 16])
    first = next_rung(settings, ended(settings, **OUT_OF_MEMORY))
    assert first is not None
    assert first.settings == settings.model_copy(update={"memory": 8})
    assert first.note == "ran out of memory with 4096 MiB: submitted again with 8192 MiB"
    second = next_rung(settings, ended(first.settings, **OUT_OF_MEMORY))
    assert second is not None
    assert second.settings.memory == 16
    assert next_rung(settings, ended(second.settings, **OUT_OF_MEMORY)) is None


@pytest.mark.parametrize("reasons", [HOST_LOST, SPOT_TASK_LOST])
def test_a_lost_host_leads_to_the_other_queue_once(reasons):
    settings = Settings(batch_queue="spot", on_demand_queue="on-demand", retry_attempts=2)
    rung = next_rung(settings, ended(settings, attempts=2, **reasons))
    assert rung is not None
    assert rung.settings == settings.model_copy(update={"batch_queue": "on-demand"})
    assert rung.note == (
        f"lost the hosts of all its 2 attempts ({reasons['status_reason']}): "
        "submitted again to the queue 'on-demand'"
    )
    assert next_rung(settings, ended(rung.settings, attempts=2, **reasons)) is None


def test_what_was_climbed_stays_climbed():
    settings = Settings(batch_queue="spot", on_demand_queue="on-demand", memory=1, memory_on_oom=[2, 4])
    more = next_rung(settings, ended(settings, **OUT_OF_MEMORY))
    assert more is not None
    elsewhere = next_rung(settings, ended(more.settings, **HOST_LOST))
    assert elsewhere is not None
    assert (elsewhere.settings.memory, elsewhere.settings.batch_queue) == (2, "on-demand")
    most = next_rung(settings, ended(elsewhere.settings, **OUT_OF_MEMORY))
    assert most is not None
    assert (most.settings.memory, most.settings.batch_queue) == (4, "on-demand")


def test_a_start_that_may_yet_succeed_is_tried_as_often_as_attempts_are_left():
    settings = Settings(retry_attempts=3)
    notes, rung = [], next_rung(settings, ended(settings, **RATE_LIMITED))
    while rung is not None:
        notes.append(rung.note.rpartition(": ")[2])
        rung = next_rung(settings, ended(rung.settings, **RATE_LIMITED))
    assert notes == ["2", "1"]


@pytest.mark.parametrize("reasons", [IMAGE_MISSING, RAISED, {"status_reason": "no longer needed"}])
def test_what_is_final_is_not_tried_again(reasons):
    settings = Settings(memory_on_oom=[64], on_demand_queue="on-demand", retry_attempts=10)
    assert next_rung(settings, ended(settings, **reasons)) is None


@given(
    settings=st.builds(
        Settings,
        memory=st.integers(1, 8),
        memory_on_oom=st.sets(st.integers(1, 16), max_size=4).map(sorted),
        on_demand_queue=st.sampled_from(["", "on-demand"]),
        retry_attempts=st.integers(1, 10),
    ),
    ends=st.lists(st.sampled_from([OUT_OF_MEMORY, HOST_LOST, RATE_LIMITED]), min_size=1),
)
def test_every_way_up_ends(settings, ends):
    steps, current = 0, settings
    rungs_at_most = (len(settings.memory_on_oom) + 2) * settings.retry_attempts
    while steps <= rungs_at_most:
        rung = next_rung(settings, ended(current, **ends[steps % len(ends)]))
        if rung is None:
            return
        assert rung.settings.memory >= current.memory
        steps, current = steps + 1, rung.settings
    raise AssertionError(f"{steps} steps and no end")
