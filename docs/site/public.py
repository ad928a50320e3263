"""The public names: those in the `__all__` of a package, where they are defined, read from the files without an import."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("sde_lib", "models", "losses", "samplers", "experiments")


class Definition(NamedTuple):
    """The definition of a public name, `sde_lib.VPSDE`: its file, `sde_lib/linear.py`, and its statement there.

    `comment`: the string below the statement, if it is `name = ...`; a class and a function have docstrings.
    """

    name: str
    file: str
    node: ast.ClassDef | ast.FunctionDef | ast.Assign
    comment: str


@cache
def parsed(file: str) -> ast.Module:
    """Returns the syntax of a file of the repository."""
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


@cache
def definitions() -> dict[str, Definition]:
    """Returns the definition of each public name, package by package, in the order of the reference."""
    return {each.name: each for package in PACKAGES for each in _of_package(package)}


def _of_package(package: str) -> list[Definition]:
    init = parsed(f"{package}/__init__.py")
    imports = [node for node in ast.walk(init) if isinstance(node, ast.ImportFrom)]
    exported = next(ast.literal_eval(node.value) for node in init.body if _target(node) == "__all__")
    public = [
        _definition(f"{package}.{alias.name}", f"{node.module.replace('.', '/')}.py")
        for node in imports
        for alias in node.names
        if node.module and alias.name in exported
    ]
    return sorted(public, key=_place)


def _place(each: Definition) -> tuple[int, bool, str, int]:
    """The order of the reference: folders before those in them, what others are based on first, and else as files have it."""
    return each.file.count("/"), not each.file.endswith("/base.py"), each.file, each.node.lineno


def _definition(name: str, file: str) -> Definition:
    body = parsed(file).body
    bare = name.rpartition(".")[2]
    i = next(i for i, node in enumerate(body) if bare in (getattr(node, "name", None), _target(node)))
    below = body[i + 1 : i + 2]
    comments = [node.value.value for node in below if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return Definition(name, file, body[i], comments[0] if comments else "")  # pyright: ignore[reportArgumentType]


def _target(node: ast.stmt) -> str | None:
    """The name that an assignment defines."""
    first = node.targets[0] if isinstance(node, ast.Assign) else None
    return first.id if isinstance(first, ast.Name) else None


def lineage(definition: Definition) -> list[ast.ClassDef]:
    """Returns a class and those of its bases that are in the same file, the nearest first."""
    in_file = {node.name: node for node in parsed(definition.file).body if isinstance(node, ast.ClassDef)}
    line = [definition.node] if isinstance(definition.node, ast.ClassDef) else []
    for each in line:
        line += [in_file[base.id] for base in each.bases if isinstance(base, ast.Name) and base.id in in_file]
    return line
