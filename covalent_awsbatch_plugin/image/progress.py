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


def nobody(_progress: Progress) -> None:
    """Be told and do nothing."""
