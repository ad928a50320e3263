"""docs/mathematics.md as what a test reads from it: its sections, its lines of code and its numbers."""

import ast
import re
from typing import NamedTuple

from pages import ROOT

PAGE = ROOT / "docs/mathematics.md"
CODE = re.compile(r"\[`([\w.]+)`\]\(\.\./([\w/]+)\.py\): `([^`]+)`")
TABLE = re.compile(r"^\| .+ \| by hand \| value \| by the library \|\n\|[-|]+\|\n((?:\|.+\n)+)", re.MULTILINE)
NUMBER = re.compile(r"\| (.+) \| \$(.+)\$ \| (-?\d+\.\d+) \| `(.+)` \|")


class Line(NamedTuple):
    """A line of the function or method `name` of the file `path`, as the page has it."""

    name: str
    path: str
    code: str


class Number(NamedTuple):
    """A quantity, its value by hand as LaTeX, as a decimal, and the Python that computes it."""

    quantity: str
    by_hand: str
    decimal: str
    code: str


def sections():
    """The text of each numbered section by its title, in order."""
    parts = re.split(r"^## (\d+\. .+)\n", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def lines(text):
    """The lines of code that stand beside equations."""
    return [Line(name, f"{path}.py", code) for name, path, code in CODE.findall(text)]


def numbers(text):
    """The rows of the tables of the example; AttributeError for one that cannot be read."""
    return [Number(*NUMBER.fullmatch(row).groups()) for table in TABLE.findall(text) for row in table.splitlines()]


def source(line):
    """The source of the function that `line` names; KeyError if the file has none of that name."""
    text = (ROOT / line.path).read_text()
    module = line.path.removesuffix(".py").replace("/", ".") + "."
    if not line.name.startswith(module):
        raise KeyError(f"{line.name} is not of {line.path}")
    node = ast.parse(text)
    for part in line.name.removeprefix(module).split("."):
        node = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}[part]
    return ast.get_source_segment(text, node)


def python(latex):
    """A formula of numbers in LaTeX as Python on the names of `math`: a space between two factors is a product."""
    words = {r"\ln": "log", r"\sqrt": "sqrt", r"\pi": "pi", r"\cdot": "*", "{": "(", "}": ")", "^": "**"}
    for word, name in words.items():
        latex = latex.replace(word, name)
    return re.sub(r"(?<=[\w)]) +(?=[\w(])", "*", latex)


def formulas():
    """The displayed formulas of the page, and those within lines with the characters before and after each."""
    text = re.sub(r"^```.*?^```", "", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]+`", "code", text)
    display = re.compile(r"^\$\$([^$]+)\$\$$", re.MULTILINE)
    rest = display.sub("", text)
    inline = [(rest[m.start() - 1], m[1], rest[m.end()]) for m in re.finditer(r"\$([^$]*)\$", rest)]
    return display.findall(text), inline
