"""The part of a page that a script writes, between two marks."""

from __future__ import annotations

from pathlib import Path

END = "<!-- to here -->\n"


def write_part(page: Path, writer: str, text: str) -> None:
    """Replaces what stands in `page` between "WRITER writes from here" and the next "to here" by `text`."""
    begin = f"<!-- {writer} writes from here -->\n"
    before, rest = page.read_text().split(begin)
    page.write_text(f"{before}{begin}\n{text}\n{END}{rest.split(END, 1)[1]}")
