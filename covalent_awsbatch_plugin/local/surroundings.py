"""What every job of the local AWS finds around it, whatever runs it."""

from __future__ import annotations

from dataclasses import dataclass

from .calls import JOBS_KEY_ID


@dataclass(frozen=True)
class Surroundings:
    """The endpoint that jobs talk to and, for jobs without an image, directories of importable code."""

    endpoint_url: str
    region: str
    python_path: tuple[str, ...] = ()

    @property
    def registry_host(self) -> str:
        """The local AWS's own registry as image references name it, `127.0.0.1:4599`."""
        return self.endpoint_url.partition("://")[2]

    @property
    def aws_environment(self) -> dict[str, str]:
        """The variables that lead an AWS SDK to the local AWS, and keep it from the machine's own role."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": JOBS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
