"""python -m docs.generate: writes the tables of the pages between their markers.

<!-- table parts.steps -->
(the result of docs.tables.parts.steps)
<!-- end -->
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

PAGES = sorted(Path(__file__).parent.rglob("*.md"))
TABLE = re.compile(r"(<!-- table (\w+)\.(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def generated(text: str) -> str:
    """Returns the text of a page with its tables as they should be."""

    def fill(marker: re.Match[str]) -> str:
        head, module, function, end = marker.groups()
        table = getattr(importlib.import_module(f"docs.tables.{module}"), function)
        return f"{head}\n{table()}\n{end}"

    return TABLE.sub(fill, text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(generated(page.read_text()))
