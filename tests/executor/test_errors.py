"""Errors travel between processes, and say nothing that is secret."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.errors import AWSBatchError, JobFacts, JobFailedError
from covalent_awsbatch_plugin.job import Attempt
from covalent_awsbatch_plugin.plain_text import escaped, harmless, without_secrets


def family(base: type[AWSBatchError]) -> Iterator[type[AWSBatchError]]:
    yield base
    for each in base.__subclasses__():
        yield from family(each)


ATTEMPT = Attempt(
    "Host EC2", started_at=datetime(2026, 1, 1, tzinfo=timezone.utc), log_stream="stream", exit_code=None
)
FACTS = JobFacts(
    "id", "name", "https://console", "group", "stream", "status", "container", 137, (ATTEMPT,), ["line"], "do"
)


@pytest.mark.parametrize("kind", list(family(JobFailedError)))
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_keeps_what_it_knows_when_it_is_copied_or_pickled(kind, again):
    error = again(kind("what happened", FACTS))
    assert type(error) is kind
    assert str(error) == "what happened"
    assert {name: getattr(error, name) for name in vars(FACTS)} == vars(FACTS)


PUBLIC = [each for each in family(AWSBatchError) if each.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", PUBLIC)
def test_each_error_is_in_the_tree_and_says_what_it_is(kind):
    assert kind.__name__ in str(errors.__doc__)
    assert kind.__doc__


# --- texts of others ------------------------------------------------------------------------------------


def test_what_would_act_on_a_terminal_stands_there_instead():
    text = "one\ttwo\nred \x1b[31m and \x07 bell\r\n\u202ereversed \ud800"
    assert harmless(text) == "one\ttwo\nred \\x1b[31m and \\x07 bell\\r\n\\u202ereversed \\ud800"
    assert escaped("a\nb\x1b") == "a\\nb\\x1b"


SECRET = "FwoGZXIvYXdzEJr%2F%2F/bPxRfiCYEXAMPLEKEY"
WITH_SECRETS = [
    f"Get https://b.s3.amazonaws.com/layer?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Security-Token={SECRET}"
    f"&X-Amz-Credential={SECRET}&X-Amz-Expires=3600&X-Amz-Signature={SECRET}: dial tcp: i/o timeout",
    f'Get "https://b.s3.amazonaws.com/layer?x-amz-signature={SECRET}": i/o timeout',
    f"<CanonicalRequest>GET\n/key\n\nhost:s3\nx-amz-security-token:{SECRET}\n</CanonicalRequest>",
    f'body: Some("host:s3\\nx-amz-security-token:{SECRET}\\n")',
    f"Authorization: AWS4-HMAC-SHA256 Credential=x/y, SignedHeaders=host, Signature={SECRET}",
    f'{{"Authorization": "Basic {SECRET}"}}',
    f"https://b.s3.amazonaws.com/key?AWSAccessKeyId=x&Signature={SECRET}&Expires=1",
    f"aws_secret_access_key = {SECRET}",
    f"SecretAccessKey: '{SECRET}'",
    f"aws_session_token={SECRET}",
    "Failed to connect to proxy URL: http://me:FwoGZXIvYXdzEJr@proxy:3128",
    "<AWSAccessKeyId>AKIAFwoGZXIvYXdzEJr7</AWSAccessKeyId>".replace("FwoGZXIvYXdzEJr7", "FWOGZXIVYXDZEJR7"),
]


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_credentials_are_left_out_and_the_rest_stays(text):
    shown = without_secrets(text)
    assert "…" in shown
    assert "FWOGZXIVYXDZEJR".lower() not in shown.lower()
    assert shown[:10] == text[:10]
    assert without_secrets(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "ValueError: signature=None of f(signature=inspect.Signature) does not match",
        "http://127.0.0.1:4599/path and user@host:22",
        "the token is missing; authorization failed; access key of the door",
        "arn:aws:batch:us-east-1:123456789012:job/0a1b2c3d-0000-4000-8000-000000000000",
    ],
)
def test_what_is_no_secret_stays(text):
    assert without_secrets(text) == text
