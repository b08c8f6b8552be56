"""Plans made by chance, for long tests: the same seed gives the same plan."""

from __future__ import annotations

from random import Random

from .effects import (
    AgentGone,
    CannotPull,
    CannotStart,
    Cut,
    ExpiredToken,
    HalfBody,
    InspectError,
    JobEffect,
    Killed,
    Latency,
    LoseHost,
    NetworkInterface,
    OutOfMemory,
    Refusal,
    RequestEffect,
    ResourceInitialization,
    SkipStates,
    StaleSummary,
    Stuck,
    UnknownLooks,
    UnlistedLooks,
)
from .plan import Fault, JobFault, Plan, RequestFault, Span, Target

OPERATIONS = (
    "SubmitJob",
    "DescribeJobs",
    "ListJobs",
    "RegisterJobDefinition",
    "DescribeJobDefinitions",
    "DescribeJobQueues",
    "TerminateJob",
    "PutObject",
    "GetObject",
    "HeadObject",
    "ListObjectsV2",
    "GetLogEvents",
)
PASSING_REFUSALS = (429, 500, 503)

LATEST_CALL = 60
MOST_CALLS_IN_A_ROW = 3
MOST_TIMES = 5
HIGHEST_INDEX = 99
LONGEST_S = 2.0


def random_plan(seed: int, faults: int) -> Plan:
    """Return a plan of so many faults, of which every one ends: each strikes a number of times.

    What AWS does not do by chance is left out: forbidden images, roles, damaged objects, forgotten jobs,
    and jobs that are stuck for ever.
    """
    chance = Random(seed)
    return Plan(faults=[_fault(chance) for _ in range(faults)])


def _fault(chance: Random) -> Fault:
    return _request_fault(chance) if chance.random() < 0.5 else _job_fault(chance)


def _request_fault(chance: Random) -> RequestFault:
    operation = chance.choice(OPERATIONS)
    return RequestFault(
        operation=operation,
        effect=HalfBody() if operation == "GetObject" and chance.random() < 0.2 else _request_effect(chance),
        calls=Span(first=chance.randint(1, LATEST_CALL), count=chance.randint(1, MOST_CALLS_IN_A_ROW)),
    )


def _request_effect(chance: Random) -> RequestEffect:
    effects: list[RequestEffect] = [
        Latency(latency_s=_seconds(chance)),
        Refusal(status=chance.choice(PASSING_REFUSALS)),
        Refusal(status=500, after=True),
        Cut(cut="before"),
        Cut(cut="after"),
        ExpiredToken(),
    ]
    return chance.choice(effects)


def _job_fault(chance: Random) -> JobFault:
    index = chance.randint(0, HIGHEST_INDEX) if chance.random() < 0.5 else None
    return JobFault(job=Target(index=index), effect=_job_effect(chance), times=chance.randint(1, MOST_TIMES))


def _job_effect(chance: Random) -> JobEffect:
    effects: list[JobEffect] = [
        LoseHost(lose_host="STARTING"),
        LoseHost(lose_host="RUNNING", after_s=_seconds(chance), fargate=chance.random() < 0.5),
        OutOfMemory(after_s=_seconds(chance)),
        Killed(after_s=_seconds(chance)),
        CannotPull(cannot_pull=chance.choice(("disk_full", "rate_limit", "no_route"))),
        CannotStart(cannot_start=chance.choice(("create", "start", "timeout"))),
        AgentGone(),
        ResourceInitialization(),
        NetworkInterface(),
        InspectError(),
        Stuck(stuck=chance.choice(("", "UNDETERMINED")), for_s=_seconds(chance)),
        SkipStates(skip_states=["STARTING", "RUNNING"]),
        UnknownLooks(unknown_looks=chance.randint(1, 3)),
        UnlistedLooks(unlisted_looks=chance.randint(1, 3)),
        StaleSummary(stale_summary_s=_seconds(chance)),
    ]
    return chance.choice(effects)


def _seconds(chance: Random) -> float:
    return round(chance.uniform(0, LONGEST_S), 2)
