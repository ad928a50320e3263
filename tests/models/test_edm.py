"""EDM's networks against what its published code computes."""

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
from experiments.weights.published import edm as bridge
from models import functional
from models.build import abstract
from models.layers.unet import Level
from models.networks.adm import ADM
from models.networks.edm_unet import EDMUNet

SHAPES, RECORD = json.loads((HERE / "edm.json").read_text()), np.load(HERE / "edm.npz")
NCSNPP = {"embedding": "fourier", "noise_multiplier": 2, "encoder": "residual", "filter": (1, 3, 3, 1)}
SMALL = partial(EDMUNet, width=8, blocks=1)
CASES = {
    "ddpmpp": partial(SMALL, multipliers=(2, 2), attention=(4,)),
    "ncsnpp": partial(SMALL, multipliers=(2, 1, 2), attention=(8,), classes=3, **NCSNPP),
    "skip": partial(
        SMALL, multipliers=(1, 2, 2), attention=(16,), classes=3, encoder="skip", decoder="skip", filter=(1, 3, 3, 1)
    ),
    "adm": partial(
        ADM, width=16, multipliers=(1, 2), blocks=1, attention=(8, 4), head_channels=8, resample="block", dropout=0.1, classes=3
    ),
}


def loaded(case):
    """Our parameters of the case's published tensors, those tensors, the layout, and x, c_noise, y."""
    tensors = draw(SHAPES[case]["shapes"])
    x, c, y = (RECORD.get(f"{case}.{name}") for name in "xcy")
    net = abstract(CASES[case], x.shape[1:])
    if case == "adm":
        tensors, layout = bridge.turned(tensors), bridge.dhariwal(net)
    else:
        layout = bridge.song(net)
    like = jax.eval_shape(functional(CASES[case]).init, jax.random.key(0), x[0])
    return from_published(like, layout, tensors, case), tensors, layout, (x, c, y)


@one_in(4)
@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_the_published_code_does(case):
    params, _, _, (x, c, y) = loaded(case)
    with outputs_of(Level) as seen:
        out = functional(CASES[case]).apply(params, jnp.array(x), c, y, None)
    theirs = [RECORD[f"{case}.block{i}"] for i in range(len(seen))]
    assert f"{case}.block{len(seen)}" not in RECORD
    assert max(relative_error(ours[:, 1, :3:2], block) for ours, block in zip(seen, theirs, strict=True)) < 1e-5
    assert relative_error(out, RECORD[f"{case}.final"]) < 1e-5


@one_in(4)
@pytest.mark.parametrize("case", CASES)
def test_writing_is_reading_backwards(case):
    """But for the weights of augmentation labels, which have no parameter of ours."""
    params, tensors, layout, _ = loaded(case)
    written = to_published(params, layout, {name: tensor.shape for name, tensor in tensors.items()})
    ours = {name for name in tensors if "map_augment" not in name}
    assert ours <= written.keys()
    assert all(np.array_equal(written[name], tensors[name]) for name in ours)


@one_in(3)
@pytest.mark.parametrize(
    ("build", "published"),
    [
        (EDMUNet, 55_733_891 - 9 * 128),
        (partial(EDMUNet, classes=10), 55_735_299 - 9 * 128),
        (partial(EDMUNet, **NCSNPP), SHAPES["ncsnpp"]["count"] + 128),
    ],
    ids=["DDPM++", "DDPM++ of ten classes", "NCSN++"],
)
def test_it_has_the_published_size(build, published):
    """Those of the published networks, without the weights of 9 augmentation labels; torch does not count the frequencies."""
    params = jax.eval_shape(functional(build).init, jax.random.key(0), jnp.zeros((32, 32, 3)))
    assert sum(a.size for a in jax.tree.leaves(params)) == published


def test_it_starts_as_published():
    """Weights of 1e-5 where the published ones have them, sqrt(0.2) of a [q, k, v] of three times the outputs; zero biases."""
    net = EDMUNet((8, 8, 1), width=32, multipliers=(1,), blocks=1, attention=(), rngs=nnx.Rngs(0))
    block, attention = net.down[0][0].block, net.middle1.attention
    usual = (6 / (9 * 64)) ** 0.5
    for module, bound in ((block.conv1, usual), (block.conv2, 1e-5 * usual), (attention.k, (0.2 * 6 / (4 * 32)) ** 0.5)):
        assert float(abs(module.kernel[...]).max()) == pytest.approx(bound, rel=3e-2)
        assert not module.bias[...].any()
