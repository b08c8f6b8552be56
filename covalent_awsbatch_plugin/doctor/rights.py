"""Roles and rights: whether IAM would allow what jobs, their start and their submission need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..preflight import Identity
from ..refusals import error_code
from ..settings import Settings
from .commands import EC2, ECS_TASKS
from .finding import Finding, failed, ok, skipped
from .queues import all_environments
from .storage import WORK_PREFIX
from .subject import NotAllowedError, Subject

ANY = "*"

PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
PUSH = (
    *("ecr:CompleteLayerUpload", "ecr:DescribeImages", "ecr:DescribeRepositories"),
    *("ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"),
)
WRITE_LOGS = ("logs:CreateLogStream", "logs:PutLogEvents")
KMS = ("kms:Decrypt", "kms:GenerateDataKey")
DESCRIBE_BATCH = (
    *("batch:DescribeComputeEnvironments", "batch:DescribeJobDefinitions", "batch:DescribeJobQueues"),
    *("batch:DescribeJobs", "batch:ListJobs"),
)
JOIN = ("ecs:RegisterContainerInstance", "ecs:SubmitContainerStateChange", "ecs:SubmitTaskStateChange")
TAKE_TASKS = ("ecs:Poll", "ecs:StartTelemetrySession")
"""What ECS's agent asks for, of AmazonEC2ContainerServiceforEC2Role: of its cluster, and of itself."""


@dataclass(frozen=True)
class Needed:
    """Actions on resources; `passed_to` is the service that a role is passed to."""

    actions: Sequence[str]
    resources: Sequence[str]
    passed_to: str = ""

    @property
    def examples(self) -> list[str]:
        """One resource of each pattern: IAM takes them as they are."""
        return [each if each == ANY else each.replace("*", "doctor") for each in self.resources]


class Arns:
    """The ARNs of what the settings name."""

    def __init__(self, settings: Settings, who: Identity) -> None:
        self._settings, self._who = settings, who
        self.bucket = f"arn:{who.partition}:s3:::{settings.s3_bucket_name}"
        self.objects = f"{self.bucket}/{WORK_PREFIX}*"
        self.repository = self._of("ecr", f"repository/{settings.ecr_repo_name}")
        self.log_streams = self._of("logs", f"log-group:{settings.batch_job_log_group_name}:log-stream:*")
        self.definitions = self._definition(settings)
        self.jobs = self._of("batch", "job/*")
        self.queues = [self._queue(each) for each in dict.fromkeys(settings.queues)]
        self.key = settings.kms_key_id if settings.kms_key_id.startswith("arn:") else ""

        self.cluster = self._of("ecs", "cluster/AWSBatch-*")
        self.container_instances = self._of("ecs", "container-instance/AWSBatch-*")

    def role(self, name: str) -> str:
        """Return the ARN of a role without a path."""
        is_arn = name.startswith("arn:")
        return name if is_arn else f"arn:{self._who.partition}:iam::{self._who.account_id}:role/{name}"

    def _definition(self, settings: Settings) -> str:
        own = settings.job_definition
        if own.startswith("arn:"):
            return own
        return self._of("batch", f"job-definition/{own or f'{settings.batch_job_definition_name}-*'}")

    def _queue(self, queue: str) -> str:
        return queue if queue.startswith("arn:") else self._of("batch", f"job-queue/{queue}")

    def _of(self, service: str, resource: str) -> str:
        who = self._who
        return f"arn:{who.partition}:{service}:{who.region}:{who.account_id}:{resource}"


def of_job(settings: Settings, arns: Arns) -> Iterator[Needed]:
    """Yield what the runtime in the container asks S3 for."""
    yield Needed(("s3:GetObject", "s3:PutObject"), [arns.objects])
    if arns.key:
        yield Needed(KMS, [arns.key])


def of_start(settings: Settings, arns: Arns) -> Iterator[Needed]:
    """Yield what ECS asks for with the execution role, before anything runs."""
    if settings.batch_job_log_group_name:
        yield Needed(WRITE_LOGS, [arns.log_streams])
    if not settings.container_image_uri or settings.ecr_repo_name in settings.container_image_uri:
        yield Needed(("ecr:GetAuthorizationToken",), [ANY])
        yield Needed(PULL, [arns.repository])


def of_submitter(settings: Settings, arns: Arns) -> Iterator[Needed]:
    """Yield what this package asks for on its way from a task to its result."""
    yield Needed(("batch:SubmitJob",), [*arns.queues, arns.definitions])
    yield Needed(("batch:GetJobQueueSnapshot",), arns.queues)
    if not settings.job_definition:
        yield Needed(("batch:RegisterJobDefinition",), [arns.definitions])
    if settings.tags:
        yield Needed(("batch:TagResource",), [arns.jobs])
    yield Needed(("batch:CancelJob", "batch:TerminateJob"), [arns.jobs])
    yield Needed(DESCRIBE_BATCH, [ANY])
    yield Needed(("logs:GetLogEvents",), [arns.log_streams])
    roles = [settings.batch_job_role_name, settings.batch_execution_role_name]
    if any(roles) and not settings.job_definition:
        yield Needed(("iam:PassRole",), [arns.role(each) for each in roles if each], ECS_TASKS)
    if arns.key:
        yield Needed(KMS, [arns.key])
    if builds_image(settings):
        yield Needed(("ecr:GetAuthorizationToken",), [ANY])
        yield Needed((*PULL, *PUSH), [arns.repository])


def of_instance(arns: Arns) -> Iterator[Needed]:
    """Yield what ECS's agent on an instance asks for, so that it has tasks."""
    yield Needed(("ecs:DiscoverPollEndpoint",), [ANY])
    yield Needed(JOIN, [arns.cluster])
    yield Needed(TAKE_TASKS, [arns.container_instances])


def builds_image(settings: Settings) -> bool:
    """Tell whether the image is made here, not the user's own."""
    return not settings.container_image_uri and not settings.job_definition


# --- checks -------------------------------------------------------------------------------------------------


async def look_at_job_role(subject: Subject) -> AsyncIterator[Finding]:
    """See whether the function's own role is there, can be had by ECS, and reaches the bucket."""
    check, settings = "job role", subject.settings
    if settings.job_definition:
        return
    if settings.batch_job_role_name == "":
        yield ok(check, "none: jobs have the rights of their instances")
        return
    arns = Arns(settings, await subject.identity())
    yield await _role(subject, check, settings.batch_job_role_name, ECS_TASKS, list(of_job(settings, arns)))


async def look_at_execution_role(subject: Subject) -> AsyncIterator[Finding]:
    """See whether the role that pulls and logs is there, can be had by ECS, and may do both."""
    check, settings = "execution role", subject.settings
    if settings.job_definition:
        return
    if settings.batch_execution_role_name == "" and settings.platform != "FARGATE":
        yield ok(check, "none: instances pull and log with their own")
        return
    if settings.batch_execution_role_name == "":
        seen = "batch_execution_role_name is empty, and platform is FARGATE"
        mend = subject.commands.create_role("ecsTaskExecutionRole", ECS_TASKS)
        yield failed(check, seen, "on Fargate nothing else can pull the image", mend)
        return
    arns = Arns(settings, await subject.identity())
    needed = list(of_start(settings, arns))
    yield await _role(subject, check, settings.batch_execution_role_name, ECS_TASKS, needed)


async def _role(subject: Subject, check: str, role: str, service: str, needed: Sequence[Needed]) -> Finding:
    """Return whether a role is there, whether a service can have it, and whether it has its rights."""
    from botocore.exceptions import ClientError

    name = role.rpartition("/")[2]
    try:
        detail = (await subject.ask("iam", "get_role", RoleName=name))["Role"]
    except ClientError as error:
        if error_code(error) != "NoSuchEntity":
            raise
        mend = subject.commands.create_role(name, service)
        return failed(check, f"there is no IAM role {name!r}", "AWS Batch refuses jobs without it", mend)
    if not _trusts(detail["AssumeRolePolicyDocument"], service):
        seen = f"the trust policy of {name!r} does not let {service} have it"
        return failed(check, seen, "no job can start with this role", subject.commands.trust(name, service))
    return await _allowed(subject, check, detail["Arn"], needed, f"{name} is trusted to {service}")


def _trusts(document: dict[str, Any], service: str) -> bool:
    return any(
        each.get("Effect") == "Allow"
        and {"sts:AssumeRole", "sts:*", "*"} & set(_listed(each.get("Action")))
        and service in _services(each.get("Principal"))
        for each in _listed(document.get("Statement"))
    )


def _services(principal: Any) -> list[Any]:
    return _listed(principal.get("Service")) if isinstance(principal, dict) else []


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


async def look_at_rights(subject: Subject) -> AsyncIterator[Finding]:
    """See whether these credentials may do what a task needs on its way."""
    who, check = await subject.identity(), "rights"
    if who.arn.endswith(":root"):
        yield ok(check, "those of the account's root, which may do everything")
        return
    if ":iam:" not in who.principal_arn:
        yield skipped(check, f"IAM has no user and no role for {who.arn}, whose rights it could tell")
        return
    arn = await _principal(subject, who)
    needed = list(of_submitter(subject.settings, Arns(subject.settings, who)))
    yield await _allowed(subject, check, arn, needed, arn.rpartition(":")[2])


async def _principal(subject: Subject, who: Identity) -> str:
    """Return the ARN of our user or role; that of a role's session lacks the role's path."""
    if who.principal_arn == who.arn:
        return who.arn
    try:
        name = who.principal_arn.rpartition("/")[2]
        return str((await subject.ask("iam", "get_role", RoleName=name))["Role"]["Arn"])
    except NotAllowedError:
        return who.principal_arn


async def _allowed(subject: Subject, check: str, arn: str, needed: Sequence[Needed], seen: str) -> Finding:
    """Return whether IAM's simulation allows all that is needed."""
    refused = [
        Needed(missing, each.resources, each.passed_to)
        for each in needed
        if (missing := await _refused(subject, arn, each))
    ]
    if not refused:
        count = sum(len(each.actions) for each in needed)
        return ok(check, f"{seen}, and has the {count} rights that are needed")
    actions = [action for each in refused for action in each.actions]
    resources = list(dict.fromkeys(resource for each in refused for resource in each.resources))
    told = f"{seen}, but may not {', '.join(actions)} on {', '.join(resources)}"
    return failed(
        check, told, "jobs fail where they need it", subject.commands.allow(arn, actions, resources)
    )


async def _refused(subject: Subject, arn: str, needed: Needed) -> list[str]:
    request: dict[str, Any] = {
        "PolicySourceArn": arn,
        "ActionNames": list(needed.actions),
        "ResourceArns": needed.examples,
    }
    if needed.passed_to:
        entry = {"ContextKeyName": "iam:PassedToService", "ContextKeyType": "string"}
        request["ContextEntries"] = [{**entry, "ContextKeyValues": [needed.passed_to]}]
    refused: dict[str, None] = {}
    while True:
        page = await subject.ask("iam", "simulate_principal_policy", **request)
        for each in page["EvaluationResults"]:
            if each["EvalDecision"] != "allowed":
                refused[each["EvalActionName"]] = None
        if not page.get("IsTruncated"):
            return list(refused)
        request["Marker"] = page["Marker"]


# --- instances ----------------------------------------------------------------------------------------------


async def look_at_instance_profiles(subject: Subject) -> AsyncIterator[Finding]:
    """See whether the instances of EC2 environments can come up as ECS's."""
    profiles = {each.instance_profile for each in await all_environments(subject) if each.instance_profile}
    for profile in sorted(profiles):
        yield await _profile(subject, profile.rpartition("/")[2])


async def _profile(subject: Subject, name: str) -> Finding:
    from botocore.exceptions import ClientError

    check, aws = "instance profile", subject.commands.aws
    why = "instances start and never join the cluster, so jobs stay in RUNNABLE"
    try:
        answer = await subject.ask("iam", "get_instance_profile", InstanceProfileName=name)
    except ClientError as error:
        if error_code(error) != "NoSuchEntity":
            raise
        mend = aws("iam", "create-instance-profile", "--instance-profile-name", name)
        return failed(check, f"there is no instance profile {name!r}", why, mend)
    roles = answer["InstanceProfile"]["Roles"]
    if not roles:
        options = ("--instance-profile-name", name, "--role-name", name)
        mend = aws("iam", "add-role-to-instance-profile", *options)
        return failed(check, f"the instance profile {name!r} has no role", why, mend)
    role = roles[0]["RoleName"]
    arns = Arns(subject.settings, await subject.identity())
    return await _role(subject, check, role, EC2, list(of_instance(arns)))
