"""The networks of latent diffusion's first stages: their published sizes, and diffusers' AutoencoderKL and VQModel."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from published import draw, relative_error
from slow import one_in

from experiments.weights.layout import from_published, to_published
from experiments.weights.published.diffusers_autoencoder import Networks
from models import LDMDecoder, LDMEncoder, functional
from models.build import abstract
from models.codecs.vq import vq_autoencoder

SIZES = {
    "KL-f4": (3, 0, (1, 2, 4), (), (22_351_238, 32_960_771, 54, 55_312_063)),
    "KL-f8": (4, 0, (1, 2, 4, 4), (), (34_163_592, 49_490_179, 92, 83_653_863)),
    "KL-f16": (16, 0, (1, 1, 2, 2, 4), (16,), (28_265_760, 41_343_875, 1_328, 69_610_963)),
    "KL-f32": (64, 0, (1, 1, 2, 2, 4, 4), (16, 8), (42_614_656, 61_244_803, 20_672, 103_880_131)),
    "VQ-f4": (3, 8192, (1, 2, 4), (), (22_337_411, 32_960_771, 24_600, 55_322_782)),
    "VQ-f8": (4, 16384, (1, 2, 2, 4), (32,), (67_717_295,)),
    "VQ-f16": (8, 16384, (1, 1, 2, 2, 4), (16,), (69_593_371,)),
}
"""Channels of a code, codes, multipliers, attention; and parameters of encoder, decoder, both maps of codes, and all."""
SMALL = {"width": 32, "multipliers": (1, 2), "blocks": 1}
X = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))


def count(net):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(net, nnx.Param)))


def both(z, codes, multipliers, attention, **options):
    """The encoder and the decoder of images at 256 x 256, by shapes alone."""
    options |= {"multipliers": multipliers, "attention": attention}
    encoder = abstract(partial(LDMEncoder, channels=z if codes else 2 * z, **options), (256, 256, 3))
    side = 256 // 2 ** (len(multipliers) - 1)
    return encoder, abstract(partial(LDMDecoder, **options), (side, side, z))


@one_in(4)
@pytest.mark.parametrize("name", SIZES)
def test_they_have_the_published_sizes(name):
    z, codes, multipliers, attention, published = SIZES[name]
    encoder, decoder = both(z, codes, multipliers, attention)
    maps = count(encoder.quant) + count(decoder.quant) + codes * z
    of_each = count(encoder) - count(encoder.quant), count(decoder) - count(decoder.quant), maps
    assert (*of_each, sum(of_each))[-len(published) :] == published


@pytest.mark.slow
def test_without_attention_it_is_the_published_variant():
    """VQ-f4-noattn."""
    z, codes, multipliers, attention, _ = SIZES["VQ-f4"]
    nets = both(z, codes, multipliers, attention, middle_attention=False)
    assert sum(map(count, nets)) + codes * z == 53_219_486


@pytest.mark.slow
def test_a_halving_sees_right_and_below():
    """Output (i, j) of pixels 2i to 2i + 2: with zeros before it would be from 2i - 1."""
    (shrink,) = LDMEncoder((4, 4, 1), width=4, multipliers=(1, 1), blocks=1, rngs=nnx.Rngs(0)).shrink
    dot = lambda i: jnp.zeros((1, 4, 4, 4)).at[0, i, i].set(1)
    sees = lambda i: {tuple(map(int, at)) for at in np.argwhere(abs(shrink(dot(i)) - shrink(0 * dot(0)))[0].sum(-1) > 1e-6)}
    assert [sees(i) for i in range(4)] == [{(0, 0)}, {(0, 0)}, {(0, 0), (0, 1), (1, 0), (1, 1)}, {(1, 1)}]


def diffusers_model(name, **options):
    """diffusers' class of that name at the rule's parameters, and those. Groups are the most that our widths have."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    theirs = getattr(diffusers, name)(
        block_out_channels=(32, 64), layers_per_block=1, down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"), sample_size=8, **options,
    ).eval()  # fmt: skip
    for module in theirs.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = min(module.num_channels // 4, 32)
    tensors = draw({name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()})
    theirs.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    return theirs, tensors


def through(call, x):
    """The images that a function of torch's images returns."""
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        return np.moveaxis(call(torch.from_numpy(np.moveaxis(np.array(x), -1, 1).copy())).numpy(), 1, -1)


@pytest.mark.slow
def test_they_are_autoencoder_kl():
    """Mean and log-variance, and the image of a code; the tensors go back as they came."""
    theirs, tensors = diffusers_model("AutoencoderKL", latent_channels=4)
    encoder, decoder = partial(LDMEncoder, attention=(4,), **SMALL), partial(LDMDecoder, attention=(4,), **SMALL)
    nets = abstract(encoder, (8, 8, 3)), abstract(decoder, (4, 4, 4))
    layout = Networks(*nets).layout
    like = {side: nnx.to_pure_dict(nnx.state(net, nnx.Param)) for side, net in zip(("encoder", "decoder"), nets, strict=True)}
    params = from_published(like, layout, tensors, "diffusers")
    written = to_published(params, layout, {name: tensor.shape for name, tensor in tensors.items()})
    assert all(np.array_equal(written[name], tensor) for name, tensor in tensors.items())
    run = lambda net, params, x: functional(net).apply(params, x, jnp.zeros(len(x)), None, None)
    moments = run(encoder, params["encoder"], X)
    assert relative_error(moments, through(lambda x: theirs.encode(x).latent_dist.parameters, X)) < 1e-5
    z = moments[..., :4]
    assert relative_error(run(decoder, params["decoder"], z), through(lambda z: theirs.decode(z).sample, z)) < 1e-5


@pytest.mark.slow
def test_they_are_vq_model():
    """Its codes are those before the codebook, and its images those of the nearest."""
    theirs, tensors = diffusers_model("VQModel", latent_channels=3, num_vq_embeddings=16)
    nets = partial(LDMEncoder, channels=3, attention=(4,), **SMALL), partial(LDMDecoder, attention=(4,), **SMALL)
    layout = Networks(abstract(nets[0], (8, 8, 3)), abstract(nets[1], (4, 4, 3))).layout
    codec = vq_autoencoder(*nets, codes=16)
    params = from_published(jax.eval_shape(codec.init, jax.random.key(0), X[0]), layout, tensors, "diffusers")
    params = jax.tree.map(jnp.asarray, params)
    z = jax.vmap(lambda x: codec.encode(params, jax.random.key(1), x)[0])(X)
    assert relative_error(z, through(lambda x: theirs.encode(x).latents, X)) < 1e-5
    x_hat = jax.vmap(lambda z: codec.decode(params, None, z))(z)
    assert relative_error(x_hat, through(lambda z: theirs.decode(z).sample, z)) < 1e-5
