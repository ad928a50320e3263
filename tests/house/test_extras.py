"""Every extra of setup.py can be installed beside the packages of requirements.lock."""

import ast
import subprocess

import pytest
from source_files import ROOT
from uv_command import UV, needs_uv, skip_without_network

EXTRAS = next(
    tuple(ast.literal_eval(key) for key in keyword.value.keys)
    for keyword in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
    if isinstance(keyword, ast.keyword) and keyword.arg == "extras_require"
)


def resolve(*words):
    """The exit code and the messages of a resolution of setup.py under the lock's pins."""
    line = [UV, "pip", "compile", "--quiet", "setup.py", "--constraint", "requirements.lock", *words]
    end = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    skip_without_network(end.stderr)
    return end.returncode, end.stderr


@pytest.mark.slow
@needs_uv
@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_resolves_against_the_lock(extra, python):
    code, messages = resolve("--extra", extra, "--python-version", python)
    assert code == 0, messages


@pytest.mark.slow
@needs_uv
def test_what_conflicts_with_the_lock_does_not_resolve(tmp_path):
    """Some of k-diffusion's dependencies ask for numpy < 2: it is in no extra."""
    (tmp_path / "old.txt").write_text("numpy<2\n")
    code, messages = resolve("--constraint", str(tmp_path / "old.txt"))
    assert code == 1
    assert "numpy" in messages
