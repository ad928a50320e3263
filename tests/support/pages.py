"""README, the pages under docs/ and the others in Markdown, as their code blocks and commands."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "benchmarks/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\w+\.py)\n")
name = lambda path: str(path.relative_to(ROOT))


def python_blocks(page):
    """The Python of a page, block by block."""
    return [code for language, code in BLOCK.findall(page.read_text()) if language == "python"]


def files(page):
    """The files that a page brings, by name: the blocks of Python that begin with it, as in `# my_sde.py`."""
    return {begin[1]: code for code in python_blocks(page) if (begin := FILE.match(code))}


def lines(page):
    """The words of each shell line of a page's blocks, without comments; a backslash joins a line to the next."""
    text = "".join(code for language, code in BLOCK.findall(page.read_text()) if language == "")
    for line in text.replace("\\\n", " ").splitlines():
        yield shlex.split(line, comments=True)


def commands(page):
    """The arguments of each `python -m experiments ...` of a page's blocks, a quoted one of a cluster's launcher included."""
    program = ["python", "-m", "experiments"]
    for words in lines(page):
        for i in range(len(words)):
            if words[i : i + 3] == program:
                yield words[i + 3 :]
            elif " ".join(program) in words[i]:
                yield shlex.split(words[i].partition(" ".join(program))[2])
