"""What AWS's refusals, and its silence, mean: codes, texts, and errors of ours in one clear sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .account import Account
from .errors import AWSBatchError, CredentialsError, EndpointError
from .plain_text import without_secrets

EXPIRED_CODES = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}

BAD_CREDENTIAL_CODES = EXPIRED_CODES | {
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


@contextmanager
def explained(account: Account, action: str) -> Iterator[None]:
    """Turn what the AWS SDK raises about credentials and the network into one clear sentence.

    Other errors of AWS's pass unchanged: only the caller knows what they mean.
    """
    from botocore import exceptions as aws

    try:
        yield
    except AWSBatchError:
        raise
    except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError) as error:
        raise CredentialsError(
            f"No AWS credentials were found ({account}): could not {action}. Set `profile` or "
            f"`credentials`, or sign in with the AWS CLI; `aws sts get-caller-identity` shows if it works."
        ) from error
    except aws.ProfileNotFound as error:
        raise CredentialsError(f"{error}: could not {action}. Correct `profile` or add it.") from error
    except (aws.HTTPClientError, aws.ConnectionError) as error:
        raise EndpointError(
            f"AWS did not answer ({account}): could not {action}: {without_secrets(str(error))} Check the "
            f"network, `region` and `endpoint_url`."
        ) from error
    except aws.ClientError as error:
        if error_code(error) in BAD_CREDENTIAL_CODES:
            raise CredentialsError(
                f"AWS does not accept the credentials ({account}): could not {action}: "
                f"{error_message(error)} Renew them, or correct `profile` or `credentials`."
            ) from None  # AWS's own text may repeat the request, whose headers have the session's token
        raise


@contextmanager
def refused_as(kind: type[AWSBatchError], text: str) -> Iterator[None]:
    """Turn a refusal of AWS's into an error of ours: the text, and AWS's own behind it.

    Stands around `explained`, which knows refusals of credentials.
    """
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        raise kind(f"{text}: {error_message(error)}") from error


def has_expired(error: Any) -> bool:
    """Tell whether a botocore ClientError says that the session's token is too old."""
    return error_code(error) in EXPIRED_CODES


def is_denied(error: Any) -> bool:
    """Tell whether a botocore ClientError says that a right is missing."""
    return error_code(error) in {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


def error_code(error: Any) -> str:
    """Return the code of a botocore ClientError, such as "NoSuchBucket" or "404"."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_message(error: Any) -> str:
    """Return the text of an error of botocore's, AWS's own where there is one, closed with a full stop."""
    answered = getattr(error, "response", None) or {}
    text = without_secrets(str(answered.get("Error", {}).get("Message", "")) or str(error))
    return text if text.endswith(".") else f"{text}."


def store_message(error: Exception) -> str:
    """Return what an error of obstore's says: S3's own code and text, or else its first line.

    The error itself has all of S3's answer, which may repeat the request with the session's token: errors of
    ours must not have it as their cause, so they are raised `from None`.
    """
    text = without_secrets(str(error)).strip()
    answered = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    said = ": ".join(answered.groups()) if answered else text.partition("\n")[0]
    return said if said.endswith(".") else f"{said}."
