"""The sdist and the wheel: built, installed where nothing else of ours is, and whole."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from zipfile import ZipFile

import pytest
from source_files import FILES, FOLDERS, ROOT
from uv_command import UV, needs_uv, skip_without_network

EVERY_PACKAGE = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for part in pkgutil.walk_packages(package.__path__, f"{name}."):
        if part.ispkg:
            importlib.import_module(part.name)
    print(package.__file__)
import onesde
print(onesde.models.__file__)
"""


def ran(*words, **options):
    """What the command prints."""
    end = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=600, **options)
    skip_without_network(end.stderr)
    assert end.returncode == 0, end.stderr
    return end.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The folder of both, the wheel built from the sdist. A copy is built, so that no build/ is left in the repository."""
    folder = tmp_path_factory.mktemp("distributions")
    for name in (*FOLDERS, "benchmarks", "docs", "tests"):
        shutil.copytree(ROOT / name, folder / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "onesde.py", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, folder / "copy")
    ran(UV, "build", "--quiet", "--out-dir", folder, folder / "copy")
    return folder


def test_the_version_stands_everywhere():
    """In setup.py and in CITATION.cff, and as the newest in the changelog."""
    places = {"setup.py": r'version="(.*)"', "CITATION.cff": r"^version: (.*)$", "CHANGELOG.md": r"^## (\d+\.\d+\.\d+) "}
    versions = {re.search(pattern, (ROOT / file).read_text(), re.MULTILINE)[1] for file, pattern in places.items()}
    assert len(versions) == 1


@pytest.mark.slow
@needs_uv
def test_the_wheel_is_whole(distributions):
    """It has every file of the packages, configs included, the marks of types and the templates, and no tests."""
    (wheel,) = distributions.glob("*.whl")
    names = set(ZipFile(wheel).namelist())
    of_packages = {str(path.relative_to(ROOT)) for path in FILES}
    data = {str(path.relative_to(ROOT)) for kind in ("jinja", "js", "css") for path in ROOT.glob(f"experiments/**/*.{kind}")}
    assert of_packages | data | {f"{folder}/py.typed" for folder in FOLDERS} <= names
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"onesde.py", *FOLDERS}


@pytest.mark.slow
@needs_uv
def test_the_sdist_holds_what_the_wheel_is_built_from(distributions):
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "README.md", "LICENSE", "onesde.py", "configs/py.typed"} <= names


@pytest.mark.slow
@needs_uv
def test_the_wheel_works_in_a_fresh_environment(distributions, tmp_path):
    """Every package is imported from there, and the command says what it can do. Only what we depend on is this one's."""
    (wheel,) = distributions.glob("*.whl")
    ran(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "fresh")
    python = tmp_path / "fresh" / "bin" / "python"
    ran(UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel)
    site = ran(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'), end='')")
    with open(f"{site}/dependencies.pth", "w") as file:  # its own .pth files, one of which leads to us, are not read
        file.write(sysconfig.get_path("purelib"))
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"JAX_PLATFORMS": "cpu"}
    places = ran(python, "-c", EVERY_PACKAGE, *FOLDERS, cwd=tmp_path, env=clean).split()
    assert len(places) == len(FOLDERS) + 1
    assert all(place.startswith(site) for place in places)
    commands = ran(tmp_path / "fresh" / "bin" / "onesde", "--help", cwd=tmp_path, env=clean)
    assert "train" in commands
