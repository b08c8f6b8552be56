"""The checks, in the order in which a first run would fail."""

from __future__ import annotations

from collections.abc import AsyncIterator

from .account import look_at_clock, look_at_credentials, look_at_region
from .finding import Finding
from .images import look_at_docker, look_at_image, look_at_repository
from .log_group import look_at_log_group
from .machine import look_at_configuration, look_at_server, look_at_versions
from .network import look_at_network
from .queues import look_at_environments, look_at_on_demand_queue, look_at_queue
from .rights import (
    look_at_execution_role,
    look_at_instance_profiles,
    look_at_job_role,
    look_at_rights,
)
from .rounds import Check, examine
from .storage import (
    look_at_bucket,
    look_at_encryption,
    look_at_lifecycle,
    look_at_objects,
    look_at_public_access,
)
from .subject import Subject

SIGNED_IN = ("credentials",)
WITH_BUCKET = ("bucket",)
WITH_QUEUES = ("queue", "on-demand queue")

CHECKS = (
    Check("versions", look_at_versions),
    Check("configuration", look_at_configuration),
    Check("server", look_at_server, ("configuration",)),
    Check("region", look_at_region, ("configuration",)),
    Check("clock", look_at_clock, ("region",)),
    Check("credentials", look_at_credentials, ("clock",)),
    Check("bucket", look_at_bucket, SIGNED_IN),
    Check("objects", look_at_objects, WITH_BUCKET),
    Check("encryption", look_at_encryption, WITH_BUCKET),
    Check("public access", look_at_public_access, WITH_BUCKET),
    Check("lifecycle", look_at_lifecycle, WITH_BUCKET),
    Check("queue", look_at_queue, SIGNED_IN),
    Check("on-demand queue", look_at_on_demand_queue, SIGNED_IN),
    Check("job role", look_at_job_role, SIGNED_IN),
    Check("execution role", look_at_execution_role, SIGNED_IN),
    Check("rights", look_at_rights, SIGNED_IN),
    Check("repository", look_at_repository, SIGNED_IN),
    Check("image", look_at_image, SIGNED_IN),
    Check("docker", look_at_docker, ("image",)),
    Check("environment", look_at_environments, WITH_QUEUES),
    Check("instance profile", look_at_instance_profiles, WITH_QUEUES),
    Check("network", look_at_network, WITH_QUEUES),
    Check("log group", look_at_log_group, SIGNED_IN),
)


def examination(subject: Subject) -> AsyncIterator[Finding]:
    """Yield what all checks find, in their order; what cannot be looked at is a finding too."""
    return examine(subject, CHECKS)
