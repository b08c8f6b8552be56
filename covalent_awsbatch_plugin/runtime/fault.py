"""The one error that the runtime raises for faults of its own, and how the job's log hears of them."""

from __future__ import annotations

import sys


class RuntimeFault(Exception):
    """The runtime cannot do its work; the text is one sentence for the user."""


def complain(sentence: str) -> str:
    """Tell the job's log what the runtime itself could not do, and return the line."""
    line = f"covalent-awsbatch: {sentence}\n"
    print(line, file=sys.stderr, end="", flush=True)
    return line
