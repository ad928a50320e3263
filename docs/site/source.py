"""Pages with code: the files that other pages link to, with a number and an address for each line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound

from docs.site.pages import place, sources
from docs.site.public import ROOT, definitions


def code_pages() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yields the name, the context and the template of each page, as Sphinx's event `html-collect-pages` takes them."""
    files = sources() | {Path(each.file) for each in definitions().values()}
    for file in sorted(files):
        title = file.as_posix()
        yield str(place(file).with_suffix("")), {"title": title, "body": f"<h1>{title}</h1>{_html(file)}"}, "page.html"


def address(module: str, name: str) -> str:
    """Returns where a page of the reference finds the code of `VPSDE`, or of its method `VPSDE.sigma`, of a package."""
    bare, _, member = name.partition(".")
    definition = definitions()[f"{module}.{bare}"]
    members = [node for node in getattr(definition.node, "body", []) if member and getattr(node, "name", "") == member]
    node = members[0] if members else definition.node
    return f"../{place(Path(definition.file))}#L-{node.lineno}"


def _html(file: Path) -> str:
    code = (ROOT / file).read_text(encoding="utf-8")
    try:
        lexer = get_lexer_for_filename(file.name)
    except ClassNotFound:
        lexer = TextLexer()
    return highlight(code, lexer, HtmlFormatter(linenos="inline", linespans="L"))
