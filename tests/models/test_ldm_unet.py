"""Latent diffusion's U-Net and its transformers: published sizes, what a context may change, and diffusers' own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from published import draw, relative_error
from slow import slow_for

from experiments.weights.layout import from_published, to_published
from experiments.weights.published import diffusers_latent
from models import CLIPText, LDMUNet, functional
from models.build import abstract
from models.functional import pure
from models.layers.spatial_transformer import SpatialTransformer, TransformerBlock

KEYS = jax.random.split(jax.random.key(0), 4)
SMALL = partial(LDMUNet, width=8, multipliers=(1,), blocks=1, attention=(), heads=2, context=6)
X, C = jax.random.normal(KEYS[0], (2, 4, 4, 3)), jnp.array([3.0, 700.0])


def shapes(net, shape):
    return nnx.to_pure_dict(nnx.state(abstract(net, shape), nnx.Param))


def drawn(shapes):
    """Parameters of which none is zero."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda a: jnp.array(0.3 * rng.standard_normal(a.shape), jnp.float32), shapes)


@slow_for("SD 1 and its text", "SD 2", "inpainting", "text-to-image")
@pytest.mark.parametrize(
    ("name", "options", "published"),
    [
        ("SD 1", {}, 859_520_964),
        ("SD 1 and its text", {"vocabulary": 49408}, 859_520_964 + 123_060_480),
        ("SD 2", {"context": 1024, "head_channels": 64}, 865_910_724),
        ("inpainting", {"image": 5}, 859_535_364),
        ("text-to-image", {"context": 1280}, 872_300_484),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_has_the_published_sizes(name, options, published):
    sizes = jax.tree.map(lambda a: a.size, shapes(partial(LDMUNet, **options), (64, 64, 4)))
    assert jax.tree.reduce(int.__add__, sizes) == published


@pytest.fixture(scope="module")
def small():
    """The network with a context, an image beside x and labels, and parameters of it that are all in use."""
    build = partial(SMALL, image=2, classes=3)
    params = drawn(shapes(build, X.shape[1:]))
    return params, jax.jit(lambda y: functional(build).apply(params, X, C, y, None))


@pytest.mark.slow
def test_it_reads_each_condition(small):
    """Tokens, the label and the image, each of its own example alone."""
    _, net = small
    tokens, image = jax.random.normal(KEYS[1], (2, 5, 6)), jax.random.normal(KEYS[2], (2, 4, 4, 2))
    y = {"tokens": tokens, "label": jnp.array([1, 2]), "image": image}
    out = net(y)
    for name, values in y.items():
        changed = net(y | {name: values.at[1].set(values[0])})
        np.testing.assert_allclose(changed[0], out[0], rtol=1e-4, atol=1e-4)
        assert relative_error(changed[1], out[1]) > 1e-4


@pytest.mark.slow
def test_nothing_is_the_last_label_and_an_image_of_zeros(small):
    _, net = small
    last = {"label": jnp.full(2, 3), "image": jnp.zeros((2, 4, 4, 2))}
    np.testing.assert_allclose(net(last), net(None), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_label_is_a_token(small):
    """Its row of the table is beside the tokens of y; and tokens have no order."""
    params, net = small
    first, third, none = (jnp.broadcast_to(params["labels"]["table"][i], (2, 1, 6)) for i in (0, 2, 3))
    one, other = net({"label": jnp.full(2, 2), "tokens": first}), net({"label": jnp.full(2, 0), "tokens": third})
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    assert relative_error(net({"tokens": none}), net(None)) < 1e-5  # twice one key is one


@pytest.mark.slow
def test_it_reads_texts_by_their_ids_or_states():
    """None, zeros and the empty text are one, example by example."""
    build = partial(SMALL, context=64, vocabulary=20, length=7, text_depth=1)
    params = drawn(shapes(build, X.shape[1:]))
    net = jax.jit(lambda tokens: functional(build).apply(params, X, C, {"tokens": tokens}, None))
    text, empty = jnp.array([18, 3, 7, 19, 19, 19, 19]), jnp.array([18, *(19,) * 6])
    nothing = net(None)
    for ids in (jnp.zeros((2, 7), int), jnp.stack([empty, empty]), jnp.stack([jnp.zeros(7, int), empty])):
        np.testing.assert_allclose(net(ids), nothing, rtol=1e-4, atol=1e-5)
    one = net(jnp.stack([text, jnp.zeros(7, int)]))
    np.testing.assert_allclose(one[1], nothing[1], rtol=1e-5, atol=1e-5)
    assert relative_error(one[0], nothing[0]) > 1e-3
    _, read = pure(lambda shape, rngs: CLIPText(shape, 20, 64, 1, 1, rngs=rngs))
    states = read(params["clip"], (7,))(jnp.stack([text, empty]))
    np.testing.assert_allclose(net(states), one, rtol=1e-4, atol=1e-4)


def test_a_text_has_the_length_that_it_reads():
    net = functional(partial(SMALL, tokens=64, vocabulary=20, length=7, text_depth=1))
    call = lambda ids: net.apply(net.init(KEYS[0], X[0]), X, C, {"tokens": ids}, None)
    with pytest.raises(ValueError, match="a text has 5 tokens, and the network reads length = 7"):
        jax.eval_shape(call, jnp.ones((2, 5), int))


def test_a_text_needs_whole_heads():
    with pytest.raises(ValueError, match="context = 6: heads of 64 channels read a text"):
        abstract(partial(SMALL, vocabulary=20), (4, 4, 3))


@pytest.mark.slow
@pytest.mark.parametrize("context", [0, 6])
def test_it_starts_at_zero(context):
    init, apply = functional(partial(SMALL, context=context))
    params = jax.jit(init)(KEYS[0], X[0])
    assert not jax.jit(lambda params: apply(params, X, C, None, None))(params).any()


def test_classes_need_a_context():
    with pytest.raises(ValueError, match="take context = 512"):
        abstract(partial(SMALL, context=0, classes=3), (4, 4, 3))


def transformer(context):
    """Two blocks of two heads, as a function of parameters; those at the start, and others that are all in use."""
    graph, state = nnx.split(SpatialTransformer(8, heads=2, context=context, depth=2, rngs=nnx.Rngs(0)))
    return jax.jit(lambda state, *args: nnx.merge(graph, state)(*args)), state, drawn(state)


@pytest.mark.slow
def test_a_transformer_starts_as_nothing_and_has_no_pixel_before_another():
    net, start, params = transformer(6)
    x, context = jax.random.normal(KEYS[1], (2, 2, 3, 8)), jax.random.normal(KEYS[2], (2, 5, 6))
    np.testing.assert_array_equal(net(start, x, context), x)
    order = jax.random.permutation(KEYS[3], 6)
    shuffled = lambda a: a.reshape(2, 6, 8)[:, order].reshape(x.shape)
    np.testing.assert_allclose(net(params, shuffled(x), context), shuffled(net(params, x, context)), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_without_a_context_it_attends_to_its_pixels_twice():
    """As if each block's context were its own normalised tokens."""
    block, h = TransformerBlock(8, 2, 0, rngs=nnx.Rngs(0)), jax.random.normal(KEYS[1], (2, 6, 8))
    middle = h + block.self_attention(block.norm1(h))
    np.testing.assert_allclose(block(h), block(h, block.norm2(middle)), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("linear", [False, True], ids=["SD 1", "SD 2"])
def test_it_is_diffusers(linear):
    """UNet2DConditionModel, whose `attention_head_dim` is a number of heads; SD 2's projections are products."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    theirs = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=4, use_linear_projection=linear,
    ).eval()  # fmt: skip
    for module in theirs.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = min(module.num_channels // 4, 32)
    tensors = draw({name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()})
    theirs.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    net = partial(LDMUNet, width=32, multipliers=(1, 2), blocks=1, attention=(8,), heads=4, context=16)
    layout = diffusers_latent.layout(abstract(net, (8, 8, 4)))
    params = from_published(shapes(net, (8, 8, 4)), layout, tensors, "diffusers")
    written = to_published(params, layout, {name: tensor.shape for name, tensor in tensors.items()})
    assert all(np.array_equal(written[name], tensor) for name, tensor in tensors.items())
    rng = np.random.default_rng(0)
    x, context = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 8, 8, 4), (2, 5, 16)))
    with torch.no_grad():
        emitted = theirs(torch.from_numpy(np.moveaxis(x, -1, 1).copy()), torch.tensor([3, 700]), torch.from_numpy(context))
    out = functional(net).apply(params, jnp.array(x), C, {"tokens": jnp.array(context)}, None)
    assert relative_error(out, np.moveaxis(emitted.sample.numpy(), 1, -1)) < 1e-5
