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
├── JobFailedError            a job has no value: what happened, to which job, and why
└── UnknownJobError           there is no job of this id
"""

from __future__ import annotations


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


class JobFailedError(AWSBatchError):
    """A job has no value; the text says what happened, to which job, why, and the next step."""


class UnknownJobError(AWSBatchError):
    """There is no job of this id, or AWS Batch has forgotten it."""
