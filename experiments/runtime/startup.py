"""The environment that XLA:CPU is fast with: flags that jax reads as it starts, and memory that a process starts with.

Nothing here imports jax, which would be too late for both.
"""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

from experiments.runtime.streams import STDERR

RESTARTED = ("train", "evaluate", "compare", "sweep")
"""The commands that run long enough to start again for memory."""
PROGRAM = "onesde" if Path(sys.argv[0]).stem == "onesde" else "python -m experiments"
"""The command that started this process, by which messages name others."""
DEVICES = Path("/dev")
DEVICE_FILES = ("nvidia[0-9]*", "nvidiactl", "dxg", "kfd", "accel*", "accel/*", "vfio/[0-9]*", "dri/renderD*")
"""The files there of GPUs (NVIDIA, also under WSL; AMD; Intel) and of TPUs."""


def make_fast(restart: bool = True) -> None:
    """Sets what XLA:CPU is fast with, before jax is imported; with `restart` it may start this program once more."""
    os.environ.update(flags())
    if restart and (wishes := memory()):
        command = next((word for word in sys.argv[1:2] if word in RESTARTED), None)
        hint = " (--no-restart to leave that out)" if command else ""
        print(
            f"{command or Path(sys.argv[0]).stem}: restarting once with GLIBC_TUNABLES for XLA:CPU's memory{hint}",
            file=STDERR,
            flush=True,
        )
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | wishes)


def on_cpu() -> bool:
    """Returns whether jax will compute on the CPU.

    JAX_PLATFORMS decides if it is set. Otherwise jax takes an accelerator if it has a plugin for one and finds the device. Here
    any plugin and any device file count, whether or not they fit each other: on such a machine nothing is set.
    """
    if platforms := os.environ.get("JAX_PLATFORMS") or os.environ.get("JAX_PLATFORM_NAME"):
        return platforms.split(",")[0].strip().lower() == "cpu"
    return not (any(any(DEVICES.glob(name)) for name in DEVICE_FILES) and _has_plugin())


def _has_plugin() -> bool:
    if "PJRT_NAMES_AND_LIBRARY_PATHS" in os.environ or entry_points(group="jax_plugins"):
        return True
    try:
        return bool(version("libtpu"))
    except PackageNotFoundError:
        return False


def flags() -> dict[str, str]:
    """XLA's flags for the CPU, unless the user set XLA_FLAGS.

    Its library convolutions leave cores idle, and its library sums are slow in backward passes: without them a training step
    on 8x8 at width 32 takes 1.6 times less on two cores. jaxlib aborts on flags that it does not know, so they are set only for
    the versions that accept them; the gain was measured on 0.10.
    """
    if "XLA_FLAGS" in os.environ or not version("jaxlib").startswith(("0.10.", "0.11.")) or not on_cpu():
        return {}
    left_out = (f"-LIBRARY_FUSION_TYPE_{part}" for part in ("INDIVIDUAL_CONVOLUTION", "REDUCE"))
    return {"XLA_FLAGS": "--xla_cpu_experimental_ynn_fusion_type=" + ",".join(left_out)}


def memory() -> dict[str, str]:
    """The tunables by which malloc keeps its memory, in pages of 2 MB, unless the user set some; Linux with glibc only.

    XLA:CPU allocates what a call needs anew each time, and gives it back: pages of 4 kB that the kernel clears again take a
    third of a training step on 8x8. glibc reads them as a process starts, and never later. Under a debugger there are none, for
    it would not follow.
    """
    own = os.environ.get("GLIBC_TUNABLES", "")
    if "glibc.malloc" in own or platform.libc_ver()[0] != "glibc" or sys.gettrace() is not None or not on_cpu():
        return {}
    tunables = {"hugetlb": 1, "mmap_max": 0, "trim_threshold": 2**34}
    return {"GLIBC_TUNABLES": ":".join([*filter(None, [own]), *(f"glibc.malloc.{key}={n}" for key, n in tunables.items())])}
