"""What the cloud set-up may be told: one field for each parameter of the CloudFormation template.

The Terraform variables and the options of `covalent-awsbatch infra up` and `covalent deploy up awsbatch` are
made from this list, or held against it. Values are text, whole numbers and booleans only: Covalent hands them
on as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from ..errors import SettingsError

PLACE = frozenset({"stack_name", "region", "profile", "credentials", "endpoint_url"})
"""Where the stack is to be, and whose it is: these are no parameters of the template."""


LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""How long CloudWatch can keep logs, of the API reference of PutRetentionPolicy."""


def _known_to_cloudwatch(days: int) -> int:
    if days not in LOG_RETENTION_DAYS:
        values = ", ".join(map(str, LOG_RETENTION_DAYS))
        raise PydanticCustomError("days", "CloudWatch has {values} days", {"values": values})
    return days


LogDays = Annotated[int, AfterValidator(_known_to_cloudwatch)]


def _parameter(default: Any, description: str, **limits: Any) -> Any:
    return Field(default, description=description, **limits)


def _ids(kind: str) -> str:
    """Return the pattern of none, one or several ids, which CloudFormation would take with any blanks."""
    return rf"^({kind}-[0-9a-f]+(,{kind}-[0-9a-f]+)*)?$"


class InfraParameters(BaseModel):
    """The parameters of the cloud set-up, with their defaults."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    stack_name: str = _parameter(
        "covalent-awsbatch",
        "name of the stack, with which the names of all its resources begin",
        pattern=r"^[a-z][a-z0-9-]{0,29}$",
    )
    region: str = _parameter("", "AWS region; empty: the profile's own")
    profile: str = _parameter("", "profile in the credentials or config file; empty: the default one")
    credentials: str = _parameter(
        "", "AWS shared credentials file; empty: where the AWS SDKs look by themselves"
    )
    endpoint_url: str = _parameter("", "endpoint of all AWS services, such as a local AWS; empty: AWS's own")

    vpc_id: str = _parameter(
        "", "VPC of your own; empty: one is made, with two public subnets", pattern=r"^(vpc-[0-9a-f]+)?$"
    )
    subnet_ids: str = _parameter("", "subnets of that VPC, with commas between them", pattern=_ids("subnet"))
    security_group_ids: str = _parameter(
        "",
        "security groups of that VPC, with commas between them; empty: one is made that lets nothing in",
        pattern=_ids("sg"),
    )
    vpc_cidr: str = _parameter(
        "10.42.0.0/16",
        "addresses of the VPC that is made, a /16",
        pattern=r"^([0-9]{1,3}\.){3}[0-9]{1,3}/16$",
    )
    s3_endpoint: bool = _parameter(
        True, "whether the VPC that is made has a gateway endpoint for S3; it costs nothing"
    )
    interface_endpoints: bool = _parameter(
        False,
        "whether the VPC that is made has interface endpoints for ECR, Logs and ECS, which cost by the hour",
    )

    on_demand: bool = _parameter(True, "whether there is a queue of EC2 on-demand instances")
    spot: bool = _parameter(True, "whether there is a queue of EC2 Spot instances")
    fargate: bool = _parameter(True, "whether there is a queue of Fargate")
    fargate_spot: bool = _parameter(False, "whether there is a queue of Fargate Spot")
    gpu: bool = _parameter(False, "whether there is a queue of EC2 on-demand instances with GPUs")
    arm64: bool = _parameter(False, "whether there is a queue of EC2 on-demand instances with Graviton")

    min_vcpus: int = _parameter(0, "vCPUs that each EC2 environment keeps running, also without jobs", ge=0)
    desired_vcpus: int = _parameter(0, "vCPUs that each EC2 environment begins with", ge=0)
    max_vcpus: int = _parameter(256, "most vCPUs of each environment", ge=1)
    gpu_max_vcpus: int = _parameter(64, "most vCPUs of the environment with GPUs", ge=1)
    instance_types: str = _parameter(
        "optimal", "EC2 instance types or families of on-demand and Spot instances, with commas between them"
    )
    gpu_instance_types: str = _parameter("g4dn,g5,g6", "the same, for GPUs")
    arm64_instance_types: str = _parameter("c7g,m7g,r7g", "the same, for Graviton")
    allocation_strategy: Literal["BEST_FIT_PROGRESSIVE", "BEST_FIT_PROGRESSIVE_ORDERED"] = _parameter(
        "BEST_FIT_PROGRESSIVE", "how AWS Batch chooses on-demand instances"
    )
    spot_allocation_strategy: Literal[
        "SPOT_PRICE_CAPACITY_OPTIMIZED", "SPOT_CAPACITY_OPTIMIZED", "BEST_FIT_PROGRESSIVE"
    ] = _parameter("SPOT_PRICE_CAPACITY_OPTIMIZED", "how AWS Batch chooses Spot instances")
    root_volume_gib: int = _parameter(
        100, "disk of each EC2 instance in GiB, which its images and containers share", ge=30, le=16384
    )
    fair_share: bool = _parameter(
        False, "whether the queues share their capacity among `share_identifier`s; every job then needs one"
    )

    bucket_name: str = _parameter("", "name of the bucket; empty: stack, account and region, joined by '-'")
    artifact_days: int = _parameter(30, "days after which S3 deletes what jobs have left", ge=1)
    kms_key_arn: str = _parameter(
        "",
        "ARN of the KMS key that encrypts the bucket; empty: S3's own encryption",
        pattern=r"^(arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+)?$",
    )
    repository_name: str = _parameter("", "name of the ECR repository; empty: the stack's name")
    kept_images: int = _parameter(100, "images that the repository keeps, the newest", ge=1)
    log_retention_days: LogDays = _parameter(30, "days that logs are kept, one of those that CloudWatch has")
    state_change_events: bool = _parameter(
        False, "whether changes of jobs' states come into an SQS queue, through EventBridge"
    )


def checked(given: Mapping[str, Any]) -> InfraParameters:
    """Return the parameters that were given, the others with their defaults.

    Raises SettingsError, in one sentence for each fault.
    """
    try:
        return InfraParameters.model_validate(dict(given))
    except ValidationError as error:
        sentences = [_refusal(each) for each in error.errors(include_url=False)]
    raise SettingsError("\n".join(sentences))


def _refusal(error: ErrorDetails) -> str:
    name = str(error["loc"][0])
    about = InfraParameters.model_fields[name].description
    return f"{name}={error['input']!r} ({about}) is refused: {error['msg'][0].lower()}{error['msg'][1:]}."


def template_parameter(field: str) -> str:
    """Return the template's name of a parameter, such as MaxVcpus for max_vcpus."""
    return "".join(part.capitalize() for part in field.split("_"))


def template_values(parameters: InfraParameters) -> dict[str, str]:
    """Return the template's parameters as CloudFormation takes them, all of them text."""
    return {
        template_parameter(name): _text(value)
        for name, value in parameters.model_dump().items()
        if name not in PLACE
    }


def parameters_table() -> str:
    """Return the Markdown table of all parameters that stands in docs/cloud.md."""
    rows = ["| parameter | default | what it is |", "| --- | --- | --- |"]
    for name, field in InfraParameters.model_fields.items():
        default = _text(field.default) or '""'
        rows.append(f"| `{name}` | `{default}` | {field.description} |")
    return "\n".join(rows)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
