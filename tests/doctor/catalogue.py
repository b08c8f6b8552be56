"""The planted faults: what is wrong with an account, which check finds it, what it says and what mends it."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.local.faults.plan import Plan, RequestFault

from .account import Account, allow, trust
from .mirror import Answer, Change, mirror, serving

Settings = Mapping[str, Any]
Do = Callable[[Account], Settings | None]
"""Plants a fault, and returns the options that differ."""


@dataclass(frozen=True)
class Plant:
    """A fault, and the one finding that must tell of it: patterns of what it says and of the command."""

    name: str
    do: Do
    check: str
    says: str
    mends: str = ""
    state: str = "failed"
    also: tuple[str, ...] = ()
    """The checks that fail beside it, by the same fault."""
    around: Callable[[Account, pytest.MonkeyPatch], AbstractContextManager[Settings]] = field(
        default=lambda _account, _patch: nullcontext({})
    )
    """What must stand while the doctor looks, and the options that differ by it."""


def nothing(_: Account) -> None:
    """Plant nothing: the options, or what stands around, are wrong."""


def options(**given: Any) -> Do:
    """Return what plants nothing but options."""
    return lambda _: given


def refused(operation: str, code: str = "", **which: Any) -> Do:
    """Return what lets AWS refuse an operation."""
    effect: dict[str, Any] = {"status": 403}
    if code:
        effect |= {"code": code, "message": f"{code} it is."}
    fault = RequestFault.model_validate({"operation": operation, "effect": effect, **which})

    def plant(account: Account) -> None:
        account.aws.replace_faults(Plan(faults=[fault]))

    return plant


def seen_as(change: Change) -> Callable[[Account, pytest.MonkeyPatch], AbstractContextManager[Settings]]:
    """Return what shows AWS's answers otherwise."""

    @contextmanager
    def around(account: Account, _: pytest.MonkeyPatch) -> Iterator[Settings]:
        with mirror(account.aws.endpoint_url, change) as url:
            yield {"endpoint_url": url}

    return around


# --- this machine ---------------------------------------------------------------------------------------


def configured(text: str) -> Any:
    """Return what gives Covalent a configuration."""

    @contextmanager
    def around(account: Account, patch: pytest.MonkeyPatch) -> Iterator[Settings]:
        (account.directory / "covalent.conf").write_text(text)
        patch.setenv("COVALENT_CONFIG_DIR", str(account.directory))
        yield {}

    return around


def installed(package: str, version: str) -> Any:
    """Return what lets a version of a package be found, before the one that is there."""

    @contextmanager
    def around(account: Account, patch: pytest.MonkeyPatch) -> Iterator[Settings]:
        directory = Path(account.directory, f"{package.replace('-', '_')}-{version}.dist-info")
        directory.mkdir()
        (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        patch.syspath_prepend(account.directory)
        yield {}

    return around


@contextmanager
def other_server(account: Account, patch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Let a Covalent server run that was configured otherwise."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = {"client": {"executors": {"awsbatch": {"batch_queue": "another"}}}, "server": {}}
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(Server) as url:
        dispatcher = f'[dispatcher]\naddress = "127.0.0.1"\nport = {url.rpartition(":")[2]}\n'
        with configured(dispatcher)(account, patch):
            yield {}


THIS_MACHINE = [
    Plant(
        "configuration that is no TOML",
        nothing,
        "configuration",
        "Covalent's configuration '.*covalent.conf' cannot be read",
        r"\$\{EDITOR:-vi\} .*covalent.conf",
        around=configured("[executors.awsbatch\n"),
    ),
    Plant(
        "key of an older plugin",
        nothing,
        "configuration",
        "has the key 'batch_job_image', which this version does not know",
        "covalent.conf",
        "warning",
        around=configured('[executors.awsbatch]\nbatch_job_image = "x"\n'),
    ),
    Plant(
        "size that Fargate does not have",
        options(platform="FARGATE", vcpu=1, memory=1),
        "configuration",
        "memory=2 would do",
        "covalent.conf",
    ),
    Plant(
        "FastAPI that Covalent does not work with",
        nothing,
        "versions",
        "fastapi 0.140.0, but fastapi.* is needed",
        r"pip install 'fastapi.*<0\.132.*'",
        around=installed("fastapi", "0.140.0"),
    ),
    Plant(
        "Covalent of another version",
        nothing,
        "versions",
        "covalent 0.241.0, but covalent.* is needed",
        "pip install 'covalent.*<0.241.*'",
        around=installed("covalent", "0.241.0"),
    ),
    Plant(
        "plugin that is not registered",
        nothing,
        "versions",
        "is not registered as Covalent's executor 'awsbatch'",
        "pip install --force-reinstall --no-deps covalent-awsbatch-plugin",
        around=installed("covalent-awsbatch-plugin", "0.0.1"),
    ),
    Plant(
        "server with other options",
        nothing,
        "server",
        "has other values of batch_queue",
        "covalent stop && covalent start",
        "warning",
        around=other_server,
    ),
]


# --- who and where --------------------------------------------------------------------------------------


def clock_off(seconds: float) -> Any:
    """Return what dates AWS's answers so much later."""

    def change(answer: Answer) -> None:
        answer.headers["Date"] = formatdate(time.time() + seconds, usegmt=True)

    return seen_as(change)


def refuse_identity(code: str) -> Any:
    """Return what refuses the credentials with a code."""
    text = f"<ErrorResponse><Error><Code>{code}</Code><Message>{code}!</Message></Error></ErrorResponse>"

    def change(answer: Answer) -> None:
        if "GetCallerIdentity" in answer.asked:
            answer.refuse(text)

    return seen_as(change)


@contextmanager
def no_endpoint(_: Account, __: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Name an endpoint that nobody listens at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield {"endpoint_url": f"http://127.0.0.1:{held.getsockname()[1]}"}


def no_keys(account: Account) -> None:
    """Leave the file of credentials without any."""
    account.credentials.write_text("[default]\n")


@contextmanager
def no_instance_metadata(_: Account, patch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Let nobody look for an instance's role."""
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield {}


ACCOUNT = [
    Plant("no region", options(region=""), "region", "No AWS region is known", "ct.set_config.*region"),
    Plant(
        "misspelt region",
        options(region="eu-cetnral-1"),
        "region",
        "knows no AWS Batch in 'eu-cetnral-1'; near to it are eu-central-1",
        "ct.set_config.*region.*eu-central-1",
        "warning",
        also=("credentials",),  # nobody answers under that name
        around=no_endpoint,
    ),
    Plant(
        "clock ten minutes fast",
        nothing,
        "clock",
        r"clock is (59\d|60\d) s ahead of AWS's",
        "timedatectl|sntp",
        around=clock_off(-600),
    ),
    Plant(
        "clock two minutes slow",
        nothing,
        "clock",
        r"clock is 1[12]\d s behind AWS's",
        "timedatectl|sntp",
        "warning",
        around=clock_off(120),
    ),
    Plant(
        "no credentials",
        no_keys,
        "credentials",
        "No AWS credentials were found",
        "aws configure --profile default",
        around=no_instance_metadata,
    ),
    Plant(
        "credentials file that is missing",
        options(credentials="/nowhere/credentials"),
        "credentials",
        "The credentials file '/nowhere/credentials' is missing",
        "aws configure",
    ),
    Plant(
        "profile that is missing",
        options(profile="nobody"),
        "credentials",
        r"The config profile \(nobody\) could not be found",
        "aws configure --profile nobody",
    ),
    Plant(
        "credentials that have expired",
        nothing,
        "credentials",
        "AWS does not accept the credentials",
        "aws sso login",
        around=refuse_identity("ExpiredToken"),
    ),
    Plant(
        "credentials that AWS does not know",
        nothing,
        "credentials",
        "AWS does not accept the credentials",
        "aws configure",
        around=refuse_identity("InvalidClientTokenId"),
    ),
    Plant("no endpoint", nothing, "credentials", "AWS did not answer", "curl", around=no_endpoint),
]


# --- the bucket -----------------------------------------------------------------------------------------


def elsewhere(account: Account) -> Settings:
    """Use a bucket of another region."""
    place = {"LocationConstraint": "eu-west-1"}
    name = f"{account.name}-far"
    account.client("s3", "eu-west-1").create_bucket(Bucket=name, CreateBucketConfiguration=place)
    return {"s3_bucket_name": name}


def unencrypted(account: Account) -> None:
    account.s3.delete_bucket_encryption(Bucket=account.name)


def open_to_the_public(account: Account) -> None:
    account.s3.delete_public_access_block(Bucket=account.name)


def without_lifecycle(account: Account) -> None:
    account.s3.delete_bucket_lifecycle(Bucket=account.name)


OBJECTS = {"key_contains": "/doctor/"}

BUCKET = [
    Plant(
        "no bucket",
        options(s3_bucket_name="no-such-bucket"),
        "bucket",
        "'no-such-bucket' does not exist",
        "aws s3 mb s3://no-such-bucket",
        also=("job role",),
    ),
    Plant(
        "bucket of somebody else",
        refused("HeadBucket", "403"),
        "bucket",
        "is not open to these credentials",
        r"put-user-policy .*s3:ListBucket",
    ),
    Plant(
        "bucket in another region",
        elsewhere,
        "bucket",
        "is in eu-west-1, not in us-east-1",
        "ct.set_config.*region.*eu-west-1",
        also=("job role",),
    ),
    Plant(
        "no right to write",
        refused("PutObject", **OBJECTS),
        "objects",
        "s3:PutObject is refused",
        "put-user-policy .*s3:PutObject",
    ),
    Plant(
        "no right to read",
        refused("GetObject", **OBJECTS),
        "objects",
        "s3:GetObject is refused",
        "put-user-policy .*s3:GetObject",
    ),
    Plant(
        "no right to list",
        refused("ListObjectsV2"),
        "objects",
        "s3:ListBucket is refused",
        "put-user-policy .*s3:ListBucket",
    ),
    Plant(
        "no right to delete",
        refused("DeleteObjects"),
        "objects",
        "s3:DeleteObject is refused",
        "put-user-policy .*s3:DeleteObject",
        "warning",
    ),
    Plant(
        "bucket without encryption",
        unencrypted,
        "encryption",
        "no default encryption",
        "put-bucket-encryption",
        "warning",
    ),
    Plant(
        "bucket that may be public",
        open_to_the_public,
        "public access",
        "does not have BlockPublicAcls",
        "put-public-access-block",
        "warning",
    ),
    Plant(
        "bucket that grows for ever",
        without_lifecycle,
        "lifecycle",
        "no rule deletes",
        "put-bucket-lifecycle-configuration",
        "warning",
    ),
    Plant(
        "no right to look at the bucket's encryption",
        refused("GetBucketEncryption"),
        "encryption",
        "these credentials lack s3:GetEncryptionConfiguration",
        "put-user-policy .*s3:GetEncryptionConfiguration",
        "warning",
    ),
]


# --- roles and rights -----------------------------------------------------------------------------------


def without_job_role(account: Account) -> None:
    account.iam.delete_role_policy(RoleName=f"{account.name}-job", PolicyName="all")
    account.iam.delete_role(RoleName=f"{account.name}-job")


def distrusted(account: Account) -> None:
    name = f"{account.name}-job"
    account.iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust("ec2.amazonaws.com"))


def role_with(what: str, *actions: str) -> Do:
    """Return what leaves a role with these rights only."""

    def plant(account: Account) -> None:
        account.iam.put_role_policy(
            RoleName=f"{account.name}-{what}", PolicyName="all", PolicyDocument=allow(list(actions))
        )

    return plant


def user_with(*actions: str) -> Do:
    """Return what leaves the user with these rights only."""
    return lambda account: account.give_user(*actions)


def without_profile(account: Account) -> None:
    name = f"{account.name}-instance"
    account.iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)
    account.iam.delete_instance_profile(InstanceProfileName=name)


def profile_without_role(account: Account) -> None:
    name = f"{account.name}-instance"
    account.iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)


ROLES = [
    Plant("no job role", without_job_role, "job role", "there is no IAM role", "aws iam create-role .*-job"),
    Plant(
        "job role that ECS cannot have",
        distrusted,
        "job role",
        "does not let ecs-tasks.amazonaws.com have it",
        "update-assume-role-policy .*ecs-tasks.amazonaws.com",
    ),
    Plant(
        "job role that cannot write",
        role_with("job", "s3:GetObject"),
        "job role",
        "may not s3:PutObject on arn:aws:s3:::doctor-.*/covalent-awsbatch/",
        "put-role-policy .*s3:PutObject",
    ),
    Plant(
        "no execution role",
        options(batch_execution_role_name="nobody"),
        "execution role",
        "there is no IAM role 'nobody'",
        "aws iam create-role --role-name nobody",
    ),
    Plant(
        "execution role that cannot log",
        role_with("execution", "ecr:*"),
        "execution role",
        "may not logs:CreateLogStream, logs:PutLogEvents",
        "put-role-policy .*logs:CreateLogStream",
    ),
    Plant(
        "no right to submit",
        user_with("batch:Describe*", "batch:List*", "iam:PassRole", "logs:*"),
        "rights",
        "may not batch:SubmitJob",
        "put-user-policy .*batch:SubmitJob",
    ),
    Plant(
        "no right to pass the roles",
        user_with("batch:*", "logs:*"),
        "rights",
        "may not iam:PassRole on arn:aws:iam::.*-job",
        "put-user-policy .*iam:PassRole",
    ),
    Plant(
        "no right to simulate",
        refused("SimulatePrincipalPolicy"),
        "rights",
        "these credentials lack iam:SimulatePrincipalPolicy",
        "put-user-policy .*iam:SimulatePrincipalPolicy",
        "warning",
    ),
    Plant(
        "no right to look at roles",
        refused("GetRole"),
        "job role",
        "these credentials lack iam:GetRole",
        "put-user-policy .*iam:GetRole",
        "warning",
    ),
    Plant(
        "no instance profile",
        without_profile,
        "instance profile",
        "there is no instance profile",
        "aws iam create-instance-profile",
    ),
    Plant(
        "instance profile without a role",
        profile_without_role,
        "instance profile",
        "has no role",
        "add-role-to-instance-profile",
    ),
    Plant(
        "instances that cannot join the cluster",
        role_with("instance", "logs:*"),
        "instance profile",
        "may not ecs:DiscoverPollEndpoint, ecs:RegisterContainerInstance",
        "put-role-policy .*ecs:RegisterContainerInstance",
    ),
]


# --- the image ------------------------------------------------------------------------------------------


@contextmanager
def no_engine(_: Account, patch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Name an engine that is not there, for an image that must be built."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        patch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{held.getsockname()[1]}")
        yield {"container_image_uri": ""}


def engine_for(processor: str) -> Any:
    """Return what answers as the engine of a machine with that processor."""

    class Engine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = {
                "Version": "28.0.1",
                "ApiVersion": "1.48",
                "MinAPIVersion": "1.24",
                "Os": "linux",
                "Arch": processor,
                "OperatingSystem": "Debian",
            }
            body = b"OK" if self.path.endswith("_ping") else json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    @contextmanager
    def around(_: Account, patch: pytest.MonkeyPatch) -> Iterator[Settings]:
        with serving(Engine) as url:
            patch.setenv("DOCKER_HOST", url.replace("http", "tcp"))
            yield {"container_image_uri": ""}

    return around


def without_repository(account: Account) -> None:
    account.ecr.delete_repository(repositoryName=account.name)


IMAGE = [
    Plant(
        "no Docker engine",
        nothing,
        "docker",
        "no Docker engine answers at",
        "sudo systemctl start docker",
        around=no_engine,
    ),
    Plant(
        "Docker engine for another processor",
        nothing,
        "docker",
        "Docker 28.0.1 is for linux/s390x, images are for linux/amd64",
        "tonistiigi/binfmt --install amd64",
        "warning",
        around=engine_for("s390x"),
    ),
    Plant(
        "no repository",
        without_repository,
        "repository",
        "there is no ECR repository",
        "aws ecr create-repository",
        "warning",
        around=engine_for("amd64"),
    ),
    Plant(
        "image of one's own that is missing",
        options(container_image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/nothing:1"),
        "image",
        "ECR has no image .*/nothing:1",
        "container_image_uri",
    ),
]


# --- queues and environments ----------------------------------------------------------------------------


def disabled_queue(account: Account) -> None:
    account.disable_queue()


def disabled_environment(account: Account) -> None:
    account.change_environment(state="DISABLED")


def told_of(operation: str, old: str, new: str) -> Any:
    """Return what lets AWS Batch tell otherwise of a queue or an environment."""

    def change(answer: Answer) -> None:
        if operation in answer.asked:
            answer.replace(old, new)

    return seen_as(change)


HEALTHY = '"status":"VALID","statusReason":"{} Healthy"'
INVALID = '"status":"INVALID","statusReason":"CLIENT_ERROR - Not authorized"'


def environment_of(**changes: Any) -> Do:
    """Return what puts another environment behind the queue."""
    return lambda account: account.replace_environment(**changes)


def on_fargate(account: Account) -> Settings:
    """Put Fargate in a public subnet behind the queue."""
    account.replace_environment(type="FARGATE", minvCpus=None, instanceTypes=None, instanceRole=None)
    return {"platform": "FARGATE", "memory": 2}


QUEUES = [
    Plant(
        "no queue",
        options(batch_queue="nowhere"),
        "queue",
        "The job queue 'nowhere' does not exist",
        "ct.set_config.*batch_queue",
    ),
    Plant(
        "queue that is disabled",
        disabled_queue,
        "queue",
        "is DISABLED",
        "update-job-queue --job-queue doctor-.* --state ENABLED",
    ),
    Plant(
        "queue that is invalid",
        nothing,
        "queue",
        r"is INVALID \(CLIENT_ERROR - Not authorized\)",
        "describe-compute-environments --compute-environments arn:",
        around=told_of("describejobqueues", HEALTHY.format("JobQueue"), INVALID),
    ),
    Plant(
        "no on-demand queue",
        options(on_demand_queue="nowhere"),
        "on-demand queue",
        "The job queue 'nowhere' does not exist",
        "ct.set_config.*on_demand_queue",
    ),
    Plant(
        "environment that is disabled",
        disabled_environment,
        "environment",
        "is DISABLED",
        "update-compute-environment .* --state ENABLED",
    ),
    Plant(
        "environment that is invalid",
        nothing,
        "environment",
        r"is INVALID \(CLIENT_ERROR - Not authorized\)",
        "describe-compute-environments",
        around=told_of("describecomputeenvironments", HEALTHY.format("ComputeEnvironment"), INVALID),
    ),
    Plant(
        "too few vCPUs",
        environment_of(maxvCpus=2),
        "environment",
        "allows 2 vCPUs, the job asks for 4",
        "--compute-resources maxvCpus=4",
        around=lambda _account, _patch: nullcontext({"vcpu": 4}),
    ),
    Plant(
        "no GPUs",
        options(num_gpus=1),
        "environment",
        "has no GPUs, the job asks for 1",
        "ct.set_config.*num_gpus.*0",
    ),
    Plant(
        "more GPUs than an instance has",
        environment_of(instanceTypes=["g4dn.xlarge"]),
        "environment",
        "its instances have 1 GPUs at most, jobs ask for 4",
        "ct.set_config.*num_gpus.*1",
        around=lambda _account, _patch: nullcontext({"num_gpus": 4}),
    ),
    Plant(
        "all of an instance's memory",
        options(memory=16),
        "environment",
        r"m5.xlarge, has 4 vCPUs and of its 16 GiB 15564 MiB for jobs",
        "ct.set_config.*memory.*15.1",
    ),
    Plant(
        "more vCPUs than an instance has",
        options(vcpu=8),
        "environment",
        "jobs ask for 8 vCPU and 1024 MiB; its largest instance, m5.xlarge, has 4 vCPUs",
        "ct.set_config.*vcpu.*4",
    ),
    Plant(
        "instances of another processor",
        options(cpu_architecture="ARM64"),
        "environment",
        "none of its instances has the processor ARM64",
        "ct.set_config.*cpu_architecture.*X86_64",
    ),
    Plant(
        "job for Fargate in a queue of EC2",
        options(platform="FARGATE", memory=2),
        "environment",
        "is for EC2, the job for FARGATE",
        "ct.set_config.*platform.*EC2",
    ),
]


# --- network and logs -----------------------------------------------------------------------------------


def without_route(account: Account) -> None:
    account.ec2.delete_route(RouteTableId=account.table, DestinationCidrBlock="0.0.0.0/0")


def without_address(account: Account) -> None:
    account.ec2.modify_subnet_attribute(SubnetId=account.subnet, MapPublicIpOnLaunch={"Value": False})


def with_endpoints_but_logs(account: Account) -> None:
    """Leave the subnet with endpoints instead of a route, of which one is missing."""
    without_route(account)
    begin = f"com.amazonaws.{account.aws.region}"
    account.ec2.create_vpc_endpoint(
        VpcId=account.vpc,
        ServiceName=f"{begin}.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[account.table],
    )
    for service in ("ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry"):
        account.ec2.create_vpc_endpoint(
            VpcId=account.vpc,
            ServiceName=f"{begin}.{service}",
            VpcEndpointType="Interface",
            SubnetIds=[account.subnet],
            PrivateDnsEnabled=True,
        )


def closed_in(account: Account) -> None:
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    account.ec2.revoke_security_group_egress(GroupId=account.group, IpPermissions=everything)


def without_subnet(account: Account) -> None:
    account.replace_environment(subnets=["subnet-0123456789abcdef0"])


def gateway_gone(answer: Answer) -> None:
    """Let the route out lead to a gateway that was deleted."""
    if "DescribeRouteTables" in answer.asked:
        route = re.compile(rb"(<gatewayId>igw-[0-9a-f]+</gatewayId>.{0,200}?<state>)active", re.DOTALL)
        answer.body, count = route.subn(rb"\1blackhole", answer.body)
        assert count


def no_ec2(answer: Answer) -> None:
    """Let EC2 refuse to be looked at, as it does."""
    if "DescribeSubnets" in answer.asked:
        error = "<Code>UnauthorizedOperation</Code><Message>You are not authorized.</Message>"
        answer.refuse(f"<Response><Errors><Error>{error}</Error></Errors></Response>")


def without_log_group(account: Account) -> None:
    account.client("logs").delete_log_group(logGroupName=account.name)


def with_eternal_logs(account: Account) -> None:
    account.client("logs").delete_retention_policy(logGroupName=account.name)


SURROUNDINGS = [
    Plant(
        "subnet without a way out",
        without_route,
        "network",
        "subnet-.* has no route out .* no endpoints for s3, ecr.api, ecr.dkr, logs",
        "create-vpc-endpoint .*us-east-1.s3 .*Gateway",
    ),
    Plant(
        "endpoint that is missing",
        with_endpoints_but_logs,
        "network",
        "no route out .* no endpoints for logs",
        "create-vpc-endpoint .*us-east-1.logs .*Interface",
    ),
    Plant(
        "public subnet without addresses",
        without_address,
        "network",
        "is public .* but jobs there get no public address",
        "modify-subnet-attribute --subnet-id subnet-.* --map-public-ip-on-launch",
    ),
    Plant(
        "Fargate in a public subnet without an address",
        on_fargate,
        "network",
        "is public .* but jobs there get no public address",
        "ct.set_config.*assign_public_ip.*True",
    ),
    Plant(
        "gateway that is gone",
        nothing,
        "network",
        "leads nowhere: its gateway is gone",
        "delete-route --route-table-id rtb-",
        around=seen_as(gateway_gone),
    ),
    Plant(
        "security group that lets nothing out",
        closed_in,
        "network",
        r"no security group lets HTTPS \(443\) out, sg-",
        "authorize-security-group-egress --group-id sg-",
    ),
    Plant("subnet that is gone", without_subnet, "network", "subnet-0123456789abcdef0", "describe-subnets"),
    Plant(
        "no right to look at the network",
        nothing,
        "network",
        "these credentials lack ec2:DescribeSubnets",
        "put-user-policy .*ec2:DescribeSubnets",
        "warning",
        around=seen_as(no_ec2),
    ),
    Plant(
        "no log group",
        without_log_group,
        "log group",
        "there is no log group 'doctor-",
        "aws logs create-log-group --log-group-name doctor-",
    ),
    Plant(
        "log group that forgets nothing",
        with_eternal_logs,
        "log group",
        "keeps what it has for ever",
        "put-retention-policy",
        "warning",
    ),
]

ALL = [*THIS_MACHINE, *ACCOUNT, *BUCKET, *ROLES, *IMAGE, *QUEUES, *SURROUNDINGS]
