"""Eight CPU devices, annotations checked, and every exported SDE in one fixture."""

import os
import tempfile
from collections import Counter
from pathlib import Path

os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()  # what tests compile is not the user's to keep
os.environ.setdefault("NPROC", "32")  # fake CPU devices deadlock with fewer threads than programs in flight
# The suite compiles more than it computes.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import jax

jax.config.update("jax_num_cpu_devices", 8)

from jaxtyping import install_import_hook

install_import_hook(
    ["losses", "samplers", "models.parameterization", "models.score_network", "sde_lib.base"], "beartype.beartype"
)

import pytest
from sdes import SDES


@pytest.fixture(params=SDES, ids=list(SDES))
def sde(request):
    return SDES[request.param]


KIN = ("SubVPSDE", "CosineVPSDE", "LogLinearVPSDE", "ddpm_table", "EDMSDE")
"""They differ from VPSDE, or the last from VESDE, by their schedule alone."""
SECONDS_EACH = (
    *("test_order_along_the_flow", "test_weak_order", "test_samplers_recover_a_mixture", "test_some_cells_run"),
    *("test_decode_inverts_encode", "test_log_prob_is_the_density", "test_the_exact_score_minimises_every_objective"),
    *("test_bounds_reach_the_entropy", "test_vlb_averages_to_elbo", "test_diffusion_term_is_a_gaussian_divergence"),
    *("test_schedules_are_finite_and_positive_wherever_they_are_asked", "test_weights_are_unbiased"),
    *("test_known_is_reached_and_what_is_independent_keeps_its_law", "test_the_flow_ends_at_the_same_point_on_every_sde"),
    *("test_pi_gdm_samples_are_the_posterior_s_of_isotropic_data", "test_posterior_of_correlated_data"),
    *("test_a_translation_into_the_same_law_is_the_identity", "test_the_loss_is_least_at_the_posterior"),
)
ALIKE = (
    *("test_computes_what_is_published", "test_it_computes_what_the_published_code_does", "test_writes_what_it_reads"),
    *("test_training_lowers_the_loss", "test_what_does_not_fit_is_refused", "test_no_file_of_weights_harms"),
    *("test_nfe_is_the_true_number_of_evaluations", "test_every_sampler_under_every_network_ends_and_knows"),
    *("test_order_along_the_flow", "test_samplers_recover_a_mixture"),
)


def pytest_collection_modifyitems(items):
    """Of tests that take seconds for each SDE, those of VPSDE's kin are slow, of some more; of many alike, every other."""
    seen = Counter()
    for item in items:
        name, _, of = item.name.partition("[")
        seen[item.module, name] += 1
        if name in ALIKE and seen[item.module, name] % 2 == 0:
            item.add_marker(pytest.mark.slow)
        others = KIN + {"test_weak_order": ("VESDE", "Straight"), "test_samplers_recover_a_mixture": ("Straight",)}.get(
            name, ()
        )
        if name in SECONDS_EACH and any(sde in of for sde in others):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def programs_of_a_file():
    """A worker that holds gigabytes of what it compiled forgets it."""
    yield
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    if pages * os.sysconf("SC_PAGE_SIZE") > 3e9:
        jax.clear_caches()
