"""The arrows between folders, and between the rooms of experiments/, read from the imports."""

import ast

import pytest
from source_files import FILES, FOLDERS, ROOT

ALLOWED = {
    "sde_lib": {"sde_lib"},
    "models": {"models", "sde_lib"},
    "losses": {"losses", "sde_lib"},
    "samplers": {"samplers", "sde_lib"},
    "configs": {"configs"},
}
FLOORS = {
    9: ("__main__", "report"),
    8: ("main", "run"),
    7: ("commands",),
    6: ("training", "evaluation", "page"),
    5: ("runs", "sampling"),
    4: ("build",),
    3: ("data", "weights"),
    2: ("config",),
    1: ("conditions", "edits", "runtime", "randomness"),
}
"""The rooms and files of experiments/. A room imports itself and lower floors."""
BELOW = {
    "cpu": set(),
    "layers": {"cpu"},
    "networks": {"layers", "ranges", "conditions"},
    "flows": {"codec", "functional", "layers", "ranges"},
    "codecs": {"codec", "flows", "functional", "layers", "plain", "ranges"},
}
"""What the rooms of models/ import of models/, beside themselves. Codecs and networks meet as functions."""
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
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
HOUSE = [path for path in FILES if path.is_relative_to(ROOT / "experiments") and path.name != "__init__.py"]
name = lambda path: str(path.relative_to(ROOT))


def modules(path):
    """The full names of everything that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from experiments import main` imports a file, `from experiments.runtime import lock` another.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path):
    """The first name below experiments/: a folder's, or that of a file outside of any."""
    return path.relative_to(ROOT / "experiments").with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_follow_the_arrows(path):
    """experiments -> {losses, samplers, models} -> sde_lib -> jax; config, files and pictures stay in experiments."""
    folder = path.relative_to(ROOT).parts[0]
    used = {module.split(".")[0] for module in modules(path)}
    if folder in ALLOWED:
        assert used & set(FOLDERS) <= ALLOWED[folder]
    if folder in ("sde_lib", "models", "losses", "samplers"):
        assert not used & OUTSIDE
    assert "onesde" not in used or path.name == "__main__.py"  # that is for users: our files know each other by their own names
    assert not used & ({"tensorflow", "torch", "pickle"} - ({"torch"} if path.name == "torch_reader.py" else set()))


@pytest.mark.parametrize("path", HOUSE, ids=name)
def test_a_room_imports_only_lower_floors(path):
    """Every file is in a room that FLOORS knows, and nothing is imported from a floor above or from another room beside."""
    here = room(path)
    assert here in FLOOR_OF, f"{name(path)} is in no room: {sorted(FLOOR_OF)}"
    others = {module.split(".")[1] for module in modules(path) if module.startswith("experiments.")} - {here}
    wrong = {other for other in others if FLOOR_OF[other] >= FLOOR_OF[here]}
    assert not wrong, f"{name(path)}, on floor {FLOOR_OF[here]}, imports {sorted(wrong)}"


@pytest.mark.parametrize("where", BELOW)
def test_a_room_of_models_imports_only_what_is_below(where):
    for path in sorted((ROOT / "models" / where).rglob("*.py")):
        used = {module.split(".")[1] for module in modules(path) if module.startswith("models.")} - {where}
        assert used <= BELOW[where], f"{name(path)} imports {sorted(used - BELOW[where])}"


def test_files_import_in_no_circle():
    """Each file can be read after those that it imports."""
    below = {}
    for path in HOUSE:
        own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        below[own] = {part for module in modules(path) for part in (module, module.rpartition(".")[0])} - {own}
    left = dict(below)
    while ready := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in ready:
            del left[module]
    assert not left, f"these import each other: {sorted(left)}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nobody_asks_which_sde_it_is(path):
    """isinstance against a concrete SDE would be a missing method; mathematics does not print."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "isinstance":
                assert not any(name in ast.unparse(node.args[1]) for name in ("VPSDE", "VESDE", "TableVPSDE"))
            assert node.func.id != "print" or path.is_relative_to(ROOT / "experiments")
