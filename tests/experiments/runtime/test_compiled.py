"""What is compiled is kept, unless it is not to be; and an entry that a kill has cut off is gone at the next start."""

import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
from runs import MOONS, TINY
from source_files import ROOT

from experiments.runtime.compile_cache import IN_ORDER, forget_if_crowded, keep_compiled, remove_damaged


def test_a_damaged_entry_is_removed_and_the_others_stay(tmp_path):
    """Those of before the last start are not read again."""
    whole, cut, other = (tmp_path / name for name in ("jit_a-cache", "jit_b-cache", "notes"))
    content = zlib.compress(os.urandom(1000))
    for path in (whole, cut, other):
        path.write_bytes(content if path is whole else content[:-5])
    remove_damaged(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"jit_a-cache", "notes", "checked"}
    old = tmp_path / "checked"
    whole.write_bytes(content[:-5])
    os.utime(whole, ns=(0, old.stat().st_mtime_ns - 1))
    remove_damaged(tmp_path)
    assert whole.exists()
    whole.touch()
    remove_damaged(tmp_path)
    assert not whole.exists()


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({}, "there is no home folder; XDG_CACHE_HOME may name another"),
        ({"XDG_CACHE_HOME": "/dev/null"}, "/dev/null/onesde/xla: Not a directory"),
        ({"JAX_COMPILATION_CACHE_DIR": "/dev/null/xla"}, "/dev/null/xla: Not a directory"),
        ({"JAX_COMPILATION_CACHE_DIR": "/sys"}, "/sys: Permission denied"),
    ],
)
def test_without_a_place_for_it_nothing_is_kept(monkeypatch, homeless, capsys, variables, why):
    """A line says so; JAX, which would say it of every program, is told to keep none."""
    settings = {}
    monkeypatch.setattr(jax, "config", SimpleNamespace(update=settings.__setitem__))
    monkeypatch.setattr(os, "access", lambda folder, mode: str(folder) != "/sys")  # tests may run as root, who may do anything
    for name in ("XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    keep_compiled()
    assert capsys.readouterr().out == f"warning: compiled programs are not kept: {why}\n"
    assert settings == {"jax_enable_compilation_cache": False}
    keep_compiled(keep=False)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("backend", "devices", "flags", "kept"),
    [
        ("cpu", 8, "", False),
        ("cpu", 8, IN_ORDER, True),
        ("cpu", 1, "", True),
        ("gpu", 8, "", True),
    ],
)
def test_nothing_is_kept_that_would_hang(monkeypatch, tmp_path, backend, devices, flags, kept):
    settings = {}
    fake = SimpleNamespace(update=settings.__setitem__)
    for name, value in {"config": fake, "default_backend": lambda: backend, "device_count": lambda: devices}.items():
        monkeypatch.setattr(jax, name, value)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XLA_FLAGS", flags)
    keep_compiled()
    assert settings.get("jax_enable_compilation_cache", True) == kept
    assert ("jax_compilation_cache_dir" in settings) == kept


@pytest.mark.slow
def test_eight_devices_train_twice(tmp_path):
    """Both runs have a user's flags; from a warm cache the second would hang in its first sum over the devices."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("JAX_", "XLA_"))}
    ours |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_NUM_CPU_DEVICES": "8"}
    for name in ("first", "second"):
        argv = ["train", "--no-restart", "--config=configs/digits/vp.py:tiny", f"--workdir={tmp_path / name}"]
        subprocess.run([sys.executable, "-m", "experiments", *argv], cwd=ROOT, env=ours, check=True, timeout=300)


@pytest.mark.slow
def test_a_cache_that_a_kill_has_damaged_warns_of_nothing(tmp_path):
    """It is there by default, mended at the next start, and not touched where it is not wanted."""
    cache = tmp_path / "onesde" / "xla"
    ours = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")} | {"XDG_CACHE_HOME": str(tmp_path)}

    def train(name: str, *more: str) -> None:
        argv = ["train", "--no-restart", f"--config={MOONS}", f"--workdir={tmp_path / name}", *TINY, *more]
        argv.append("--config.train.steps=2")
        ended = subprocess.run([sys.executable, "-m", "experiments", *argv], cwd=ROOT, env=ours, capture_output=True, text=True)
        assert (ended.returncode, ended.stderr) == (0, "")

    train("off", "--no-compile-cache")
    assert not cache.exists()
    train("first")
    entries = {path: path.stat().st_size for path in cache.glob("*-cache")}
    assert entries
    for path, size in entries.items():
        path.write_bytes(path.read_bytes()[: size // 2])
    train("second")
    assert {path.stat().st_size > size // 2 for path, size in entries.items()} == {True}
    assert sorted(path for path in Path(cache).glob("*-cache")) == sorted(entries)


def test_programs_are_forgotten_before_the_system_has_no_room_for_them():
    """The next call compiles anew if the process has more maps than the limit, and else does not."""
    traced = []

    @jax.jit
    def program(x):
        traced.append(x)
        return x + 1

    for most, times in ((None, 1), (10**9, 1), (0, 2)):
        program(1.0)
        forget_if_crowded(most)
        program(1.0)
        assert len(traced) == times
