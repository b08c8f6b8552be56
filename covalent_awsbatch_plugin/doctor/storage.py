"""The bucket: that it is there and ours, what it is open to, and what becomes of its objects."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

from .. import contract, preflight
from ..errors import BucketError
from ..refusals import error_code, store_message
from .commands import configure
from .finding import Finding, failed, ok, warning
from .subject import Subject

WORK_PREFIX = f"{contract.KEY_PREFIX}/"
CONTENT = b"covalent-awsbatch doctor"
KEPT_DAYS = 30

PUBLIC_ACCESS_BLOCK = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


async def look_at_bucket(subject: Subject) -> AsyncIterator[Finding]:
    """See whether the bucket is there, open to us, and in our region."""
    bucket, check = subject.settings.s3_bucket_name, "bucket"
    try:
        await preflight.check_bucket(subject.session, bucket)
    except BucketError as error:
        why = "functions, arguments and results travel through it"
        yield failed(check, str(error).rstrip("."), why, await _mend_bucket(subject, error))
    else:
        yield ok(check, f"{bucket} is in {subject.session.region}")


async def _mend_bucket(subject: Subject, error: BucketError) -> str:
    bucket, code = subject.settings.s3_bucket_name, error_code(error.__cause__) if error.__cause__ else ""
    if code == "404":
        return subject.commands.aws("s3", "mb", f"s3://{bucket}")
    if code == "403":
        caller = (await subject.identity()).principal_arn
        return subject.commands.allow(caller, ["s3:ListBucket"], [await _arn(subject)])
    found = await subject.ask("s3", "head_bucket", Bucket=bucket)
    return configure("region", preflight.region_of_bucket(found) or "us-east-1")


async def _arn(subject: Subject, path: str = "") -> str:
    partition = (await subject.identity()).partition
    return f"arn:{partition}:s3:::{subject.settings.s3_bucket_name}{path}"


async def look_at_objects(subject: Subject) -> AsyncIterator[Finding]:
    """Write, read, list and delete a small object, as tasks do."""
    refused = await _refused(subject)
    if not refused:
        yield ok("objects", f"written, read, listed and deleted under {WORK_PREFIX}")
        return
    needs_delete = subject.settings.keep_artifacts != "all"
    missing = [each for each in refused if each != "s3:DeleteObject" or needs_delete]
    caller = (await subject.identity()).principal_arn
    resources = [await _arn(subject), await _arn(subject, f"/{WORK_PREFIX}*")]
    mend = subject.commands.allow(caller, list(refused), resources)
    seen = "; ".join(f"{action} is refused: {text.rstrip('.')}" for action, text in refused.items())
    if missing:
        yield failed("objects", seen, "a task cannot be handed over, or its result be fetched, without", mend)
    else:
        why = "the small object of this check stays, and so would all that keep_artifacts is to delete"
        yield warning("objects", seen, why, mend)


async def _refused(subject: Subject) -> dict[str, str]:
    """Return which rights S3 refused, with its words."""
    import obstore
    from obstore.exceptions import BaseError

    settings = subject.settings
    store = await subject.session.store(settings.s3_bucket_name, settings.kms_key_id)
    key = f"{WORK_PREFIX}doctor/{uuid4().hex}"

    async def read() -> None:
        await (await obstore.get_async(store, key)).bytes_async()

    async def listing() -> None:
        _ = [each async for each in obstore.list(store, key)]

    steps: dict[str, Callable[[], Awaitable[Any]]] = {
        "s3:PutObject": lambda: obstore.put_async(store, key, CONTENT),
        "s3:GetObject": read,
        "s3:ListBucket": listing,
        "s3:DeleteObject": lambda: obstore.delete_async(store, key),
    }
    refused: dict[str, str] = {}
    for action, step in steps.items():
        try:
            await step()
        except (BaseError, OSError) as error:
            refused[action] = store_message(error)
            if action == "s3:PutObject":
                break  # the others would ask for what is not there
    return refused


async def look_at_encryption(subject: Subject) -> AsyncIterator[Finding]:
    """See what S3 encrypts new objects with."""
    bucket, check = subject.settings.s3_bucket_name, "encryption"
    answer = await _unless(subject, "get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")
    if answer is None:
        rule = '{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}'
        mend = subject.commands.aws(
            *("s3api", "put-bucket-encryption", "--bucket", bucket),
            *("--server-side-encryption-configuration", rule),
        )
        yield warning(check, "the bucket has no default encryption", "results may be confidential", mend)
        return
    rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    key = subject.settings.kms_key_id or rule.get("KMSMasterKeyID", "")
    yield ok(check, f"{'aws:kms' if key else rule['SSEAlgorithm']}{f' with {key}' if key else ''}")


async def look_at_public_access(subject: Subject) -> AsyncIterator[Finding]:
    """See whether nobody can make the bucket public."""
    bucket, check = subject.settings.s3_bucket_name, "public access"
    answer = await _unless(subject, "get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
    blocked = (answer or {}).get("PublicAccessBlockConfiguration", {})
    missing = [each for each in PUBLIC_ACCESS_BLOCK if not blocked.get(each)]
    if not missing:
        yield ok(check, "blocked")
        return
    wanted = ",".join(f"{each}=true" for each in PUBLIC_ACCESS_BLOCK)
    options = ("--bucket", bucket, "--public-access-block-configuration", wanted)
    mend = subject.commands.aws("s3api", "put-public-access-block", *options)
    why = "functions and results lie in it, and jobs run what lies in it"
    yield warning(check, f"the bucket does not have {', '.join(missing)}", why, mend)


async def look_at_lifecycle(subject: Subject) -> AsyncIterator[Finding]:
    """See whether S3 deletes some day what jobs have left."""
    bucket, check = subject.settings.s3_bucket_name, "lifecycle"
    answer = await _unless(subject, "get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
    days = [_days_of(each) for each in (answer or {}).get("Rules", ())]
    if any(days):
        yield ok(check, f"objects under {WORK_PREFIX} are deleted after {min(filter(None, days))} days")
        return
    rule = {
        "ID": contract.KEY_PREFIX,
        "Status": "Enabled",
        "Filter": {"Prefix": WORK_PREFIX},
        "Expiration": {"Days": KEPT_DAYS},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    wanted = json.dumps({"Rules": [rule]})
    options = ("--bucket", bucket, "--lifecycle-configuration", wanted)
    mend = subject.commands.aws("s3api", "put-bucket-lifecycle-configuration", *options)
    yield warning(check, f"no rule deletes what stands under {WORK_PREFIX}", "it grows for ever", mend)


def _days_of(rule: dict[str, Any]) -> int | None:
    """Return after how many days a rule deletes our objects; None where it does not."""
    prefix = rule.get("Filter", {}).get("Prefix", rule.get("Prefix", ""))
    days: int | None = rule.get("Expiration", {}).get("Days")
    return days if rule["Status"] == "Enabled" and WORK_PREFIX.startswith(prefix) else None


async def _unless(subject: Subject, operation: str, missing: str) -> dict[str, Any] | None:
    """Return what S3 says of the bucket; None where it answers with this code."""
    from botocore.exceptions import ClientError

    try:
        return await subject.ask("s3", operation, Bucket=subject.settings.s3_bucket_name)
    except ClientError as error:
        if error_code(error) == missing:
            return None
        raise
