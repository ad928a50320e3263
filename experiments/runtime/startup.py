"""What XLA:CPU is fast with: the flags that are read as jax starts, and the memory that a process starts with."""

import os
import platform
import sys
from importlib.metadata import version


def make_fast() -> None:
    """To be called before anything else; it may start the command again."""
    _lasting_memory()
    _fast_flags()


def _fast_flags() -> None:
    """Sets XLA's flags, unless the user did.

    Its library convolutions leave cores idle, and its library sums are slow in backward passes: without them a training step
    on 8x8 at width 32 takes 1.6 times less on two cores. jaxlib aborts on flags that it does not know, so they are set only for
    the versions that accept them; the gain was measured on 0.10.
    """
    if "XLA_FLAGS" not in os.environ and version("jaxlib").startswith(("0.10.", "0.11.")):
        left_out = ("INDIVIDUAL_CONVOLUTION", "REDUCE")
        os.environ["XLA_FLAGS"] = "--xla_cpu_experimental_ynn_fusion_type=" + ",".join(
            f"-LIBRARY_FUSION_TYPE_{part}" for part in left_out
        )


def _lasting_memory() -> None:
    """Starts this command again where malloc keeps what it has, in pages of 2 MB, on Linux, unless the user said how it should.

    XLA:CPU allocates what a call needs anew each time, and gives it back: pages of 4 kB that the kernel clears again take a
    third of a training step on 8x8. glibc reads such wishes as a process starts, and never later.
    """
    wishes = {"hugetlb": 1, "mmap_max": 0, "trim_threshold": 2**34}
    said = os.environ.get("GLIBC_TUNABLES", "")
    if "glibc.malloc" in said or platform.libc_ver()[0] != "glibc" or sys.gettrace() is not None:
        return
    os.environ["GLIBC_TUNABLES"] = ":".join([*filter(None, [said]), *(f"glibc.malloc.{key}={n}" for key, n in wishes.items())])
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
