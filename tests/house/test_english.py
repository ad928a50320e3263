"""A lint of the prose: docstrings say who does what, values are nouns."""

import ast

import pytest
from source_files import FILES, ROOT

HEADLESS = {
    *("Of", "What", "Whether", "Where", "When", "How", "Who", "Whose", "Which", "That", "Those", "As", "In", "By", "To", "On"),
    *("For", "From", "Between", "With", "Without", "Until", "While", "If", "Because", "And", "Or"),
}
"""First words of a sentence without a subject and a verb, or with its object in front."""
PARTICIPLES = {"found", "told", "said", "known", "made", "asked", "given", "drawn", "kept", "seen", "shown", "done", "gone"}
"""They say what happened to a value, and not what it is."""
CHECKPOINTED = {"losses/adaptive.py": {"seen"}}
"""Fields whose names are keys of checkpoints: a new name would orphan the old files."""
name = lambda path: str(path.relative_to(ROOT))


def public(tree):
    """The module and its public classes, methods and functions."""
    yield tree
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_"))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_public_docstrings_have_a_head(path):
    for node in public(ast.parse(path.read_text())):
        first = (ast.get_docstring(node) or "").split(maxsplit=1)[:1]
        assert not set(first) & HEADLESS, f"{name(path)}: {getattr(node, 'name', 'module')}: {ast.get_docstring(node)[:60]}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_names_are_no_participles(path):
    """Variables, parameters, functions and fields."""
    tree = ast.parse(path.read_text())
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    names |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    wrong = names & PARTICIPLES - CHECKPOINTED.get(name(path), set())
    assert not wrong, f"{name(path)}: {sorted(wrong)}"
