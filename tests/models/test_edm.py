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

from experiments.runtime.errors import StorageError
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


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_the_published_code_does(case):
    params, _, _, (x, c, y) = loaded(case)
    with outputs_of(Level) as seen:
        out = functional(CASES[case]).apply(params, jnp.array(x), c, y, None)
    theirs = [RECORD[f"{case}.block{i}"] for i in range(len(seen))]
    assert f"{case}.block{len(seen)}" not in RECORD
    assert max(relative_error(ours[:, 1, :3:2], block) for ours, block in zip(seen, theirs, strict=True)) < 1e-5
    assert relative_error(out, RECORD[f"{case}.final"]) < 1e-5


def augmented():
    """As `loaded`, of the case "ddpmpp" with the weights of its augmentation labels."""
    tensors, shape = draw(SHAPES["ddpmpp"]["shapes"]), RECORD["ddpmpp.x"].shape[1:]
    build = partial(CASES["ddpmpp"], augment=9)
    layout = bridge.song(abstract(build, shape))
    like = jax.eval_shape(functional(build).init, jax.random.key(0), jnp.zeros(shape))
    return build, from_published(like, layout, tensors, "augmented"), tensors, layout


@pytest.mark.slow
def test_labels_of_augmentation_are_added_to_the_embedding():
    """As a bias W_1 W a of the first layer that hears e, which is silu(W_1 (e + W a) + b); nothing at zero, or without."""
    build, params, _, _ = augmented()
    x, c = jnp.array(RECORD["ddpmpp.x"]), jnp.array(RECORD["ddpmpp.c"])
    labels = jnp.array(np.random.default_rng(0).standard_normal((len(x), 9)), jnp.float32)
    hears = lambda net, params, y: np.asarray(functional(net).apply(params, x, c, y, None))
    plain = {name: leaf for name, leaf in params.items() if name != "augment"}
    for i in range(len(x)):
        bias = plain["dense1"]["bias"] + labels[i] @ params["augment"]["kernel"] @ plain["dense1"]["kernel"]
        shifted = plain | {"dense1": plain["dense1"] | {"bias": bias}}
        ours, theirs = hears(build, params, {"augment": labels})[i], hears(CASES["ddpmpp"], shifted, None)[i]
        assert relative_error(ours, theirs) < 1e-5
        assert relative_error(ours, RECORD["ddpmpp.final"][i]) > 1e-2
    for y in (None, {}, {"label": None, "augment": jnp.zeros((len(x), 9))}):
        assert relative_error(hears(build, params, y), RECORD["ddpmpp.final"]) < 1e-5


def test_weights_of_augmentation_labels_are_read_and_written():
    _, params, tensors, layout = augmented()
    written = to_published(params, layout, {name: tensor.shape for name, tensor in tensors.items()})
    assert {name for name in tensors if "resample_filter" not in name} == written.keys()
    assert all(np.array_equal(value, tensors[name]) for name, value in written.items())
    without = {name: tensor for name, tensor in tensors.items() if "map_augment" not in name}
    with pytest.raises(StorageError, match=r"no tensor model\.map_augment\.weight for our augment\.kernel"):
        from_published(params, layout, without, "without")


@one_in(4)
@pytest.mark.parametrize("case", CASES)
def test_writing_is_reading_backwards(case):
    """But for the weights of augmentation labels, which without `augment` have no parameter of ours."""
    params, tensors, layout, _ = loaded(case)
    written = to_published(params, layout, {name: tensor.shape for name, tensor in tensors.items()})
    ours = {name for name in tensors if "map_augment" not in name}
    assert ours <= written.keys()
    assert all(np.array_equal(written[name], tensors[name]) for name in ours)


@one_in(3)
@pytest.mark.parametrize(
    ("build", "published"),
    [
        (partial(EDMUNet, augment=9), 55_733_891),
        (partial(EDMUNet, augment=9, classes=10), 55_735_299),
        (partial(EDMUNet, augment=9, **NCSNPP), SHAPES["ncsnpp"]["count"] + 9 * 256 + 128),
        (EDMUNet, 55_733_891 - 9 * 128),
        (partial(EDMUNet, classes=10), 55_735_299 - 9 * 128),
        (partial(EDMUNet, **NCSNPP), SHAPES["ncsnpp"]["count"] + 128),
    ],
    ids=[f"{net}{labels}" for labels in (" augmented", "") for net in ("DDPM++", "DDPM++ of ten classes", "NCSN++")],
)
def test_it_has_the_published_size(build, published):
    """Those of the published networks, with the weights of 9 augmentation labels or without; torch counts no frequencies."""
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
