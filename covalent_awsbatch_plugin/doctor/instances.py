"""EC2's instance types: whether one of an environment's is large enough for a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..fargate import MIB_PER_GB
from ..settings import Settings
from ..waiting import usable
from .commands import configure
from .subject import Subject

ARCHITECTURES = {"X86_64": "x86_64", "ARM64": "arm64"}
"""EC2's names of processors by ours."""

CHOSEN_BY_AWS = ("optimal", "default_")
"""How the names begin that stand for families which AWS Batch chooses itself."""


@dataclass(frozen=True)
class InstanceType:
    """An instance type as DescribeInstanceTypes tells of it."""

    name: str
    vcpus: int
    memory_mib: int
    gpus: int
    architectures: Sequence[str]

    @classmethod
    def from_aws(cls, detail: dict[str, Any]) -> InstanceType:
        """Read an InstanceTypeInfo."""
        return cls(
            detail["InstanceType"],
            detail["VCpuInfo"]["DefaultVCpus"],
            detail["MemoryInfo"]["SizeInMiB"],
            sum(each.get("Count", 0) for each in detail.get("GpuInfo", {}).get("Gpus", ())),
            detail.get("ProcessorInfo", {}).get("SupportedArchitectures", ()),
        )

    def has_room_for(self, settings: Settings) -> bool:
        """Tell whether a job fits beside what ECS keeps of the memory."""
        return self.vcpus >= settings.vcpu and usable(self.memory_mib) >= settings.memory_mib


async def of(subject: Subject, names: Sequence[str]) -> list[InstanceType]:
    """Return what EC2 knows of types and families; nothing where AWS Batch chooses some itself.

    Raises NotAllowedError where EC2 does not let us look.
    """
    if not names or any(name.startswith(CHOSEN_BY_AWS) for name in names):
        return []
    wanted = [name if "." in name else f"{name}.*" for name in names]
    request: dict[str, Any] = {"Filters": [{"Name": "instance-type", "Values": wanted}]}
    found: list[InstanceType] = []
    while True:
        page = await subject.ask("ec2", "describe_instance_types", **request)
        found += map(InstanceType.from_aws, page["InstanceTypes"])
        if not page.get("NextToken"):
            return found
        request["NextToken"] = page["NextToken"]


def why_none_fits(types: Sequence[InstanceType], settings: Settings) -> str:
    """Return why none of the types can take a job; empty where one can, or nothing is known of them."""
    if not types:
        return ""
    wanted = ARCHITECTURES[settings.cpu_architecture]
    suitable = [each for each in types if wanted in each.architectures]
    if not suitable:
        return (
            f"none of its instances has the processor {settings.cpu_architecture} that images are built for"
        )
    with_gpus = [each for each in suitable if each.gpus >= settings.num_gpus]
    if not with_gpus:
        most = max(each.gpus for each in suitable)
        return f"its instances have {most} GPUs at most, jobs ask for {settings.num_gpus}"
    if any(each.has_room_for(settings) for each in with_gpus):
        return ""
    return (
        f"jobs ask for {settings.vcpu:g} vCPU and {settings.memory_mib} MiB; its largest instance, "
        f"{_told(largest(with_gpus))}"
    )


def largest(types: Sequence[InstanceType]) -> InstanceType:
    """Return the one with the most memory."""
    return max(types, key=lambda each: (each.memory_mib, each.vcpus))


def _told(each: InstanceType) -> str:
    usable_mib, gib = usable(each.memory_mib), each.memory_mib / MIB_PER_GB
    return f"{each.name}, has {each.vcpus} vCPUs and of its {gib:g} GiB {usable_mib} MiB for jobs"


def mend(subject: Subject, types: Sequence[InstanceType]) -> str:
    """Return the command after which jobs fit into the types, or are for their processor."""
    settings = subject.settings
    suitable = [each for each in types if ARCHITECTURES[settings.cpu_architecture] in each.architectures]
    if not suitable:
        return configure("cpu_architecture", "ARM64" if settings.cpu_architecture == "X86_64" else "X86_64")
    most = largest(suitable)
    if settings.num_gpus > max(each.gpus for each in suitable):
        return configure("num_gpus", max(each.gpus for each in suitable))
    if settings.vcpu > most.vcpus:
        return configure("vcpu", most.vcpus)
    return configure("memory", int(usable(most.memory_mib) / MIB_PER_GB * 10) / 10)
