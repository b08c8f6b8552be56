"""The errors of this package, each with a text that says what happened, why, and the next step.

AWSBatchError
├── SettingsError             an option that AWS, or this package, would refuse
│   └── UnknownOptionError    a misspelt keyword
├── SetupError                the account, the network or a name in it is not as it must be
│   ├── CredentialsError      no credentials, or none that AWS accepts
│   ├── EndpointError         AWS, or the endpoint set in its place, does not answer
│   ├── BucketError           the S3 bucket is missing or closed to us
│   ├── QueueError            the job queue is missing, disabled or invalid
│   ├── RoleError             an IAM role is missing
│   ├── LogsError             CloudWatch Logs does not let us read
│   └── ImageError            there is no container image to run
│       ├── NoEngineError     none is in the registry, and no Docker engine is here to build it
│       ├── RegistryError     ECR does not let us look, log in or create the repository
│       │   └── MissingRepositoryError   there is none to look into
│       ├── BuildError        the image cannot be built: pip's own words, or the engine's
│       └── PushError         the registry does not take the image
├── SubmissionError           AWS Batch refused the job or its definition
│   ├── DefinitionGoneError   the job definition was deregistered since it was found
│   └── UnclearSubmissionError   AWS Batch did not say whether it took the job
├── JobFailedError            a job has no value: what happened, to which job, why, and the next step
│   ├── FunctionRaisedError   the function raised, and its exception is not to be had here
│   ├── JobKilledError        something killed its process, or it crashed
│   ├── OutOfMemoryError      it needed more memory than it had
│   ├── TimeLimitError        an attempt ran longer than time_limit
│   ├── HostLostError         the instance went away: stopped, scaled in, or reclaimed
│   │   └── SpotReclaimedError   AWS says that it took a Spot instance, or task, back
│   ├── ImagePullError        the host could not get the image
│   │   ├── ImageMissingError        there is no such repository or tag
│   │   ├── ImageForbiddenError      the role may not pull it
│   │   ├── ImageArchitectureError   it is for another processor
│   │   ├── ImageDiskFullError       the host has no room for it
│   │   ├── ImageRateLimitError      the registry gives no more for now
│   │   └── ImageUnreachableError    there is no route to the registry
│   ├── ContainerStartError   the container could not be made or started
│   ├── RoleOrSecretError     the job's role, or a secret, cannot be had
│   ├── JobCancelledError     the user cancelled it
│   ├── JobTerminatedError    somebody else ended it
│   ├── DependencyFailedError    a job that it waited for has failed
│   ├── QueueInvalidError     its queue or compute environment went away or is invalid
│   ├── NeverPlacedError      no compute environment gave, or can ever give, what it asks for
│   ├── OutcomeMissingError   it ended, and left nothing in S3
│   ├── OutcomeDamagedError   what it left in S3 is cut short or altered
│   │   └── ForeignOutcomeError   what lies in S3 was not written by the job
│   └── RuntimeFaultError     what runs around the function could not do its work
├── StackError                CloudFormation refuses the cloud set-up, or somebody else made it
├── UnknownJobError           there is no job of this id
└── CovalentServerError       Covalent's server does not answer, or not as it should
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .job import Attempt


class AWSBatchError(Exception):
    """The base of every error that this package raises on purpose."""


class SettingsError(AWSBatchError, ValueError):
    """An option has a value that AWS, or this package, would refuse."""


class UnknownOptionError(SettingsError, TypeError):
    """The user wrote a keyword that is no option."""


class SetupError(AWSBatchError):
    """Something outside the task is not as it must be; nothing was submitted."""


class CredentialsError(SetupError):
    """There are no credentials, or AWS does not accept them."""


class EndpointError(SetupError):
    """AWS, or the endpoint set in its place, does not answer."""


class BucketError(SetupError):
    """The S3 bucket is missing or closed to us."""


class QueueError(SetupError):
    """The job queue is missing, disabled or invalid."""


class RoleError(SetupError):
    """An IAM role is missing."""


class LogsError(SetupError):
    """CloudWatch Logs does not let us read."""


class StackError(AWSBatchError):
    """CloudFormation refuses the cloud set-up or fails with it, or the stack is somebody else's."""


class ImageError(SetupError):
    """There is no container image to run."""


class NoEngineError(ImageError):
    """No Docker engine answers."""


class RegistryError(ImageError):
    """ECR does not let us look, log in or create the repository."""


class MissingRepositoryError(RegistryError):
    """There is no ECR repository of this name."""


class BuildError(ImageError):
    """The image cannot be built."""


class PushError(ImageError):
    """The registry does not take the image."""


class SubmissionError(AWSBatchError):
    """AWS Batch refused the job or its definition."""


class DefinitionGoneError(SubmissionError):
    """The job definition was deregistered since it was found."""


class UnclearSubmissionError(SubmissionError):
    """AWS Batch did not say whether it took the job; to send it again might run it twice."""


@dataclass(frozen=True)
class JobFacts:
    """What is known of a job that failed; empty where AWS did not say."""

    job_id: str = ""
    job_name: str = ""
    console_url: str = ""
    log_group: str = ""
    log_stream: str = ""
    status_reason: str = ""
    container_reason: str = ""
    exit_code: int | None = None
    attempts: Sequence[Attempt] = ()
    log_lines: Sequence[str] = ()
    """The last ones, oldest first, without control sequences."""
    advice: str = ""
    """The next step."""


class JobFailedError(AWSBatchError):
    """A job has no value; the text says what happened, to which job, why, and the next step.

    The attributes have the same for programs, as `JobFacts` explains them.
    """

    def __init__(self, text: str, facts: JobFacts | None = None) -> None:
        super().__init__(text)
        known = JobFacts() if facts is None else facts
        self.job_id = known.job_id
        self.job_name = known.job_name
        self.console_url = known.console_url
        self.log_group = known.log_group
        self.log_stream = known.log_stream
        self.status_reason = known.status_reason
        self.container_reason = known.container_reason
        self.exit_code = known.exit_code
        self.attempts = known.attempts
        self.log_lines = known.log_lines
        self.advice = known.advice


class FunctionRaisedError(JobFailedError):
    """The function raised, and its exception is not to be had in this process."""


class JobKilledError(JobFailedError):
    """Something killed the job's process, or it crashed."""


class OutOfMemoryError(JobFailedError):
    """The job needed more memory than it had."""


class TimeLimitError(JobFailedError):
    """An attempt ran longer than `time_limit`."""


class HostLostError(JobFailedError):
    """The instance went away: stopped, scaled in, or reclaimed."""


class SpotReclaimedError(HostLostError):
    """AWS says that it took a Spot instance, or task, back."""


class ImagePullError(JobFailedError):
    """The host could not get the image."""


class ImageMissingError(ImagePullError):
    """There is no such repository or tag."""


class ImageForbiddenError(ImagePullError):
    """The role may not pull the image."""


class ImageArchitectureError(ImagePullError):
    """The image is for another processor."""


class ImageDiskFullError(ImagePullError):
    """The host has no room for the image."""


class ImageRateLimitError(ImagePullError):
    """The registry gives no more for now."""


class ImageUnreachableError(ImagePullError):
    """There is no route to the registry."""


class ContainerStartError(JobFailedError):
    """The container could not be made or started."""


class RoleOrSecretError(JobFailedError):
    """The job's role, or a secret, cannot be had."""


class JobCancelledError(JobFailedError):
    """The user cancelled the job."""


class JobTerminatedError(JobFailedError):
    """Somebody else ended the job."""


class DependencyFailedError(JobFailedError):
    """A job that this one waited for has failed."""


class QueueInvalidError(JobFailedError):
    """The queue, or its compute environment, went away or is invalid."""


class NeverPlacedError(JobFailedError):
    """No compute environment gave, or can ever give, what the job asks for."""


class OutcomeMissingError(JobFailedError):
    """The job ended, and left nothing in S3."""


class OutcomeDamagedError(JobFailedError):
    """What the job left in S3 is cut short or altered."""


class ForeignOutcomeError(OutcomeDamagedError):
    """What lies in S3 was not written by the job."""


class RuntimeFaultError(JobFailedError):
    """What runs around the function could not do its work."""


class UnknownJobError(AWSBatchError):
    """There is no job of this id, or AWS Batch has forgotten it."""


class CovalentServerError(AWSBatchError):
    """Covalent's server does not answer, or not as it should."""
