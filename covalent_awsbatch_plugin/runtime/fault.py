"""The one error that the runtime raises for faults of its own."""

from __future__ import annotations


class RuntimeFault(Exception):
    """The runtime cannot do its work; the text is one sentence for the user."""
