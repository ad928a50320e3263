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


@pytest.mark.slow
@pytest.mark.skipif(not UV, reason="uv is not installed")
@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_resolves_against_the_lock(extra, python, tmp_path):
    line = [UV, "pip", "compile", "--quiet", "--python-version", python, "--extra", extra, "-c", "requirements.lock"]
    end = subprocess.run([*line, "setup.py", "-o", tmp_path / "out"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    if any(words in end.stderr for words in UNREACHABLE):
        pytest.skip(f"no network: {end.stderr.strip().splitlines()[-1]}")
    assert end.returncode == 0, end.stderr


@pytest.mark.slow
@pytest.mark.skipif(not UV, reason="uv is not installed")
def test_a_conflict_with_the_lock_is_no_resolution(tmp_path):
    """The test above would see one: numpy < 2 does not resolve."""
    (tmp_path / "old.txt").write_text("numpy<2\n")
    line = [
        UV,
        "pip",
        "compile",
        "--quiet",
        "--constraint",
        "requirements.lock",
        "--constraint",
        tmp_path / "old.txt",
        "setup.py",
    ]
    end = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    if any(words in end.stderr for words in UNREACHABLE):
        pytest.skip("no network")
    assert end.returncode == 1
    assert "numpy" in end.stderr
