"""The documents for an account: AWS's own shapes, and no right more or less than what is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.validate import ParamValidator
from moto import mock_aws

import covalent_awsbatch_plugin
from covalent_awsbatch_plugin import contract

PACKAGE = Path(covalent_awsbatch_plugin.__file__).parent
DOCUMENTS = PACKAGE / "assets" / "infra"
BUCKET = "covalent-batch-job-resources"


def document(name: str) -> Any:
    return json.loads((DOCUMENTS / name).read_text())


def statements(name: str) -> list[dict[str, Any]]:
    return list(document(name)["Statement"])


def actions(statement: dict[str, Any]) -> set[str]:
    listed = statement["Action"]
    return {listed} if isinstance(listed, str) else set(listed)


def granted(name: str) -> set[str]:
    return set().union(*map(actions, statements(name)))


# --- the bucket's lifecycle -----------------------------------------------------------------------------


def test_the_lifecycle_has_the_shape_that_aws_takes():
    shape = (
        botocore.session.get_session()
        .get_service_model("s3")
        .operation_model("PutBucketLifecycleConfiguration")
        .input_shape
    )
    request = {"Bucket": BUCKET, "LifecycleConfiguration": document("bucket-lifecycle.json")}
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()


@mock_aws
def test_a_bucket_takes_the_lifecycle_for_all_that_is_ours_and_nothing_else():
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_lifecycle_configuration(
        Bucket=BUCKET, LifecycleConfiguration=document("bucket-lifecycle.json")
    )
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert (rule["Status"], rule["Filter"]) == ("Enabled", {"Prefix": f"{contract.KEY_PREFIX}/"})
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert rule["Expiration"]["Days"] >= 1


# --- rights ---------------------------------------------------------------------------------------------


def test_the_job_role_reads_and_writes_under_our_prefix_and_nowhere_else():
    of_s3 = [each for each in statements("job-role-policy.json") if "s3:GetObject" in actions(each)]
    assert [each["Resource"] for each in of_s3] == [f"arn:aws:s3:::BUCKET/{contract.KEY_PREFIX}/*"]
    assert granted("job-role-policy.json") == {
        *("s3:GetObject", "s3:PutObject", "kms:GenerateDataKey", "kms:Decrypt")
    }


def test_the_submitter_has_every_operation_of_aws_batch_that_is_called_and_no_other():
    operations = botocore.session.get_session().get_service_model("batch").operation_names
    source = "".join(path.read_text() for path in PACKAGE.glob("*.py"))
    called = {name for name in operations if f'"{botocore.xform_name(name)}"' in source}
    assert {name for name in granted("submitter-policy.json") if name.startswith("batch:")} == {
        f"batch:{name}" for name in called
    }


def test_the_submitter_deletes_under_our_prefix_only():
    (statement,) = [
        each for each in statements("submitter-policy.json") if "s3:DeleteObject" in actions(each)
    ]
    assert statement["Resource"] == f"arn:aws:s3:::BUCKET/{contract.KEY_PREFIX}/*"
    assert {"kms:GenerateDataKey", "kms:Decrypt"} <= granted("submitter-policy.json")


@pytest.mark.parametrize("path", sorted(DOCUMENTS.glob("*-policy.json")), ids=lambda path: path.name)
def test_iam_takes_the_policy(path: Path):
    with mock_aws():
        iam = boto3.client("iam", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
        if path.name == "trust-policy.json":
            iam.create_role(RoleName="role", AssumeRolePolicyDocument=path.read_text())
        else:
            iam.create_policy(PolicyName="policy", PolicyDocument=path.read_text())
