"""Tags of jobs, queues, compute environments and job definitions."""

from __future__ import annotations

from .. import rules
from ..errors import refused
from ..jobs import Json
from ..store import Store


class TagOperations:
    """What AWS does with tags."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def tag_resource(self, request: Json) -> Json:
        """Add tags to a resource, replacing those of the same key."""
        tags = self._tags(request)
        rules.check_tags(tags | request["tags"])
        tags.update(request["tags"])
        return {}

    def untag_resource(self, request: Json) -> Json:
        """Remove tags by key."""
        tags = self._tags(request)
        for key in request["tagKeys"]:
            tags.pop(key, None)
        return {}

    def list_tags_for_resource(self, request: Json) -> Json:
        """Return a resource's tags."""
        return {"tags": dict(self._tags(request))}

    def _tags(self, request: Json) -> dict[str, str]:
        tags = self._store.tags(request["resourceArn"])
        if tags is None:
            raise refused(f"Resource {request['resourceArn']} not found.")  # own wording
        return tags
