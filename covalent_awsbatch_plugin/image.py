"""Which container image a task runs in."""

from __future__ import annotations

from .errors import ImageError
from .settings import Settings


def image_uri(settings: Settings) -> str:
    """Return the image that jobs with these settings run in.

    Raises ImageError where none is set.
    """
    if settings.container_image_uri == "":
        raise ImageError(
            "No container image is set: set container_image_uri to an image with the Python of your client, "
            "cloudpickle, obstore and this package; the README gives the four lines of its Dockerfile."
        )
    return settings.container_image_uri
