"""All operations of AWS Batch together, for whoever serves them."""

from __future__ import annotations

from ..engine import Engine
from ..faults.answers import Answers
from ..jobs import Demand
from ..store import Store
from .definitions import DefinitionOperations
from .environments import EnvironmentOperations, machine_has
from .jobs import JobOperations
from .listing import ListOperations
from .policies import PolicyOperations
from .queues import QueueOperations
from .tags import TagOperations


def providers(
    engine: Engine, store: Store, answers: Answers | None = None, machine: Demand | None = None
) -> list[object]:
    """Return one object for each kind of resource, whose methods are the operations.

    `answers` shows jobs as clients are to see them; without it, as they are. `machine` is what jobs may use,
    by default all of this one.
    """
    answers = answers or Answers()
    return [
        JobOperations(engine, store, answers),
        ListOperations(store, answers),
        DefinitionOperations(engine.account, store),
        QueueOperations(engine, store),
        EnvironmentOperations(engine, store, machine or machine_has()),
        PolicyOperations(engine.account, store),
        TagOperations(store),
    ]
