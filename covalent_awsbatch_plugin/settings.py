"""The only list of the executor's options: names, defaults, units, limits and their texts.

Values are public here (`memory` in GB, `time_limit` in seconds); the properties at the end turn them
into the units that AWS wants, once. There is no I/O in this module, but for reading a requirements file.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from . import requirements as requirement_lines
from .errors import SettingsError, UnknownOptionError

CONFIG_SECTION = "executors.awsbatch"

MIB_PER_GB = 1024
"""AWS counts memory in MiB; a GB in the options is 1024 of them, as in the console."""

MIN_MEMORY_MIB = 4
MAX_NAME_CHARS = 128
DEFINITION_HASH_CHARS = 16
"""Job definitions are named `<batch_job_definition_name>-<hash>`."""


@dataclass(frozen=True)
class Pattern:
    """A shape that a text must have; `rule` says it in words and `example` would do."""

    regex: str
    rule: str
    example: str
    optional: bool = True

    def __call__(self, value: str) -> str:
        """Return the value, or raise what pydantic collects."""
        if (value == "" and self.optional) or re.fullmatch(self.regex, value):
            return value
        raise PydanticCustomError(
            "pattern", "{rule}; {example} would do", {"rule": self.rule, "example": repr(self.example)}
        )


def _none_is_empty(value: Any) -> Any:
    """Take None for the empty text: Python says None where TOML can only say ""."""
    return "" if value is None else value


def _none_is_no_list(value: Any) -> Any:
    return [] if value is None or value == "" else value


def _requirement_lines(value: Any) -> Any:
    """Take a list of pip's lines, or the path of a requirements file, whose lines then travel themselves."""
    if value is None or value == "":
        return []
    try:
        if isinstance(value, (str, Path)):
            value = requirement_lines.lines_of(Path(value).expanduser().read_text(encoding="utf-8"))
        if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
            return requirement_lines.normalised(value)
    except requirement_lines.UnusableRequirement as error:
        raise PydanticCustomError("requirements", "{reason}", {"reason": str(error)}) from error
    except (OSError, UnicodeError) as error:
        text = "the requirements file cannot be read ({reason}); a list such as ['numpy==2.1'] would do too"
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise PydanticCustomError("requirements", text, {"reason": reason}) from error
    return value


def _climbing(values: list[float]) -> list[float]:
    for value in values:
        _enough_memory(value)
    if any(after <= before for before, after in pairwise(values)):
        raise PydanticCustomError("memory", "each must be more than the one before; [8, 16] would do")
    return values


def _enough_memory(value: float) -> float:
    if value * MIB_PER_GB < MIN_MEMORY_MIB:
        raise PydanticCustomError(
            "memory",
            "AWS Batch's minimum is {limit} MiB; 0.004 or more would do",
            {"limit": MIN_MEMORY_MIB},
        )
    return value


_ARN = r"arn:[a-z-]+:{service}:[a-z0-9-]*:\d{{12}}:{resource}/.+"
_BATCH_NAME_RULE = "AWS Batch takes letters, digits, '-' and '_', {limit} characters at most"

BUCKET = Pattern(
    r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    "an S3 bucket's name has 3 to 63 lower-case letters, digits, '-' and '.', and begins and ends with a "
    "letter or digit",
    "my-covalent-bucket",
    optional=False,
)
REPOSITORY = Pattern(
    r"[a-z0-9]+(?:[._/-][a-z0-9]+)*",
    "an ECR repository's name has lower-case letters, digits, '.', '_', '-' and '/'",
    "covalent/jobs",
)
DEFINITION = Pattern(
    rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_NAME_CHARS - DEFINITION_HASH_CHARS - 2}}}",
    _BATCH_NAME_RULE.format(limit=MAX_NAME_CHARS - DEFINITION_HASH_CHARS - 1),
    "covalent-jobs",
    optional=False,
)
_QUEUE = (
    rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_NAME_CHARS - 1}}}"
    rf"|{_ARN.format(service='batch', resource='job-queue')}",
    _BATCH_NAME_RULE.format(limit=MAX_NAME_CHARS),
    "my-queue",
)
QUEUE = Pattern(*_QUEUE, optional=False)
OTHER_QUEUE = Pattern(*_QUEUE)
KMS_KEY = Pattern(
    rf"[A-Za-z0-9-]{{1,128}}|alias/[A-Za-z0-9/_-]+|{_ARN.format(service='kms', resource='(?:key|alias)')}",
    "a KMS key is named by its id, its ARN or an alias",
    "alias/my-key",
)
ROLE = Pattern(
    rf"[\w+=,.@-]{{1,64}}|{_ARN.format(service='iam', resource='role')}",
    "an IAM role's name has letters, digits and '+=,.@_-', 64 characters at most",
    "CovalentBatchJobRole",
)
LOG_GROUP = Pattern(
    r"[A-Za-z0-9_/.#-]{1,512}",
    "a log group's name has letters, digits and '_-/.#', 512 characters at most",
    "/aws/batch/job",
)
REGION = Pattern(r"[a-z]{2}(?:-[a-z]+)+-\d", "an AWS region looks different", "us-east-1")
ENDPOINT = Pattern(r"https?://[^\s/]+(?:/\S*)?", "an endpoint is a URL", "http://127.0.0.1:4599")
_IMAGE = r"[^\s@]+(?:@sha256:[0-9a-f]{64})?"
_IMAGE_RULE = "an image's name has no spaces"
IMAGE = Pattern(_IMAGE, _IMAGE_RULE, "python:3.11-slim")
BASE_IMAGE = Pattern(_IMAGE, _IMAGE_RULE, "python:{python}-slim", optional=False)

Text = Annotated[str, BeforeValidator(_none_is_empty)]
BucketName = Annotated[Text, AfterValidator(BUCKET)]
RepositoryName = Annotated[Text, AfterValidator(REPOSITORY)]
DefinitionName = Annotated[Text, AfterValidator(DEFINITION)]
QueueName = Annotated[Text, AfterValidator(QUEUE)]
OtherQueueName = Annotated[Text, AfterValidator(OTHER_QUEUE)]
KmsKeyId = Annotated[Text, AfterValidator(KMS_KEY)]
RoleName = Annotated[Text, AfterValidator(ROLE)]
LogGroupName = Annotated[Text, AfterValidator(LOG_GROUP)]
RegionName = Annotated[Text, AfterValidator(REGION)]
EndpointURL = Annotated[Text, AfterValidator(ENDPOINT)]
ImageURI = Annotated[Text, AfterValidator(IMAGE)]
BaseImage = Annotated[Text, AfterValidator(BASE_IMAGE)]
RequirementLines = Annotated[list[str], BeforeValidator(_requirement_lines)]
Architecture = Literal["X86_64", "ARM64"]
RetryOn = Literal["cloud", "any"]
OnShutdown = Literal["leave", "end"]
KeepArtifacts = Literal["all", "failed", "none"]
MemoryGB = Annotated[float, AfterValidator(_enough_memory)]
ClimbGB = Annotated[list[float], BeforeValidator(_none_is_no_list), AfterValidator(_climbing)]


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
    vcpu: int = _option(
        2, "virtual CPUs of a job, a whole number on EC2", unit="vCPU", ge=1, example="1 or more"
    )
    memory: MemoryGB = _option(
        3.75, "memory of a job", unit="GB", allow_inf_nan=False, example="a number such as 2"
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
        "memory to try again with, one after the other, where a task runs out of it, such as `[8, 16]`",
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
    retries: int = _option(
        0, "Covalent's own option, kept for Covalent; see `retry_attempts`", ge=0, example="0 or more"
    )

    @property
    def memory_mib(self) -> int:
        """Return the memory of a job as AWS Batch wants it."""
        return int(self.memory * MIB_PER_GB)

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
            *(self.retry_attempts, self.retry_on, bool(self.memory_on_oom)),
            *(self.time_limit, self.runnable_timeout, self.poll_freq),
            *(self.gather_window, self.max_array_size, self.keep_artifacts),
        )

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return every option with its default."""
        return {name: field.default for name, field in cls.model_fields.items()}

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
    return Resolution(_validated(chosen, configured), warnings)


def _validated(chosen: Mapping[str, Any], configured: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(dict(chosen))
    except ValidationError as error:
        sentences = [_refusal(each, configured) for each in error.errors(include_url=False)]
    raise SettingsError("\n".join(sentences))


def _refusal(error: ErrorDetails, configured: Mapping[str, Any]) -> str:
    """Say in one sentence which option has which value, what the limit is and what would do."""
    name, value = str(error["loc"][0]), error["input"]
    place = (
        f" in [{CONFIG_SECTION}] of Covalent's configuration"
        if name in configured and configured[name] == value
        else ""
    )
    # Requirements are many lines, and one of them may be refused for the secret that it holds.
    shown = name if error["type"] == "requirements" else f"{name}={value!r}"
    return f"{shown}{place} is refused: {_rule(name, error)}."


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
    if error["type"] in {"pattern", "memory", "requirements"}:
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
