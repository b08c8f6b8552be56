"""What a call returned, as the outcome holds it: a pickle, a string and what item access offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle

from covalent_awsbatch_plugin.contract import Chunk, Container
from covalent_awsbatch_plugin.runtime.failure import Unusable

LONGEST_OBJECT_STRING_CHARACTERS = 10_000
MOST_KEYS = 1_000
_LONGEST_KEYS_CHARACTERS = 50_000
_LARGEST_INTEGER = 2**63
_WRITE_CHARACTERS = 2**20
_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    Chunk: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}


def write_pickle(value: Any, path: Path) -> None:
    """Pickle straight into the file.

    Raises Unusable where the value cannot be pickled, or the disk is full.
    """
    try:
        with open(path, "wb") as file:
            cloudpickle.dump(value, file)
    except OSError as error:
        raise Unusable(
            f"The value, of type {_type_name(value)}, could not be stored in the container"
        ) from error
    except Exception as error:
        raise Unusable(
            f"The function returned a value of type {_type_name(value)} that cannot be pickled: "
            f"{type(error).__qualname__}"
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


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _shown(value: Any) -> str:
    limit = LONGEST_OBJECT_STRING_CHARACTERS
    try:
        text = _beginning(_pieces(value, str, ()), limit + 1)
    except Exception:  # noqa: BLE001 - the user's own __str__, or an integer with too many digits
        return f"<{_type_name(value)}>"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _beginning(pieces: Iterator[str], length_characters: int) -> str:
    """Join pieces until there are enough; the rest is never made."""
    text = ""
    for piece in pieces:
        text += piece
        if len(text) >= length_characters:
            break
    return text


def _pieces(value: Any, show: Callable[[Any], str], within: tuple[int, ...]) -> Iterator[str]:
    """Yield the string of a value bit by bit where its type is a plain one, which may be huge."""
    kind = type(value)
    if kind in _BRACKETS:
        opening, closing = _BRACKETS[kind]
        if id(value) in within:
            yield f"{opening}...{closing}"
        elif value:
            yield opening
            yield from _items(value, (*within, id(value)))
            yield f",{closing}" if kind is tuple and len(value) == 1 else closing
        else:
            yield repr(value)
    elif kind in (bytes, bytearray, str):
        yield show(value[: LONGEST_OBJECT_STRING_CHARACTERS + 1])
    else:
        yield show(value)


def _items(value: Any, within: tuple[int, ...]) -> Iterator[str]:
    separator = ""
    for each in value:
        yield separator
        separator = ", "
        yield from _pieces(each, repr, within)
        if type(value) is dict:
            yield ": "
            yield from _pieces(value[each], repr, within)
