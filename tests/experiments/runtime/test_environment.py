"""What a command sets before jax starts, in processes of their own."""

import os
import platform
import subprocess
import sys

import pytest
from runs import ROOT

from experiments.runtime import startup

NAMES = ("GLIBC_TUNABLES", "XLA_FLAGS")
CODE = f"""
import os, sys
from experiments.runtime.startup import make_fast
make_fast(restart="--no-restart" not in sys.argv)
print(sys.argv, *map(os.environ.get, {NAMES}))
"""


def ended(*arguments, program=("-c", CODE), **variables):
    """A process that starts with these, on the CPU unless they say otherwise."""
    env = {name: value for name, value in os.environ.items() if name not in NAMES} | {"JAX_PLATFORMS": "cpu"} | variables
    return subprocess.run([sys.executable, *program, *arguments], env=env, cwd=ROOT, capture_output=True, text=True)


def settings(*arguments, **variables):
    """The arguments and both variables as they are after `make_fast`."""
    return ended(*arguments, **variables).stdout.strip()


glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc takes wishes")


@glibc
def test_a_command_starts_again_with_the_memory_it_wants():
    """With the same arguments, beside what else the user said to glibc."""
    out = settings("train", "--n=a b")
    assert out.startswith("['-c', 'train', '--n=a b'] glibc.malloc.hugetlb=1:")
    assert "-LIBRARY_FUSION_TYPE_REDUCE" in out
    assert "glibc.rtld.nns=5:glibc.malloc.hugetlb=1:" in settings(GLIBC_TUNABLES="glibc.rtld.nns=5")


@glibc
def test_it_says_so_in_one_line():
    words = "train: restarting once with GLIBC_TUNABLES for XLA:CPU's memory (--no-restart to leave that out)\n"
    assert ended("train").stderr == words
    assert ended("train", "--no-restart").stderr == ""


def test_what_the_user_said_stands():
    assert settings(GLIBC_TUNABLES="glibc.malloc.arena_max=2", XLA_FLAGS="") == "['-c'] glibc.malloc.arena_max=2"
    assert settings("--no-restart", XLA_FLAGS="") == "['-c', '--no-restart'] None"


@pytest.mark.parametrize("platforms", ["cuda", "tpu,cpu"])
def test_nothing_is_set_for_an_accelerator(platforms):
    process = ended(JAX_PLATFORMS=platforms)
    assert (process.stdout, process.stderr) == ("['-c'] None None\n", "")


@pytest.mark.parametrize(
    ("device", "plugin", "variable", "expected"),
    [
        ("", False, "", True),
        ("", True, "", True),  # jax looks for its devices, and goes on with the CPU
        ("nvidia0", False, "", True),
        ("nvidia0", True, "", False),
        ("nvidia0", True, "cpu", True),
        ("nvidia0", True, "CPU,cuda", True),
        ("accel0", True, "", False),
        ("kfd", True, "", False),
        ("", True, "rocm", False),
    ],
)
def test_the_platform_is_read_as_jax_reads_it(device, plugin, variable, expected, tmp_path, monkeypatch):
    """The CPU, unless there are a device and a plugin for one, or JAX_PLATFORMS names another first."""
    if device:
        (tmp_path / device).touch()
    monkeypatch.setattr(startup, "DEVICES", tmp_path)
    monkeypatch.setattr(startup, "_has_plugin", lambda: plugin)
    monkeypatch.delenv("JAX_PLATFORM_NAME", raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", variable)
    assert startup.on_cpu() == expected


@pytest.mark.slow
@glibc
def test_only_long_commands_start_again(tmp_path):
    """And their exit code is the same through it."""
    module = "-m", "experiments"
    for command, word in (("train", "restarting once"), ("sample", ""), ("train", "")):
        more = ["--no-restart"] if command == "train" and not word else []
        process = ended(command, "--config=none.py", f"--workdir={tmp_path}", *more, program=module)
        assert process.returncode == 2, process.stderr
        assert ("restarting once" in process.stderr) == bool(word)
        assert "no config file none.py" in process.stderr
