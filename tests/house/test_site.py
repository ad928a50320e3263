"""The site: every page is in it, and it says what the pages and the docstrings say."""

import ast
import html
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from browser import browser as browser
from markdown_it import MarkdownIt
from source_files import ROOT

from docs.site import links, pages, reference
from docs.site.contents import CONTENTS
from docs.site.prose import linked, markdown
from docs.site.public import PACKAGES, definitions, lineage, parsed

BESIDE_OTHERS = 180_000
"""Milliseconds that a browser may take while other tests have the cores."""
installed = all(importlib.util.find_spec(name) for name in ("furo", "myst_nb", "sphinx_copybutton", "sphinx-mathjax-offline"))


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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site's HTML. The build fails if there is a warning or a dead link."""
    if not installed:
        pytest.skip("the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    end = subprocess.run([sys.executable, "-m", "docs.site", f"--out={folder}"], cwd=ROOT, capture_output=True, text=True)
    assert end.returncode == 0, end.stdout + end.stderr
    return folder / "html"


@pytest.mark.slow
def test_the_site_has_the_readme_the_reference_and_the_code(site):
    assert "Three nouns" in (site / "index.html").read_text()
    assert 'id="sde_lib.LinearSDE.denoise"' in (site / "reference" / "sde_lib.html").read_text()
    assert 'id="L-1"' in (site / "source" / "sde_lib" / "base.py.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_are_read_without_a_network(site, browser, width):
    """As files: nothing fails to load, no script complains, all mathematics is set, and no page is wider than the screen."""
    context = browser.new_context(offline=True, viewport={"width": width, "height": 800})
    context.set_default_timeout(BESIDE_OTHERS)
    page, wrong = context.new_page(), []
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for path in sorted(set(site.rglob("*.html")) - set((site / "source").rglob("*.html"))):
        page.goto(path.as_uri())
        page.evaluate("window.MathJax && MathJax.startup.promise")
        unset = page.evaluate("document.querySelectorAll('mjx-merror, .math:not(:has(mjx-container))').length")
        excess = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        wrong += [f"{path.name}: {unset} formulas unset, {excess} pixels too wide"] if unset or excess > 0 else []
    assert not wrong
    context.close()


@pytest.mark.slow
def test_the_search_works_without_a_server(site, browser):
    page = browser.new_page()
    page.set_default_timeout(BESIDE_OTHERS)
    page.goto((site / "search.html").as_uri() + "?q=tweedie")
    page.wait_for_selector("ul.search li a")
    assert "sde_lib" in page.inner_text("ul.search")
    page.close()
