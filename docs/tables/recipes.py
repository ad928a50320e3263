"""The tables of docs/recipes.md, read from the configs' own docstrings."""

from __future__ import annotations

import ast
import re
from pathlib import Path

CONFIGS = Path(__file__).parents[2] / "configs"


def recipes() -> str:
    """Returns a row for every CIFAR-10 recipe: its config, what it is, its cost and its published number."""
    rows = []
    for path in _configs("cifar10"):
        title, _, text = _docstring(path).partition("\n")
        facts = re.fullmatch(r"(.*)^Cost: (?P<cost>.*)^Published: (?P<published>.*)", text, re.MULTILINE | re.DOTALL)
        assert facts, f"{path} says no cost or no published number"
        rows.append((_name(path), title, facts["cost"], facts["published"]))
    return _table(("config", "recipe", "cost", "published"), rows)


def small_configs() -> str:
    """Returns a row for every config of small data: its command and what it is."""
    rows = []
    for path in [path for folder in ("digits", "mnist", "shipped", "toy2d") for path in _configs(folder)]:
        text = _docstring(path)
        command = re.search(r"python -m experiments \w+", text)
        assert command, f"{path} names no command"
        rows.append((_name(path), text.partition("\n")[0], f"`{command[0].removeprefix('python -m experiments ')}`"))
    return _table(("config", "experiment", "command"), rows)


def _configs(folder: str) -> list[Path]:
    return [path for path in sorted((CONFIGS / folder).glob("*.py")) if path.name not in ("__init__.py", "base.py")]


def _name(path: Path) -> str:
    return f"[{path.parent.name}/{path.stem}](../configs/{path.parent.name}/{path.name})"


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()) for cell in line) + " |" for line in lines) + "\n"
