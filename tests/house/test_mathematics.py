"""docs/mathematics.md says what the code says, its numbers are those of the library, and GitHub and MathJax can read it."""

import math
import re

import pytest
from derivation import PAGE, formulas, lines, numbers, python, sections, source
from pages import python_blocks

TEXT = PAGE.read_text()
DERIVED = list(sections())[2:22]
"""All but notation and example, other names and sources."""
spaceless = lambda text: re.sub(r"\s+", "", text)


@pytest.mark.parametrize("line", lines(TEXT), ids=lambda line: line.name)
def test_the_code_is_what_the_page_says(line):
    """The function that is named has this line, but for its spaces."""
    assert spaceless(line.code) in spaceless(source(line)), f"{line.path}: {line.name} no longer has {line.code}"


def test_every_link_to_a_file_has_its_line():
    assert len(re.findall(r"\]\(\.\./\S+\.py\)", TEXT)) == len(lines(TEXT))


@pytest.mark.parametrize("title", DERIVED)
def test_every_section_has_code_and_numbers(title):
    text = sections()[title]
    assert lines(text)
    assert numbers(text)


@pytest.mark.slow
def test_the_numbers_of_the_example():
    """By hand, as a decimal, and by the library."""
    (block,) = python_blocks(PAGE)
    names, wrong = {}, []
    exec(block, names)
    for number in numbers(TEXT):
        by_hand, library = eval(python(number.by_hand), vars(math)), float(eval(number.code, names))
        digits = len(number.decimal.partition(".")[2])
        if f"{by_hand:.{digits}f}" != number.decimal or library != pytest.approx(by_hand, rel=3e-5, abs=1e-5):
            wrong.append(f"{number}: {by_hand} by hand and {library} by the library")
    assert not wrong, "\n".join(wrong)


def test_markdown_leaves_the_formulas_alone():
    """GitHub reads Markdown in formulas: they have no escaped punctuation, emphasis, tag or list, and dollars stand free."""
    displayed, inline = formulas()
    for formula in [*displayed, *(formula for _, formula, _ in inline)]:
        assert not re.search(r"\\[^a-zA-Z]|[^\w\s]_|[*`<>]|\n\s*[-+#\d]", formula), formula
        assert formula.count("{") == formula.count("}"), formula
        assert formula.count(r"\left") - formula.count(r"\leftarrow") == formula.count(r"\right"), formula
    for before, formula, after in inline:
        assert formula == formula.strip(), formula
        assert before in "\n (", (before, formula)
        assert after in "\n .,;:)", (formula, after)


def test_links_within_the_page():
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in sections()}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
