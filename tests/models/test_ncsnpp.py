"""NCSN++, DDPM++ and score_sde's DDPM against what their authors' code computes, and what each of their options does."""

import json
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from published import HERE, draw, outputs_of, relative_error
from slow import one_in

from experiments.runtime.errors import StorageError
from experiments.weights.layout import from_published, to_published
from experiments.weights.published import score_sde
from models.build import abstract
from models.functional import functional
from models.layers.fir import Resample, downsample, upsample
from models.layers.unet import ResidualBlock, SelfAttention
from models.networks.ddpm import DDPM
from models.networks.ncsnpp import NCSNpp

RECORDS = {family: json.loads((HERE / f"{family}.json").read_text()) for family in ("ncsnpp", "score_sde_ddpm")}
GIVEN = {family: dict(np.load(HERE / f"{family}.npz")) for family in RECORDS}
RUNS = [(family, variant) for family, record in RECORDS.items() for variant in record["variants"]]
every_run = pytest.mark.parametrize(("family", "variant"), RUNS, ids=[variant for _, variant in RUNS])

SONG_DDPM = partial(DDPM, attention_up="level", embedding="positional")
SMALL = partial(NCSNpp, width=8, multipliers=(1, 2), blocks=1, attention=(4,))
DDPMPP = {"fir": False, "progressive_input": "none"}
IMAGES = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
NOISE = jnp.array([0.3, -1.2])


def options(family, variant):
    recorded = RECORDS[family]["variants"][variant]["options"]
    return {name: tuple(value) if isinstance(value, list) else value for name, value in recorded.items()}


def built(build, side=8):
    """The network without arrays: it is the shapes that take no time."""
    return abstract(build, (side, side, 3))


def parameters(net):
    return nnx.to_pure_dict(nnx.state(net, nnx.Param))


def drawn(build):
    """Parameters by our own names, where those that start at zero would hide what is behind them."""
    one = lambda path, a: draw({".".join(str(key.key) for key in path): a.shape}).popitem()[1]
    return jax.tree_util.tree_map_with_path(one, parameters(built(build)))


@cache
def published(family, variant, code="torch"):
    """Our network without arrays, its layout and, by the layout, its parameters; and the drawn tensors they come from."""
    build = partial(NCSNpp if family == "ncsnpp" else SONG_DDPM, **options(family, variant))
    net = built(build)
    tensors = draw({name: tuple(shape) for name, shape in RECORDS[family]["variants"][variant][code].items()})
    layout = score_sde.pytorch(net)
    if code == "flax":
        layout, tensors = score_sde.flax(net), score_sde.kernels(tensors)
    return functional(build), layout, from_published(parameters(net), layout, tensors, variant), tensors


def given(family, variant):
    """(x, c_noise) of the record: theirs is given sigma, and takes the logarithm, or a label."""
    fourier = options(family, variant).get("embedding") == "fourier"
    return jnp.array(GIVEN[family]["x"]), jnp.log(GIVEN[family]["sigmas"]) if fourier else jnp.array(GIVEN[family]["labels"])


@one_in(12)
@every_run
def test_computes_what_is_published(family, variant):
    """Every block, of the first image, and the end, in float32."""
    net, _, params, _ = published(family, variant)
    with outputs_of(ResidualBlock, SelfAttention, Resample) as ours:
        out = net.apply(params, *given(family, variant), None, None)
    theirs = [value for name, value in sorted(GIVEN[family].items()) if name.startswith(f"{variant}.block")]
    assert len(ours) == len(theirs)
    assert max(relative_error(block[0], expected) for block, expected in zip(ours, theirs, strict=True)) < 1e-5
    assert relative_error(out, GIVEN[family][f"{variant}.out"]) < 1e-5


@every_run
@pytest.mark.slow
def test_computes_what_is_published_in_flax(family, variant):
    """Another draw, by flax's names."""
    net, _, params, _ = published(family, variant, "flax")
    out = net.apply(params, *given(family, variant), None, None)
    assert relative_error(out, GIVEN[family][f"{variant}.flax_out"]) < 1e-5


@one_in(10)
@every_run
@pytest.mark.parametrize("code", ["torch", "flax"])
def test_writes_what_it_reads(family, variant, code):
    _, layout, params, tensors = published(family, variant, code)
    written = to_published(params, layout, {name: tensor.shape for name, tensor in tensors.items()})
    assert written.keys() == tensors.keys()
    assert all(np.array_equal(written[name], tensor) for name, tensor in tensors.items())


def test_another_network_is_no_place_for_their_weights():
    """Ho et al.'s DDPM has more attention. The buffer of sigmas is no parameter."""
    _, layout, params, tensors = published("score_sde_ddpm", "ddpm")
    from_published(params, layout, tensors | {"sigmas": np.ones(10)}, "theirs")
    ho = partial(SONG_DDPM, attention_up="block", **options("score_sde_ddpm", "ddpm"))
    net = built(ho)
    with pytest.raises(StorageError, match="does not fit"):
        from_published(parameters(net), score_sde.pytorch(net), tensors, "theirs")


@pytest.mark.parametrize(
    ("name", "build"),
    [
        pytest.param("ncsnpp_ve", partial(NCSNpp, embedding="fourier"), marks=pytest.mark.slow),
        pytest.param("ncsnpp_vp", NCSNpp, marks=pytest.mark.slow),
        pytest.param("ncsnpp_ve_deep", partial(NCSNpp, embedding="fourier", blocks=8), marks=pytest.mark.slow),
        pytest.param("ddpmpp", partial(NCSNpp, **DDPMPP), marks=pytest.mark.slow),
        pytest.param("ddpmpp_deep", partial(NCSNpp, **DDPMPP, blocks=8), marks=pytest.mark.slow),
        ("ddpm", partial(DDPM, attention_up="level", embedding="positional")),
    ],
)
def test_has_as_many_parameters_as_published(name, build):
    """On CIFAR-10, to the unit."""
    net = built(build, 32)
    theirs = RECORDS["ncsnpp"]["counts"] | RECORDS["score_sde_ddpm"]["counts"]
    assert sum(leaf.size for leaf in jax.tree.leaves(parameters(net))) == theirs[name]


@pytest.mark.slow
def test_bfloat16_is_near():
    _, _, params, _ = published("ncsnpp", "ncsnpp_ve")
    half = functional(partial(NCSNpp, **options("ncsnpp", "ncsnpp_ve")), compute="bfloat16")
    near = jax.jit(half.apply)(params, *given("ncsnpp", "ncsnpp_ve"), None, None)
    exact = GIVEN["ncsnpp"]["ncsnpp_ve.out"]
    assert 0 < np.linalg.norm(near - exact) / np.linalg.norm(exact) < 0.03


@pytest.mark.slow
def test_remat_has_the_same_gradient():
    """With dropout, through both kinds of block."""
    net = partial(SMALL, multipliers=(1,), attention=())
    params = drawn(net)

    def gradient(remat):
        call = functional(net, remat=remat).apply
        loss = lambda params: jnp.sum(call(params, IMAGES, NOISE, None, jax.random.key(1)) ** 2)
        return jax.jit(jax.grad(loss))(params)

    for plain, again in zip(*map(jax.tree.leaves, (gradient(False), gradient(True))), strict=True):
        np.testing.assert_allclose(again, plain, rtol=1e-4, atol=1e-4 * float(jnp.abs(plain).max()) + 1e-5)


DIFFERENT = [
    ({}, {"fir": False}),
    ({}, {"fir_kernel": (1, 2, 1)}),
    ({}, {"skip_rescale": False}),
    ({}, {"centre_input": True}),
    ({"embedding": "positional"}, {"embedding": "sinusoidal"}),
    ({"progressive_input": "none"}, {"block": "ddpm", "progressive_input": "none"}),
    ({"progressive_input": "input_skip"}, {"progressive_input": "input_skip", "combine": "cat"}),
    ({"block": "ddpm"}, {"block": "ddpm", "resample_with_conv": False}),
    ({"progressive": "none"}, {"progressive": "output_skip"}),
    ({"progressive": "none"}, {"progressive": "residual"}),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=[str(other) for _, other in DIFFERENT])
@pytest.mark.slow
def test_every_option_does_something(one, other):
    """Equal parameters by name give another image, where the options do not change what parameters there are."""
    nets = [partial(SMALL, **each) for each in (one, other)]
    outs = [functional(net).apply(drawn(net), IMAGES, NOISE, None, None) for net in nets]
    assert outs[0].shape == outs[1].shape == IMAGES.shape
    assert relative_error(*outs) > 1e-2


@pytest.mark.parametrize(("init_scale", "progressive"), [(0.0, "none"), (0.0, "output_skip"), (1.0, "output_skip")])
@pytest.mark.slow
def test_starts_at_zero_unless_init_scale(init_scale, progressive):
    """By what reads the image out."""
    net = functional(partial(SMALL, multipliers=(1,), attention=(), progressive=progressive, init_scale=init_scale))
    start = jax.jit(lambda key: net.apply(net.init(key, IMAGES[0]), IMAGES, NOISE, None, None))
    assert bool(start(jax.random.key(0)).any()) == (init_scale > 0)


@pytest.mark.slow
def test_starts_as_published():
    """Variances of fan_avg: 1 of convolutions, 0.1 of q, k and v and DDPM's shortcut, `init_scale` last; `fourier_scale`."""
    song = partial(SMALL, width=64, multipliers=(1,), attention=(8,), init_scale=0.3, embedding="fourier", fourier_scale=7.0)
    start = lambda **options: jax.jit(functional(partial(song, **options)).init)(jax.random.key(0), IMAGES[0])

    def scale(kernel):
        return float(jnp.var(kernel)) * np.prod(kernel.shape[:-2]) * sum(kernel.shape[-2:]) / 2

    params = start(block="ddpm")
    block, attention = (params["up"][0][1][part] for part in ("block", "attention"))
    parts = [
        *(block[name] for name in ("conv1", "noise", "conv2", "skip")),
        *(attention[name] for name in ("q", "k", "v", "out")),
    ]
    np.testing.assert_allclose([scale(part["kernel"]) for part in parts], [1, 1, 0.3, 0.1, 0.1, 0.1, 0.1, 0.3], rtol=0.1)
    assert scale(start(block="biggan")["up"][0][1]["block"]["skip"]["kernel"]) == pytest.approx(1, rel=0.1)
    assert float(jnp.std(params["embed"]["frequencies"])) == pytest.approx(7, rel=0.3)


def test_centre_input_is_of_the_image():
    plain, centred = (functional(partial(SMALL, centre_input=each)) for each in (False, True))
    params = drawn(SMALL)
    out = centred.apply(params, IMAGES, NOISE, None, None)
    np.testing.assert_allclose(out, plain.apply(params, 2 * IMAGES - 1, NOISE, None, None), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_labels_dropout_noise_and_outputs():
    """Each changes the image; without a key nothing is random, and the last label is none."""
    net = partial(SMALL, classes=3, outputs=2, dropout=0.5, progressive="output_skip")
    call = functional(net).apply
    params, y, key = drawn(net), jnp.array([0, 2]), jax.random.key(3)
    out = call(params, IMAGES, NOISE, y, None)
    assert out.shape == (2, 8, 8, 6)
    np.testing.assert_array_equal(call(params, IMAGES, NOISE, None, None), call(params, IMAGES, NOISE, jnp.array([3, 3]), None))
    others = [(NOISE, jnp.array([1, 1]), None), (NOISE + 1, y, None), (NOISE, y, key), (NOISE, y, jax.random.key(4))]
    outs = [out] + [call(params, IMAGES, *each) for each in others]
    assert all(relative_error(a, b) > 1e-3 for i, a in enumerate(outs) for b in outs[:i])


def test_without_a_filter_pixels_are_repeated_and_averaged():
    np.testing.assert_allclose(upsample(IMAGES), jnp.repeat(jnp.repeat(IMAGES, 2, axis=1), 2, axis=2), atol=1e-6)
    np.testing.assert_allclose(downsample(IMAGES), IMAGES.reshape(2, 4, 2, 4, 2, 3).mean((2, 4)), atol=1e-6)


@pytest.mark.parametrize("kernel", [(1, 3, 3, 1), (1, 2, 4), (1.0, 5.0)])
def test_filters_are_convolutions(kernel):
    """Of an outer product, the outer product of numpy's full convolutions, at StyleGAN2's offset."""
    f, lines = np.array(kernel) / sum(kernel), np.random.default_rng(0).standard_normal((2, 8))
    image = jnp.array(np.outer(*lines))[None, :, :, None]
    start = len(f) - 1 - (len(f) - 1) // 2
    with_zeros = [np.kron(line, [1, 0]) for line in lines]
    up = np.outer(*(np.convolve(line, 2 * f)[start - 1 :][:16] for line in with_zeros))
    down = np.outer(*(np.convolve(line, f)[start::2][:4] for line in lines))
    np.testing.assert_allclose(upsample(image, kernel)[0, :, :, 0], up, atol=1e-5)
    np.testing.assert_allclose(downsample(image, kernel)[0, :, :, 0], down, atol=1e-5)
    beyond = upsample(image, kernel, margin=2)
    np.testing.assert_allclose(beyond[:, 2:-2, 2:-2], upsample(image, kernel), atol=1e-6)


@pytest.mark.slow
def test_is_diffusers():
    """The blocks of google/ncsnpp-*, which divides by sigma; groups by the published rule, which its 32 are at its widths."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    from experiments.weights.published import diffusers_ncsnpp

    theirs = diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(32, 32, 64), layers_per_block=1, norm_num_groups=None, norm_eps=1e-6,
        down_block_types=("SkipDownBlock2D", "AttnSkipDownBlock2D", "SkipDownBlock2D"),
        up_block_types=("SkipUpBlock2D", "AttnSkipUpBlock2D", "SkipUpBlock2D"),
        mid_block_scale_factor=2**0.5, time_embedding_type="fourier", attention_head_dim=None,
    ).eval()  # fmt: skip
    for module in theirs.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = min(module.num_channels // 4, 32)
    tensors = draw({name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()})
    theirs.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    skips = {"progressive": "output_skip", "progressive_input": "input_skip", "embedding": "fourier"}
    net = partial(SMALL, width=32, multipliers=(1, 1, 2), **skips)
    layout = diffusers_ncsnpp.layout(built(net))
    params = from_published(parameters(built(net)), layout, tensors, "diffusers")
    written = to_published(params, layout, {name: tensor.shape for name, tensor in tensors.items()})
    assert all(np.array_equal(written[name], tensor) for name, tensor in tensors.items())
    sigmas = np.array([0.6, 3.0], np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(np.moveaxis(np.array(IMAGES), -1, 1).copy()), torch.from_numpy(sigmas)).sample
    expected = np.moveaxis(expected.numpy(), 1, -1) * sigmas[:, None, None, None]
    assert relative_error(functional(net).apply(params, IMAGES, jnp.log(sigmas), None, None), expected) < 1e-5
