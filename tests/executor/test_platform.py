"""Fargate and what else a job may be given: what is refused, in which words, and what is asked of AWS."""

from __future__ import annotations

import json
from typing import Any

import covalent as ct
import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin import definition, fargate, submit
from covalent_awsbatch_plugin.errors import SettingsError
from covalent_awsbatch_plugin.local.rules import FARGATE_MEMORY_MIB
from covalent_awsbatch_plugin.preflight import Ground, Identity
from covalent_awsbatch_plugin.settings import MIB_PER_GB, Settings, resolve
from covalent_awsbatch_plugin.submit import Dependency
from covalent_awsbatch_plugin.variables import as_list

FARGATE: dict[str, Any] = {"platform": "FARGATE", "vcpu": 1, "memory": 2}
EFS = {"efs": "fs-0123456789abcdef0", "path": "/mnt/data"}
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:lab/token-AbCdEf"
ACCOUNT = "arn:aws:iam::123456789012"
GROUND = Ground(Identity(f"{ACCOUNT}:user/x", "us-east-1"), f"{ACCOUNT}:role/j", f"{ACCOUNT}:role/e")


def settings_of(**options: Any) -> Settings:
    return resolve(options, {}).settings


def refusal(**options: Any) -> str:
    with pytest.raises(SettingsError) as raised:
        ct.executor.AWSBatchExecutor(**options)
    return str(raised.value)


# --- Fargate's pairs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vcpu", "memory", "rest"),
    [
        (
            3,
            4,
            "a job has 0.25, 0.5, 1, 2, 4, 8, 16 or 32 vCPUs there; vcpu=4, memory=8 would do.",
        ),
        (2, 3.5, "with vcpu=2 a job has 4 to 16 GB in steps of 1 there; vcpu=2, memory=4 would do."),
        (0.25, 1.5, "with vcpu=0.25 a job has 0.5, 1 or 2 GB there; vcpu=0.25, memory=2 would do."),
        (1, 8.5, "with vcpu=1 a job has 2 to 8 GB in steps of 1 there; vcpu=2, memory=9 would do."),
        (8, 18, "with vcpu=8 a job has 16 to 60 GB in steps of 4 there; vcpu=8, memory=20 would do."),
        (0.1, 0.1, "a job has 0.25, 0.5, 1, 2, 4, 8, 16 or 32 vCPUs there; vcpu=0.25, memory=0.5 would do."),
        (
            32,
            250,
            "with vcpu=32 a job has 60, 120 or 244 GB there; Fargate has nothing so large, platform='EC2' "
            "would do.",
        ),
    ],
)
def test_a_pair_that_fargate_lacks_is_refused_with_the_next_that_it_has(
    vcpu: float, memory: float, rest: str
):
    text = refusal(platform="FARGATE", vcpu=vcpu, memory=memory)
    assert text == f"vcpu={vcpu}, memory={memory} is refused on Fargate: {rest}"


def test_the_pairs_are_those_of_the_aws_that_tests_run_on():
    ours = {vcpu: list(sizes) for vcpu, sizes in fargate.MEMORY_MIB.items()}
    assert ours == {vcpu: list(sizes) for vcpu, sizes in FARGATE_MEMORY_MIB.items()}


@given(
    vcpu=st.one_of(st.integers(1, 40), st.sampled_from([0.25, 0.5, 1.5]), st.floats(0.01, 40)),
    memory=st.one_of(st.integers(1, 260), st.floats(0.004, 260)),
)
def test_whatever_is_asked_for_is_a_pair_or_the_one_that_is_named_covers_it(vcpu: float, memory: float):
    def is_pair(some_vcpu: float, some_mib: int) -> bool:
        return some_mib in FARGATE_MEMORY_MIB.get(some_vcpu, ())

    try:
        taken = settings_of(platform="FARGATE", vcpu=vcpu, memory=memory)
    except SettingsError:
        assert not is_pair(vcpu, int(memory * MIB_PER_GB))
    else:
        assert is_pair(taken.vcpu, taken.memory_mib)
        return
    named = fargate.next_pair(vcpu, int(memory * MIB_PER_GB))
    covering = [
        (some_vcpu, some_mib)
        for some_vcpu, sizes in FARGATE_MEMORY_MIB.items()
        for some_mib in sizes
        if some_vcpu >= vcpu and some_mib >= int(memory * MIB_PER_GB)
    ]
    assert named == min(covering, default=None)
    if named is not None:
        assert settings_of(platform="FARGATE", vcpu=named[0], memory=named[1] / MIB_PER_GB).vcpu == named[0]


def test_the_pair_that_an_error_names_would_do():
    text = refusal(platform="FARGATE", vcpu=5, memory=61)
    advice = text.partition("; ")[2].removesuffix(" would do.")
    options = dict(each.split("=") for each in advice.split(", "))
    assert settings_of(platform="FARGATE", **options).memory_mib == 64 * 1024


def test_memory_climbs_from_pair_to_pair():
    assert settings_of(**FARGATE, memory_on_oom=[4, 8]).memory_on_oom == [4, 8]
    assert refusal(**FARGATE, memory_on_oom=[4, 16, 30]) == (
        "memory_on_oom=[4, 16, 30] is refused on Fargate: with vcpu=1 a job has 2 to 8 GB in steps "
        "of 1 there; "
        "vcpu=2, memory=16 would do."
    )


def test_a_part_of_a_vcpu_is_fargates_alone():
    assert settings_of(platform="FARGATE", vcpu=0.5, memory=1).vcpu == 0.5
    assert refusal(vcpu=0.5) == "vcpu=0.5 is refused: it must be a whole number; 1 or more would do."
    assert refusal(vcpu=0) == "vcpu=0 is refused: the minimum is 1 vCPU; 1 or more would do."
    assert repr(settings_of(vcpu=4.0).vcpu) == "4"


# --- what does not go together, and what AWS would refuse --------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {**FARGATE, "num_gpus": 1},
            "num_gpus=1 is refused on Fargate: it has none; platform='EC2' would do.",
        ),
        (
            {**FARGATE, "shared_memory": 1},
            "shared_memory=1 is refused on Fargate: it is EC2's alone; platform='EC2' would do.",
        ),
        (
            {**FARGATE, "volumes": [{"host": "/a", "path": "/b"}]},
            "volumes=[{'host': '/a', 'path': '/b'}] is refused on Fargate: it has no hosts, only EFS; "
            '[{"efs": "fs-0123456789abcdef0", "path": "/mnt/data"}] would do.',
        ),
        (
            {**FARGATE, "batch_execution_role_name": ""},
            "batch_execution_role_name='' is refused on Fargate: it pulls images and writes logs with "
            "that role "
            "alone; 'ecsTaskExecutionRole' would do.",
        ),
        (
            {"assign_public_ip": True},
            "assign_public_ip=True is refused on EC2: it is Fargate's alone; platform='FARGATE' would do.",
        ),
        (
            {"ephemeral_storage": 50},
            "ephemeral_storage=50 is refused on EC2: it is Fargate's alone; platform='FARGATE' would do.",
        ),
        (
            {**FARGATE, "ephemeral_storage": 20},
            "ephemeral_storage=20 is refused: Fargate has 21 to 200 GB; 50 would do.",
        ),
        (
            {**FARGATE, "ephemeral_storage": 201},
            "ephemeral_storage=201 is refused: Fargate has 21 to 200 GB; 50 would do.",
        ),
        (
            {"shared_memory": 0.0009},
            "shared_memory=0.0009 is refused: AWS Batch's minimum is 1 MiB; 0.001 or more would do.",
        ),
        ({"platform": "fargate"}, "platform='fargate' is refused: input should be 'EC2' or 'FARGATE'."),
        (
            {"scheduling_priority": 5},
            "scheduling_priority=5 is refused: it orders the jobs of a share; a share_identifier with "
            "it would "
            "do.",
        ),
        (
            {"share_identifier": "a", "scheduling_priority": 10_000},
            "scheduling_priority=10000 is refused: the maximum is 9999; a number from 0 to 9999 would do.",
        ),
        (
            {"share_identifier": "a b"},
            "share_identifier='a b' is refused: AWS Batch takes letters and digits, 255 at most, and "
            "one '*' at "
            "the end; 'research' would do.",
        ),
        (
            {"secrets": {"TOKEN": SECRET}, "batch_execution_role_name": ""},
            "secrets is refused: ECS reads them with the execution role; a batch_execution_role_name "
            "would do.",
        ),
        (
            {"secrets": {"TOKEN": SECRET}, "environment": {"TOKEN": "x"}},
            "secrets is refused: 'TOKEN' is in environment too; leave it out of one of them.",
        ),
        (
            {"volumes": [{**EFS, "iam": True}], "batch_job_role_name": ""},
            "volumes=[{'efs': 'fs-0123456789abcdef0', 'path': '/mnt/data', 'iam': True}] is refused: "
            "'iam' takes "
            "the job's role; a batch_job_role_name would do.",
        ),
        (
            {"job_definition": "lab:0"},
            "job_definition='lab:0' is refused: a job definition is named by its name, name:revision or ARN; "
            "'my-definition:3' would do.",
        ),
        (
            {"job_definition": "lab", "volumes": [EFS]},
            "volumes=[{'efs': 'fs-0123456789abcdef0', 'path': '/mnt/data'}] is refused: "
            "job_definition='lab' has "
            "its own; leave one of the two out.",
        ),
        (
            {"job_definition": "lab", "secrets": {"TOKEN": SECRET}},
            "secrets is refused: job_definition='lab' has its own; leave one of the two out.",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_sentence(options: dict[str, Any], sentence: str):
    assert refusal(**options) == sentence


@pytest.mark.parametrize(
    ("volume", "rest"),
    [
        ({"path": "/a"}, "a volume is either 'efs' or 'host'; "),
        ({**EFS, "host": "/a"}, "a volume is either 'efs' or 'host'; "),
        ({"efs": "fs-0123"}, "'path' is a directory in the container, and begins with '/'; "),
        ({**EFS, "path": "data"}, "'path' is a directory in the container, and begins with '/'; "),
        ({**EFS, "path": "/"}, "'path' is a directory in the container, and begins with '/'; "),
        ({**EFS, "path": "/a:/b"}, "'path' is a directory in the container, and begins with '/'; "),
        ({**EFS, "efs": "vol-1"}, "'efs' is the id of a file system; "),
        ({**EFS, "access_point": "ap"}, "'access_point' is the id of an access point; "),
        ({**EFS, "root": "data"}, "'root' is a directory of the file system, and begins with '/'; "),
        ({**EFS, "root": "/d", "access_point": "fsap-0123"}, "'root' is fixed by the access point; "),
        ({"host": "tmp", "path": "/a"}, "'host' is a directory of the instance, and begins with '/'; "),
        ({"host": "/a", "path": "/a", "root": "/"}, "'root' goes with 'efs' alone; "),
    ],
)
def test_a_volume_that_cannot_be_is_refused_with_what_would_do(volume: dict[str, Any], rest: str):
    text = refusal(volumes=[volume])
    assert text.startswith(f"volumes[0]={volume!r} is refused: {rest}")
    assert "\n" not in text


def test_two_volumes_have_two_places_and_keys_are_known():
    assert refusal(volumes=[EFS, {**EFS, "path": "/mnt/data/"}]).endswith(
        "is refused: two volumes have the 'path' '/mnt/data'; give each its own."
    )
    assert refusal(volumes=[{**EFS, "readonly": True}]) == (
        "volumes[0].readonly=True is refused: a volume has no such key; efs, host, path, root, access_point, "
        "iam, read_only are all."
    )


@pytest.mark.parametrize(
    ("options", "rest"),
    [
        ({"environment": {"AWS_BATCH_X": "s3cret"}}, "'AWS_BATCH_X' begins with 'AWS_BATCH'"),
        ({"environment": {"COVALENT_AWSBATCH_PAYLOAD": "s3cret"}}, "is given to every job anyway"),
        ({"environment": {"AWS_REGION": "s3cret"}}, "'AWS_REGION' is given to every job anyway"),
        ({"environment": {"1X": "s3cret"}}, "does not begin with a digit, unlike '1X'"),
        ({"environment": {"X": 4}}, "the value of 'X' must be a text"),
        ({"environment": {"X": "s3cret\0"}}, "the value of 'X' has a character that ends texts"),
        ({"environment": {"X": "s3cret" * 2000}}, "as JSON it may have 6,500 characters"),
        ({"environment": ["s3cret"]}, "it must be a dict of texts; {'OMP_NUM_THREADS': '4'} would do"),
        ({"secrets": {"X": "s3cret"}}, "'X' must be the ARN of a secret or of an SSM parameter; "),
        ({"secrets": {"AWS_BATCH_X": SECRET}}, "'AWS_BATCH_X' begins with 'AWS_BATCH'"),
        ({"tags": {"AWS:x": "s3cret"}}, "'AWS:x' begins with 'aws:', which AWS keeps for itself"),
        ({"tags": {"": "s3cret"}}, "keys have 1 to 128 characters and values 256 at most, unlike ''"),
        ({"tags": {"x": "s3cret" * 50}}, "keys have 1 to 128 characters and values 256 at most, unlike 'x'"),
        ({"tags": {"x": "s3cret;"}}, "tags have letters, digits, blanks and '+-=._:/@', unlike 'x'"),
        ({"tags": {f"k{n}": "s3cret" for n in range(51)}}, "AWS takes 50 tags at most, these are 51"),
        ({"tags": {f"k{n}": "ü" * 256 for n in range(50)}}, "they are too long for AWS Batch's requests"),
    ],
)
def test_variables_and_tags_are_refused_by_their_names_and_never_with_their_values(options: Any, rest: str):
    (name,) = options
    text = refusal(**options)
    assert text.startswith(f"{name} is refused: ")
    assert rest in text
    assert "s3cret" not in text
    assert "\n" not in text


def test_a_value_of_the_configuration_is_refused_by_its_place():
    with pytest.raises(SettingsError) as raised:
        resolve({"platform": "EC2"}, {"platform": "FARGATE", "assign_public_ip": True})
    assert str(raised.value).startswith(
        "assign_public_ip=True in [executors.awsbatch] of Covalent's configuration is refused on EC2: "
    )


def test_who_uses_a_definition_of_their_own_is_told_what_has_no_effect():
    configured = {"container_image_uri": "theirs", "batch_job_role_name": "Theirs"}
    written = {**configured, "job_definition": "lab", "batch_job_role_name": "Mine"}
    assert resolve({**configured, "job_definition": "lab"}, configured).warnings == []
    assert resolve(written, configured).warnings == [
        "job_definition='lab' has its own image and roles: batch_job_role_name has no effect and "
        "can be left out."
    ]


def test_an_executor_holds_plain_json_and_survives_it():
    options = {
        "volumes": [EFS, {"host": "/scratch", "path": "/scratch", "read_only": True}],
        "environment": {"A": "1"},
        "secrets": {"B": SECRET},
        "tags": {"c": ""},
        "shared_memory": 0.5,
    }
    sent = ct.executor.AWSBatchExecutor(**options).to_dict()
    assert {name: sent["attributes"][name] for name in options} == options
    received = ct.executor.AWSBatchExecutor().from_dict(json.loads(json.dumps(sent)))
    assert Settings.of(vars(received)) == settings_of(**options)


# --- what AWS is asked ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    [
        {"environment": {"A": "1"}},
        {"tags": {"a": "1"}},
        {"propagate_tags": True},
        {"share_identifier": "a"},
        {"share_identifier": "a", "scheduling_priority": 1},
        {"vcpu": 4},
    ],
)
def test_tasks_that_ask_for_something_else_are_not_submitted_together(option: dict[str, Any]):
    assert Settings(**option).asked != Settings().asked
    assert hash(Settings(**option).asked) != hash(Settings().asked)


def test_a_definition_that_asks_for_nothing_new_keeps_its_name():
    name = definition.request(Settings(), GROUND, "image:1")["jobDefinitionName"]
    assert name == "covalent-batch-jobs-4e0a10963b4b7850"


NAMES = st.text(st.sampled_from("ABCZ_09"), min_size=1, max_size=40).filter(
    lambda name: not name[0].isdigit()
)
VALUES = st.text(max_size=300)


@given(
    environment=st.dictionaries(NAMES, VALUES, max_size=40),
    tags=st.dictionaries(st.text(min_size=1, max_size=128), st.text(max_size=256), max_size=50),
)
def test_what_is_taken_fits_into_awss_limits(environment: dict[str, str], tags: dict[str, str]):
    try:
        settings = settings_of(environment=environment, tags=tags, job_definition="d" * 128)
    except SettingsError:
        return
    check_limits(settings)


def test_the_longest_variables_and_tags_that_are_taken_fit_too():
    variables = {"A": "x" * (6500 - len('[{"name": "A", "value": ""}]'))}
    tags = {f"{number:0128}": "v" * 256 for number in range(50)}
    check_limits(settings_of(environment=variables, tags=tags, share_identifier="s" * 255))


ADDED_BY_AWS = {
    "AWS_BATCH_JOB_ID": "0" * 42,
    "AWS_BATCH_JOB_ATTEMPT": "10",
    "AWS_BATCH_CE_NAME": "c" * 128,
    "AWS_BATCH_JQ_NAME": "q" * 128,
    "AWS_BATCH_JOB_ARRAY_INDEX": "9999",
    "AWS_BATCH_JOB_ARRAY_SIZE": "10000",
}


def check_limits(settings: Settings) -> None:
    """Hold the longest request that these settings lead to against AWS's limits, and its own model of it."""
    asked = submit.request(
        settings,
        job_name="j" * 128,
        definition_arn=f"arn:aws-us-gov:batch:us-gov-east-1:123456789012:job-definition/{'d' * 128}:1000",
        payload_uri=f"s3://{'b' * 63}/covalent-awsbatch/{'r' * 128}/packs/1000000-10.pack",
        region="ap-southeast-1",
        rung=10,
        size=10_000,
        depends_on=[Dependency("00000000-0000-0000-0000-000000000000:10000", n_to_n=True)] * 20,
    )
    assert len(json.dumps(asked)) <= 30 * 1024
    overrides = {"name": "default", **asked["containerOverrides"]}
    overrides["environment"] = [*overrides["environment"], *as_list(ADDED_BY_AWS)]
    assert len(json.dumps({"containerOverrides": [overrides]})) <= 8192
    shape = get_session().get_service_model("batch").operation_model("SubmitJob").input_shape
    assert ParamValidator().validate(asked, shape).generate_report() == ""
