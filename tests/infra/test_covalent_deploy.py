"""`covalent deploy up | status | down awsbatch`: Covalent's own commands, with a stand-in for Terraform.

They run from what the package ships, since they leave Terraform's state beside it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from covalent_awsbatch_plugin.client import AWSBatch
from covalent_awsbatch_plugin.covalent_deploy import ExecutorInfraDefaults, ExecutorPluginDefaults
from covalent_awsbatch_plugin.infra.parameters import InfraParameters
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.timing import Timing
from tests.infra.account import Account
from tests.infra.covalent_commands import INFRA, Covalent

ROOT = Path(__file__).parents[2]
PACKAGE = "covalent_awsbatch_plugin"

LEFT_BY_TERRAFORM = ["terraform.tfstate", "terraform.tfvars", "awsbatch.conf", ".terraform/providers.json"]

STACK = "deployed"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a built package holds, of sources in which somebody has deployed from."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / PACKAGE, source / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "requirements.txt", "README.md", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    for name in LEFT_BY_TERRAFORM:
        (source / INFRA / name).parent.mkdir(exist_ok=True)
        (source / INFRA / name).touch()
    built = tmp_path_factory.mktemp("built")
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(built)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return built


@pytest.fixture
def account() -> Iterator[Account]:
    with LocalAWS(empty=True, timing=Timing(start_delay_s=0.02)) as running:
        yield Account(running)


@pytest.fixture
def covalent(shipped: Path, tmp_path: Path) -> Covalent:
    return Covalent(shipped, tmp_path)


def empty_bucket(account: Account, name: str) -> None:
    s3 = account.client("s3")
    for each in s3.list_objects_v2(Bucket=name)["Contents"]:
        s3.delete_object(Bucket=name, Key=each["Key"])


def test_what_terraform_left_is_not_shipped(shipped: Path):
    names = {path.name for path in (shipped / INFRA).iterdir()}
    assert {"main.tf", "variables.tf", "template.yaml", "awsbatch.conf.tftpl"} <= names
    assert not names & {Path(name).parts[0] for name in LEFT_BY_TERRAFORM}


def test_a_stack_comes_runs_a_job_and_goes(account: Account, covalent: Covalent):
    there_before = account.everything()
    known = account.aws.settings
    place = {name: known[name] for name in ("profile", "region", "credentials", "endpoint_url")}
    own = {"memory": "0.25", "poll_freq": "1", "container_image_uri": known["container_image_uri"]}
    options = {**place, **own, "stack_name": STACK, "fargate": "false", "max_vcpus": "8"}

    covalent.write_configuration("[executors.awsbatch]\ntime_limit = 77\n")

    up = covalent("deploy", "up", "awsbatch", *(f"--{name}={value}" for name, value in options.items()))
    assert (up.returncode, up.stderr) == (0, "")
    assert "Apply complete! Resources: 2 added" in up.stdout

    section, outputs = covalent.section(), account.outputs(STACK)
    assert section["batch_queue"] == outputs["BatchQueue"]
    assert section["s3_bucket_name"] == outputs["S3BucketName"]
    assert {name: section[name] for name in place} == place
    assert (section["memory"], section["time_limit"], section["vcpu"]) == (0.25, 77, 2)
    assert "FargateQueue" not in outputs

    assert "Provisioned Resources" in covalent("deploy", "status", "awsbatch").stdout
    assert AWSBatch(**section).submit(lambda: 6 * 7).result(60) == 42

    refused = covalent("deploy", "down", "awsbatch")
    assert (refused.returncode, "not empty" in refused.stdout) == (1, True)
    assert "`covalent-awsbatch infra down` empties them after asking" in refused.stderr

    empty_bucket(account, section["s3_bucket_name"])
    down = covalent("deploy", "down", "awsbatch")
    assert (down.returncode, "Destroy complete! Resources: 2 destroyed." in down.stdout) == (0, True)
    assert "No infrastructure provisioned" in covalent("deploy", "status", "awsbatch").stdout
    # The definitions that the executor itself registered are no stack's, and cost nothing.
    left = account.everything() - there_before
    assert {listing for listing, _ in left} == {"describe_job_definitions"}


def test_what_covalent_stumbles_over_is_told_before_it_does(covalent: Covalent):
    covalent.put_terraform("1.11.4")
    done = covalent(
        *("deploy", "up", "awsbatch", "--region=us-east-1"),
        AWS_PROFILE="mine",
        AWS_REGION="us-east-1",
    )
    told, missed, refusal = done.stderr.splitlines()
    assert done.returncode == 1
    assert told.startswith("Warning: Covalent refuses Terraform 1.11.4: it takes 1.4 to 1.9")
    assert "`covalent-awsbatch infra up`" in told
    assert missed.startswith("Warning: Covalent does not pass AWS_PROFILE on to Terraform: give --profile=…")
    assert refusal.startswith("Old version of terraform found")


def test_another_home_with_credentials_is_told(covalent: Covalent, tmp_path: Path):
    (tmp_path / ".aws").mkdir()
    told = covalent("deploy", "up", "awsbatch", "--help").stderr
    assert "Covalent does not pass HOME on to Terraform: give --credentials=…" in told


def test_without_options_the_plan_has_the_defaults(covalent: Covalent):
    done = covalent("deploy", "up", "awsbatch", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((covalent.infra / "tf.plan").read_text()) == InfraParameters().model_dump()


def test_a_refused_option_is_told_in_a_sentence(covalent: Covalent):
    done = covalent("deploy", "up", "awsbatch", "--max_vcpus=many")
    assert done.returncode == 2
    assert "Error: max_vcpus='many' (most vCPUs of each environment) is refused: input" in done.stderr


@pytest.mark.skipif(shutil.which("terraform") is None, reason="there is no Terraform on the PATH")
def test_the_terraform_of_this_machine_is_told_of_if_covalent_refuses_it(covalent: Covalent):
    program = shutil.which("terraform")
    covalent.put_program("terraform", f'#!/bin/sh\nexec "{program}" "$@"\n')
    done = covalent("deploy", "status", "awsbatch")
    refused = "Old version of terraform found" in done.stderr
    assert ("Warning: Covalent refuses Terraform" in done.stderr) == refused


def test_only_what_was_set_is_written_over_the_users_configuration():
    defaults = ExecutorPluginDefaults(vcpu="4", memory="3.75", verify_origin="true", region=None)
    assert defaults.dict() == {"vcpu": 4, "memory": 3.75, "verify_origin": True, "region": ""}


def test_options_are_taken_as_the_text_that_covalent_hands_on():
    defaults = ExecutorInfraDefaults(gpu="true", max_vcpus="2", instance_types="c7i,m7i")
    assert (defaults.gpu, defaults.max_vcpus, defaults.instance_types) == (True, 2, "c7i,m7i")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"gpu": "some"}, "gpu='some' .+ is refused: input should be a valid boolean"),
        ({"credentials": "here"}, "credentials is refused: Terraform runs in another directory"),
    ],
)
def test_options_of_the_set_up_are_refused_in_words(options: dict[str, str], sentence: str):
    with pytest.raises(click.UsageError, match=sentence):
        ExecutorInfraDefaults(**options)


def test_options_of_the_executor_are_refused_in_words():
    with pytest.raises(click.UsageError, match="time_limit is refused: input should be greater than"):
        ExecutorPluginDefaults(time_limit="5")


def test_importing_covalent_loads_nothing_of_it():
    program = f"import sys, covalent; sys.exit('{PACKAGE}.covalent_deploy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
