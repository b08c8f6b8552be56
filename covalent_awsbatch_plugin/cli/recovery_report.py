"""What became of a recovery, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from covalent_awsbatch_plugin.cli import summary
from covalent_awsbatch_plugin.cli.text import iso, now, plural, span
from covalent_awsbatch_plugin.plain_text import escaped

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.covalent_server import CovalentServer
    from covalent_awsbatch_plugin.reconcile import Orphan, Standing, Stranded


@dataclass
class Recovery:
    """What was found, and what became of it."""

    server: CovalentServer
    is_quiet: bool
    """Whether only a program reads what comes of it."""
    stranded: Sequence[Stranded] = ()
    orphans: Sequence[Orphan] = ()
    came: dict[tuple[str, int], str] = field(default_factory=dict)
    """The states of the nodes that came in."""
    stuck: Sequence[Stranded] = ()
    """What the server did not bring in although nothing keeps it."""
    standings: Sequence[Standing] = ()
    ended: Sequence[Orphan] = ()

    @property
    def missing(self) -> list[Stranded]:
        """Return the nodes that did not come in."""
        return [each for each in self.stranded if _key(each) not in self.came]

    @property
    def lost(self) -> list[Stranded]:
        """Return the nodes that cannot come in, as nothing is left of them."""
        return [each for each in self.missing if each.is_lost]

    def say(self, text: str, *, err: bool = False) -> None:
        """Print a line for people."""
        if not self.is_quiet:
            click.echo(escaped(text), err=err)

    def note_arrival(self, stranded: Stranded, state: str) -> None:
        """Tell of a node that has come in."""
        self.came[_key(stranded)] = state
        self.say(f"{name(stranded)} is {state} ({len(self.came)} of {len(self.stranded)})")


def tell(recovery: Recovery) -> None:
    """Print what came in, what did not, and where the dispatches stand."""
    if not recovery.stranded:
        recovery.say("Covalent calls no node of the executor awsbatch RUNNING.")
    else:
        recovery.say(f"{len(recovery.came)} of {count(recovery.stranded, 'node')} came in.")
    complain(recovery, recovery.stuck)
    for standing in recovery.standings:
        recovery.say(_prospect(standing))
    for lost in recovery.lost:
        recovery.say(f"orphaned: {name(lost)}: {situation(lost)}")
    for orphan in recovery.orphans:
        recovery.say(f"orphaned: {orphan_name(orphan)}")
    if any(not each.dispatch_status for each in recovery.orphans):
        recovery.say("Jobs of dispatches that this server does not know may be another server's.")


def complain(recovery: Recovery, stuck: Iterable[Stranded]) -> None:
    """Tell of nodes that the server was told to bring in, and did not."""
    for each in stuck:
        text = "did not come in although nothing keeps it: the server's log says why"
        recovery.say(f"Error: {name(each)} {text}.", err=True)


# --- dispatches ---------------------------------------------------------------------------------------------


def _prospect(standing: Standing) -> str:
    """Say where a dispatch stands, and how it can go on."""
    return " ".join(filter(None, (f"{_state(standing)}.", _advice(standing))))


def _state(standing: Standing) -> str:
    text = f"The dispatch {standing.dispatch.id} is {standing.dispatch.status}"
    if standing.is_forgotten:
        return f"{text}: Covalent does not know any more where it stood"
    if standing.failed:
        return f"{text}: {count(standing.failed, 'node')} failed"
    if standing.dispatch.status == "CANCELLED":
        return f"{text}: a server that is stopped, as a user, cancels what has not begun"
    return text


def _advice(standing: Standing) -> str:
    """Say what helps a dispatch that does not go on; empty where nothing is amiss."""
    if standing.dispatch.status not in {"FAILED", "CANCELLED"}:
        return "Dispatch the workflow again." if standing.is_forgotten else ""
    again = (
        f"Its values are kept: ct.redispatch({standing.dispatch.id!r}, reuse_previous_results=True)() runs "
        f"only what has none."
    )
    if not standing.is_forgotten:
        return again
    return f"{again} Where the server is started with {_cache_setting()}, workflows go on after a crash."


def _cache_setting() -> str:
    from covalent_awsbatch_plugin.configuration import database_path

    return f"COVALENT_CACHE_DB_URL=sqlite+pysqlite:///{database_path() or '<the file of its database>'}"


# --- nodes and jobs -----------------------------------------------------------------------------------------


def _key(stranded: Stranded) -> tuple[str, int]:
    return stranded.node.dispatch_id, stranded.node.node_id


def name(stranded: Stranded) -> str:
    """Return what a node is called: dispatch, number and name."""
    return f"{stranded.node.dispatch_id}/{stranded.node.node_id} ({stranded.node.name})"


def situation(stranded: Stranded) -> str:
    """Say what there is of a node's work."""
    if stranded.is_lost:
        return "it has neither a job nor an outcome: it was not submitted, or the server is about to do so"
    if stranded.job is None:
        return "its outcome is in S3, its job AWS Batch has forgotten"
    outcome = ", its outcome is in S3" if stranded.has_outcome else ""
    return f"its job {stranded.job.id} is {stranded.job.status.value}{outcome}"


def orphan_name(orphan: Orphan) -> str:
    """Return what an orphan is called, and why it is one."""
    from covalent_awsbatch_plugin.client.lookup import states_of

    job, status = orphan.job, orphan.dispatch_status
    kind = "job" if job.array_size is None else "array"
    age = f", {span((now() - job.created_at).total_seconds())} old" if job.created_at else ""
    why = f"its dispatch is {status}" if status else "the server does not know its dispatch"
    return f"the {kind} {job.name} ({job.id}, {summary.in_words(states_of(job))}{age}): {why}"


def count(some: Sequence[Any], noun: str) -> str:
    """Return how many there are, such as `1 node` or `20 nodes`."""
    return plural(len(some), noun)


# --- for programs -------------------------------------------------------------------------------------------


def as_json(recovery: Recovery) -> dict[str, Any]:
    """Return all that was found and what became of it; times are in UTC."""
    return {
        "server": recovery.server.url,
        "nodes": [_node_as_json(recovery, each) for each in recovery.stranded],
        "dispatches": [
            {"id": each.dispatch.id, "state": each.dispatch.status, "advice": _advice(each) or None}
            for each in recovery.standings
        ],
        "orphans": [_orphan_as_json(recovery, each) for each in recovery.orphans],
    }


def _node_as_json(recovery: Recovery, stranded: Stranded) -> dict[str, Any]:
    node, job = stranded.node, stranded.job
    return {
        "dispatch_id": node.dispatch_id,
        "node_id": node.node_id,
        "name": node.name,
        "started_at": iso(node.started_at),
        "batch_id": job.id if job else None,
        "job_state": job.status.value if job else None,
        "has_outcome": stranded.has_outcome,
        "is_orphaned": stranded.is_lost,
        "came_in": _key(stranded) in recovery.came,
        "state": recovery.came.get(_key(stranded), node.status),
    }


def _orphan_as_json(recovery: Recovery, orphan: Orphan) -> dict[str, Any]:
    return {
        **summary.as_json(orphan.job, orphan.dispatch_id, now()),
        "dispatch_state": orphan.dispatch_status or None,
        "is_ended": orphan in recovery.ended,
    }
