"""The way between two examples, along the arc between their latents."""

import jax
import numpy as np
import pytest
from edited_runs import experiment_of

import models
from experiments.sampling.interpolation import check_between, on_the_arc
from samplers import slerp

pytestmark = pytest.mark.usefixtures("in_root")
CODEC = "--config.codec.by={'name': 'affine', 'mean': 0.5, 'std': 2.0}"


@pytest.mark.slow
def test_of_a_codec_alone_the_latents_are_the_codes():
    """Where their score is that of N(0, I) on the VP-SDE, nothing flows: between two examples is the arc of their codes."""
    experiment = experiment_of(CODEC, "--config.interpolate.frames=5")
    normal = models.ScoreModel(lambda key, z: {}, lambda params, z, t, y=None, key=None: -z, lambda *a, **k: None)
    pairs = np.random.default_rng(0).normal(size=(3, 2, 2)).astype(np.float32)
    way = on_the_arc(experiment._replace(model=normal), {}, pairs)
    arc = jax.vmap(jax.vmap(slerp, (None, None, 0)), (0, 0, None))
    z_a, z_b = ((pairs[:, i] - 0.5) / 2 for i in range(2))
    assert way.finite.all()
    np.testing.assert_allclose(way.levels, 0.5 + 2 * arc(z_a, z_b, np.linspace(0, 1, 5)), atol=1e-4)


LABELLED = "--config.net.classes=10"


def test_two_examples_have_no_one_label():
    """So that between them is the score without a label, if it was learned, or that of the label that all samples have."""
    of = lambda *words: experiment_of(LABELLED, *words, config="configs/digits/vp.py:tiny", shape=(8, 8, 1))
    check_between(of("--config.train.label_dropout=0.1"))
    check_between(of("--config.sample.label=3"))
    with pytest.raises(ValueError, match="learned no score without a label"):
        check_between(of())
