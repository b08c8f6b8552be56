"""What is asked of CloudFormation, and what its answers mean."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.errors import SettingsError
from covalent_awsbatch_plugin.infra import events, template
from covalent_awsbatch_plugin.infra.events import Event
from covalent_awsbatch_plugin.infra.parameters import (
    PLACE,
    InfraParameters,
    checked,
    template_parameter,
    template_values,
)

FIELDS = sorted(set(InfraParameters.model_fields) - PLACE)


@given(st.sets(st.sampled_from(FIELDS)), st.sets(st.sampled_from(FIELDS)))
def test_what_was_given_is_set_what_is_there_stays_and_the_rest_has_its_default(names, present):
    wanted = InfraParameters()
    asked = template.request_parameters(wanted, names, [template_parameter(name) for name in present])
    found = {each.pop("ParameterKey"): each for each in asked}
    for name in FIELDS:
        key = template_parameter(name)
        keeps = name in present and name not in names
        assert found[key] == (
            {"UsePreviousValue": True} if keeps else {"ParameterValue": template_values(wanted)[key]}
        )


def test_what_the_stack_has_and_the_template_has_not_is_not_asked_for():
    asked = template.request_parameters(InfraParameters(), [], ["OfAnotherVersion"])
    assert all("UsePreviousValue" not in each for each in asked)


def test_outputs_that_are_options_are_settings_and_the_others_are_not():
    outputs = {
        "S3BucketName": "bucket",
        "BatchQueue": "queue",
        "SubmitterPolicyArn": "arn",
        "GpuQueue": "gpu",
    }
    assert template.settings_in(outputs) == {"s3_bucket_name": "bucket", "batch_queue": "queue"}


def test_outputs_are_text_and_settings_have_the_types_of_the_options():
    outputs = {"Platform": "FARGATE", "Memory": "4", "AssignPublicIp": "true"}
    assert template.settings_in(outputs) == {"platform": "FARGATE", "memory": 4.0, "assign_public_ip": True}


@pytest.mark.parametrize(
    ("given_values", "says"),
    [
        ({"max_vcpus": 0}, r"^max_vcpus=0 \(most vCPUs of each environment\) is refused: .*greater than or"),
        ({"spot": "perhaps"}, r"^spot='perhaps' \(whether .*\) is refused: .*boolean"),
        ({"stack_name": "-"}, r"^stack_name='-' \(name of the stack.*\) is refused: .*pattern"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_in_a_sentence(given_values, says):
    with pytest.raises(SettingsError, match=says) as refusal:
        checked(given_values)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("command", ["up", "plan"])
def test_every_parameter_is_an_option_with_its_description(command):
    shown = " ".join(CliRunner().invoke(main, ["infra", command, "--help"]).output.split())
    for name in FIELDS:
        assert f"--{name.replace('_', '-')}" in shown
    assert "--gpu / --no-gpu" in shown
    assert "[BEST_FIT_PROGRESSIVE|BEST_FIT_PROGRESSIVE_ORDERED]" in shown
    assert "Most vCPUs of each environment. [default: 256] [x>=1]" in shown
    assert "vCPUs that each EC2 environment begins with." in shown


def event(logical_id: str, status: str, reason: str = "", *, is_of_stack: bool = False) -> Event:
    return Event(logical_id, logical_id, "AWS::S3::Bucket", status, reason, is_of_stack)


def test_the_first_failure_is_the_cause():
    seen = [
        event("Bucket", "CREATE_IN_PROGRESS"),
        event("Role", "CREATE_FAILED", "User: x is not authorized to perform: iam:CreateRole on resource: y"),
        event("Bucket", "CREATE_FAILED", "Resource creation cancelled"),
        event("stack", "ROLLBACK_FAILED", is_of_stack=True),
    ]
    cause = events.first_failure(seen)
    assert cause is seen[1]
    assert events.missing_right(cause) == "iam:CreateRole"
    assert events.missing_right(seen[2]) == ""


@pytest.mark.parametrize(
    ("status", "is_success"),
    [
        ("CREATE_COMPLETE", True),
        ("UPDATE_COMPLETE", True),
        ("DELETE_COMPLETE", True),
        ("ROLLBACK_COMPLETE", False),
        ("UPDATE_ROLLBACK_COMPLETE", False),
        ("DELETE_FAILED", False),
    ],
)
def test_a_stack_that_was_rolled_back_is_complete_and_no_success(status, is_success):
    assert event("stack", status, is_of_stack=True).is_over
    assert event("stack", status, is_of_stack=True).is_success == is_success
