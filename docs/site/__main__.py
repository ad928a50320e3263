"""python -m docs.site [--out=FOLDER]: builds the site into FOLDER/html. A warning or a dead link is an error."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from docs.site import contents, links, pages, reference
from docs.site.public import ROOT


def write(folder: Path) -> None:
    """Writes the sources of the site, which Sphinx reads: pages with their links, the reference, the contents, pictures."""
    texts = {str(pages.place(file)): pages.page(file) for file in pages.PAGES}
    texts |= {f"{name}.md": text for name, text in reference.pages().items()}
    texts["index.md"] += contents.toctrees()
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for file in pages.PICTURES:
        (folder / pages.place(file)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / pages.place(file))


def main() -> int:
    """Builds the site and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.site", description="builds the site")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", metavar="FOLDER", help="build/site by default")
    out = parser.parse_args().out
    write(out / "pages")
    shutil.rmtree(out / "html", ignore_errors=True)
    here = str(Path(__file__).parent)
    strict = ["-q", "-E", "--fail-on-warning", "-b", "html", "-c", here, "-d", str(out / "doctrees")]
    if code := build_main([*strict, str(out / "pages"), str(out / "html")]):
        return code
    wrong = list(links.problems(out / "html"))
    print(*wrong or [f"the site is at {out / 'html' / 'index.html'}"], sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
