"""The pages of the repository as pages of the site: where each lies there, and what becomes of its links."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from os.path import normpath, relpath
from pathlib import Path, PurePosixPath

from docs.site.prose import linked
from docs.site.public import ROOT

PAGES = [
    path.relative_to(ROOT)
    for pattern in ("*.md", "benchmarks/*.md", "docs/**/*.md", "docs/**/*.ipynb")
    for path in sorted(ROOT.glob(pattern))
]
PICTURES = [path.relative_to(ROOT) for kind in ("png", "svg", "jpg", "gif") for path in sorted(ROOT.glob(f"docs/**/*.{kind}"))]
FENCED = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def place(file: Path) -> PurePosixPath:
    """Returns where a page or a picture of the repository lies on the site.

    The folder `docs` is the site's own, README.md is the index of its folder, and names are in small letters. Any other file
    has a page with its code, below `source`.
    """
    if file not in PAGES and file not in PICTURES:
        return PurePosixPath("source", f"{file.as_posix()}.html")
    path = PurePosixPath(file)
    path = path.relative_to("docs") if path.is_relative_to("docs") else path
    return path.with_name("index.md" if path.name == "README.md" else path.name.lower())


def page(file: Path) -> str:
    """Returns the text of a page, Markdown or a notebook, with links as the site has them."""
    return _prose(file, lambda text: LINK.sub(lambda link: _moved(file, link), linked(text)))


def sources() -> set[Path]:
    """Returns the files that pages link to and that are no pages themselves."""
    targets = {_target(file, link) for file in PAGES for link in LINK.finditer((ROOT / file).read_text(encoding="utf-8"))}
    return {target for target in targets.difference(PAGES, PICTURES) if (ROOT / target).is_file()}


def _prose(file: Path, edit: Callable[[str], str]) -> str:
    """The text of a page, whose prose is edited and whose code is not."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        notebook = json.loads(text)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = _outside(edit, "".join(cell["source"]))
        return json.dumps(notebook)
    return _outside(edit, text)


def _outside(edit: Callable[[str], str], text: str) -> str:
    parts = FENCED.split(text)
    parts[::2] = map(edit, parts[::2])
    return "".join(parts)


def _target(file: Path, link: re.Match[str]) -> Path:
    """The file of the repository that a link leads to; of a folder its README."""
    target = Path(normpath(file.parent / link[2]))
    return target / "README.md" if (ROOT / target).is_dir() else target


def _moved(file: Path, link: re.Match[str]) -> str:
    """The link on the site. Code is outside of what Sphinx knows, so that a link to it is HTML."""
    there = place(_target(file, link))
    address = relpath(there, place(file).parent)
    if there.suffix == ".html":
        line = re.sub(r"#L(\d+).*", r"#L-\1", link[3] or "")
        return f'<a class="reference" href="{address}{line}">{link[1]}</a>'
    return f"[{link[1]}]({address}{link[3] or ''})"
