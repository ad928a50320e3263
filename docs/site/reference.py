"""The reference: a page for each folder that defines public names, and a section for each of its files."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from itertools import groupby

from docs.site.prose import markdown
from docs.site.public import PACKAGES, Definition, definitions, lineage, parsed

FOLDERS = {folder: list(group) for folder, group in groupby(definitions().values(), lambda each: each.file.rpartition("/")[0])}
"""The definitions in each folder."""
TYPES = {name.rpartition(".")[2]: name for name, each in definitions().items() if not isinstance(each.node, ast.FunctionDef)}
"""The full names of public types, by the names that annotations have."""


def pages() -> dict[str, str]:
    """Returns the pages in Markdown, with Sphinx's directives for Python, by their names."""
    return {f"reference/{folder.replace('/', '.')}": _page(folder) for folder in FOLDERS}


def _page(folder: str) -> str:
    module = "module" if folder in PACKAGES else "currentmodule"
    about = ast.get_docstring(parsed(f"{folder}/__init__.py")) or ""
    text = f"# {folder.replace('/', '.')}\n\n```{{py:{module}}} {folder.partition('/')[0]}\n```\n\n{markdown(about, 0)}\n"
    for file, group in groupby(FOLDERS[folder], lambda each: each.file):
        idea = markdown(ast.get_docstring(parsed(file)) or "", 0)
        text += "\n".join([f"\n## `{file.rpartition('/')[2]}`\n\n{idea}\n", *map(_entry, group)])
    return text


def _entry(definition: Definition) -> str:
    node, name = definition.node, definition.name.rpartition(".")[2]
    if isinstance(node, ast.Assign):
        return _directive("type", name, markdown(definition.comment, 0), [f":canonical: {_full(node.value)}"])
    if isinstance(node, ast.FunctionDef):
        return _directive("function", name + _signature(node), _doc(node))
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")]
    text = "\n\n".join([_doc(node), *map(_method, methods)])
    return _directive("class", name + _constructor(definition), text, fence="``````")


def _method(node: ast.FunctionDef) -> str:
    kinds = {ast.unparse(each).removeprefix("abc.") for each in node.decorator_list}
    options = [f":{kind}:" for kind in ("abstractmethod", "classmethod", "staticmethod") if kind in kinds]
    if "property" in kinds:
        return _directive("property", node.name, _doc(node), [*options, f":type: {_full(node.returns)}"])
    return _directive("method", node.name + _signature(node, bound="staticmethod" not in kinds), _doc(node), options)


def _directive(kind: str, signature: str, text: str, options: Sequence[str] = (), fence: str = "`````") -> str:
    return "\n".join([f"{fence}{{py:{kind}}} {signature}", *options, "", text, fence, ""])


def _doc(node: ast.ClassDef | ast.FunctionDef) -> str:
    return markdown(ast.get_docstring(node) or "", node.body[0].col_offset)


def _constructor(definition: Definition) -> str:
    """The arguments of a class: those of its `__init__`, or else its fields."""
    line = lineage(definition)
    inits = [node for each in line for node in each.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    fields = ", ".join(field for each in reversed(line) for field in _fields(each))
    return _signature(inits[0], bound=True) if inits else f"({fields})" if fields else ""


def _fields(node: ast.ClassDef) -> Iterator[str]:
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and not each.target.id.startswith("_"):
            default = f" = {ast.unparse(each.value)}" if each.value else ""
            yield f"{each.target.id}: {_full(each.annotation)}{default}"


def _signature(node: ast.FunctionDef, bound: bool = False) -> str:
    """The arguments, but for the first of a method, and what is returned."""
    arguments = copy.deepcopy(node.args)
    arguments.args = arguments.args[bound:]
    for each in ast.walk(arguments):
        if isinstance(each, ast.arg) and each.annotation:
            each.annotation = ast.parse(_full(each.annotation), mode="eval").body
    returns = f" -> {_full(node.returns)}" if node.returns else ""
    return f"({ast.unparse(arguments)}){returns}"


def _full(annotation: ast.expr | None) -> str:
    """The annotation, in which public types have their full names, by which Sphinx finds them."""
    return ast.unparse(_Full().visit(copy.deepcopy(annotation))) if annotation else ""


class _Full(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.parse(TYPES.get(node.id, node.id), mode="eval").body
