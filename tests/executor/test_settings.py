"""What the executor takes, refuses and warns of, through the class that users call."""

import subprocess
import sys
import warnings
from pathlib import Path

import covalent as ct
import pytest
import toml
from covalent._shared_files.config import get_config, set_config
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.errors import SettingsError, UnknownOptionError
from covalent_awsbatch_plugin.settings import CONFIG_SECTION, Settings, options_table, resolve
from demo.private_covalent import private_environment

AWSBatchExecutor = ct.executor.AWSBatchExecutor


@pytest.fixture
def section():
    """Covalent's section for this executor, put back afterwards."""
    before = dict(get_config(CONFIG_SECTION))
    yield lambda **values: set_config({f"{CONFIG_SECTION}.{name}": value for name, value in values.items()})
    get_config(CONFIG_SECTION).clear()
    set_config({f"{CONFIG_SECTION}.{name}": value for name, value in before.items()})


def test_defaults_stand_in_the_configuration_after_import(tmp_path):
    environment = private_environment(tmp_path, 1)
    subprocess.run([sys.executable, "-c", "import covalent"], env=environment, check=True)
    written = toml.load(Path(environment["COVALENT_CONFIG_DIR"]) / "covalent.conf")
    assert written["executors"]["awsbatch"] == Settings.defaults()


def test_an_explicit_value_wins_over_the_configuration(section):
    section(vcpu=8, num_gpus=4, profile="lab", batch_job_role_name="LabRole")
    executor = AWSBatchExecutor(num_gpus=0, profile="")
    assert (executor.vcpu, executor.num_gpus) == (8, 0)
    assert (executor.profile, executor.batch_job_role_name) == ("", "LabRole")


def test_none_is_the_empty_text():
    assert AWSBatchExecutor(profile=None, credentials=None).profile == ""


@pytest.mark.parametrize(
    ("option", "value", "limit", "would_do"),
    [
        ("time_limit", 59, "60", "60 or more"),
        ("retry_attempts", 0, "1", "1 to 10"),
        ("retry_attempts", 11, "10", "1 to 10"),
        ("memory", 0.0038, "4 MiB", "0.004"),
        ("memory", 0, "4 MiB", "0.004"),
        ("vcpu", 0.5, "whole number", "1 or more"),
        ("vcpu", 0, "1", "1 or more"),
        ("num_gpus", -1, "0", "0 or more"),
        ("poll_freq", 0, "0.1", "0.1 or more"),
        ("batch_queue", "my queue", "letters, digits", "my-queue"),
        ("batch_queue", "q" * 129, "128", "my-queue"),
        ("batch_queue", "", "letters, digits", "my-queue"),
        ("batch_job_definition_name", "-x", "letters, digits", "covalent-jobs"),
        ("batch_job_definition_name", "d" * 112, "111", "covalent-jobs"),
        ("s3_bucket_name", "My_Bucket", "lower-case", "my-covalent-bucket"),
        ("s3_bucket_name", "192.168.1.1", "lower-case", "my-covalent-bucket"),
        ("s3_bucket_name", "a..b", "lower-case", "my-covalent-bucket"),
        ("s3_bucket_name", "", "3 to 63", "my-covalent-bucket"),
        ("ecr_repo_name", "Upper", "lower-case", "covalent/jobs"),
        ("batch_job_role_name", "r" * 65, "64", "CovalentBatchJobRole"),
        ("batch_job_log_group_name", "a b", "512", "/aws/batch/job"),
        ("region", "Frankfurt", "region", "us-east-1"),
        ("endpoint_url", "localhost:4599", "URL", "http://127.0.0.1:4599"),
        ("container_image_uri", "two words", "spaces", "python:3.11-slim"),
        ("memory", float("nan"), "finite", "2"),
        ("vcpu", "many", "integer", "1 or more"),
    ],
)
def test_what_aws_would_refuse_is_refused_in_one_sentence(option, value, limit, would_do):
    with pytest.raises(SettingsError) as refusal:
        AWSBatchExecutor(**{option: value})
    text = str(refusal.value)
    assert text.startswith(f"{option}={value!r} is refused: ")
    assert limit in text
    assert would_do in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "options",
    [
        {"time_limit": 60, "retry_attempts": 10, "vcpu": 1, "num_gpus": 0, "poll_freq": 0.1},
        {"memory": 0.00390625},
        {"batch_queue": "arn:aws:batch:us-east-1:123456789012:job-queue/lab"},
        {"batch_job_role_name": "arn:aws:iam::123456789012:role/lab/Role"},
        {"batch_execution_role_name": "", "batch_job_role_name": "", "batch_job_log_group_name": ""},
        {"container_image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/a/b@sha256:" + "0" * 64},
    ],
)
def test_what_aws_takes_is_taken(options):
    executor = AWSBatchExecutor(**options)
    assert {name: getattr(executor, name) for name in options} == options


def test_a_misspelt_keyword_is_answered_with_the_valid_ones():
    with pytest.raises(UnknownOptionError, match=r"'memroy'\. Did you mean 'memory'\? .*time_limit=300"):
        AWSBatchExecutor(memroy=16)


def test_old_keys_of_the_configuration_are_warned_of_and_harmless(section):
    section(spot_price="x")
    with pytest.warns(UserWarning, match="'spot_price'"):
        executor = AWSBatchExecutor(**get_config(CONFIG_SECTION))  # as Covalent itself does
    assert not hasattr(executor, "spot_price")
    with pytest.raises(UnknownOptionError):
        AWSBatchExecutor(spot_price="another value than the configuration's")


def test_a_value_from_the_configuration_is_refused_by_its_place(section):
    section(time_limit=10)
    with pytest.raises(SettingsError, match=r"time_limit=10 in \[executors.awsbatch\]"):
        AWSBatchExecutor()


def test_the_executor_survives_covalents_json_and_older_attributes():
    sent = AWSBatchExecutor(vcpu=16, memory=16).to_dict()
    received = AWSBatchExecutor().from_dict(sent)
    assert vars(received) == sent["attributes"]
    del sent["attributes"]["poll_freq"]
    assert Settings.of(vars(AWSBatchExecutor().from_dict(sent))).poll_freq == Settings().poll_freq


def test_the_constructor_needs_no_network_no_files_and_no_aws_library(tmp_path):
    script = (
        "import sys, covalent as ct\n"
        "def forbid(event, args):\n"
        "    if event in ('open', 'socket.connect', 'subprocess.Popen'):\n"
        "        raise SystemExit(f'{event} {args}')\n"
        "sys.addaudithook(forbid)\n"
        "ct.executor.AWSBatchExecutor(vcpu=16, credentials='/nowhere', endpoint_url='http://127.0.0.1:1')\n"
        "heavy = {'boto3', 'botocore', 'aiobotocore', 'obstore', 'docker', 'moto'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy - {'boto3', 'botocore'} else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("option", [{"retry_on": "any"}, {"memory_on_oom": [8]}, {"retry_attempts": 1}])
def test_tasks_that_are_retried_otherwise_are_not_submitted_together(option):
    assert Settings(**option).asked != Settings().asked


def test_the_readme_has_the_table_of_options():
    assert options_table() in (Path(__file__).parents[2] / "README.md").read_text()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "vcpu": st.integers(),
            "memory": st.floats(),
            "time_limit": st.integers(),
            "retry_attempts": st.integers(),
            "s3_bucket_name": st.text(),
            "batch_queue": st.text(),
        },
    )
)
def test_any_value_is_either_kept_or_refused_in_one_sentence_each(options):
    try:
        settings = resolve(options, {}).settings
    except SettingsError as error:
        for sentence in str(error).split("\n"):
            assert " is refused: " in sentence or "\\n" in repr(options)
        return
    assert {name: getattr(settings, name) for name in options} == options
    assert settings.memory_mib >= 4


def test_warnings_do_not_come_without_cause():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AWSBatchExecutor()
