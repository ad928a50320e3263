"""Runs made by the command line, and what their folders hold."""

import hashlib
import json
import pwd
from pathlib import Path

import numpy as np
import pytest
from source_files import ROOT

from experiments.main import main

MOONS, DIGITS = "configs/toy2d/moons.py", "configs/digits/vp.py"
TINY = [
    *("--config.net.width=16", "--config.net.depth=1", "--config.train.batch=64", "--config.train.steps_per_call=1"),
    *("--config.train.warm_up=2", "--config.train.decay=constant", "--config.train.log_every=4"),
    *("--config.train.sample_every=1000", "--config.sample.n=64", "--config.evaluate.n=64", "--config.evaluate.seeds=2"),
    *("--config.evaluate.batch=64", "--config.evaluate.likelihood=16", "--config.evaluate.noise_levels=3"),
    "--config.evaluate.pairs=0",
]


@pytest.fixture
def in_root(monkeypatch):
    """The test runs in the repository's root, and finds the modules of tests/support by name; conftest.py hands it out."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "support"))


@pytest.fixture
def homeless(monkeypatch):
    """The test has no home folder: HOME is unset, and the user has no entry in passwd; conftest.py hands it out."""

    def no_entry(uid):
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)


def run(command, workdir, *overrides, config=MOONS):
    """Returns the exit code of the command on a TINY version of the config."""
    return main([command, f"--config={config}", f"--workdir={workdir}", *TINY, *overrides])


def trained(factory: pytest.TempPathFactory, name: str, *overrides: str) -> Path:
    """Returns the folder of a TINY run of the moons, which a fixture of a whole module trains."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        folder = factory.mktemp("runs") / name
        assert run("train", folder, *overrides) == 0
    return folder


def samples(folder: Path, name: str) -> np.ndarray:
    """Returns the newest samples of a run whose files begin with that name."""
    with np.load(drawn(folder / "samples", name).with_suffix(".npz")) as arrays:
        return arrays["image"]


def metrics(workdir):
    """Returns the rows of a run's log."""
    return [json.loads(line) for line in (Path(workdir) / "metrics.jsonl").read_text().splitlines()]


def seal(folder: Path, step: int) -> dict:
    """Returns the digest of every leaf that was saved."""
    return json.loads((folder / "checkpoints" / str(step) / "seal" / "metadata").read_text())["leaves"]


def content(folder: Path) -> dict[str, str]:
    """Returns the digest of every file but the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def drawn(folder: Path, name: str) -> Path:
    """Returns the newest picture of that name, at whatever setting."""
    return max(folder.glob(f"{name}_????????.png"), key=lambda path: path.stat().st_mtime_ns)
