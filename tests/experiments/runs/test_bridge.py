"""Runs of bridges: what is refused, and samples that begin at the degraded images of held-out examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import samples

from experiments.build.build import build
from experiments.build.sampler import BoundSampler, Rows
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.tiny import tiny
from experiments.main import main
from experiments.runtime.errors import ConfigError
from experiments.sampling.draw import drawing
from models import ScoreModel

pytestmark = pytest.mark.usefixtures("in_root")
BRIDGE = "configs/digits/bridge.py:tiny"


def bridge(*overrides, **changes):
    tree = read_config(BRIDGE, [f"--config.{each}" for each in overrides], {"tiny": tiny})
    return build(Config.model_validate(tree | changes), (8, 8, 1))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("conditions.image=None", "objective: bridge begins at a degraded image; take conditions.image = low_resolution"),
        ("conditions.image.dropout=0.1", "conditions.image.dropout = 0.1: bridge begins at the image; take 0"),
        ("conditions.image={'name': 'mask'}", "the bridge begins at an image of shape (8, 8, 2), and examples have (8, 8, 1)"),
        ("samplers.ancestral.step=ddim", "samplers.ancestral.step = ddim is of other marginals than bridge's; take ancestral"),
        (
            "samplers.ancestral.corrector=langevin",
            "samplers.ancestral.corrector = langevin is of other marginals than",
        ),
        ("evaluate.likelihood=8", "evaluate.likelihood = 8: bridge has no density of its images; take 0"),
        ("mixed=True", "mixed = True mixes the score of noise, and bridge begins at an image; take False"),
    ],
)
def test_what_does_not_fit_is_refused(override, says):
    with pytest.raises(ConfigError) as error:
        bridge(override, *(["evaluate.likelihood=0"] if "likelihood" not in override else []))
    assert says in str(error.value)


def test_samples_begin_at_the_image():
    """A network that is sure of x_0 = 0.5 from x_1 on: the bridge of every sample is from its own image to there."""
    experiment = bridge("evaluate.likelihood=0")
    sde, sampler = experiment.sde, experiment.config.samplers["ancestral"]
    begun = []

    def apply(params, x, t, y=None, key=None):
        jax.debug.callback(lambda t, x, y: begun.append(float(jnp.abs(x - y).max())) if t == 1 else None, t, x, y["image"])
        return (0.5 * sde.alpha(t) - x) / sde.sigma(t) ** 2

    bound = BoundSampler(experiment._replace(model=ScoreModel(lambda *a: {}, apply, apply)), sampler)
    levels = np.random.default_rng(0).integers(0, 17, (8, 8, 8, 1)).astype(np.uint8)
    drawn = drawing(bound)({}, Rows(jax.random.split(jax.random.key(0), 8), levels=levels), sampler.n)
    jax.effects_barrier()
    assert drawn.finite.all()
    assert begun
    assert max(begun) < 1e-6
    np.testing.assert_allclose(experiment.scaler.place(drawn.levels, 0.5), 0.5, atol=0.07)


@pytest.mark.slow
def test_a_bridge_trains_is_sampled_and_evaluated(tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", f"--config={BRIDGE}", f"--workdir={folder}"]) == 0
    assert main(["sample", str(folder)]) == 0
    assert samples(folder, "ancestral_seed0").shape == (16, 8, 8, 1)
    assert main(["evaluate", str(folder)]) == 0
    assert "still knows the data" not in capsys.readouterr().err
    assert main(["edit", str(folder)]) == 2
    assert "bridge begins at a degraded image, and knows no edit" in capsys.readouterr().err
