"""What faults do, one record for each effect; a record's first field is its key in a plan."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

THROTTLED, FORBIDDEN = 429, 403
KNOWN_STATUSES = (FORBIDDEN, THROTTLED, 500, 502, 503, 504)
"""HTTP statuses for which `refusals` has AWS's own code and text."""

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Yes = Literal[True]
Placed = Literal["STARTING", "RUNNING"]


class Part(BaseModel):
    """A part of a plan: unknown fields are refused, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- what happens to a request ---


class Latency(Part):
    """The answer comes later by `latency_s`."""

    latency_s: Seconds


class Refusal(Part):
    """AWS answers an error: instead of doing what was asked or, with `after`, though it has done it.

    `status` 429 is how the service says that there are too many calls, whatever its HTTP status for that is.
    Other codes and messages than AWS's usual ones are set by `code` and `message`.
    """

    status: Annotated[int, Field(ge=400, le=599)]
    after: bool = False
    code: str | None = None
    message: str | None = None

    @model_validator(mode="after")
    def _check_code(self) -> Refusal:
        if self.code is None and self.status not in KNOWN_STATUSES:
            known = ", ".join(map(str, KNOWN_STATUSES))
            raise ValueError(f"AWS's code for {self.status} is not known here: set `code`, or take {known}")
        return self


class Cut(Part):
    """The connection is closed without an answer, before or after the operation took effect."""

    cut: Literal["before", "after"]


class ExpiredToken(Part):
    """AWS says that the session token has expired."""

    expired_token: Yes = True


class HalfBody(Part):
    """Half of an object comes, then the connection is cut."""

    half_body: Yes = True


class HalfWritten(Part):
    """The object is stored with its first half only, and the answer says that all went well."""

    half_written: Yes = True


# --- what happens to the attempt of a job ---


class LoseHost(Part):
    """The attempt ends as a Spot reclaim ends it, `after_s` after this state was reached."""

    lose_host: Placed
    after_s: Seconds = 0
    fargate: bool = False


class OutOfMemory(Part):
    """The kernel kills the program for its memory, and ECS says so."""

    out_of_memory: Yes = True
    after_s: Seconds = 0


class Killed(Part):
    """Something kills the program (exit code 137), and nothing says why."""

    killed: Yes = True
    after_s: Seconds = 0


class CannotPull(Part):
    """The image cannot be had."""

    cannot_pull: Literal["missing", "forbidden", "architecture", "disk_full", "rate_limit", "no_route"]


class CannotStart(Part):
    """The container cannot be created or started, or Docker takes too long for it."""

    cannot_start: Literal["create", "start", "timeout"]


class AgentGone(Part):
    """The host's ECS agent is disconnected."""

    agent_gone: Yes = True


class ResourceInitialization(Part):
    """Secrets or registry credentials cannot be had (Fargate)."""

    resource_initialization: Yes = True


class Role(Part):
    """ECS cannot assume the job's role."""

    role: Yes = True


class NetworkInterface(Part):
    """The network interface does not come in time (Fargate)."""

    network_interface: Yes = True


class Ends(Part):
    """How AWS says that an attempt ended, in any words."""

    status_reason: str | None = None
    container_reason: str | None = None
    exit_code: Annotated[int, Field(ge=1, le=255)] | None = None


class EndWith(Part):
    """The attempt ends before anything ran, with these texts."""

    end_with: Ends


class InspectError(Part):
    """The program does its work, but Docker cannot tell how it ended: the attempt counts as failed."""

    inspect_error: Yes = True


class Stuck(Part):
    """The job stays RUNNABLE for `for_s` seconds, or for ever, and so does what stands behind it.

    `stuck` is the statusReason, or the code of one of AWS's block reasons, told some time later; it may be
    empty.
    """

    stuck: str
    for_s: Seconds | None = None


# --- what clients see of a job ---


class SkipStates(Part):
    """Clients see the state before instead of these."""

    skip_states: list[Placed]


class UnknownLooks(Part):
    """DescribeJobs does not know the job the first times that it is asked."""

    unknown_looks: Annotated[int, Field(ge=1)]


class UnlistedLooks(Part):
    """ListJobs leaves the job out the first times that it should list it."""

    unlisted_looks: Annotated[int, Field(ge=1)]


class StaleSummary(Part):
    """The statusSummary of an array is that of some time ago."""

    stale_summary_s: Seconds


class Vanish(Part):
    """AWS Batch forgets the job, and its children, when it reaches a state; what runs of it runs on."""

    vanish: Literal["PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"]


RequestEffects = (
    Annotated[Latency, Tag("latency_s")]
    | Annotated[Refusal, Tag("status")]
    | Annotated[Cut, Tag("cut")]
    | Annotated[ExpiredToken, Tag("expired_token")]
    | Annotated[HalfBody, Tag("half_body")]
    | Annotated[HalfWritten, Tag("half_written")]
)

JobEffects = (
    Annotated[LoseHost, Tag("lose_host")]
    | Annotated[OutOfMemory, Tag("out_of_memory")]
    | Annotated[Killed, Tag("killed")]
    | Annotated[CannotPull, Tag("cannot_pull")]
    | Annotated[CannotStart, Tag("cannot_start")]
    | Annotated[AgentGone, Tag("agent_gone")]
    | Annotated[ResourceInitialization, Tag("resource_initialization")]
    | Annotated[Role, Tag("role")]
    | Annotated[NetworkInterface, Tag("network_interface")]
    | Annotated[EndWith, Tag("end_with")]
    | Annotated[InspectError, Tag("inspect_error")]
    | Annotated[Stuck, Tag("stuck")]
    | Annotated[SkipStates, Tag("skip_states")]
    | Annotated[UnknownLooks, Tag("unknown_looks")]
    | Annotated[UnlistedLooks, Tag("unlisted_looks")]
    | Annotated[StaleSummary, Tag("stale_summary_s")]
    | Annotated[Vanish, Tag("vanish")]
)


def kinds_of(effects: Any) -> dict[str, type[Part]]:
    """Return the kinds of effects in a union, by their keys in a plan."""
    return {tag.tag: kind for kind, tag in map(get_args, get_args(effects))}


def _by_key(effects: Any) -> Discriminator:
    """Return what tells the effects of a union apart: the field that each begins with."""
    kinds = kinds_of(effects)

    def key_of(value: Any) -> str | None:
        keys = type(value).model_fields if isinstance(value, Part) else value
        return next((key for key in keys if key in kinds), None) if isinstance(keys, dict) else None

    text = f"must be an object with one of {', '.join(kinds)}"
    return Discriminator(key_of, custom_error_type="effect", custom_error_message=text)


RequestEffect = Annotated[RequestEffects, _by_key(RequestEffects)]
"""What can happen to a request."""

JobEffect = Annotated[JobEffects, _by_key(JobEffects)]
"""What can happen to a job: to its attempts, and to what clients see of it."""
