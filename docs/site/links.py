"""A reader of built pages, for what Sphinx does not check: HTML, pages with code, and what comes from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "srcset"), ("video", "src")}
"""Tags and attributes whose address a browser loads with the page."""


class _Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[tuple[str, bool]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.ids.add(value)
            if name in ("href", "src", "srcset") and value:
                self.links.append((value, (tag, name) in LOADED))


def problems(folder: Path) -> Iterator[str]:
    """Yields a line for each link in the HTML of a folder that leads nowhere, or that a browser loads from a network."""
    folder = folder.resolve()
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    for path, page in pages.items():
        for link, loaded in page.links:
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                wrong = "is loaded from a network" if loaded else ""
            elif not target.is_file():
                wrong = "leads to no file"
            else:
                known = target not in pages or not parts.fragment or unquote(parts.fragment) in pages[target].ids
                wrong = "" if known else "leads to no place of its page"
            if wrong:
                yield f"{path.relative_to(folder)}: {link} {wrong}"
