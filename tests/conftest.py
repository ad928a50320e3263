"""Two CPU devices, annotations checked, one compile cache for all, and every exported SDE in one fixture."""

import gc
import itertools
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

OURS = tempfile.TemporaryDirectory(prefix="onesde-tests-")
os.environ["XDG_CACHE_HOME"] = OURS.name  # what tests prepare is not the user's to keep
os.environ.setdefault("NPROC", "128")  # fake CPU devices deadlock with fewer threads than programs in flight
# The suite compiles more than it computes: cheaply, and once for all workers and the commands that they start. pytest-xdist's
# workers inherit the variables of the process that starts them; where the user sets the folder, it outlives the session.
CHEAP = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if version("jaxlib") < "0.11":  # later versions have no others, and abort on the flag
    CHEAP += " --xla_cpu_use_fusion_emitters=false"
PATIENT = "--xla_cpu_collective_call_terminate_timeout_seconds=600"  # devices wait for each other on a few busy cores
IN_ORDER = "--xla_cpu_enable_concurrency_optimized_scheduler=false"  # what is read from the cache hangs without it
os.environ.setdefault("XLA_FLAGS", f"{CHEAP} {PATIENT} {IN_ORDER}")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{OURS.name}/compiled")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

gc.set_threshold(200_000, 50, 100)  # what JAX keeps of a program is much to walk through and nothing to collect

import jax

jax.config.update("jax_num_cpu_devices", 2)

from jaxtyping import install_import_hook

install_import_hook(
    ["losses", "samplers", "models.codec", "models.codecs", "models.parameterization", "models.score_network", "sde_lib.base"],
    "beartype.beartype",
)

import pytest
from runs import homeless as homeless
from runs import in_root as in_root
from sdes import ISOTROPIC, SDES
from slow import mark_slow

from experiments.runtime.compile_cache import forget_if_crowded


@pytest.fixture(params=SDES, ids=list(SDES))
def sde(request):
    return SDES[request.param]


@pytest.fixture(params=ISOTROPIC, ids=list(ISOTROPIC))
def isotropic_sde(request):
    return ISOTROPIC[request.param]


LONGEST = "test_kill.py"
"""The file whose tests take minutes each: a worker that began with one of them last would end alone."""


def pytest_collection_modifyitems(items):
    mark_slow(items)
    items.sort(key=lambda item: item.path.name != LONGEST)


@pytest.fixture(scope="module", autouse=True)
def programs_of_a_file():
    """A worker that holds gigabytes of what it compiled forgets it."""
    yield
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    if pages * os.sysconf("SC_PAGE_SIZE") > 3e9:
        jax.clear_caches()


NUMBERS = itertools.count()
"""Numbers for the tests of a worker."""


@pytest.fixture(autouse=True)
def programs_of_a_worker():
    """So does one that has as many programs as may crash it; that takes a while to count."""
    yield
    if next(NUMBERS) % 10 == 0:
        forget_if_crowded()
