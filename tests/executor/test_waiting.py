"""Why a job waits, as it is concluded from AWS's answers: for all of them, and for each text of AWS's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.diagnosis import diagnose
from covalent_awsbatch_plugin.errors import NeverPlacedError, QueueInvalidError
from covalent_awsbatch_plugin.job import Job, JobStatus
from covalent_awsbatch_plugin.waiting import Environment, Place, Queue, about, explain, reason_to_end

MAX_RESOURCE = (
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the "
    "CPU requirement of the job."
)
REQUIREMENT = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher "
    "than that can be met by the CE(s) attached to the job queue."
)
CAPACITY = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for instance "
    "type [m5.large]"
)
UNSUPPORTED = (
    "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED - Your compute environment associated with this "
    "job queue has an unsupported instance type configuration."
)
SERVICE_ROLE = "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS – Batch service role has a permission issue."
INVALID = "ACTION_REQUIRED - CE(s) associated with the job queue are invalid."
UNDETERMINED = "UNDETERMINED - Batch job is blocked, root cause is undetermined."
NEW = "MISCONFIGURATION:SOMETHING_OF_NEXT_YEAR - Nobody knows yet."

QUEUE = Queue("q", "ENABLED", "VALID", "JobQueue Healthy")
FITTING = Environment(
    "e", "ENABLED", "VALID", type="EC2", max_vcpus=16, desired_vcpus=0, instance_types=("optimal",)
)
JOB = Job("id", "name", JobStatus.RUNNABLE, vcpus=2, memory_mib=3840, platforms=("EC2",))
ARRAY = Job(
    "id", "name", JobStatus.PENDING, vcpus=2, memory_mib=3840, array_size=5, children={JobStatus.RUNNABLE: 5}
)

texts = st.text(st.characters(codec="utf-8"), max_size=40)
reasons = (
    st.sampled_from(
        ["", MAX_RESOURCE, REQUIREMENT, CAPACITY, UNSUPPORTED, SERVICE_ROLE, INVALID, UNDETERMINED, NEW]
    )
    | texts
)
ids = st.sampled_from(["id", "id:0", "id:3", "other", "other:1"])
jobs = st.builds(
    Job,
    st.just("id"),
    st.just("name"),
    st.sampled_from([JobStatus.RUNNABLE, JobStatus.PENDING]),
    reasons,
    vcpus=st.none() | st.sampled_from([0.25, 1.0, 2.0, 64.0]),
    memory_mib=st.none() | st.integers(4, 2**20),
    gpus=st.integers(0, 8),
    platforms=st.sampled_from([(), ("EC2",), ("FARGATE",)]),
)
environments = st.builds(
    Environment,
    texts,
    st.sampled_from(["ENABLED", "DISABLED", ""]),
    st.sampled_from(["VALID", "INVALID", "CREATING", "UPDATING", "DELETING", "DELETED", ""]),
    texts,
    st.sampled_from(["EC2", "SPOT", "FARGATE", "FARGATE_SPOT", ""]),
    st.none() | st.integers(0, 64),
    st.none() | st.integers(0, 64),
    st.lists(st.sampled_from(["optimal", "default_arm64", "m5", "c6i.large", "p4d.24xlarge", "gr6"])).map(
        tuple
    ),
)
queues = st.builds(
    Queue,
    texts,
    st.sampled_from(["ENABLED", "DISABLED", ""]),
    st.sampled_from(["VALID", "INVALID", "CREATING", "UPDATING", "DELETING", "DELETED", ""]),
    texts,
    st.lists(environments, max_size=3).map(tuple),
    st.none() | st.lists(ids, max_size=5, unique=True).map(tuple),
    st.none() | st.builds(Job, ids, st.just("theirs"), st.just(JobStatus.RUNNABLE), reasons),
)


# --- for all answers --------------------------------------------------------------------------------------


@given(jobs, queues)
def test_there_is_always_a_reason_and_a_next_step_in_one_line(job: Job, queue: Queue):
    finding = explain(job, queue)
    assert finding.advice
    assert finding.what or finding.place is not None
    assert finding.after(60).count("Next step: ") == 1
    assert len(finding.after(60).splitlines()) == 1
    assert finding.error in {None, NeverPlacedError, QueueInvalidError}


@given(jobs, queues)
def test_what_aws_does_not_tell_never_makes_a_job_hopeless(job: Job, queue: Queue):
    if not explain(job, queue).can_never_run:
        assert not explain(job, replace(queue, environments=())).can_never_run
        # What AWS says of the job at the front counts against how its environments look.
        assert queue.head or not explain(job, replace(queue, front=None)).can_never_run
        assert not explain(job, Queue(queue.name)).can_never_run
        assert not explain(
            replace(job, vcpus=None, memory_mib=None, gpus=0, platforms=()), queue
        ).can_never_run


@given(jobs, queues)
def test_an_environment_that_can_take_a_job_keeps_it_waiting(job: Job, queue: Queue):
    """But for what AWS Batch itself says; and that is believed only when it has said so for some time."""
    able = replace(FITTING, max_vcpus=64, instance_types=("optimal",), type="")
    queue = replace(queue, status="VALID", environments=(*queue.environments, able))
    finding = explain(job, queue)
    said = [job.status_reason, *([queue.head.status_reason] if queue.head is not None else [])]
    if not any(each.startswith(("MISCONFIGURATION", "ACTION_REQUIRED")) for each in said):
        assert not finding.can_never_run
    if finding.can_never_run and "COMPUTE_ENVIRONMENT_MAX_RESOURCE" in finding.what:
        assert finding.may_pass


@given(jobs, queues, st.integers(1, 3))
def test_environments_that_are_all_too_small_are_all_named(job: Job, queue: Queue, count: int):
    small = [replace(FITTING, name=f"small-{number}", max_vcpus=number) for number in range(count)]
    job = replace(job, vcpus=96.0, status_reason="")
    finding = explain(job, replace(queue, status="VALID", environments=tuple(small), head=None))
    assert (finding.error, finding.may_pass) == (NeverPlacedError, False)
    for each in small:
        assert (
            f"the compute environment {each.name!r} allows {each.max_vcpus} vCPUs, the job asks for 96"
            in finding.what
        )


@given(jobs, queues, st.floats(0, 1e7))
def test_a_job_that_is_ended_for_a_finding_fails_with_its_error(job: Job, queue: Queue, waited_s: float):
    finding = explain(job, queue)
    if finding.can_never_run:
        reason = reason_to_end(finding, waited_s)
        ended = Job("id", "name", JobStatus.FAILED, reason, is_ended_on_request=True)
        assert diagnose(ended).error is finding.error
        assert finding.what in reason


@given(jobs, queues)
def test_a_job_that_only_moves_up_is_no_news(job: Job, queue: Queue):
    front = ("other:7", "other:8", "id")
    before = explain(job, replace(queue, front=front, head=None))
    after = explain(job, replace(queue, front=front[1:], head=None))
    assert before == after
    assert [each.place for each in (before, after)] == [Place(3, 3), Place(2, 2)]


# --- what AWS Batch says ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "error", "may_pass"),
    [
        (MAX_RESOURCE, NeverPlacedError, False),
        (REQUIREMENT, NeverPlacedError, True),
        (UNSUPPORTED, QueueInvalidError, False),
        (SERVICE_ROLE, QueueInvalidError, False),
        (SERVICE_ROLE.replace("–", "-"), QueueInvalidError, False),
        (INVALID, QueueInvalidError, False),
        (INVALID.replace("-", "–"), QueueInvalidError, False),
        (NEW, QueueInvalidError, True),
        (CAPACITY, None, False),
        (UNDETERMINED, None, False),
    ],
)
@pytest.mark.parametrize("job", [JOB, ARRAY], ids=["job", "array"])
def test_aws_batchs_own_reason_counts(job: Job, reason: str, error, may_pass):
    """An array has none of its own: that of its first child is at the front of the queue."""
    head = Job("id:2", "name", JobStatus.RUNNABLE, reason)
    told = replace(job, status_reason=reason) if job is JOB else job
    finding = explain(told, replace(QUEUE, head=None if job is JOB else head))
    assert (finding.error, finding.may_pass) == (error, may_pass)
    assert reason.rstrip(".") in finding.what


def test_what_bears_out_aws_batchs_reason_comes_first():
    job = replace(JOB, status_reason=MAX_RESOURCE, vcpus=32)
    finding = explain(job, replace(QUEUE, environments=(FITTING,)))
    assert finding.what.startswith(
        "the compute environment 'e' allows 16 vCPUs, the job asks for 32 (AWS Batch"
    )
    assert (finding.error, finding.may_pass) == (NeverPlacedError, False)


def test_an_environment_that_has_grown_since_is_given_time():
    finding = explain(replace(JOB, status_reason=MAX_RESOURCE), replace(QUEUE, environments=(FITTING,)))
    assert (finding.error, finding.may_pass) == (NeverPlacedError, True)


@pytest.mark.parametrize(
    ("memory_mib", "adds"),
    [
        (16384, "; of an instance with 16 GiB a job can have some 15564 MiB (memory=15.1)"),
        (15564, ""),
        (4096, "; of an instance with 4 GiB a job can have some 3840 MiB (memory=3.7)"),
        (3840, ""),
    ],
)
def test_who_asks_for_all_of_an_instances_memory_is_told_what_it_has(memory_mib: int, adds: str):
    job = replace(JOB, status_reason=REQUIREMENT, memory_mib=memory_mib)
    finding = explain(job, replace(QUEUE, environments=(FITTING,)))
    assert finding.advice.partition("; of an")[1:] == adds.partition("; of an")[1:]
    fargate = replace(FITTING, type="FARGATE")
    assert "; of an" not in explain(job, replace(QUEUE, environments=(fargate,))).advice


# --- what its queue and environments show -----------------------------------------------------------------


@pytest.mark.parametrize("status", ["INVALID", "DELETING", "DELETED"])
def test_a_queue_that_is_out_of_order_runs_nothing(status: str):
    finding = explain(JOB, replace(QUEUE, status=status, environments=(FITTING,)))
    assert finding.error is QueueInvalidError
    assert finding.what == f"the queue is {status} (JobQueue Healthy)"


def test_a_queue_that_is_disabled_goes_on_with_what_it_has():
    finding = explain(JOB, replace(QUEUE, state="DISABLED", environments=(FITTING,)))
    assert (finding.what, finding.error) == ("the queue is DISABLED, and takes no new jobs", None)


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        (replace(FITTING, state="DISABLED"), "is DISABLED"),
        (
            replace(FITTING, status="INVALID", status_reason="CLIENT_ERROR - Not authorized.\n"),
            "is INVALID (CLIENT_ERROR - Not authorized)",
        ),
        (Environment("e", status="DELETED"), "is DELETED"),
    ],
)
def test_an_environment_that_is_out_of_order_takes_nothing(environment: Environment, what: str):
    finding = explain(JOB, replace(QUEUE, environments=(environment,)))
    assert (finding.what, finding.error) == (f"the compute environment 'e' {what}", QueueInvalidError)
    assert not explain(JOB, replace(QUEUE, environments=(environment, FITTING))).can_never_run


@pytest.mark.parametrize("status", ["CREATING", "UPDATING"])
def test_an_environment_that_is_being_changed_is_waited_for(status: str):
    assert not explain(JOB, replace(QUEUE, environments=(replace(FITTING, status=status),))).can_never_run


def test_one_that_is_disabled_and_one_that_is_too_small_are_both_told():
    small = replace(FITTING, name="small", max_vcpus=1)
    finding = explain(JOB, replace(QUEUE, environments=(replace(FITTING, state="DISABLED"), small)))
    assert finding.error is NeverPlacedError
    assert finding.what == (
        "the compute environment 'e' is DISABLED, and the compute environment 'small' allows 1 vCPUs, the "
        "job asks for 2"
    )


@pytest.mark.parametrize(
    ("kind", "types", "has_none"),
    [
        ("FARGATE", (), True),
        ("EC2", ("m5.large", "c6i"), True),
        ("SPOT", ("r5dn", "x2iedn.metal"), True),
        ("EC2", ("m5.large", "g4dn.xlarge"), False),
        ("EC2", ("p4d",), False),
        ("EC2", ("gr6.4xlarge",), False),
        ("EC2", ("optimal",), False),
        ("EC2", ("default_x86_64",), False),
        ("EC2", (), False),
        ("", (), False),
    ],
)
def test_gpus_are_missed_only_where_the_names_say_so(kind: str, types: tuple[str, ...], has_none: bool):
    environment = replace(FITTING, type=kind, instance_types=types)
    job = replace(JOB, gpus=1, platforms=())
    finding = explain(job, replace(QUEUE, environments=(environment,)))
    assert finding.can_never_run is has_none
    assert ("has no GPUs, the job asks for 1" in finding.what) is has_none


@pytest.mark.parametrize(("kind", "platform"), [("FARGATE", "EC2"), ("EC2", "FARGATE"), ("SPOT", "FARGATE")])
def test_a_job_for_another_platform_is_never_placed(kind: str, platform: str):
    queue = replace(QUEUE, environments=(replace(FITTING, type=kind),))
    finding = explain(replace(JOB, platforms=(platform,)), queue)
    assert finding.what == f"the compute environment 'e' is for {kind}, the job for {platform}"
    assert finding.error is NeverPlacedError


# --- who is before it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("front", "text"),
    [
        (("other", "id"), "place 2 of 2 in it. Next step: wait, for others are before it."),
        (("other:0", "id:4", "id:0"), "place 2 of 3 in it. Next step: wait, for others are before it."),
        (
            tuple(f"other:{number}" for number in range(100)),
            "not among the first 100 jobs in it. Next step: wait, for others are before it.",
        ),
        (
            (*(f"other:{number}" for number in range(11)), "id", *(f"more:{number}" for number in range(88))),
            "place 12 of the first 100 in it. Next step: wait, for others are before it.",
        ),
    ],
)
def test_the_place_in_the_queue_is_told(front: tuple[str, ...], text: str):
    assert str(explain(ARRAY, replace(QUEUE, front=front, environments=(FITTING,)))) == text


def test_a_job_that_holds_up_the_others_is_named():
    head = Job("other", "theirs", JobStatus.RUNNABLE, MAX_RESOURCE)
    finding = explain(JOB, replace(QUEUE, front=("other", "id"), head=head, environments=(FITTING,)))
    assert finding.error is None
    assert str(finding).startswith(
        "place 2 of 2 in it; the job other (theirs) before it holds it up: AWS Batch says 'MISCONFIGURATION:"
    )


def test_environments_that_are_full_are_told():
    full = replace(FITTING, desired_vcpus=16)
    queue = replace(QUEUE, front=("id",), environments=(full, replace(full, name="f", desired_vcpus=20)))
    assert str(explain(JOB, queue)) == (
        "place 1 of 1 in it; no compute environment may have more instances than now: 'e' (16 vCPUs) and 'f' "
        "(16 vCPUs). Next step: wait for other jobs to end, or raise maxvCpus."
    )
    assert "may have more" not in explain(JOB, replace(queue, environments=(full, FITTING))).what


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (29, "29 s"), (60, "1 min"), (360, "6 min"), (7140, "119 min"), (7200, "2 h 0 min")],
)
def test_times_are_told_as_one_says_them(seconds: float, text: str):
    assert about(seconds) == text
