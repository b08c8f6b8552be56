"""What Fargate runs: its pairs of vCPUs and memory, and the next one to what a job asks for. Pure.

From AWS Batch's API, ResourceRequirement; a GB is 1024 MiB.
"""

from __future__ import annotations

from collections.abc import Sequence

MIB_PER_GB = 1024

MEMORY_MIB: dict[float, Sequence[int]] = {
    0.25: (512, 1024, 2048),
    0.5: range(1024, 4096 + 1, 1024),
    1: range(2048, 8192 + 1, 1024),
    2: range(4096, 16384 + 1, 1024),
    4: range(8192, 30720 + 1, 1024),
    8: range(16384, 61440 + 1, 4096),
    16: range(32768, 122880 + 1, 8192),
    32: (61440, 122880, 249856),
}
"""Which memory goes with which number of vCPUs, both from small to large."""

SMALLEST_VCPU = min(MEMORY_MIB)
SMALLEST_MIB = MEMORY_MIB[SMALLEST_VCPU][0]


def next_pair(vcpu: float, memory_mib: int) -> tuple[float, int] | None:
    """Return the smallest pair with at least as much of both, None where there is none."""
    for has_vcpu, sizes in MEMORY_MIB.items():
        if has_vcpu >= vcpu and sizes[-1] >= memory_mib:
            return has_vcpu, next(each for each in sizes if each >= memory_mib)
    return None


def objection(vcpu: float, memory_mib: int) -> str:
    """Say why a job cannot have this pair, and which would do; empty where it can."""
    sizes = MEMORY_MIB.get(vcpu)
    if sizes is not None and memory_mib in sizes:
        return ""
    rule = f"a job has {_any_of(MEMORY_MIB)} vCPUs there" if sizes is None else _sizes_text(vcpu, sizes)
    return f"{rule}; {_advice(next_pair(vcpu, memory_mib))} would do"


def _advice(pair: tuple[float, int] | None) -> str:
    if pair is None:
        return "Fargate has nothing so large, platform='EC2'"
    return f"vcpu={pair[0]:g}, memory={pair[1] / MIB_PER_GB:g}"


def _sizes_text(vcpu: float, sizes: Sequence[int]) -> str:
    sizes_gb = [each / MIB_PER_GB for each in sizes]
    if isinstance(sizes, range):
        text = f"{sizes_gb[0]:g} to {sizes_gb[-1]:g} GB in steps of {sizes.step / MIB_PER_GB:g}"
    else:
        text = f"{_any_of(sizes_gb)} GB"
    return f"with vcpu={vcpu:g} a job has {text} there"


def _any_of(numbers: Sequence[float] | dict[float, Sequence[int]]) -> str:
    *most, last = [f"{each:g}" for each in numbers]
    return f"{', '.join(most)} or {last}"
