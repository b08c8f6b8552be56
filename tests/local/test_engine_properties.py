"""Whatever is submitted, ended or lost, and whenever: the state machine keeps AWS's rules."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from covalent_awsbatch_plugin.job import JobStatus
from covalent_awsbatch_plugin.local.attempts import Ending
from covalent_awsbatch_plugin.local.engine import Engine
from covalent_awsbatch_plugin.local.faults.answers import Answers
from covalent_awsbatch_plugin.local.faults.force import InForce
from covalent_awsbatch_plugin.local.faults.plan import JobFault, Plan
from covalent_awsbatch_plugin.local.faults.random_plan import random_plan
from covalent_awsbatch_plugin.local.faults.requests import RequestFaults
from covalent_awsbatch_plugin.local.jobs import (
    Account,
    ComputeEnvironment,
    Demand,
    Job,
    JobDefinition,
    JobQueue,
    JobSpec,
    RetryStrategy,
)
from covalent_awsbatch_plugin.local.runner import Launch
from covalent_awsbatch_plugin.local.timing import Timing

from .virtual import NoLogs, PretendingRunner, run_virtual

# Written out here from AWS's documentation, independently of the engine's own table.
DOCUMENTED = {
    ("SUBMITTED", "PENDING"),
    ("SUBMITTED", "RUNNABLE"),
    ("SUBMITTED", "FAILED"),
    ("PENDING", "RUNNABLE"),
    ("PENDING", "FAILED"),
    ("RUNNABLE", "STARTING"),
    ("RUNNABLE", "FAILED"),
    ("STARTING", "RUNNING"),
    ("STARTING", "RUNNABLE"),
    ("STARTING", "FAILED"),
    ("RUNNING", "SUCCEEDED"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "RUNNABLE"),
}
DOCUMENTED_FOR_PARENTS = {
    ("SUBMITTED", "PENDING"),
    ("SUBMITTED", "FAILED"),
    ("PENDING", "SUCCEEDED"),
    ("PENDING", "FAILED"),
}

VCPUS, MEMORY_MIB = 3, 1000


@dataclass(frozen=True)
class Submission:
    """One SubmitJob, and how long its attempts take and how they end."""

    delay_s: float
    vcpus: int
    memory_mib: int
    attempts: int
    array_size: int | None
    sequential: bool
    awaits: tuple[int, ...]
    timeout_s: int | None
    plan: tuple[tuple[float, int | None], ...]


@dataclass(frozen=True)
class Blow:
    """Something that befalls one of the jobs at some time."""

    at_s: float
    job: int
    verb: str


SUBMISSION = st.builds(
    Submission,
    delay_s=st.floats(0, 5),
    vcpus=st.integers(1, VCPUS),
    memory_mib=st.integers(4, MEMORY_MIB),
    attempts=st.integers(1, 4),
    array_size=st.none() | st.integers(2, 5),
    sequential=st.booleans(),
    awaits=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    timeout_s=st.none() | st.integers(60, 120),
    plan=st.lists(
        st.tuples(st.floats(0, 200), st.none() | st.sampled_from([0, 0, 1, 137])), min_size=1, max_size=5
    ).map(tuple),
)
BLOW = st.builds(
    Blow,
    at_s=st.floats(0, 400),
    job=st.integers(0, 50),
    verb=st.sampled_from(["cancel", "terminate", "lose_host", "kill", "fail_start", "misreport"]),
)


@dataclass
class World:
    """An engine with one queue, watched from outside."""

    moves: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    plans: dict[str, Submission] = field(default_factory=dict)
    faults: Plan = field(default_factory=Plan)
    terminated: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        account = Account()
        capacity = Demand(VCPUS * 1024, MEMORY_MIB)
        self.environment = ComputeEnvironment(
            "e", "arn", "arn:c/c", "u", "MANAGED", {}, capacity, status="VALID"
        )
        self.queue = JobQueue("q", "arn:q", 1, [self.environment], [1], status="VALID")
        self.runner = PretendingRunner(self.fate)
        self.engine = Engine(account, self.runner, NoLogs(), Timing(), [self.watch])
        self.engine.placement.queues["q"] = self.queue
        requests = RequestFaults(lambda _: [], lambda *_: None)
        self.answers = Answers()
        self.in_force = InForce(self.engine, requests, self.answers, self.faults)

    def fate(self, launch: Launch) -> tuple[float, int | None]:
        plan = self.plans[launch.job_id.partition(":")[0]].plan
        return plan[(launch.attempt - 1) % len(plan)]

    def watch(self, job: Job, before: JobStatus) -> None:
        self.moves.setdefault(job.id, []).append((before.value, job.status.value))
        if not 0 <= self.environment.used_cpu_units <= VCPUS * 1024:
            self.violations.append(f"{self.environment.used_cpu_units} CPU units in use")
        if not 0 <= self.environment.used_memory_mib <= MEMORY_MIB:
            self.violations.append(f"{self.environment.used_memory_mib} MiB in use")
        if job.id in self.terminated and job.status is not JobStatus.FAILED:
            self.violations.append(f"a terminated job became {job.status}")
        if job.status is JobStatus.STARTING and not self.may_start(job):
            self.violations.append("a job started before its dependencies succeeded")

    def may_start(self, job: Job) -> bool:
        awaited = [self.engine.jobs[each["jobId"]] for each in job.spec.depends_on if "jobId" in each]
        return all(each.status is JobStatus.SUCCEEDED for each in awaited)

    def submit(self, wanted: Submission) -> None:
        depends: list[dict[str, Any]] = [
            {"jobId": self.jobs[number % len(self.jobs)].id} for number in wanted.awaits if self.jobs
        ]
        if wanted.sequential and wanted.array_size is not None:
            depends.append({"type": "SEQUENTIAL"})
        spec = JobSpec(
            name="n",
            queue=self.queue,
            definition=JobDefinition("d", 1, "arn:d:1", {}),
            container={"command": ["x"]},
            demand=Demand(wanted.vcpus * 1024, wanted.memory_mib),
            retry=RetryStrategy(wanted.attempts),
            timeout_s=wanted.timeout_s,
            depends_on=tuple(depends),
        )
        job = self.engine.submit(spec, wanted.array_size)
        self.jobs.append(job)
        self.plans[job.id] = wanted

    def strike(self, blow: Blow) -> None:
        leaves = [each for job in self.jobs for each in (job, *job.children)]
        if leaves:
            target = leaves[blow.job % len(leaves)]
            details: dict[str, Any] = {
                "cancel": "struck",
                "terminate": "struck",
                "fail_start": Ending("struck", None, None),
                "misreport": Ending("struck", None, None),
            }
            told = [details[blow.verb]] if blow.verb in details else []
            if blow.verb == "terminate" and not target.children:
                self.terminated.add(target.id)
            getattr(self.engine, blow.verb)(target, *told)

    async def live(self, submissions: list[Submission], blows: list[Blow]) -> None:
        loop = asyncio.get_running_loop()
        for wanted in submissions:
            loop.call_later(wanted.delay_s, self.submit, wanted)
        for blow in blows:
            loop.call_later(blow.at_s, self.strike, blow)
        while len(self.jobs) < len(submissions) or not all(job.status.is_final for job in self.jobs):
            await asyncio.sleep(10)
        await asyncio.sleep(500)
        await self.engine.close()


def lived(submissions: list[Submission], blows: list[Blow], faults: Plan | None = None) -> World:
    worlds: list[World] = []

    async def main() -> None:
        worlds.append(World(faults=faults or Plan()))
        await worlds[0].live(submissions, blows)

    run_virtual(main)
    assert worlds[0].violations == []
    return worlds[0]


SUBMISSIONS = st.lists(SUBMISSION, min_size=1, max_size=6)
BLOWS = st.lists(BLOW, max_size=6)


@settings(max_examples=200, deadline=None)
@given(SUBMISSIONS, BLOWS)
def test_every_job_ends_by_documented_moves_and_gives_its_capacity_back(
    submissions: list[Submission], blows: list[Blow]
) -> None:
    world = lived(submissions, blows)
    assert (world.environment.used_cpu_units, world.environment.used_memory_mib) == (0, 0)
    assert world.runner.closed
    assert not world.queue.runnable
    for job in world.engine.jobs.values():
        moves = world.moves[job.id]
        assert set(moves) <= (DOCUMENTED_FOR_PARENTS if job.children else DOCUMENTED)
        assert [before for before, _ in moves] == ["SUBMITTED", *[after for _, after in moves[:-1]]]
        assert job.status.is_final
        assert job.stopped_at_ms is not None


@settings(max_examples=200, deadline=None)
@given(SUBMISSIONS, BLOWS, st.integers(), st.integers(0, 20))
def test_every_job_ends_under_any_plan_of_faults_that_ends(
    submissions: list[Submission], blows: list[Blow], seed: int, faults: int
) -> None:
    world = lived(submissions, blows, random_plan(seed, faults))
    assert (world.environment.used_cpu_units, world.environment.used_memory_mib) == (0, 0)
    for job in world.engine.jobs.values():
        assert job.status.is_final
        assert len(job.attempts) <= job.spec.retry.attempts
        assert world.answers.is_known(job)
    for name, fault in world.faults.named():
        if isinstance(fault, JobFault):
            assert 0 <= world.in_force.struck[name] <= (fault.times or 0)


@settings(max_examples=200, deadline=None)
@given(SUBMISSIONS, BLOWS)
def test_attempts_are_counted_and_decide(submissions: list[Submission], blows: list[Blow]) -> None:
    world = lived(submissions, blows)
    for job in world.engine.jobs.values():
        if job.children:
            continue
        starts = sum(after == "STARTING" for _, after in world.moves[job.id])
        assert starts == len(job.attempts) <= job.spec.retry.attempts
        assert [attempt.number for attempt in job.attempts] == list(range(1, starts + 1))
        codes = [attempt.exit_code for attempt in job.attempts]
        assert 0 not in codes[:-1]
        if job.status is JobStatus.SUCCEEDED:
            assert codes[-1] == 0
        elif not (job.is_cancelled or job.is_terminated or job.dependency_failed):
            timed_out = job.status_reason == "Job attempt duration exceeded timeout"
            assert timed_out or starts == job.spec.retry.attempts


@settings(max_examples=200, deadline=None)
@given(SUBMISSIONS, BLOWS)
def test_a_parent_is_what_its_children_are(submissions: list[Submission], blows: list[Blow]) -> None:
    world = lived(submissions, blows)
    for parent in world.jobs:
        if parent.children:
            statuses = [child.status for child in parent.children]
            assert parent.summary is not None
            assert {status: count for status, count in parent.summary.items() if count} == {
                status: statuses.count(status) for status in set(statuses)
            }
            failed = JobStatus.FAILED in statuses
            assert parent.status is (JobStatus.FAILED if failed else JobStatus.SUCCEEDED)


@settings(max_examples=100, deadline=None)
@given(SUBMISSIONS)
def test_without_blows_only_time_limits_stop_an_attempt(submissions: list[Submission]) -> None:
    world = lived(submissions, [])
    for run in world.runner.runs:
        submission = world.plans[run.launch.job_id.partition(":")[0]]
        duration_s, _ = world.fate(run.launch)
        over = submission.timeout_s is not None and duration_s > submission.timeout_s
        assert run.stops == ([30.0] if over else [])
