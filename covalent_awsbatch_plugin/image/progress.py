"""How far the making of an image is, for whoever looks on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Stage(Enum):
    """What is being done."""

    PULL = "pulling"
    BUILD = "building"
    PUSH = "pushing"


@dataclass(frozen=True)
class Progress:
    """A stage and how much of it is done: steps of a build, bytes of a pull or push.

    `total` is what is known so far and may grow.
    """

    stage: Stage
    image: str
    done: int
    total: int
    text: str = ""


Report = Callable[[Progress], None]
"""Called from the thread that does the work."""


def steps(say: Callable[[str], object]) -> Report:
    """Return what says a line for each step of a build, and for the beginning of each other stage."""
    seen: set[tuple[Stage, str, int]] = set()

    def report(made: Progress) -> None:
        step = made.done if made.stage is Stage.BUILD else 0
        if (made.stage, made.image, step) not in seen:
            seen.add((made.stage, made.image, step))
            say(f"{made.stage.value} {made.image}: {made.text}")

    return report
