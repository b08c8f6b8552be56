"""What a call returned, as the outcome holds it: a pickle, a string and what item access offers."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

import cloudpickle

from covalent_awsbatch_plugin.contract import Container
from covalent_awsbatch_plugin.runtime.failure import Unusable

LONGEST_OBJECT_STRING_CHARACTERS = 10_000
MOST_KEYS = 1_000
_LONGEST_KEYS_CHARACTERS = 50_000
_LARGEST_INTEGER = 2**63
_WRITE_CHARACTERS = 2**20


def write_pickle(value: Any, path: Path) -> None:
    """Pickle straight into the file.

    Raises Unusable where the value cannot be pickled, or the disk is full.
    """
    try:
        with open(path, "wb") as file:
            cloudpickle.dump(value, file)
    except Exception as error:
        kind = type(value)
        raise Unusable(
            f"The function returned a value of type {kind.__module__}.{kind.__qualname__} "
            f"that cannot be pickled: {type(error).__qualname__}"
        ) from error


def write_object_string(value: Any, path: Path) -> None:
    """Write the value's string, complete where the value is a string, because Covalent reads those."""
    text = value if type(value) is str else _shown(value)
    with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        for start in range(0, len(text), _WRITE_CHARACTERS):
            file.write(text[start : start + _WRITE_CHARACTERS])


def container_of(value: Any) -> Container | None:
    """Return what item access on the value offers; None for anything but plain lists, tuples and dicts."""
    if type(value) is list or type(value) is tuple:
        return Container(type(value).__name__, length=len(value))
    if type(value) is dict and len(value) <= MOST_KEYS and _are_plain_keys(list(value)):
        return Container("dict", keys=list(value))
    return None


def _are_plain_keys(keys: list[Any]) -> bool:
    """Whether JSON can hold the keys, exactly and in little space."""
    characters = 0
    for key in keys:
        if type(key) is str:
            characters += len(key)
        elif type(key) is not int or abs(key) >= _LARGEST_INTEGER:
            return False
    return characters <= _LONGEST_KEYS_CHARACTERS


def _shown(value: Any) -> str:
    try:
        text = str(value) if _is_short(value) else _Shortened().repr(value)
    except Exception:  # noqa: BLE001 - the user's own __str__, or an integer with too many digits
        return f"<{type(value).__module__}.{type(value).__qualname__}>"
    if len(text) <= LONGEST_OBJECT_STRING_CHARACTERS:
        return text
    return text[: LONGEST_OBJECT_STRING_CHARACTERS - 1] + "…"


def _is_short(value: Any) -> bool:
    """Whether the string of plain containers is worth building whole; other types decide for themselves."""
    budget = LONGEST_OBJECT_STRING_CHARACTERS
    waiting = [value]
    while waiting:
        each = waiting.pop()
        kind = type(each)
        budget -= 1
        if kind in (str, bytes, bytearray):
            budget -= len(each)
        elif kind in (list, tuple, set, frozenset, dict):
            budget -= len(each)
            if budget > 0:
                waiting.extend(each)
                waiting.extend(each.values() if kind is dict else ())
        if budget <= 0:
            return False
    return True


class _Shortened(reprlib.Repr):
    """The beginning of a long value's string."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 1_000
        self.maxstring = self.maxother = self.maxlong = 1_000

    def repr_bytes(self, value: bytes, _level: int) -> str:
        return f"<{len(value)} bytes>"

    def repr_bytearray(self, value: bytearray, _level: int) -> str:
        return f"<bytearray of {len(value)} bytes>"
