"""Every benchmark starts: its imports are there, and it explains itself."""

import ast
import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "configs", "experiments", "losses", "models", "samplers", "sde_lib")
FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "benchmarks").rglob("*.py") if path.name != "__init__.py")
SCRIPTS = [path.stem for path in FILES if len(path.parts) == 2]
NEEDS = {"overhead": ("torch", "diffusers"), "steps": ("torch", "diffusers")}
NEEDS |= dict.fromkeys(("solvers", "stochastic"), ("torch", "diffusers", "torchsde", "k_diffusion"))
"""What the scripts of the bench extra import."""


def imports(text):
    """Every `from module import name` of a file, those of the programs in its strings too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "\nimport " in node.value:
            yield from imports(node.value)


def top_level_names(text):
    """The names that a file defines or imports."""
    for node in ast.parse(text).body:
        for child in ast.walk(node):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                yield child.id
            elif isinstance(child, ast.FunctionDef | ast.ClassDef):
                yield child.name
            elif isinstance(child, ast.ImportFrom | ast.Import):
                yield from (alias.asname or alias.name for alias in child.names)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_what_a_benchmark_imports_of_ours_exists(path):
    """Wherever it imports it, and without the packages of the bench extra."""
    for module, name in imports((ROOT / path).read_text()):
        if module.split(".")[0] not in FOLDERS or name == "*":
            continue
        file = ROOT / (module.replace(".", "/") + ".py")
        file = file if file.exists() else ROOT / module.replace(".", "/") / "__init__.py"
        assert file.exists(), f"{path}: there is no {module}"
        is_module = any((file.parent / part).exists() for part in (f"{name}.py", f"{name}/__init__.py"))
        assert name in set(top_level_names(file.read_text())) or is_module, f"{path}: {module} has no {name}"


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script not in NEEDS])
def test_a_benchmark_explains_itself(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"benchmarks.{script}").main()
    assert end.value.code == 0
    assert "usage: " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("script", NEEDS)
def test_a_benchmark_of_the_extra_explains_itself(script):
    """In a process of its own: some of these set JAX to 64 bits."""
    for package in NEEDS[script]:
        if not find_spec(package):
            pytest.skip(f"{package} is not installed")
    line = [sys.executable, "-m", f"benchmarks.{script}", "--help"]
    end = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert end.returncode == 0, end.stderr
    assert "usage: " in end.stdout


def test_the_readme_of_benchmarks_has_the_command_of_every_script():
    page = (ROOT / "benchmarks" / "README.md").read_text()
    assert all(f"python -m benchmarks.{script} " in page for script in SCRIPTS)
