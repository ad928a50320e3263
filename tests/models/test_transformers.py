"""DiT and U-ViT against what their authors' code computes, and what each of their options does."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from published import HERE, draw, outputs_of, relative_error
from slow import one_in, slow_for

from experiments.weights.layout import flatten, from_published, to_published
from experiments.weights.published import transformers
from models.build import abstract
from models.functional import functional
from models.layers.transformer import PreNormBlock, unpatchify
from models.networks.dit import DiT, DiTBlock, positions
from models.networks.uvit import UViT

DIT, UVIT = (json.loads((HERE / f"{family}.json").read_text()) for family in ("dit", "uvit"))
GIVEN = {"dit": dict(np.load(HERE / "dit.npz"))}
for each, array in np.load(HERE / "uvit.npz").items():
    variant, what = each.split(".")
    GIVEN.setdefault(f"uvit {variant}", {})[what] = array

NAMES = ["dit", "uvit"]
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
SMALL_DIT = partial(DiT, width=32, depth=3, heads=4, classes=10, outputs=2)
SMALL_UVIT = partial(UViT, width=32, depth=5, heads=4)
RUNS = {
    "dit": (SMALL_DIT, transformers.dit, DIT["shapes"]),
    "uvit default": (SMALL_UVIT, transformers.uvit, UVIT["shapes"]["default"]),
    "uvit labelled": (
        partial(SMALL_UVIT, classes=10, qkv_bias=True, final_conv=False),
        transformers.uvit,
        UVIT["shapes"]["labelled"],
    ),
    "uvit without_skip": (partial(SMALL_UVIT, skip=False), transformers.uvit, UVIT["shapes"]["without_skip"]),
}


def shapes_of(build, shape=(8, 8, 3)):
    """The network and its parameters, as shapes alone."""
    net = abstract(build, shape)
    return net, nnx.to_pure_dict(nnx.state(net, nnx.Param))


def published(name):
    """Our network, its layout and, by the layout, its parameters; and the drawn tensors they come from."""
    build, layout, shapes = RUNS[name]
    net, like = shapes_of(build)
    tensors = draw(shapes)
    return functional(build), layout(net), from_published(like, layout(net), tensors, name), tensors


def given(name):
    """The inputs (x, c_noise, y) of the record."""
    recorded = GIVEN[name]
    return jnp.array(recorded["x"]), jnp.array(recorded["t"]), jnp.array(recorded["y"]) if "y" in recorded else None


@one_in(2)
@pytest.mark.parametrize("name", RUNS)
def test_computes_what_is_published(name):
    """Every block and the end, in float32."""
    net, _, params, _ = published(name)
    with outputs_of(DiTBlock, PreNormBlock) as blocks:
        out = net.apply(params, *given(name), None)
    assert len(blocks) == len(GIVEN[name]["blocks"])
    assert max(relative_error(*pair) for pair in zip(blocks, GIVEN[name]["blocks"], strict=True)) < 1e-5
    assert relative_error(out, GIVEN[name]["out"]) < 1e-5


@one_in(2)
@pytest.mark.parametrize("name", RUNS)
def test_writes_what_it_reads(name):
    _, layout, params, tensors = published(name)
    written = to_published(params, layout, {key: tensor.shape for key, tensor in tensors.items()})
    assert written.keys() == tensors.keys()
    assert all(np.array_equal(written[key], tensor) for key, tensor in tensors.items())


def test_positions_are_the_published_pos_embed():
    """Which is no parameter of ours, and none that trains of theirs."""
    np.testing.assert_allclose(positions(4, 4, 32), GIVEN["dit"]["pos_embed"][0], atol=1e-6)
    _, layout, params, tensors = published("dit")
    again = from_published(params, layout, tensors | {"pos_embed": GIVEN["dit"]["pos_embed"]}, "with positions")
    assert all(map(np.array_equal, jax.tree.leaves(again), jax.tree.leaves(params)))


def test_dit_is_diffusers():
    """With the frequencies that the weights were trained with, 10000^(-k/128), in place of diffusers' 10000^(-k/127)."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    theirs = diffusers.DiTTransformer2DModel(
        num_attention_heads=4, attention_head_dim=8, in_channels=3, out_channels=6, num_layers=3, sample_size=8,
        num_embeds_ada_norm=10, norm_eps=1e-6,
    ).eval()  # fmt: skip
    tensors = draw({name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()})
    for name in tensors:  # each block's own, of which published weights have copies
        block, _, rest = name.removeprefix("transformer_blocks.").partition(".")
        if rest.startswith("norm1.emb."):
            tensors[name] = tensors[f"transformer_blocks.0.{rest}"]
    theirs.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    for block in theirs.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    x, t, y = GIVEN["dit"]["x"], np.array([0, 17, 999]), GIVEN["dit"]["y"]
    with torch.no_grad():
        emitted = theirs(*(torch.from_numpy(a.copy()) for a in (np.moveaxis(x, -1, 1), t, y))).sample.numpy()

    net, like = shapes_of(SMALL_DIT)
    params = from_published(like, transformers.dit_diffusers(net), tensors, "diffusers")
    out = functional(SMALL_DIT).apply(params, jnp.array(x), jnp.array(t, jnp.float32), jnp.array(y), None)
    assert relative_error(out, np.moveaxis(emitted, 1, -1)) < 1e-5


def count(build, shape=(32, 32, 4)):
    return sum(a.size for a in jax.tree.leaves(shapes_of(build, shape)[1]))


@slow_for("L", "XL")
@pytest.mark.parametrize(
    ("size", "net"),
    [
        ("S", DiT),
        ("B", partial(DiT, width=768, heads=12)),
        ("L", partial(DiT, width=1024, depth=24, heads=16)),
        ("XL", partial(DiT, width=1152, depth=28, heads=16)),
    ],
    ids=["S", "B", "L", "XL"],
)
def test_dit_has_the_published_sizes(size, net):
    """33, 130, 458 and 675 M on latents of 1000 classes; theirs count the fixed positions among the parameters, ours do not."""
    total, fixed = DIT["counts"][size]
    assert count(partial(net, classes=1000, outputs=2)) == total - fixed


@pytest.mark.slow
def test_uvit_has_the_published_sizes():
    """44 M on CIFAR-10; 501 M on latents, whose 1001 published classes are 1000 and none."""
    assert count(UViT, (32, 32, 3)) == UVIT["counts"]["S"] == 44_255_328
    assert count(partial(UViT, width=1152, depth=29, heads=16, classes=1000, final_conv=False)) == UVIT["counts"]["H"]


@slow_for("dit")
@pytest.mark.parametrize("name", ["dit", "uvit labelled"])
def test_half_precision_stays_close(name):
    _, _, params, _ = published(name)
    half = functional(RUNS[name][0], compute="bfloat16").apply(params, *given(name), None)
    assert relative_error(half, GIVEN[name]["out"]) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("build", [partial(SMALL_DIT, depth=1), partial(SMALL_UVIT, depth=3)], ids=NAMES)
def test_rematerialising_keeps_the_gradient(build):
    x, t = jnp.ones((1, 4, 4, 3)), jnp.ones(1)
    draws = np.random.default_rng(0)
    params = jax.tree.map(lambda a: 0.2 * draws.standard_normal(a.shape, np.float32), shapes_of(build, x.shape[1:])[1])

    def gradient(remat):
        loss = lambda p: jnp.sum(functional(build, remat=remat).apply(p, x, t, None, None) ** 2)
        return flatten(jax.device_get(jax.jit(jax.grad(loss), compiler_options=QUICKLY)(params)))

    plain, forgetful = gradient(False), gradient(True)
    largest = max(np.abs(g).max() for g in plain.values())
    assert max(np.abs(forgetful[path] - g).max() for path, g in plain.items()) < 1e-5 * largest


@pytest.mark.parametrize("name", ["dit", "uvit labelled"])
def test_no_label_is_the_last_one(name):
    net, _, params, _ = published(name)
    x, t, y = given(name)
    unlabelled = net.apply(params, x, t, None, None)
    np.testing.assert_allclose(unlabelled, net.apply(params, x, t, jnp.full(3, 10), None), rtol=1e-5, atol=1e-5)
    assert relative_error(unlabelled[:2], GIVEN[name]["out"][:2]) > 1e-2
    assert y[2] == 10


@one_in(2)
@pytest.mark.parametrize(
    ("build", "option"),
    [(SMALL_DIT, {"mlp_ratio": 2.0}), (SMALL_DIT, {"patch": 4}), (SMALL_DIT, {"depth": 2}), (SMALL_DIT, {"classes": 0}),
     (SMALL_DIT, {"outputs": 1}), (SMALL_UVIT, {"mlp_ratio": 2.0}), (SMALL_UVIT, {"patch": 4}), (SMALL_UVIT, {"depth": 3}),
     (SMALL_UVIT, {"classes": 3}), (SMALL_UVIT, {"outputs": 2}), (SMALL_UVIT, {"qkv_bias": True}),
     (SMALL_UVIT, {"skip": False}), (SMALL_UVIT, {"final_conv": False})],
    ids=lambda value: str(value) if isinstance(value, dict) else value.func.__name__,
)  # fmt: skip
def test_options_change_the_parameters(build, option):
    sizes = [count(partial(build, **options), (8, 8, 3)) for options in ({}, option)]
    assert sizes[0] != sizes[1]


@pytest.mark.parametrize("name", ["dit", "uvit default"])
def test_heads_change_the_output_alone(name):
    _, _, params, _ = published(name)
    other = functional(partial(RUNS[name][0], heads=2)).apply(params, *given(name), None)
    assert relative_error(other, GIVEN[name]["out"]) > 1e-3


def test_starts_as_published():
    """DiT with Glorot's uniform, of q, k and v as one matrix, and zero at the end; U-ViT with N(0, 0.02^2)."""

    def started(build):
        init = jax.jit(functional(build).init, compiler_options=QUICKLY)
        return flatten(jax.device_get(init(jax.random.key(0), jnp.zeros((8, 8, 3)))))

    params = started(partial(SMALL_DIT, depth=1))
    bounds = {  # squared
        "blocks.0.attention.q": 6 / (32 + 3 * 32),
        "blocks.0.attention.out": 6 / (32 + 32),
        "blocks.0.feed.dense1": 6 / (32 + 128),
        "first": 6 / (2 * 2 * 3 + 32),
    }
    for module, squared in bounds.items():
        assert 0.95 < np.abs(params[f"{module}.kernel"]).max() / np.sqrt(squared) <= 1
    assert not any(params[f"{module}.kernel"].any() for module in ("blocks.0.modulation", "modulation", "last"))

    params = started(partial(SMALL_UVIT, depth=1, classes=99))
    deviations = {
        "middle.attention.q.kernel": 0.02,
        "positions": 0.02,
        "labels.table": 1,
        "first.kernel": 1 / 6,  # torch's of a convolution of fan-in 12: uniform in +-1/sqrt(12)
    }
    for path, std in deviations.items():
        assert np.std(params[path]) == pytest.approx(std, rel=0.1)


def test_an_oblong_image_is_read_row_by_row():
    """Patches in rows, of pixels in rows; positions tell row from column."""
    x = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)
    stage = shapes_of(SMALL_UVIT, (4, 6, 3))[0].stages[0]
    tokens = [x[:, i : i + 2, j : j + 2].reshape(2, -1) for i in (0, 2) for j in (0, 2, 4)]
    np.testing.assert_array_equal(unpatchify(jnp.stack(tokens, axis=1), stage, 2), x)
    row_1_column_2 = np.concatenate([f(np.array([n, n / 100])) for n in (2, 1) for f in (np.sin, np.cos)])
    np.testing.assert_allclose(positions(2, 3, 8)[5], row_1_column_2, atol=1e-6)
    for build in (partial(SMALL_DIT, outputs=1), SMALL_UVIT):
        params = shapes_of(build, (4, 6, 3))[1]
        assert jax.eval_shape(functional(build).apply, params, x, jnp.zeros(2), None, None).shape == x.shape


@pytest.mark.parametrize("build", [SMALL_DIT, SMALL_UVIT], ids=NAMES)
def test_what_cannot_be_cut_is_an_error(build):
    with pytest.raises(ValueError, match=r"H and W divisible by 3, not \(9, 8, 1\)"):
        build((9, 8, 1), patch=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="5 heads need a width divisible by 5, not 32"):
        build((8, 8, 1), heads=5, rngs=nnx.Rngs(0))


def test_width_and_depth_that_do_not_pair_are_errors():
    with pytest.raises(ValueError, match=r"divisible by 4, .* not 6"):
        SMALL_DIT((8, 8, 1), width=6, heads=1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"even, .* not 5"):
        SMALL_UVIT((8, 8, 1), width=5, heads=1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="odd, not 12"):
        SMALL_UVIT((8, 8, 1), depth=12, rngs=nnx.Rngs(0))
