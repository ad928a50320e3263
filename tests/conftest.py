"""Eight CPU devices, annotations checked, and every exported SDE in one fixture."""

import os
import tempfile

os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()  # what tests compile is not the user's to keep
os.environ.setdefault("NPROC", "32")  # fake CPU devices deadlock with fewer threads than programs in flight
# The suite compiles more than it computes.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import jax

jax.config.update("jax_num_cpu_devices", 8)

from jaxtyping import install_import_hook

install_import_hook(["losses", "samplers", "models.score", "sde_lib.base"], "beartype.beartype")

import flax.struct
import jax.numpy as jnp
import pytest

import sde_lib


@flax.struct.dataclass
class Straight(sde_lib.LinearSDE):
    """A user's SDE: the straight path x_t = (1 - 0.99 t) x_0 + t z of flow matching."""

    def alpha(self, t):
        return 1 - 0.99 * jnp.asarray(t)

    def sigma(self, t):
        return jnp.asarray(t)


def exported() -> dict:
    """Every SDE that sde_lib exports, at its defaults; exporting one enrols it here."""
    made = {}
    for name in sde_lib.__all__:
        part = getattr(sde_lib, name)
        if name not in ("SDE", "LinearSDE", "Score", "check", "TableVPSDE"):
            made[name] = part()
    # VDM's own end at -5 is where the flow bends already: a cold start's first step, of order 1, would hide every order.
    wide = sde_lib.LogLinearVPSDE(log_snr_min=-10.0)
    return made | {"LogLinearVPSDE": wide, "Straight": Straight()}


SDES = exported()


@pytest.fixture(params=SDES, ids=list(SDES))
def sde(request):
    return SDES[request.param]


@pytest.fixture(scope="module", autouse=True)
def programs_of_a_file():
    """What a file of tests compiled goes with it: a worker would hold gigabytes in the end."""
    yield
    jax.clear_caches()
