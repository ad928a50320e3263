"""Every extra of setup.py can be installed beside the packages of requirements.lock."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
EXTRAS = next(
    tuple(ast.literal_eval(key) for key in keyword.value.keys)
    for keyword in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
    if isinstance(keyword, ast.keyword) and keyword.arg == "extras_require"
)
UNREACHABLE = ("Failed to fetch", "error sending request", "dns error", "Connection refused", "network connectivity")
"""Words of uv when there is no network."""


needs_uv = pytest.mark.skipif(not UV, reason="uv is not installed")


def resolve(*words):
    """The exit code and the messages of a resolution of setup.py under the lock's pins."""
    line = [UV, "pip", "compile", "--quiet", "setup.py", "--constraint", "requirements.lock", *words]
    end = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    if any(words in end.stderr for words in UNREACHABLE):
        pytest.skip(f"no network: {end.stderr.strip().splitlines()[-1]}")
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
