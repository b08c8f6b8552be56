"""What the Docker engine answers on the way to a running container, as AWS words it.

The names and texts are those of ECS's agent, which AWS Batch shows as `container.reason`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import requests
from docker.errors import APIError, DockerException

from ..runner import StartFailure
from .engine import CALL_TIMEOUT_S


class Step(str, Enum):
    """A step of a start, with the name of the error that it may end in."""

    PULL = "CannotPullContainerError"
    CREATE = "CannotCreateContainerError"
    START = "CannotStartContainerError"


REACHED = {Step.PULL: "pulled", Step.CREATE: "created", Step.START: "started"}
"""The state that each step leads to."""


def engine_failure(step: Step, text: str) -> StartFailure:
    """Return the failure of a step for a text of the engine's."""
    return StartFailure(f"{step.value}: Error response from daemon: {text}")


@contextmanager
def failing_as(step: Step) -> Iterator[None]:
    """Turn every failure of the engine into the StartFailure of a step."""
    try:
        yield
    except APIError as error:
        raise engine_failure(step, error.explanation or str(error)) from error
    except requests.Timeout as error:
        waited = f"timed out after waiting {CALL_TIMEOUT_S // 60}m0s"
        raise StartFailure(
            f"DockerTimeoutError: Could not transition to {REACHED[step]}; {waited}"
        ) from error
    except (DockerException, requests.RequestException) as error:
        raise StartFailure(f"{step.value}: {error}") from error
