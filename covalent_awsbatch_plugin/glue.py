"""Answers Covalent's glue nodes in the dispatcher, by composing pickles that stay unopened.

When a task takes `[a, b]` or `{"k": c}` of other tasks' results, or its caller takes `r[0]`, Covalent
puts a node of its own into the graph: a function that builds the list or dict, or takes the item. Run as
jobs they would cost minutes of cloud for microseconds of work. A list of pickles can be made into the
pickle of a list without opening any of them: on loading, it calls `pickle.loads` on each.

An item is taken so only where the container's header says that the item is there (so that a wrong index
still fails in its own node) and where the whole is small enough to be carried along. Covalent copies the
hooks of the task to the nodes that take items of its result; taking an item so runs none of them again.
"""

from __future__ import annotations

import operator
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .contract import Container
from .transportable import Transportable

MAX_CARRIED_BYTES = 1 << 20
"""An item is taken without a job only from a container of at most this size: it travels whole."""

MAX_FUNCTION_BYTES = 64 << 10
"""A glue function's pickle has a few hundred bytes; larger ones are not looked at."""

CONTAINER_KEY = "covalent_awsbatch_container"
"""Where a TransportableObject's header holds what its value offers to item access."""

_COVALENT_MODULE = "covalent._workflow.electron"
_ITEM_PREFIX = ":"


class GlueKind(Enum):
    """Covalent's own functions that need no job, by their names in its source."""

    LIST = "_auto_list_node"
    DICT = "_auto_dict_node"
    ITEM = "get_item"


@dataclass(frozen=True)
class Composed:
    """The value of a glue node, as a pickle that holds its inputs' pickles unopened."""

    pickle_bytes: bytes
    object_string: str
    container: Container | None


def may_be_glue(function: Transportable) -> bool:
    """Tell, without reading its pickle, whether a function can be one of Covalent's."""
    return _named(_name(function)) is not None


def kind_of(function: Transportable) -> GlueKind | None:
    """Return which of Covalent's glue functions this is, if any, from its header and its pickle's names.

    The header holds the function's name. A user's function of the same name is told apart by its pickle:
    Covalent's own name `covalent._workflow.electron` as their module.
    """
    kind = _named(_name(function))
    if kind is None or function.length > MAX_FUNCTION_BYTES:
        return None
    opcodes = pickletools.genops(function.pickle_bytes())
    texts = {argument for _, argument, _ in opcodes if isinstance(argument, str)}
    return kind if {kind.value, _COVALENT_MODULE} <= texts else None


def _name(function: Transportable) -> str:
    return str(function.header.get("attrs", {}).get("name", ""))


def _named(name: str) -> GlueKind | None:
    if name.startswith(_ITEM_PREFIX):  # ":f.__getitem__", or ":f[0]" where the result was unpacked
        return GlueKind.ITEM
    return next((kind for kind in (GlueKind.LIST, GlueKind.DICT) if name == kind.value), None)


def compose(
    function: Transportable, args: list[Transportable], kwargs: dict[str, Transportable]
) -> Composed | None:
    """Return the value of a glue node, or None where a job must find it."""
    kind = kind_of(function)
    if kwargs or kind is None:
        return None
    if kind is GlueKind.LIST:
        return _list(args)
    if len(args) != 2:
        return None
    return _dict(*args) if kind is GlueKind.DICT else _item(*args)


@dataclass(frozen=True)
class _Unopened:
    """Pickles as a call of `pickle.loads` on the bytes, so that they are opened where they are loaded."""

    pickle_bytes: bytes

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return pickle.loads, (self.pickle_bytes,)


@dataclass(frozen=True)
class _Call:
    """Pickles as a call of a function of the standard library."""

    function: Callable[..., Any]
    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.args


def _list(items: list[Transportable]) -> Composed:
    composed = [_Unopened(item.pickle_bytes()) for item in items]
    text = f"[{', '.join(item.object_string for item in items)}]"
    return Composed(pickle.dumps(composed, protocol=4), text, Container("list", len(items)))


def _dict(keys: Transportable, values: Transportable) -> Composed:
    pairs = _Call(zip, (_Unopened(keys.pickle_bytes()), _Unopened(values.pickle_bytes())))
    text = f"dict(zip({keys.object_string}, {values.object_string}))"
    return Composed(pickle.dumps(_Call(dict, (pairs,)), protocol=4), text, None)


def _item(whole: Transportable, key: Transportable) -> Composed | None:
    index = _plain_key(key)
    if index is None or whole.length > MAX_CARRIED_BYTES or not _has_item(whole, index):
        return None
    taken = _Call(operator.getitem, (_Unopened(whole.pickle_bytes()), index))
    return Composed(pickle.dumps(taken, protocol=4), f"({whole.object_string})[{index!r}]", None)


def _has_item(whole: Transportable, index: str | int) -> bool:
    described = whole.header.get(CONTAINER_KEY)
    if not isinstance(described, dict):
        return False
    container = Container(**described)
    if container.kind == "dict":
        return any(type(key) is type(index) and key == index for key in container.keys)
    return isinstance(index, int) and -container.length <= index < container.length


_PLAIN_OPCODES = {"PROTO", "FRAME", "MEMOIZE", "STOP"}
_INT_OPCODES = {"BININT", "BININT1", "BININT2"}
_TEXT_OPCODES = {"SHORT_BINUNICODE", "BINUNICODE"}


def _plain_key(key: Transportable) -> str | int | None:
    """Return the int or str that the pickle plainly is, read from its opcodes and never loaded."""
    if key.length > MAX_FUNCTION_BYTES:
        return None
    found: list[Any] = []
    for opcode, argument, _ in pickletools.genops(key.pickle_bytes()):
        if opcode.name in _INT_OPCODES | _TEXT_OPCODES:
            found.append(argument)
        elif opcode.name not in _PLAIN_OPCODES:
            return None
    return found[0] if len(found) == 1 else None
