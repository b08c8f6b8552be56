"""The sections of docs/cloud.md that are made from the template and its parameters; run it to renew them."""

from __future__ import annotations

import re
from pathlib import Path

from covalent_awsbatch_plugin.infra.parameters import parameters_table
from covalent_awsbatch_plugin.infra.rights import rights_table

from .template import TEMPLATE

CLOUD = Path(__file__).parents[2] / "docs" / "cloud.md"


def renewed(text: str) -> str:
    """Return a text with its tables as they are to be, each between `<!-- name -->` and `<!-- end -->`."""
    for name, table in {"rights": rights_table(TEMPLATE), "parameters": parameters_table()}.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, places = place.subn(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", text)
        if places != 1:
            raise ValueError(f"The text has {places} places for {name}, not one.")
    return text


if __name__ == "__main__":
    CLOUD.write_text(renewed(CLOUD.read_text()))
