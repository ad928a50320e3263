"""The site: every page is in it, and it says what the pages and the docstrings say."""

import ast
import html
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from source_files import ROOT

from docs.site import links, pages, reference
from docs.site.contents import CONTENTS
from docs.site.prose import linked, markdown
from docs.site.public import PACKAGES, definitions, lineage, parsed

installed = all(importlib.util.find_spec(name) for name in ("furo", "myst_nb", "sphinx_copybutton", "sphinx_mathjax_offline"))
needs_extra = pytest.mark.skipif(not installed, reason="the extra docs is not installed")


def test_every_page_has_one_place():
    """Beside the home page, the contents name each page of the repository and of the reference once."""
    names = [str(pages.place(file).with_suffix("")) for file in pages.PAGES] + [*reference.pages()]
    assert sorted(names) == sorted(["index", *(name for section in CONTENTS.values() for name in section)])


def test_the_reference_has_every_public_name():
    for package in PACKAGES:
        init = parsed(f"{package}/__init__.py").body
        exported = next(
            ast.literal_eval(node.value) for node in init if getattr(node, "targets", None) and node.targets[0].id == "__all__"
        )
        assert sorted(name for name in definitions() if name.startswith(f"{package}.")) == sorted(
            f"{package}.{e}" for e in exported
        )
    text = "".join(reference.pages().values())
    for name in definitions():
        assert len(re.findall(rf"\{{py:\w+\}} {name.partition('.')[2]}\b", text)) >= 1, name


def docstrings():
    """The docstrings of public names, of their methods and of their files."""
    for each in definitions().values():
        yield parsed(each.file), 0
        for node in [each.node, *(method for cls in lineage(each) for method in cls.body)]:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                yield node, node.body[0].col_offset


def test_docstrings_keep_every_word():
    """What a browser shows of a docstring is the docstring: no mark of Markdown is in its mathematics."""
    words = lambda text: re.sub(r"[`\s]|^- ", "", text, flags=re.MULTILINE)
    for node, indent in docstrings():
        docstring = ast.get_docstring(node) or ""
        shown = MarkdownIt().render(markdown(docstring, indent).replace("{py:obj}", ""))
        assert words(html.unescape(re.sub(r"<[^<>]+>", "", shown))) == words(docstring)


def test_markdown_of_docstrings():
    """Lines that end early stay apart, columns stay as they are, and lists are lists."""
    assert markdown("One.\nTwo.", 4) == "One.\\\nTwo."
    assert markdown("x " * 60 + "end.\nTwo of a long line.", 4).count("\\") == 0
    assert markdown("f(x) -> y      its value\ng(y) -> x", 4) == "```\nf(x) -> y      its value\ng(y) -> x\n```"
    assert markdown("Either:\n- one\n- the other.", 4) == "Either:\n- one\n- the other."
    assert markdown("a\n- b", 4) == "a\n\\- b"
    assert linked("`sde_lib.VPSDE`, `sde_lib.nothing`") == "{py:obj}`sde_lib.VPSDE`, `sde_lib.nothing`"


def test_links_move_with_their_pages():
    readme, objectives = pages.page(Path("README.md")), pages.page(Path("docs/parts/objectives.md"))
    assert "](parts/sdes.md)" in readme
    assert "](report.png)" in readme
    assert "](notebooks/index.md)" in readme
    assert 'href="../source/configs/mnist/conditional.py.html"' in objectives
    assert Path("configs/mnist/conditional.py") in pages.sources()
    assert str(pages.place(Path("benchmarks/README.md"))) == "benchmarks/index.md"


def test_a_dead_link_is_a_problem(tmp_path):
    """And so is what comes from a network; a link to it is not."""
    (tmp_path / "b.html").write_text('<p id="here">')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here"></a><a href="#top" id="top"></a><a href="https://example.org"></a><img src="data:,">'
        '<a href="b.html#there"></a><a href="c.html"></a><script src="https://example.org/x.js"></script>'
    )
    assert [line.partition(" ")[2] for line in links.problems(tmp_path)] == [
        "b.html#there leads to no place of its page",
        "c.html leads to no file",
        "https://example.org/x.js is loaded from a network",
    ]


@pytest.mark.slow
@needs_extra
def test_the_site_is_built(tmp_path):
    """Without a warning or a dead link; home is the README, the reference has its names, and the search has words."""
    end = subprocess.run([sys.executable, "-m", "docs.site", f"--out={tmp_path}"], cwd=ROOT, capture_output=True, text=True)
    assert end.returncode == 0, end.stdout + end.stderr
    home = (tmp_path / "html" / "index.html").read_text()
    assert "Three nouns" in home
    assert 'id="sde_lib.LinearSDE.denoise"' in (tmp_path / "html" / "reference" / "sde_lib.html").read_text()
    assert "denois" in (tmp_path / "html" / "searchindex.js").read_text()
    assert (tmp_path / "html" / "source" / "sde_lib" / "base.py.html").exists()
