"""A bucket's own policy counts, with its conditions."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError

from covalent_awsbatch_plugin.local.aws import LocalAWS


@pytest.fixture(scope="module")
def s3():
    with LocalAWS(empty=True) as aws:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
        client = boto3.client("s3", region_name="us-east-1", endpoint_url=aws.endpoint_url, **keys)
        client.create_bucket(Bucket="guarded")
        yield client


def guard(s3, **condition):
    statement = {
        **{"Effect": "Deny", "Principal": "*", "Action": "s3:*"},
        **{"Resource": ["arn:aws:s3:::guarded", "arn:aws:s3:::guarded/*"], **condition},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3.put_bucket_policy(Bucket="guarded", Policy=json.dumps(policy))


def test_who_asks_for_tls_is_served(s3):
    guard(s3, Condition={"Bool": {"aws:SecureTransport": "false"}})
    s3.put_object(Bucket="guarded", Key="key", Body=b"value")
    assert s3.get_object(Bucket="guarded", Key="key")["Body"].read() == b"value"


@pytest.mark.parametrize("condition", [{}, {"Condition": {"Bool": {"aws:SecureTransport": "true"}}}])
def test_what_is_denied_is_refused(s3, condition):
    guard(s3, **condition)
    with pytest.raises(ClientError, match="403"):
        s3.put_object(Bucket="guarded", Key="key", Body=b"value")
