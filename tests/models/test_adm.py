"""ADM against what improved-diffusion and guided-diffusion compute."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from published import HERE, draw, outputs_of, relative_error
from slow import one_in

from experiments.weights.layout import from_published, to_published
from experiments.weights.published import adm as bridge
from models import functional
from models.build import abstract
from models.layers.noise import EMBEDDINGS
from models.layers.unet import ResidualBlock, SelfAttention
from models.networks.adm import ADM

SHAPES, RECORD = json.loads((HERE / "adm.json").read_text()), np.load(HERE / "adm.npz")
CASES = {
    "improved": partial(ADM, width=16, multipliers=(1, 2), blocks=1, attention=(4,), outputs=2),
    "guided": partial(
        ADM,
        width=16,
        multipliers=(2, 1),
        blocks=1,
        attention=(8, 4),
        head_channels=8,
        resample="block",
        classes=4,
        outputs=2,
    ),
    "plain": partial(ADM, width=16, multipliers=(1, 2), blocks=1, attention=(4,), heads=2, resample="plain", scale_shift=False),
}


def loaded(case, build):
    """Our parameters of the case's published tensors, those tensors, the layout, and x, c_noise, y."""
    tensors = draw(SHAPES[case]["shapes"])
    x, c, y = (RECORD.get(f"{case}.{name}") for name in "xcy")
    net = abstract(build, x.shape[1:])
    layout = bridge.openai(net, "new" if case == "guided" else "legacy")
    like = jax.eval_shape(functional(build).init, jax.random.key(0), x[0])
    return from_published(like, layout, tensors, case), tensors, layout, (x, c, y)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_the_published_code_does(case):
    params, _, _, (x, c, y) = loaded(case, CASES[case])
    with outputs_of(ResidualBlock, SelfAttention) as seen:
        out = functional(CASES[case]).apply(params, jnp.array(x), c, y, None)
    theirs = [RECORD[f"{case}.block{i}"] for i in range(len(seen))]
    assert f"{case}.block{len(seen)}" not in RECORD
    assert max(relative_error(ours[:, 1, :3:2], block) for ours, block in zip(seen, theirs, strict=True)) < 1e-5
    assert relative_error(out, RECORD[f"{case}.final"]) < 1e-5


@one_in(3)
@pytest.mark.parametrize("case", CASES)
def test_writing_is_reading_backwards(case):
    params, tensors, layout, _ = loaded(case, CASES[case])
    written = to_published(params, layout, SHAPES[case]["shapes"])
    assert written.keys() == tensors.keys()
    assert all(np.array_equal(written[name], tensors[name]) for name in tensors)


@pytest.mark.slow
@one_in(2)
@pytest.mark.parametrize(
    ("build", "published"),
    [
        (partial(ADM, outputs=2), SHAPES["improved"]["count"]),
        (
            partial(
                ADM,
                width=192,
                multipliers=(1, 2, 3, 4),
                attention=(32, 16, 8),
                head_channels=64,
                resample="block",
                classes=1000,
                outputs=2,
            ),
            SHAPES["guided"]["count"],
        ),
    ],
    ids=["CIFAR-10", "ImageNet-64"],
)
def test_it_has_the_published_size(build, published):
    """52.5 M (improved-diffusion, CIFAR-10) and 295.9 M (Dhariwal & Nichol 2021, ImageNet at 64 x 64), by shapes alone."""
    side = 64 if build.keywords.get("classes") else 32
    params = jax.eval_shape(functional(build).init, jax.random.key(0), jnp.zeros((side, side, 3)))
    assert sum(a.size for a in jax.tree.leaves(params)) == published


def test_it_starts_at_zero_and_as_torch_does():
    """The last convolution is zero; all else is uniform in +-1/sqrt(fan_in)."""
    net = ADM((8, 8, 1), width=16, multipliers=(1,), blocks=1, attention=(), rngs=nnx.Rngs(0))
    block, bound = net.down[0][0].block, (9 * 16) ** -0.5
    assert not block.conv2.kernel[...].any()
    assert float(abs(block.conv1.kernel[...]).max()) == pytest.approx(bound, rel=1e-2)
    assert 0 < float(abs(block.conv1.bias[...]).max()) <= bound


def test_embedding_has_cosines_first():
    """[cos(c 10000^(-k/4)), sin(c 10000^(-k/4))], k = 0..3."""
    angles = 7.0 * 10.0 ** -np.arange(4)
    ours = EMBEDDINGS["timestep"](8, rngs=nnx.Rngs(0))(jnp.array([7.0]))
    np.testing.assert_allclose(ours[0], [*np.cos(angles), *np.sin(angles)], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("heads", "head_channels", "n", "d"), [(4, 12, 2, 12), (5, 0, 5, 6)])
def test_heads_that_do_not_divide_are_an_error(heads, head_channels, n, d):
    with pytest.raises(ValueError, match=f"{n} heads of {d} channels are not 32"):
        ADM((8, 8, 1), 32, (1,), 1, (), heads, head_channels, rngs=nnx.Rngs(0))
