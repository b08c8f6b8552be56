"""The only list of the executor's options: names, defaults, units, limits and their texts.

Values are public here (`memory` in GB, `time_limit` in seconds); the properties at the end turn them
into the units that AWS wants, once. There is no I/O in this module.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from . import fargate
from .errors import SettingsError, UnknownOptionError
from .option_types import (
    Architecture,
    BaseImage,
    BucketName,
    ClimbGB,
    DefinitionName,
    DefinitionReference,
    EndpointURL,
    EphemeralGB,
    ImageURI,
    KeepArtifacts,
    KmsKeyId,
    LogGroupName,
    MemoryGB,
    OnShutdown,
    OtherQueueName,
    Platform,
    QueueName,
    RegionName,
    RepositoryName,
    RequirementLines,
    RetryOn,
    RoleName,
    Secrets,
    SharedGB,
    ShareIdentifier,
    Tags,
    Text,
    Variables,
    Vcpu,
    Volumes,
)
from .volumes import EXAMPLE as VOLUME_EXAMPLE
from .volumes import Volume

CONFIG_SECTION = "executors.awsbatch"

MIB_PER_GB = fargate.MIB_PER_GB
"""AWS counts memory in MiB; a GB in the options is 1024 of them, as in the console."""


def _option(default: Any, description: str, *, unit: str = "", example: str = "", **limits: Any) -> Any:
    """Describe one option; `unit` and `example` go into the table of options and into refusals."""
    return Field(
        default, description=description, json_schema_extra={"unit": unit, "example": example}, **limits
    )


class Settings(BaseModel):
    """What an executor was told. Every value is plain JSON."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credentials: Text = _option(
        "", "AWS shared credentials file; empty: where the AWS SDKs look by themselves", unit="path"
    )
    profile: Text = _option("", "profile in the credentials or config file; empty: the default one")
    region: RegionName = _option("", "AWS region; empty: the profile's own")
    s3_bucket_name: BucketName = _option(
        "covalent-batch-job-resources", "bucket through which functions, arguments and results travel"
    )
    ecr_repo_name: RepositoryName = _option(
        "covalent-batch-job-images", "ECR repository of the images that jobs run in"
    )
    batch_job_definition_name: DefinitionName = _option(
        "covalent-batch-jobs", "first part of the job definitions' name; a hash of their content follows"
    )
    batch_queue: QueueName = _option("covalent-batch-queue", "job queue, by name or ARN")
    batch_execution_role_name: RoleName = _option(
        "ecsTaskExecutionRole", "role with which ECS pulls the image and writes logs; empty: none"
    )
    batch_job_role_name: RoleName = _option(
        "CovalentBatchJobRole", "role that the function itself has; empty: the instance's"
    )
    batch_job_log_group_name: LogGroupName = _option(
        "covalent-batch-job-logs", "CloudWatch log group; empty: `/aws/batch/job`"
    )
    platform: Platform = _option(
        "EC2", "what runs the job, `EC2` or `FARGATE`: the queue's; Spot is chosen by the queue"
    )
    vcpu: Vcpu = _option(
        2,
        "virtual CPUs of a job: on EC2 a whole number, on Fargate 0.25, 0.5, 1, 2, 4, 8, 16 or 32",
        unit="vCPU",
        example="1 or more",
    )
    memory: MemoryGB = _option(
        3.75,
        "memory of a job; Fargate has a few sizes for each `vcpu`, and what it lacks is refused with the "
        "next that it has",
        unit="GB",
        allow_inf_nan=False,
        example="a number such as 2",
    )
    num_gpus: int = _option(0, "GPUs of a job", unit="GPU", ge=0, example="0 or more")
    retry_attempts: int = _option(
        3,
        "how often the job may be started in all, where `retry_on` allows it",
        unit="attempts",
        ge=1,
        le=10,
        example="a number from 1 to 10",
    )
    retry_on: RetryOn = _option(
        "cloud",
        "what is retried: `cloud`: only what the cloud did (host lost, image not to be had for a while); "
        "`any`: exceptions and crashes too",
    )
    memory_on_oom: ClimbGB = _option(
        [],
        "memory to try again with, one after the other, where a task runs out of it, such as `[8, 16]`; on "
        "Fargate each must be one that it has for `vcpu`, which stays",
        unit="GB",
        example="[8, 16]",
    )
    on_demand_queue: OtherQueueName = _option(
        "", "job queue to try again in when all attempts were lost with their hosts; empty: none"
    )
    runnable_timeout: int = _option(
        0,
        "how long a job may wait that, as AWS says, can never run; 0: for ever. What keeps a job waiting is "
        "told in any case",
        unit="s",
        ge=0,
        example="0, or 600",
    )
    on_shutdown: OnShutdown = _option(
        "leave",
        "what becomes of jobs when Covalent's server stops: `leave`: they run on, and `covalent-awsbatch "
        "recover` brings their results in; `end`: they are ended",
    )
    keep_artifacts: KeepArtifacts = _option(
        "all",
        "which functions, arguments and outcomes stay in the bucket when their tasks have ended: `all`, "
        "`failed`: those of tasks without a value, `none`",
    )
    kms_key_id: KmsKeyId = _option(
        "", "KMS key that objects are encrypted with; empty: as the bucket itself does"
    )
    verify_origin: bool = _option(
        True,
        "whether an outcome counts only if the task that was given this machine's key has written it; "
        "False: also of tasks that another machine submitted",
        example="True or False",
    )
    time_limit: int = _option(300, "how long one attempt may run", unit="s", ge=60, example="60 or more")
    cache_dir: Text = _option(
        "",
        "the server's directory for files on their way, and for this machine's key; empty: "
        "`~/.cache/covalent/awsbatch`",
        unit="path",
    )
    poll_freq: float = _option(
        10,
        "longest time between two looks at a job; short jobs are looked at more often",
        unit="s",
        ge=0.1,
        allow_inf_nan=False,
        example="0.1 or more",
    )
    gather_window: float = _option(
        1.0,
        "longest time that a task waits for others to be submitted with, as one array job; a lone one waits "
        "0.1 s, others at most a tenth of what such tasks take anyway",
        unit="s",
        ge=0,
        allow_inf_nan=False,
        example="0 or more",
    )
    max_array_size: int = _option(
        10_000,
        "most tasks of an array job, 10,000 at AWS; 1: every task is a job of its own; with smaller ones a "
        "job that is ended in the console takes fewer tasks with it",
        unit="tasks",
        ge=1,
        le=10_000,
        example="a number from 1 to 10000",
    )
    transfers_at_once: int = _option(
        64,
        "results that are fetched from S3 at a time; more need more memory and connections and are hardly "
        "faster, fewer are slower where S3 is far",
        unit="objects",
        ge=1,
        example="1 or more",
    )
    container_image_uri: ImageURI = _option(
        "", "image that jobs run in; empty: one is built from the next five options, once, and pushed"
    )
    base_image: BaseImage = _option(
        "public.ecr.aws/docker/library/python:{python}-slim",
        "image to build on, with the Python of your client and pip; `{python}` stands for that Python's "
        "version, such as 3.11",
    )
    build_context: Text = _option(
        "",
        "directory on the server with a Dockerfile of your own, which is built and takes the place of "
        "`base_image`",
        unit="path",
    )
    requirements: RequirementLines = _option(
        [], "what pip installs into the image: a list, or the path of a requirements file"
    )
    install_covalent: bool = _option(
        True,
        "whether the image has Covalent; only tasks that call electrons, build sublattices or run DepsBash "
        "need it",
        example="True or False",
    )
    cpu_architecture: Architecture = _option(
        "X86_64", "processor that the image is built for, `X86_64` or `ARM64`: the queue's"
    )
    endpoint_url: EndpointURL = _option(
        "", "endpoint of all AWS services, such as a local AWS; empty: AWS's own", unit="URL"
    )
    log_stdout: Text = _option(
        "", "file on the server that a task's output is appended to; empty: none", unit="path"
    )
    log_stderr: Text = _option(
        "", "file on the server that a task's error output is appended to; empty: none", unit="path"
    )
    shared_memory: SharedGB = _option(
        0,
        "size of `/dev/shm`, a part of `memory`, on EC2; 0: Docker's 64 MiB",
        unit="GB",
        ge=0,
        allow_inf_nan=False,
        example="0 or more",
    )
    ephemeral_storage: EphemeralGB = _option(
        0,
        "disk of a job on Fargate, 21 to 200, of which the image takes its part; 0: Fargate's 20",
        unit="GB",
        example="a number from 21 to 200",
    )
    assign_public_ip: bool = _option(
        False,
        "whether a job on Fargate has a public address: without one its subnets need a NAT gateway or "
        "endpoints of S3, ECR and Logs",
        example="True or False",
    )
    volumes: Volumes = _option(
        [],
        'file systems in the container, such as `{"efs": "fs-…", "path": "/mnt/data"}`, with `root`, '
        "`access_point` and `iam` (with the job role's rights) where wanted, or on EC2 "
        '`{"host": "/scratch", "path": "/scratch"}`; either with `"read_only": true`',
        example=f"[{VOLUME_EXAMPLE}]",
    )
    environment: Variables = _option(
        {},
        "variables of the container, which whoever may describe jobs can read; 6,500 characters at most, as "
        "JSON",
    )
    secrets: Secrets = _option(
        {},
        "variables of the container with the ARNs of their values, in Secrets Manager or the SSM Parameter "
        "Store; the execution role must be allowed to read them, and ECS does, at the start",
    )
    tags: Tags = _option(
        {}, "tags of jobs and arrays (an array's children have none), which takes `batch:TagResource`"
    )
    propagate_tags: bool = _option(
        False,
        "whether ECS's tasks have the tags, too: costs can be told apart by them",
        example="True or False",
    )
    share_identifier: ShareIdentifier = _option(
        "", "whose share of a queue with a fair-share policy jobs take, where it must be given; empty: none"
    )
    scheduling_priority: int = _option(
        0,
        "the higher, the sooner a job comes among those of its `share_identifier`, up to 9999; 0: the job "
        "definition's own, if any",
        ge=0,
        le=9999,
        example="a number from 0 to 9999",
    )
    job_definition: DefinitionReference = _option(
        "",
        "a job definition of your own, by name, name:revision or ARN, which is used as it is: nothing is "
        "registered and no image built; image, roles and logs are its own (`batch_job_log_group_name` names "
        "where these go, `platform` what it is for), and command, `vcpu`, `memory`, `num_gpus`, "
        "`environment`, time limit and attempts are given to it; empty: one is made",
    )
    retries: int = _option(
        0, "Covalent's own option, kept for Covalent; see `retry_attempts`", ge=0, example="0 or more"
    )

    @property
    def memory_mib(self) -> int:
        """Return the memory of a job as AWS Batch wants it."""
        return int(self.memory * MIB_PER_GB)

    @property
    def shared_memory_mib(self) -> int:
        """Return the size of `/dev/shm` as AWS Batch wants it; 0: Docker's own."""
        return int(self.shared_memory * MIB_PER_GB)

    @property
    def cache_path(self) -> Path:
        """Return the directory for files of this machine: those on their way, and its key."""
        cache_home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(self.cache_dir or f"{cache_home}/covalent/awsbatch").expanduser()

    @property
    def queues(self) -> list[str]:
        """Return the queues in which jobs may be: the task's own, and the one that it may go on in."""
        return [each for each in (self.batch_queue, self.on_demand_queue) if each]

    @property
    def asked(self) -> tuple[Any, ...]:
        """Return what tasks must ask for alike to be submitted together; their image is the definition's."""
        return (
            *(self.credentials, self.profile, self.region, self.endpoint_url),
            *(self.s3_bucket_name, self.kms_key_id, self.batch_queue),
            *(self.vcpu, self.memory_mib, self.num_gpus),
            *(tuple(sorted(self.environment.items())), tuple(sorted(self.tags.items()))),
            *(self.propagate_tags, self.share_identifier, self.scheduling_priority),
            *(self.retry_attempts, self.retry_on, bool(self.memory_on_oom)),
            *(self.time_limit, self.runnable_timeout, self.poll_freq),
            *(self.gather_window, self.max_array_size, self.keep_artifacts),
        )

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return every option with its default, which is the caller's own."""
        return {name: field.get_default() for name, field in cls.model_fields.items()}

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Settings:
        """Return the settings that an executor's attributes hold; what they lack has its default.

        Raises SettingsError where a value would be refused: the attributes may be an older client's.
        """
        return _validated({name: attributes[name] for name in cls.model_fields if name in attributes}, {})


@dataclass(frozen=True)
class Resolution:
    """The settings of an executor, and what its user should be warned of."""

    settings: Settings
    warnings: list[str]


def resolve(written: Mapping[str, Any], configured: Mapping[str, Any]) -> Resolution:
    """Combine what the user wrote with `[executors.awsbatch]` and the defaults; what is written wins.

    Covalent itself passes the whole section as keywords, so a keyword that stands in `configured` with
    the same value came from there: unknown keys of that origin are warned of, others refused.

    Raises SettingsError (UnknownOptionError for a misspelt keyword), in one sentence for each fault.
    """
    known = Settings.model_fields
    for name, value in written.items():
        if name not in known and not (name in configured and configured[name] == value):
            raise UnknownOptionError(_unknown_option(name))
    warnings = [
        f"[{CONFIG_SECTION}] of Covalent's configuration has the key {name!r}, which this version does not "
        f"know: it is ignored and can be removed."
        for name in configured
        if name not in known
    ]
    chosen = {name: value for name, value in {**configured, **written}.items() if name in known}
    settings = _validated(chosen, configured)
    if settings.job_definition and (unused := _unused(written, configured)):
        warnings.append(
            f"job_definition={settings.job_definition!r} has its own image and roles: {', '.join(unused)} "
            f"has no effect and can be left out."
        )
    return Resolution(settings, warnings)


def _validated(chosen: Mapping[str, Any], configured: Mapping[str, Any]) -> Settings:
    try:
        settings = Settings.model_validate(dict(chosen))
    except ValidationError as error:
        # One sentence for each option, although what is wrong with it may have been found in several ways.
        found = {each["loc"][0]: each for each in reversed(error.errors(include_url=False))}
        sentences = [_refusal(each, configured) for each in reversed(found.values())]
        raise SettingsError("\n".join(sentences)) from None
    if conflicts := [_together(*each, settings, configured) for each in _conflicts(settings)]:
        raise SettingsError("\n".join(conflicts))
    return settings


def _refusal(error: ErrorDetails, configured: Mapping[str, Any]) -> str:
    """Say in one sentence which option has which value, what the limit is and what would do."""
    name, value = str(error["loc"][0]), error["input"]
    place = _place(name, value, configured)
    # Requirements and variables are many, and one of them may be refused for the secret that it holds.
    shown = name if error["type"] in _UNSHOWN else f"{name}{_part(error)}={value!r}"
    return f"{shown}{place} is refused: {_rule(name, error)}."


_UNSHOWN = {"requirements", "variables"}


def _part(error: ErrorDetails) -> str:
    """Return which part of an option is meant, such as `[0].path` of one that is a list of dicts."""
    if len(error["loc"]) < 2 or not isinstance(error["loc"][1], int):
        return ""
    _, number, *keys = error["loc"]
    return f"[{number}]" + "".join(f".{key}" for key in keys)


def _place(name: str, value: Any, configured: Mapping[str, Any]) -> str:
    if name in configured and configured[name] == value:
        return f" in [{CONFIG_SECTION}] of Covalent's configuration"
    return ""


# --- what does not go together ----------------------------------------------------------------------------

Conflict = tuple[Sequence[str], str]
"""Options that do not go together, and how their sentence goes on."""

_OF_A_DEFINITION = ("volumes", "secrets", "shared_memory", "ephemeral_storage", "assign_public_ip")
"""What only a job definition can say, so that it cannot be given to one of the user's own."""

_USED_WITHOUT_OWN_DEFINITION = (
    *("ecr_repo_name", "container_image_uri", "base_image", "build_context", "requirements"),
    *("install_covalent", "cpu_architecture", "batch_execution_role_name", "batch_job_role_name"),
)
"""What the making of images and definitions looks at."""


def _conflicts(settings: Settings) -> Iterator[Conflict]:
    yield from _fargate_sizes(settings) if settings.platform == "FARGATE" else _ec2_sizes(settings)
    yield from _with_own_definition(settings) if settings.job_definition else _on_platform(settings)
    if settings.scheduling_priority and not settings.share_identifier:
        yield ["scheduling_priority"], ": it orders the jobs of a share; a share_identifier with it would do"
    for name in sorted(settings.environment.keys() & settings.secrets.keys()):
        yield ["secrets"], f": {name!r} is in environment too; leave it out of one of them"


def _ec2_sizes(settings: Settings) -> Iterator[Conflict]:
    if isinstance(settings.vcpu, float):
        yield ["vcpu"], ": it must be a whole number; 1 or more would do"
    elif settings.vcpu < 1:
        yield ["vcpu"], ": the minimum is 1 vCPU; 1 or more would do"


def _fargate_sizes(settings: Settings) -> Iterator[Conflict]:
    if objection := fargate.objection(settings.vcpu, settings.memory_mib):
        yield ["vcpu", "memory"], f" on Fargate: {objection}"
        return
    for each in settings.memory_on_oom:
        if objection := fargate.objection(settings.vcpu, int(each * MIB_PER_GB)):
            yield ["memory_on_oom"], f" on Fargate: {objection}"
            break
    if settings.num_gpus:
        yield ["num_gpus"], " on Fargate: it has none; platform='EC2' would do"


def _on_platform(settings: Settings) -> Iterator[Conflict]:
    """Say what a definition for this platform cannot have."""
    if settings.platform == "FARGATE":
        yield from _on_fargate(settings)
    else:
        for name in ("ephemeral_storage", "assign_public_ip"):
            if getattr(settings, name):
                yield [name], " on EC2: it is Fargate's alone; platform='FARGATE' would do"
    if settings.secrets and not settings.batch_execution_role_name:
        yield ["secrets"], ": ECS reads them with the execution role; a batch_execution_role_name would do"
    if any(each.iam for each in settings.volumes) and not settings.batch_job_role_name:
        yield ["volumes"], ": 'iam' takes the job's role; a batch_job_role_name would do"


def _on_fargate(settings: Settings) -> Iterator[Conflict]:
    if settings.shared_memory:
        yield ["shared_memory"], " on Fargate: it is EC2's alone; platform='EC2' would do"
    if any(each.host for each in settings.volumes):
        yield ["volumes"], f" on Fargate: it has no hosts, only EFS; [{VOLUME_EXAMPLE}] would do"
    if not settings.batch_execution_role_name:
        rule = "it pulls images and writes logs with that role alone; 'ecsTaskExecutionRole' would do"
        yield ["batch_execution_role_name"], f" on Fargate: {rule}"


def _with_own_definition(settings: Settings) -> Iterator[Conflict]:
    for name in _OF_A_DEFINITION:
        if getattr(settings, name):
            rule = f"job_definition={settings.job_definition!r} has its own; leave one of the two out"
            yield [name], f": {rule}"


def _together(names: Sequence[str], rest: str, settings: Settings, configured: Mapping[str, Any]) -> str:
    values = settings.model_dump(include=set(names))
    shown = ", ".join(name if name == "secrets" else f"{name}={_plain(values[name])!r}" for name in names)
    places = {_place(name, values[name], configured) for name in names}
    return f"{shown}{places.pop() if len(places) == 1 else ''} is refused{rest}."


def _plain(value: Any) -> Any:
    """Return a value as one would write it: 4 for 4.0."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _unused(written: Mapping[str, Any], configured: Mapping[str, Any]) -> list[str]:
    """Return the options that somebody wrote beside a job definition of their own and that have no effect."""
    return [
        name
        for name in _USED_WITHOUT_OWN_DEFINITION
        if name in written and _place(name, written[name], configured) == ""
    ]


# --- the words of a refusal -------------------------------------------------------------------------------


def _rule(name: str, error: ErrorDetails) -> str:
    field = Settings.model_fields[name]
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    example, unit = extra.get("example", ""), extra.get("unit", "")
    limits = error.get("ctx", {})
    unit_text = f" {unit}" if unit else ""
    if error["type"] == "greater_than_equal":
        return f"the minimum is {limits['ge']}{unit_text}; {example} would do"
    if error["type"] == "less_than_equal":
        return f"the maximum is {limits['le']}{unit_text}; {example} would do"
    if error["type"] == "int_from_float":
        return f"it must be a whole number; {example} would do"
    if error["type"] == "extra_forbidden":
        return f"a volume has no such key; {', '.join(Volume.model_fields)} are all"
    if error["type"] in {"pattern", "memory", "volume", *_UNSHOWN}:
        return error["msg"]
    return f"{error['msg'][0].lower()}{error['msg'][1:]}" + (f"; {example} would do" if example else "")


def _unknown_option(name: str) -> str:
    close = difflib.get_close_matches(name, Settings.model_fields, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    options = ", ".join(f"{key}={value!r}" for key, value in Settings.defaults().items())
    return f"AWSBatchExecutor has no option {name!r}.{guess} The options and their defaults are: {options}."


def options_table() -> str:
    """Return the Markdown table of all options that stands in the README."""
    rows = ["| option | default | unit | what it is |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        default = '""' if field.default == "" else field.default
        rows.append(f"| `{name}` | `{default}` | {extra.get('unit', '')} | {field.description} |")
    return "\n".join(rows)
