"""`covalent-awsbatch infra up | status | down | plan | template`, on an account with nothing in it."""

from __future__ import annotations

import json
import re
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin import __version__
from covalent_awsbatch_plugin.client import AWSBatch
from covalent_awsbatch_plugin.infra import template
from covalent_awsbatch_plugin.infra.stack import OUR_TAG
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.faults.effects import Latency, Refusal
from covalent_awsbatch_plugin.local.faults.plan import Plan, RequestFault
from covalent_awsbatch_plugin.local.timing import Timing
from tests.client.surroundings import Gate
from tests.e2e.surroundings import eventually
from tests.infra.account import Account, Infra

NAME = "covalent-awsbatch"
"""What the stack is called if nobody says otherwise."""


SLOW_S = 4.0
"""Long enough for a program to be interrupted, and for another one to begin, on a machine that is busy."""


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with LocalAWS(empty=True, vcpus=4, memory_mib=4096, timing=Timing(start_delay_s=0.02)) as running:
        yield Account(running)


@pytest.fixture
def infra(account: Account, tmp_path: Path) -> Iterator[Infra]:
    """The command; whatever a test leaves is taken down, and then nothing is there."""
    before = account.everything()
    command = Infra(account, tmp_path)
    yield command
    account.aws.replace_faults(Plan())
    command.done("down", "--yes")
    assert account.everything() == before


# --- up -------------------------------------------------------------------------------------------------


def test_up_makes_what_an_account_must_have_and_tells_covalent_once(infra):
    users = infra.section()
    result = infra.done("up", "--yes", *infra.small)
    stack = infra.account.stack(NAME)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert {each["Key"]: each["Value"] for each in stack["Tags"]}[OUR_TAG] == __version__
    assert re.search(r"^made +Bucket +AWS::S3::Bucket *$", result.stdout, re.MULTILINE)
    assert re.search(r"^CREATE_COMPLETE +AWS::S3::Bucket Bucket$", result.stderr, re.MULTILINE)
    outputs = infra.account.outputs(NAME)
    assert f'+s3_bucket_name = "{outputs["S3BucketName"]}"' in result.stdout.splitlines()
    assert "A Covalent server that runs takes it with the next task" in result.stdout
    assert infra.section() == {**users, **template.settings_in(outputs)}
    assert infra.configuration.read_text().startswith("# mine\n")

    there, text = infra.account.everything(), infra.configuration.read_text()
    again = infra.done("up")
    assert again.stdout.startswith(f"The stack {NAME} is as it should be: there is nothing to do.\n")
    assert again.stdout.endswith("is as it should be.\n")
    assert (infra.account.everything(), infra.configuration.read_text()) == (there, text)


def test_a_parameter_is_changed_and_the_others_stay(infra):
    infra.done("up", "--yes", *infra.small, "--max-vcpus", "8", "--kept-images", "7")
    before = infra.account.parameters(NAME)
    shown = infra.done("plan", "--artifact-days", "5").stdout
    assert re.search(r"^changed +Bucket +AWS::S3::Bucket *$", shown, re.MULTILINE)
    assert "1 to be changed." in shown
    infra.done("up", "--yes", "--artifact-days", "5")
    assert infra.account.parameters(NAME) == {**before, "ArtifactDays": "5"}
    assert (before["MaxVcpus"], before["Spot"]) == ("8", "false")


def test_what_is_no_output_any_more_leaves_the_configuration(infra):
    infra.done("up", "--yes", "--no-spot")
    assert "on_demand_queue" in infra.section()
    result = infra.done("up", "--yes", "--no-on-demand")
    assert re.search(r"^deleted +OnDemandQueue ", result.stdout, re.MULTILINE)
    assert "on_demand_queue" not in infra.section()
    assert infra.section()["batch_queue"] == infra.account.outputs(NAME)["FargateQueue"]


def test_who_says_no_or_cannot_be_asked_changes_nothing(infra):
    before, text = infra.account.everything(), infra.configuration.read_text()
    unasked = infra("up", *infra.small)
    assert (unasked.exit_code, "repeat it with --yes" in unasked.stderr) == (1, True)
    assert (infra.account.everything(), infra.configuration.read_text()) == (before, text)
    refused = infra.answered("n\n", "up", *infra.small)
    assert f"Do this with the stack {NAME}? [y/N]: " in refused.stderr
    assert (refused.returncode, "Nothing was changed" in refused.stderr) == (1, True)
    assert (infra.account.everything(), infra.configuration.read_text()) == (before, text)


def test_the_configuration_is_asked_for_by_itself(infra):
    text = infra.configuration.read_text()
    result = infra.answered("y\nn\n", "up", *infra.small)
    assert result.returncode == 0, result.stderr
    assert "Write this into Covalent's configuration? [y/N]: " in result.stderr
    assert infra.account.stack(NAME)["StackStatus"] == "CREATE_COMPLETE"
    assert infra.configuration.read_text() == text
    assert infra.answered("y\n", "up").returncode == 0
    assert infra.section()["s3_bucket_name"] == infra.account.outputs(NAME)["S3BucketName"]


def test_the_account_that_was_named_is_written_too(infra):
    users = infra.section()
    infra.configuration.unlink()
    place = [("--endpoint-url", "endpoint_url"), ("--credentials", "credentials"), ("--region", "region")]
    options = [text for option, name in place for text in (option, users[name])]
    infra.done("up", "--yes", *infra.small, *options)
    assert {name: infra.section()[name] for _, name in place} == {name: users[name] for _, name in place}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ("--stack-name", "Under_Score"),
            r"stack_name='Under_Score' \(name of the stack,.*\) is refused: .+",
        ),
        (("--max-vcpus", "0"), "Invalid value for '--max-vcpus': 0 is not in the range x>=1"),
        (
            ("--allocation-strategy", "BEST"),
            "Invalid value for '--allocation-strategy': 'BEST' is not one of",
        ),
        (("--bucket-name", "No Bucket"), "CloudFormation did not plan the stack|No Bucket"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_a_sentence(infra, options, says):
    before = infra.account.everything()
    result = infra("up", "--yes", *infra.small, *options)
    assert result.exit_code != 0
    assert re.search(says, result.stderr)
    assert "Traceback" not in result.output
    infra.done("down", "--yes")
    assert infra.account.everything() == before


def test_a_terminal_has_a_bar_and_a_line_for_each_resource(infra):
    shown, _ = infra.show_on_terminal("up", "--yes", *infra.small, stream="stderr", columns=120)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"CREATE_COMPLETE +AWS::S3::Bucket Bucket\r\n", plain)
    total = int(re.search(r"━+ +(\d+)/\1 +\d:\d\d:\d\d", plain)[1])
    assert total == plain.count("CREATE_COMPLETE")


# --- plan, template and status --------------------------------------------------------------------------


def test_a_plan_changes_nothing(infra):
    before = infra.account.everything()
    shown = infra.done("plan").stdout
    assert re.search(r"^made +Bucket +AWS::S3::Bucket *$", shown, re.MULTILINE)
    assert re.search(r"^\d\d to be made\.$", shown, re.MULTILINE)
    assert infra.account.everything() == before

    infra.done("up", "--yes", *infra.small)
    there, text = infra.account.everything(), infra.configuration.read_text()
    parameters = infra.account.parameters(NAME)
    assert "made" in infra.done("plan", "--spot").stdout
    assert infra.done("plan").stdout == f"The stack {NAME} is as it should be: nothing would be done.\n"
    assert (infra.account.everything(), infra.configuration.read_text()) == (there, text)
    assert infra.account.parameters(NAME) == parameters
    sets = infra.account.client("cloudformation").list_change_sets(StackName=NAME)["Summaries"]
    assert [each for each in sets if each["ExecutionStatus"] == "AVAILABLE"] == []


def test_the_template_is_printed_as_it_is(infra):
    assert infra.done("template").stdout == template.text()


def test_the_template_fits_into_a_request():
    assert len(template.text().encode()) <= 51_200  # CloudFormation's limit for a TemplateBody


def test_status_shows_the_stack_and_whether_covalent_points_at_it(infra):
    assert infra.done("status").stdout.startswith(f"There is no stack {NAME} in us-east-1")
    assert json.loads(infra.done("status", "--json").stdout) == {"stack": None}
    infra.done("up", "--yes", *infra.small)
    outputs = infra.account.outputs(NAME)
    shown = infra.done("status").stdout
    assert re.search(r"^state +CREATE_COMPLETE$", shown, re.MULTILINE)
    bucket = outputs["S3BucketName"]
    assert re.search(rf"^Bucket +AWS::S3::Bucket +CREATE_COMPLETE +{bucket} *$", shown, re.MULTILINE)
    assert shown.endswith("Covalent's configuration points at this stack.\n")
    text = infra.configuration.read_text().replace(outputs["BatchQueue"], "another")
    infra.configuration.write_text(text)
    assert "does not point at this stack: batch_queue, on_demand_queue differ." in infra.done("status").stdout
    told = json.loads(infra.done("status", "--json").stdout)
    assert (told["stack"]["outputs"], told["stack"]["is_ours"]) == (outputs, True)
    assert told["differing_settings"] == ["batch_queue", "on_demand_queue"]
    assert {each["type"] for each in told["resources"]} >= {"AWS::S3::Bucket", "AWS::Batch::JobQueue"}


# --- what goes wrong ------------------------------------------------------------------------------------


def test_a_stack_of_somebody_else_is_left_alone(infra):
    cloudformation = infra.account.client("cloudformation")
    foreign = json.dumps({"Resources": {"Topic": {"Type": "AWS::Logs::LogGroup"}}})
    cloudformation.create_stack(StackName=NAME, TemplateBody=foreign)
    eventually(lambda: infra.account.stack(NAME)["StackStatus"] == "CREATE_COMPLETE")
    there = infra.account.everything()
    for command in (("up", "--yes"), ("down", "--yes"), ("plan",)):
        result = infra(*command)
        assert result.exit_code == 1
        assert f"The stack '{NAME}' was not made by covalent-awsbatch" in result.stderr
    assert infra.account.everything() == there
    cloudformation.delete_stack(StackName=NAME)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=NAME, WaiterConfig={"Delay": 1})


def test_a_failure_is_told_with_its_cause_and_up_again_makes_it_good(infra):
    ecr = infra.account.client("ecr")
    ecr.create_repository(repositoryName=NAME)
    failed = infra("up", "--yes", *infra.small)
    ecr.delete_repository(repositoryName=NAME)
    assert failed.exit_code == 1
    assert re.search(
        rf"Error: The stack '{NAME}' ended in ROLLBACK_COMPLETE\. It began with Repository "
        r"\(AWS::ECR::Repository\), CREATE_FAILED: .*already exists.* run `covalent-awsbatch infra up` again",
        failed.stderr,
    )
    assert "s3_bucket_name" not in infra.section()
    assert "deletes it, and makes everything anew" in infra("plan").stderr

    again = infra.done("up", "--yes", *infra.small)
    assert f"the stack {NAME} is what a creation that failed has left (ROLLBACK_COMPLETE)" in again.stderr
    assert infra.account.stack(NAME)["StackStatus"] == "CREATE_COMPLETE"


def refused(operation: str, message: str, **limits: Any) -> Plan:
    effect = Refusal(status=403, code="AccessDenied", message=message)
    return Plan(faults=[RequestFault(operation=operation, effect=effect, **limits)])


def test_a_right_that_is_missing_is_named(infra):
    said = "User: arn:aws:iam::123456789012:user/me is not authorized to perform: iam:CreateRole on resource"
    infra.account.aws.replace_faults(refused("CreateRole", said))
    failed = infra("up", "--yes", *infra.small)
    assert failed.exit_code == 1
    assert "CREATE_FAILED" in failed.stderr
    assert "These credentials need the right iam:CreateRole." in failed.stderr


def test_an_update_that_fails_leaves_all_as_it_was(infra):
    infra.done("up", "--yes", *infra.small)
    parameters, section = infra.account.parameters(NAME), infra.section()
    infra.account.aws.replace_faults(refused("CreateJobQueue", "not today", calls=[1]))
    failed = infra("up", "--yes", "--spot")
    assert failed.exit_code == 1
    assert "ended in UPDATE_ROLLBACK_COMPLETE." in failed.stderr
    assert "All is again as it was before." in failed.stderr
    assert (infra.account.parameters(NAME), infra.section()) == (parameters, section)
    infra.account.aws.replace_faults(Plan())
    infra.done("up", "--yes", "--spot")
    assert "SpotQueue" in infra.account.outputs(NAME)


def test_who_interrupts_it_is_told_that_it_goes_on_and_up_again_follows_it(infra):
    slow = RequestFault(operation="CreateLogGroup", effect=Latency(latency_s=SLOW_S))
    infra.account.aws.replace_faults(Plan(faults=[slow]))
    program = infra.start("up", "--yes", *infra.small)
    assert program.stderr is not None
    while "AWS::Logs::LogGroup" not in program.stderr.readline():
        pass
    program.send_signal(signal.SIGINT)
    _, stderr = program.communicate(timeout=60)
    assert program.returncode == 1
    assert "Interrupted, but CloudFormation goes on by itself" in stderr
    assert infra.section().get("s3_bucket_name") is None

    again = infra.done("up", "--yes")
    assert f"CloudFormation is at work on the stack {NAME} already (CREATE_IN_PROGRESS)" in again.stderr
    assert re.search(r"^CREATE_COMPLETE +AWS::Logs::LogGroup LogGroup$", again.stderr, re.MULTILINE)
    assert "there is nothing to do" in again.stdout
    assert infra.section()["s3_bucket_name"] == infra.account.outputs(NAME)["S3BucketName"]


def test_down_that_fails_is_told_and_goes_on_when_it_is_run_again(infra):
    infra.done("up", "--yes", *infra.small)
    infra.account.aws.replace_faults(refused("DeleteRepository", "not today"))
    failed = infra("down", "--yes")
    assert failed.exit_code == 1
    assert re.search(r"ended in DELETE_FAILED\. It began with Repository .*not today", failed.stderr)
    assert "run `covalent-awsbatch infra down` again: it goes on with what is left." in failed.stderr
    assert "is stuck in DELETE_FAILED" in infra("up", "--yes").stderr
    infra.account.aws.replace_faults(Plan())
    assert f"The stack {NAME} is gone." in infra.done("down", "--yes").stdout


# --- down -----------------------------------------------------------------------------------------------


def test_down_without_a_stack_has_nothing_to_do(infra):
    result = infra.done("down")
    assert result.stdout == f"There is no stack {NAME}: there is nothing to take down.\n"


def test_down_empties_what_the_stack_made_and_nothing_else(infra):
    infra.done("up", "--yes", *infra.small)
    bucket = infra.account.outputs(NAME)["S3BucketName"]
    s3 = infra.account.client("s3")
    s3.create_bucket(Bucket="foreign")
    s3.put_object(Bucket="foreign", Key="kept", Body=b"1")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"22"):
        s3.put_object(Bucket=bucket, Key="covalent/of-ours", Body=body)
    s3.put_object(Bucket=bucket, Key="gone", Body=b"333")
    s3.delete_object(Bucket=bucket, Key="gone")
    s3.create_multipart_upload(Bucket=bucket, Key="begun")
    ecr = infra.account.client("ecr")
    put_image(ecr, NAME)
    ecr.create_repository(repositoryName="foreign")
    put_image(ecr, "foreign")
    there, text = infra.account.everything(), infra.configuration.read_text()

    asked = infra.answered("n\n", "down")
    assert re.search(rf"^bucket {bucket} +4 objects, 0\.0 MiB$", asked.stdout, re.MULTILINE)
    assert re.search(rf"^repository {NAME} +1 image$", asked.stdout, re.MULTILINE)
    assert f"Delete all this, the stack {NAME} with everything in it? [y/N]: " in asked.stderr
    assert (asked.returncode, infra.account.everything()) == (1, there)
    assert infra.configuration.read_text() == text

    infra.done("down", "--yes")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="foreign")["Contents"]] == ["kept"]
    assert len(ecr.describe_images(repositoryName="foreign")["imageDetails"]) == 1
    s3.delete_object(Bucket="foreign", Key="kept")
    s3.delete_bucket(Bucket="foreign")
    ecr.delete_repository(repositoryName="foreign", force=True)


def put_image(ecr: Any, repository: str) -> None:
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 1,
            "digest": "sha256:0",
        },
        "layers": [],
        "comment": uuid.uuid4().hex,
    }
    ecr.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag="latest")


def test_down_takes_only_its_own_values_from_the_configuration(infra):
    users = infra.section()
    infra.done("up", "--yes", *infra.small)
    outputs = infra.account.outputs(NAME)
    text = infra.configuration.read_text().replace(outputs["BatchJobRoleName"], "role-of-mine")
    infra.configuration.write_text(f"{text}vcpu = 4 # mine\n")
    result = infra.done("down", "--yes")
    assert f'-s3_bucket_name = "{outputs["S3BucketName"]}"' in result.stdout.splitlines()
    assert infra.section() == {**users, "batch_job_role_name": "role-of-mine", "vcpu": 4}
    assert "vcpu = 4 # mine" in infra.configuration.read_text()


def test_jobs_that_run_are_told_and_ended(infra, tmp_path):
    infra.done("up", "--yes", *infra.small)
    gate = Gate(tmp_path / "gate")
    job = AWSBatch(progress=False, memory=0.25, vcpu=1, **infra.section()).submit(gate.hold, 1)
    gate.wait_for(1)
    asked = infra.answered("n\n", "down")
    assert re.search(r"^jobs to be ended +1$", asked.stdout, re.MULTILINE)
    assert "End 1 job and delete all this" in asked.stderr
    assert job.status.value == "RUNNING"
    infra.done("down", "--yes")


# --- from nothing to a result and back ------------------------------------------------------------------


def test_from_an_empty_account_to_results_and_back(infra):
    before = infra.account.everything()
    infra.done("up", "--yes")
    batch = AWSBatch(progress=False, **{**infra.section(), "memory": 0.25, "vcpu": 1})
    assert batch.submit(lambda x: x + 1, 41).result() == 42
    assert list(batch.map(lambda x: x * x, range(4)).results()) == [0, 1, 4, 9]
    result = infra.done("down", "--yes")
    assert f"deregistered the job definition {NAME}-jobs-" in result.stderr
    assert infra.account.everything() == before
