"""Find definitions, queues, compute environments, policies and taggable resources by name or ARN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import ApiError
from .jobs import ComputeEnvironment, Job, JobDefinition, JobQueue, SchedulingPolicy


@dataclass
class Store:
    """Everything that exists; `definitions` holds all revisions of a name, oldest first."""

    jobs: Mapping[str, Job]
    queues: dict[str, JobQueue]
    environments: dict[str, ComputeEnvironment] = field(default_factory=dict)
    definitions: dict[str, list[JobDefinition]] = field(default_factory=dict)
    policies: dict[str, SchedulingPolicy] = field(default_factory=dict)

    def queue(self, name_or_arn: str) -> JobQueue | None:
        """Return a queue, None where there is none."""
        return self.queues.get(resource_name(name_or_arn))

    def environment(self, name_or_arn: str) -> ComputeEnvironment | None:
        """Return a compute environment, None where there is none."""
        return self.environments.get(resource_name(name_or_arn))

    def policy(self, arn: str) -> SchedulingPolicy | None:
        """Return a scheduling policy, None where there is none; AWS knows these by their ARNs alone."""
        found = self.policies.get(resource_name(arn))
        return found if found is not None and found.arn == arn else None

    def revision(self, reference: str) -> JobDefinition | None:
        """Return the revision that `name:revision` or its ARN names, active or not."""
        name, _, revision = resource_name(reference).partition(":")
        for definition in self.definitions.get(name, []):
            if revision == str(definition.revision):
                return definition
        return None

    def definition_to_submit(self, reference: str) -> JobDefinition:
        """Return what SubmitJob runs: the revision named, or the latest active one of a name.

        Raises ApiError with AWS's text where there is none.
        """
        if ":" in resource_name(reference):
            return self._active_revision(reference)
        name = resource_name(reference)
        active = [each for each in self.definitions.get(name, []) if each.active]
        if not active:
            raise ApiError(f"JobDefinition name {name} does not exist or is not in ACTIVE status")
        return active[-1]

    def _active_revision(self, reference: str) -> JobDefinition:
        definition = self.revision(reference)
        if definition is None:
            raise ApiError(f"JobDefinition {reference} not found.")
        if not definition.active:
            raise ApiError(f"JobDefinition {definition.arn} is not in ACTIVE status")
        return definition

    def tags(self, arn: str) -> dict[str, str] | None:
        """Return the tags of a resource, to be read or changed; None where it is unknown or takes none."""
        kind = arn.split(":", 5)[-1].partition("/")[0]
        name = resource_name(arn)
        found: Job | JobQueue | ComputeEnvironment | JobDefinition | SchedulingPolicy | None = None
        if kind == "job" and name in self.jobs and self.jobs[name].parent is None:
            found = self.jobs[name]
        elif kind == "job-queue":
            found = self.queues.get(name)
        elif kind == "compute-environment":
            found = self.environments.get(name)
        elif kind == "job-definition":
            found = self.revision(arn)
        elif kind == "scheduling-policy":
            found = self.policies.get(name)
        return None if found is None else found.tags


def resource_name(name_or_arn: str) -> str:
    """Return the part of an ARN behind the slash, or the name that is no ARN."""
    return name_or_arn.partition("/")[2] if name_or_arn.startswith("arn:") else name_or_arn
