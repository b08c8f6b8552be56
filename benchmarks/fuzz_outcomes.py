"""What becomes of damaged outcomes: whether any is taken for whole, or breaks the driver.

    python -m benchmarks.fuzz_outcomes [--count 1000000] [--seed 1]

Outcomes as the runtime writes them are cut short, flipped, stretched, spliced, sealed with another key, or
written and summed by somebody who has no key but knows the format; each is read as the driver reads what it
finds in the bucket. The exit code tells whether none was accepted, and all were refused in the one way that
the driver knows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.contract import (
    Container,
    Detached,
    EnvelopeError,
    Failure,
    Outcome,
    OutcomeStatus,
)

COUNT = 1_000_000
KEY = bytes(range(32))
_SEAL_BYTES = 64


@dataclass
class Report:
    """How many damaged outcomes there were of each kind, and what became of them."""

    kinds: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    by_checksum: Counter[str] = field(default_factory=Counter)
    accepted: list[bytes] = field(default_factory=list)
    crashed: list[tuple[bytes, Exception]] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether none was accepted, and none raised anything but what the driver expects."""
        return not self.accepted and not self.crashed


def originals() -> list[bytes]:
    """Return whole outcomes of every kind, small and larger."""
    key = contract.detached_key("d" * 36, 7, 1, contract.SECTION_VALUE, "0123")
    detached = {contract.SECTION_VALUE: Detached(key, 9 << 20, ["0" * 64] * 2)}
    headers = [
        _outcome(OutcomeStatus.VALUE),
        _outcome(OutcomeStatus.VALUE, container=Container("dict", keys=["a", 1, "ü"])),
        _outcome(OutcomeStatus.EXCEPTION, failure=Failure("ValueError", "bad", "Traceback …\n" * 20)),
        _outcome(OutcomeStatus.VALUE, detached=detached),
    ]
    contents: list[dict[str, bytes]] = [
        {},
        {contract.SECTION_STDOUT: b"out\n" * 9},
        {contract.SECTION_STDERR: bytes(range(256)) * 16},
    ]
    return [contract.pack_outcome(header, each, KEY) for header in headers for each in contents]


def _outcome(
    status: OutcomeStatus,
    failure: Failure | None = None,
    container: Container | None = None,
    detached: dict[str, Detached] | None = None,
) -> Outcome:
    return Outcome(
        dispatch_id="d" * 36,
        node_id=7,
        status=status,
        job_id="0f1e2d3c-0000-4000-8000-000000000000:7",
        attempt=1,
        started_at=1.7e9,
        finished_at=1.7e9 + 2.5,
        python_version="3.11.7",
        cloudpickle_version="3.1.2",
        failure=failure,
        container=container,
        detached=detached or {},
    )


ORIGINALS = originals()


# --- ways to damage one -----------------------------------------------------------------------------------

Damage = Callable[[random.Random, bytes], bytes]


def truncated(chance: random.Random, whole: bytes) -> bytes:
    """Leave the end out."""
    return whole[: chance.randrange(len(whole))]


def beheaded(chance: random.Random, whole: bytes) -> bytes:
    """Leave the beginning out."""
    return whole[1 + chance.randrange(len(whole)) :]


def flipped(chance: random.Random, whole: bytes) -> bytes:
    """Turn one bit over."""
    damaged = bytearray(whole)
    damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def overwritten(chance: random.Random, whole: bytes) -> bytes:
    """Write other bytes over a part."""
    start = chance.randrange(len(whole))
    written = chance.randbytes(min(chance.randint(1, 64), len(whole) - start))
    return whole[:start] + written + whole[start + len(written) :]


def stretched(chance: random.Random, whole: bytes) -> bytes:
    """Put bytes in somewhere, or behind the end."""
    at = chance.randint(0, len(whole))
    return whole[:at] + chance.randbytes(chance.randint(1, 100)) + whole[at:]


def shortened(chance: random.Random, whole: bytes) -> bytes:
    """Take bytes out of the middle."""
    at = chance.randrange(len(whole) - 1)
    return whole[:at] + whole[at + chance.randint(1, 100) :]


def spliced(chance: random.Random, whole: bytes) -> bytes:
    """Go on, somewhere, with the end of another outcome."""
    other = chance.choice(ORIGINALS)
    return whole[: chance.randrange(len(whole))] + other[chance.randrange(len(other)) :]


def lying(chance: random.Random, whole: bytes) -> bytes:
    """Tell another length of the header, up to the largest that there is room for."""
    return whole[:8] + chance.getrandbits(chance.randint(1, 64)).to_bytes(8, "big") + whole[16:]


def resealed(chance: random.Random, whole: bytes) -> bytes:
    """Seal it with another key."""
    return contract.pack_outcome(*contract.parse_outcome(whole, KEY), chance.randbytes(chance.randint(1, 64)))


def invented(chance: random.Random, whole: bytes) -> bytes:
    """Make anything up behind what an outcome begins with."""
    return contract.MAGIC[: chance.randint(0, 8)] + chance.randbytes(chance.randrange(300))


# --- ways to forge one ------------------------------------------------------------------------------------

ODD_VALUES = (None, True, -1, 0, 1.5, 1e308, 10**30, float("nan"), "", "x", "\ud800", [], {}, [[]], {"a": {}})


def forged(chance: random.Random, whole: bytes) -> bytes:
    """Change the header at one place and sum all up again: right as far as one can be without the key."""
    header, sections = _parts(whole)
    fields = [header, *(each for each in header.values() if isinstance(each, dict) and each)]
    changed = chance.choice(fields)
    name = chance.choice(list(changed))
    if chance.random() < 0.2:
        del changed[name]
    else:
        changed[name] = chance.choice(ODD_VALUES)
    if chance.random() < 0.1:
        header[chance.choice("abc")] = chance.choice(ODD_VALUES)
    return _summed(json.dumps(header).encode(), sections)


def nested(chance: random.Random, whole: bytes) -> bytes:
    """Have a header that no parser can follow to its ground."""
    _, sections = _parts(whole)
    depth = 20_000 if chance.random() < 0.01 else chance.choice((10, 1_000))  # the deepest take long to read
    return _summed(chance.choice((b"[", b'{"a":')) * depth, sections)


def _parts(whole: bytes) -> tuple[dict[str, object], bytes]:
    header_end = contract.PREAMBLE_BYTES + contract.header_length(whole)
    return json.loads(whole[contract.PREAMBLE_BYTES : header_end]), whole[header_end:-_SEAL_BYTES]


def _summed(header: bytes, sections: bytes) -> bytes:
    start = contract.MAGIC + len(header).to_bytes(8, "big") + header + sections
    return start + hashlib.sha256(start).digest() + bytes(32)


# --- all of them ------------------------------------------------------------------------------------------

DAMAGES: tuple[Damage, ...] = (
    truncated,
    beheaded,
    flipped,
    overwritten,
    stretched,
    shortened,
    spliced,
    lying,
    resealed,
    invented,
    forged,
    nested,
)


def fuzz(count: int, seed: int) -> Report:
    """Damage outcomes, so many in all, and note what reading them gives; the same for the same seed."""
    chance, report, whole_ones = random.Random(seed), Report(), set(ORIGINALS)
    while report.kinds.total() < count:
        damage = chance.choice(DAMAGES)
        damaged = damage(chance, chance.choice(ORIGINALS))
        if damaged in whole_ones:
            continue  # nothing was damaged after all
        report.kinds[damage.__name__] += 1
        if _answer(report, damaged, KEY) == ACCEPTED:
            report.accepted.append(damaged)
        # Where the origin is not verified, a whole outcome of anybody's may be taken, but none may do harm.
        report.by_checksum[_answer(report, damaged, None)] += 1
    return report


ACCEPTED = "accepted"


def _answer(report: Report, damaged: bytes, key: bytes | None) -> str:
    try:
        contract.parse_outcome(damaged, key)
    except EnvelopeError as error:
        answer = type(error).__name__
    except Exception as error:  # noqa: BLE001 — that there is none is what is to be shown
        report.crashed.append((damaged, error))
        answer = type(error).__name__
    else:
        answer = ACCEPTED
    if key is not None:
        report.answers[answer] += 1
    return answer


def main() -> int:
    """Print the counts; return 0 where the format holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz_outcomes", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began_s = time.monotonic()
    report = fuzz(options.count, options.seed)
    print(f"{report.kinds.total():,} damaged outcomes in {time.monotonic() - began_s:.0f} s")
    for heading, counts in (
        ("made", report.kinds),
        ("read with the key", report.answers),
        ("read by checksum alone", report.by_checksum),
    ):
        print(f"{heading}: {', '.join(f'{name} {number:,}' for name, number in sorted(counts.items()))}")
    print(f"accepted: {len(report.accepted):,}; crashed: {len(report.crashed):,}")
    for damaged, error in report.crashed[:3]:
        print(f"{error!r} for {damaged[:200]!r}")
    return 0 if report.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
