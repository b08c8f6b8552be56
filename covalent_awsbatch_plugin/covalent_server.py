"""Covalent's running server as its REST API shows it: which nodes of which dispatches are in which state."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode, urlparse

from .errors import CovalentServerError
from .threads import in_thread

RUNNING = "RUNNING"
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
"""States of nodes and dispatches, as Covalent names them."""

PAGE = 50
"""Dispatches asked for at a time: their ids, 36 characters each, must fit into one address."""

TIMEOUT_S = 60
"""For one answer; the manifest of a dispatch with thousands of nodes takes the server seconds."""


@dataclass(frozen=True)
class Node:
    """A node of a dispatch, by itself or as one of a task group."""

    dispatch_id: str
    node_id: int
    group_id: int
    name: str
    status: str
    executor: str
    executor_options: dict[str, Any]
    """What the executor's object was given; empty where the user named the executor only."""
    started_at: datetime | None


@dataclass(frozen=True)
class Dispatch:
    """A dispatch as the server's list has it."""

    id: str
    status: str
    name: str = ""
    ended_at: datetime | None = None


class CovalentServer:
    """The server at a URL. All methods raise CovalentServerError where it does not answer as it should."""

    def __init__(self, url: str) -> None:
        if urlparse(url).scheme not in {"http", "https"} or not urlparse(url).netloc:
            raise CovalentServerError(f"{url!r} is no address of a server, such as 'http://localhost:48008'.")
        self.url = url.rstrip("/")

    async def running(self) -> dict[str, Dispatch]:
        """Return the dispatches that the server calls RUNNING, those of sublattices too, by their ids."""
        found: list[Dispatch] = []
        while True:
            page = await self._dispatches({"status": RUNNING, "count": PAGE, "offset": len(found)})
            found += page
            if len(page) < PAGE:
                return {each.id: each for each in found}

    async def known(self, dispatch_ids: Iterable[str]) -> dict[str, Dispatch]:
        """Return those of the dispatches that the server knows, by their ids."""
        ids = list(dict.fromkeys(dispatch_ids))
        pages = [ids[start : start + PAGE] for start in range(0, len(ids), PAGE)]
        found = [await self._dispatches({"dispatch_id": page, "count": PAGE}) for page in pages]
        return {each.id: each for page in found for each in page}

    async def nodes(self, dispatch_id: str) -> list[Node]:
        """Return all nodes of a dispatch."""
        manifest = await self._get(f"/api/v2/dispatches/{quote(dispatch_id)}")
        try:
            found = manifest["lattice"]["transport_graph"]["nodes"]
            return [_node(dispatch_id, each["id"], each["metadata"]) for each in found]
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_understood(f"the dispatch {dispatch_id}") from error

    async def states(self, dispatch_id: str) -> dict[int, str]:
        """Return the states of a dispatch's nodes: for the server much less work than `nodes`."""
        graph = await self._get(f"/api/v1/dispatches/{quote(dispatch_id)}/graph")
        try:
            return {int(each["node_id"]): str(each["status"]) for each in graph["graph"]["nodes"]}
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_understood(f"the nodes of {dispatch_id}") from error

    async def receive(self, dispatch_id: str, node_id: int, data: Any) -> None:
        """Have the server call the `receive()` of a node's executor, in its own time."""
        await self._ask("PUT", f"/api/v2/dispatches/{quote(dispatch_id)}/electrons/{node_id}/job", data)

    async def executor_options(self, name: str) -> dict[str, Any]:
        """Return what the server's own configuration says of an executor."""
        settings = await self._get("/api/v1/settings")
        try:
            return dict(settings["client"]["executors"].get(name, {}))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._not_understood("its configuration") from error

    async def _dispatches(self, query: dict[str, Any]) -> list[Dispatch]:
        answer = await self._get(f"/api/v2/dispatches?{urlencode(query, doseq=True)}")
        try:
            return [_dispatch(each) for each in answer["dispatches"]]
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_understood("its dispatches") from error

    def _not_understood(self, what: str) -> CovalentServerError:
        return CovalentServerError(f"Covalent's server at {self.url} did not tell of {what} as expected.")

    async def _get(self, path: str) -> Any:
        return await self._ask("GET", path)

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            return await in_thread(partial(_answer, request))
        except urllib.error.HTTPError as error:
            said = f"answers {method} {path} with {error.code}"
            raise CovalentServerError(f"Covalent's server at {self.url} {said}; see its log.") from error
        except (OSError, ValueError) as error:
            raise CovalentServerError(
                f"Covalent's server at {self.url} does not answer ({error}). Start it with `covalent start`, "
                f"or say where it is."
            ) from error


def _answer(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)


def _dispatch(summary: dict[str, Any]) -> Dispatch:
    return Dispatch(
        id=str(summary["dispatch_id"]),
        status=str(summary["status"]),
        name=str(summary.get("name") or ""),
        ended_at=_time(summary.get("completed_at")),
    )


def _node(dispatch_id: str, node_id: int, metadata: dict[str, Any]) -> Node:
    return Node(
        dispatch_id=dispatch_id,
        node_id=int(node_id),
        group_id=int(metadata["task_group_id"]),
        name=str(metadata["name"]),
        status=str(metadata["status"]),
        executor=str(metadata["executor"]),
        executor_options=dict(metadata.get("executor_data", {}).get("attributes", {})),
        started_at=_time(metadata.get("start_time")),
    )


def _time(text: str | None) -> datetime | None:
    """Return a time of the server's, which writes UTC and does not say so."""
    if not text:
        return None
    time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
