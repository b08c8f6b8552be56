"""Which objects of a dispatch may go: answered from their keys and from what is known of its tasks.

What is not known stays: tasks of other processes, and objects of a kind that this version does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from . import contract
from .option_types import KeepArtifacts

_OUTCOMES, _VALUES, _INPUTS = "outcomes", "values", "inputs"
_CLAIMS = "claims"
_PACKS = "packs"
_FUNCTIONS = "functions"


class Fate(Enum):
    """How a task ended, as far as its objects matter."""

    UNKNOWN = "unknown"
    """It is on its way; or nobody knows whether its job is over."""
    VALUE = "value"
    NO_VALUE = "no value"
    """Its job is over, or it never had one."""


@dataclass(slots=True)
class Task:
    """What is known of a task."""

    group_id: int
    keep: KeepArtifacts
    is_own: bool = True
    """Whether this process has submitted it; else another one may have put more into its pack."""
    untaken: int = 0
    """How many have yet to take its result."""
    fate: Fate = Fate.UNKNOWN

    @property
    def may_go(self) -> bool:
        """Whether nobody needs its objects any more."""
        if self.untaken > 0 or self.keep == "all" or self.fate is Fate.UNKNOWN:
            return False
        return self.fate is Fate.VALUE or self.keep == "none"


class Plan:
    """What may go of a dispatch; takes its keys one by one."""

    def __init__(self, dispatch_id: str, tasks: Mapping[int, Task]) -> None:
        """Take the tasks of the dispatch, by node; those of one group stay together, or go."""
        stay = {task.group_id for task in tasks.values() if not task.may_go}
        going = {node_id: task for node_id, task in tasks.items() if task.group_id not in stay}
        self.of_tasks: list[str] = []
        """Outcomes, values and arguments of tasks."""
        self.foreign_packs: set[str] = set()
        """Of other processes: what all tasks share may go only if all of their groups may."""
        self.groups = {task.group_id for task in going.values()}
        """Those of which nothing is needed any more."""
        self._prefix = contract.dispatch_prefix(dispatch_id)
        self._nodes = set(going)
        self._foreign = {node_id for node_id, task in going.items() if not task.is_own}
        self._own = {task.group_id for task in going.values() if task.is_own}
        self._is_all = not stay
        self._shared: list[str] = []
        self._claims: list[str] = []

    @property
    def shared(self) -> list[str]:
        """Packs and functions, where no task of the dispatch needs them any more.

        Also the arguments of tasks of other processes: their jobs may have tasks that are not known here.
        """
        return self._shared if self._is_all else []

    @property
    def claims(self) -> list[str]:
        """What keeps a job that was submitted twice from running again, as long as there is its pack."""
        return self._claims if self._is_all else []

    def add(self, key: str) -> None:
        """Sort an object in."""
        area, _, name = key.removeprefix(self._prefix).partition("/")
        try:
            if area == _FUNCTIONS:
                self._shared.append(key)
            elif area == _PACKS:
                self._add_pack(key, contract.group_of_pack(key))
            elif area in (_OUTCOMES, _VALUES, _INPUTS, _CLAIMS):
                self._add_of_task(key, area, int(name.partition("/")[0]))
        except ValueError:  # none of our keys
            self._is_all = False

    def keep_shared(self) -> None:
        """Let packs, functions and claims stay."""
        self._is_all = False

    def _add_of_task(self, key: str, area: str, node_id: int) -> None:
        going = self._claims if area == _CLAIMS else self.of_tasks
        if area == _INPUTS and node_id in self._foreign:
            going = self._shared
        self._add(key, going, node_id in self._nodes)

    def _add(self, key: str, going: list[str], may_go: bool) -> None:
        if may_go:
            going.append(key)
        else:
            self._is_all = False

    def _add_pack(self, key: str, group_id: int) -> None:
        self._add(key, self._shared, group_id in self.groups)
        if group_id not in self._own:
            self.foreign_packs.add(key)
