"""Whether this container can open a task's pickles, told without opening them."""

from __future__ import annotations

from covalent_awsbatch_plugin.contract import Task
from covalent_awsbatch_plugin.runtime.messages import Hello

_NEXT_STEP = "give the image the four lines of the README, or leave container_image_uri empty"


def mismatch(task: Task, container: Hello) -> str | None:
    """Return why the container must not unpickle the task, or None where it may.

    Byte code differs between minor versions of Python: another one crashes the process. cloudpickle 3
    and earlier ones do not know each other's helper functions.
    """
    if container.cloudpickle_version is None:
        return f"The container has no cloudpickle, which the runtime needs: {_NEXT_STEP}."
    python, cloudpickle = task.python_version, task.cloudpickle_version
    if _first(python, 2) != _first(container.python_version, 2):
        return (
            f"The function was pickled by Python {python}, but the container runs Python "
            f"{container.python_version}: their byte code differs; "
            f"use an image with Python {_first(python, 2)}, or leave container_image_uri empty."
        )
    if _first(cloudpickle, 1) != _first(container.cloudpickle_version, 1):
        return (
            f"The function was pickled by cloudpickle {cloudpickle}, but the container has cloudpickle "
            f"{container.cloudpickle_version}: use an image with cloudpickle {_first(cloudpickle, 1)}, "
            "or leave container_image_uri empty."
        )
    return None


def _first(version: str, parts: int) -> str:
    return ".".join(version.split(".")[:parts])
