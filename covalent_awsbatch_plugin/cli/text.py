"""Times and texts as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

import click

from covalent_awsbatch_plugin.plain_text import escaped

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S


def last_lines(text: str, count: int) -> list[str]:
    """Return the last lines of a text."""
    return text.splitlines()[-count:]


def plural(number: int, noun: str) -> str:
    """Return how many there are, such as `1 node` or `20 nodes`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """Return a time in its two largest units, such as `3 min 20 s`, and below ten seconds to a tenth."""
    whole = max(0, round(seconds))
    if whole < 10:
        return f"{max(0, seconds):.1f} s"
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def now() -> datetime:
    """Return the time of this moment, in UTC."""
    return datetime.now(timezone.utc)


def moment(time: datetime | None) -> str:
    """Return a time in UTC to the second; empty where there is none."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC" if time else ""


def iso(time: datetime | None) -> str | None:
    """Return a time as programs read it."""
    return time.isoformat(timespec="milliseconds") if time else None


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print labels and what stands behind them; further lines of a text stand below its first.

    A field without a text is left out.
    """
    present = [(label, text) for label, text in fields if text]
    width = max((len(label) for label, _ in present), default=0) + 3
    for label, text in present:
        first, *others = [escaped(line) for line in text.splitlines()]
        click.echo(click.style(label.ljust(width), bold=True) + first)
        for line in others:
            click.echo(" " * width + line)
