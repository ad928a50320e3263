"""What a command sets before jax starts, in processes of their own."""

import os
import platform
import subprocess
import sys

import pytest

NAMES = ("GLIBC_TUNABLES", "XLA_FLAGS")
CODE = f"""
import os, sys
from experiments.runtime.startup import make_fast
make_fast()
print(sys.argv, *map(os.environ.get, {NAMES}))
"""


def told(*arguments, **variables):
    """The arguments and both variables as they are after `make_fast`, by a process that starts with these."""
    env = {name: value for name, value in os.environ.items() if name not in NAMES} | variables
    ended = subprocess.run([sys.executable, "-c", CODE, *arguments], env=env, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc takes wishes")
def test_a_command_starts_again_with_the_memory_it_wants():
    """With the same arguments, beside what else the user said to glibc."""
    said = told("sample", "--n=a b")
    assert said.startswith("['-c', 'sample', '--n=a b'] glibc.malloc.hugetlb=1:")
    assert "-LIBRARY_FUSION_TYPE_REDUCE" in said
    assert "glibc.rtld.nns=5:glibc.malloc.hugetlb=1:" in told(GLIBC_TUNABLES="glibc.rtld.nns=5")


def test_what_the_user_said_stands():
    assert told(GLIBC_TUNABLES="glibc.malloc.arena_max=2", XLA_FLAGS="") == "['-c'] glibc.malloc.arena_max=2"
