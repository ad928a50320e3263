"""Docstrings, which are text with code between backticks, as Markdown of the same look."""

from __future__ import annotations

import re
import textwrap

from docs.site.public import definitions

WIDTH = 128
"""The width that docstrings are wrapped at. A line that ends before it, where a sentence does, ends there to be seen."""
CODE = re.compile(r"(`[^`]+`)")
COLUMNS = re.compile(r"\S {3,}\S")
MARKS = re.compile(r"([\\*_\[\]<>$|#~{}%+!])")
NUMBER = re.compile(r"^(\d+)([.)])", re.MULTILINE)


def markdown(docstring: str, indent: int) -> str:
    """Returns the docstring in Markdown. `indent`: that of its lines in the file.

    Blocks that are indented, or that have columns, stay as they are. Lists are kept.
    """
    blocks = re.split(r"\n\s*\n", docstring.strip("\n"))
    return "\n\n".join(_code(block) if _is_code(block) else _paragraph(block, indent) for block in blocks)


def linked(text: str) -> str:
    """Returns Markdown with links from `samplers.draw`, and from other public names in code, to the reference."""
    name = lambda code: code[0][1:-1]
    return re.sub(r"(?<!\[)`[\w.]+`", lambda code: f"{{py:obj}}{code[0]}" if name(code) in definitions() else code[0], text)


def _is_code(block: str) -> bool:
    return all(line.startswith("    ") for line in block.splitlines()) or bool(COLUMNS.search(block))


def _code(block: str) -> str:
    return f"```\n{textwrap.dedent(block)}\n```"


def _paragraph(block: str, indent: int) -> str:
    plain, marked = block.splitlines(), _escape(block).splitlines()
    lines, listing = marked[:1], plain[0].startswith("- ")
    for before, here, line in zip(plain, plain[1:], marked[1:], strict=False):
        item = here.startswith("- ")
        listing |= item and before.endswith(":")
        fits = indent + len(before) + 1 + len(here.split()[0]) <= WIDTH
        if fits and before.endswith((".", ":", ";")) and not listing:
            lines[-1] += "\\"
        lines.append(f"\\{line}" if item and not listing else line)
    return linked("\n".join(lines))


def _escape(text: str) -> str:
    """The text with a backslash before each mark of Markdown that is not in code."""
    parts = CODE.split(text)
    parts[::2] = [NUMBER.sub(r"\1\\\2", MARKS.sub(r"\\\1", part)) for part in parts[::2]]
    return "".join(parts)
