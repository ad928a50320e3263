"""The arrows between folders, read from the imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "sde_lib": {"sde_lib"},
    "models": {"models", "sde_lib"},
    "losses": {"losses", "sde_lib"},
    "samplers": {"samplers", "sde_lib"},
    "configs": {"configs"},
}
FOLDERS = {*ALLOWED, "experiments"}
FILES = [path for folder in sorted(FOLDERS) for path in sorted((ROOT / folder).rglob("*.py"))]
OUTSIDE = {
    "ml_collections",
    "absl",
    "pydantic",
    "rich",
    "matplotlib",
    "orbax",
    "optax",
    "jinja2",
    "tensorflow_datasets",
    "grain",
}


def imports(path):
    """The first names of everything a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_arrows(path):
    """experiments -> {losses, samplers, models} -> sde_lib -> jax; config, files and pictures stay in experiments."""
    folder = path.relative_to(ROOT).parts[0]
    used = set(imports(path))
    if folder in ALLOWED:
        assert used & FOLDERS <= ALLOWED[folder]
    if folder in ("sde_lib", "models", "losses", "samplers"):
        assert not used & OUTSIDE
    assert not used & ({"tensorflow", "torch", "pickle"} - ({"torch"} if path.name == "torch_reader.py" else set()))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nobody_asks_which_sde_it_is(path):
    """isinstance against a concrete SDE would be a missing method; mathematics does not print."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "isinstance":
                assert not any(name in ast.unparse(node.args[1]) for name in ("VPSDE", "VESDE", "TableVPSDE"))
            assert node.func.id != "print" or path.parts[-2] == "experiments"
