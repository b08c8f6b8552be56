"""The errors that the runtime raises for faults of its own, and how the job's log hears of them."""

from __future__ import annotations

import sys

from covalent_awsbatch_plugin.contract import EXIT_CONFLICT, EXIT_DUPLICATE, EXIT_RUNTIME_FAULT


class RuntimeFault(Exception):
    """The runtime cannot do its work; the text is one sentence for the user."""

    exit_code = EXIT_RUNTIME_FAULT


class Duplicate(RuntimeFault):
    """Another job does the same tasks."""

    exit_code = EXIT_DUPLICATE


class Conflict(RuntimeFault):
    """The attempt has an outcome already."""

    exit_code = EXIT_CONFLICT


def complain(sentence: str) -> str:
    """Tell the job's log what the runtime itself could not do, and return the line."""
    line = f"covalent-awsbatch: {sentence}\n"
    print(line, file=sys.stderr, end="", flush=True)
    return line
