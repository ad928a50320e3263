"""Conditions of a network: each is heard, and one that is absent is the same as zeros; text and attention by their formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.nn import softmax
from slow import slow_for

import models
from models.build import abstract
from models.functional import functional
from models.layers.text import Text
from models.layers.unet import CrossAttention

B, SIDE, C, VECTOR, IMAGE, TOKENS, CHARACTERS, L = 2, 4, 3, 5, 2, 8, 7, 6
SMALL = {
    "DDPM": {"width": 4, "multipliers": (1,), "blocks": 1, "attention": (SIDE,), "dropout": 0.0},
    "ADM": {"width": 4, "multipliers": (1,), "blocks": 1, "attention": (SIDE,), "heads": 2, "dropout": 0.0},
    "NCSNpp": {"width": 4, "multipliers": (1, 2), "blocks": 1, "attention": (SIDE,), "dropout": 0.0},
    "EDMUNet": {"width": 4, "multipliers": (1, 2), "blocks": 1, "attention": (SIDE,), "dropout": 0.0, "encoder": "residual"},
    "DiT": {"width": 8, "depth": 1, "heads": 2},
    "UViT": {"width": 8, "depth": 1, "heads": 2},
    "NCSN": {"width": 4, "multipliers": (1, 1), "dilations": (2,), "rungs": 2},
    "NCSNv2": {"width": 4, "multipliers": (1, 1), "dilations": (2,)},
    "MLP": {"width": 8, "depth": 1},
}
KINDS = dict.fromkeys(("DDPM", "ADM", "NCSNpp", "EDMUNet"), ("vector", "image", "tokens"))
KINDS |= dict.fromkeys(("DiT", "UViT", "NCSN", "NCSNv2"), ("vector", "image")) | {"MLP": ("vector",)}
OPTIONS = {"vector": {"vector": VECTOR}, "image": {"image": IMAGE}, "tokens": {"tokens": TOKENS}}
rng = np.random.default_rng(0)
normal = lambda *shape: jnp.array(rng.standard_normal(shape), jnp.float32)
X, NOISE = normal(B, SIDE, SIDE, C), jnp.array([0.1, 0.9])
GIVEN = {"vector": normal(B, VECTOR), "image": normal(B, SIDE, SIDE, IMAGE), "tokens": normal(B, L, TOKENS)}
TEXT = jnp.array([[3, 1, 6, 0, 0, 0], [2, 2, 5, 4, 1, 0]])


def small(name, *kinds, **options):
    """The network of that name, with these conditions."""
    taken = {key: value for kind in kinds for key, value in OPTIONS[kind].items()}
    return partial(getattr(models, name), **SMALL[name], **(taken | options))


def drawn(net, shape=(SIDE, SIDE, C)):
    """Parameters of which none is zero."""
    like = nnx.to_pure_dict(nnx.state(abstract(net, shape), nnx.Param))
    return jax.tree.map(lambda leaf: 0.3 * normal(*leaf.shape), like)


def emitted(net, *ys):
    """What the network emits given each y, at parameters of which none is zero, by one program."""
    params = drawn(net)
    return jax.jit(lambda params: [functional(net).apply(params, X, NOISE, y, None) for y in ys])(params)


@slow_for(*(name for name in KINDS if name not in ("DiT", "MLP")))
@pytest.mark.parametrize("name", KINDS)
def test_each_condition_is_heard_and_zeros_are_none(name):
    kinds = KINDS[name]
    given = {kind: GIVEN[kind] for kind in kinds}
    zeros = jax.tree.map(jnp.zeros_like, given)
    others = [given | {kind: GIVEN[kind][::-1]} for kind in kinds]
    none, empty, null, all_of_them, *swapped = emitted(small(name, *kinds), None, {}, zeros, given, *others)
    np.testing.assert_array_equal(none, empty)
    np.testing.assert_allclose(none, null, rtol=1e-6, atol=1e-6)
    for changed in swapped:
        assert np.abs(all_of_them - none).max() > 1e-3
        assert np.abs(all_of_them - changed).max() > 1e-3


@slow_for(*(name for name in KINDS if name not in ("DiT",)))
@pytest.mark.parametrize("name", [name for name, kinds in KINDS.items() if "image" in kinds])
def test_a_kernel_of_zeros_hears_no_image(name):
    """The network is then the one without: the same parameters, beside those of the image's channels, after x's own."""
    plain, told = small(name), small(name, "image")
    params = drawn(plain)

    pad = lambda leaf, like: jnp.pad(leaf, [(0, after - before) for before, after in zip(leaf.shape, like.shape, strict=True)])
    wide = jax.tree.map(pad, params, drawn(told))
    says = jax.jit(lambda: functional(told).apply(wide, X, NOISE, {"image": GIVEN["image"]}, None))()
    np.testing.assert_allclose(
        says, jax.jit(lambda: functional(plain).apply(params, X, NOISE, None, None))(), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", KINDS)
def test_without_conditions_a_network_has_no_parameters_for_them(name):
    """And with them it keeps every path that it had."""
    paths = lambda net: {
        path for path, _ in jax.tree_util.tree_leaves_with_path(nnx.state(abstract(net, X.shape[1:]), nnx.Param))
    }
    plain, told = paths(small(name)), paths(small(name, *KINDS[name]))
    words = ("vector", "cross_attention", "text")
    new = {path for path in told if any(word in str(path) for word in words)}
    assert new
    assert told - new == plain


def test_cross_attention_is_its_formula():
    """g (x + W softmax(q k^T / sqrt(d)) v + b) by numpy, in two heads; tokens of zeros say b alone, as none do."""
    layer = CrossAttention(8, 4, tokens=TOKENS, rescale=0.5, rngs=nnx.Rngs(0))
    nnx.update(layer, jax.tree.map(lambda leaf: 0.5 * normal(*leaf.shape), nnx.state(layer, nnx.Param)))
    x, tokens = normal(B, 3, 2, 8), GIVEN["tokens"]
    q, k, v = layer.q(layer.norm(x)).reshape(B, 6, 8), tokens @ layer.k.kernel[...], tokens @ layer.v.kernel[...]
    heads = [softmax(q[..., s] @ k[..., s].swapaxes(1, 2) / 2, axis=-1) @ v[..., s] for s in (slice(4), slice(4, 8))]
    W, b = layer.out.kernel[...], layer.out.bias[...]
    expected = 0.5 * (x + (jnp.concatenate(heads, axis=-1) @ W + b).reshape(x.shape))
    np.testing.assert_allclose(layer(x, tokens), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer(x, 0 * tokens), 0.5 * (x + b), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer(x, None), layer(x, 0 * tokens))


@pytest.fixture(scope="module")
def reader():
    text = Text(CHARACTERS, TOKENS, rngs=nnx.Rngs(0))
    nnx.update(text, jax.tree.map(lambda leaf: 0.5 * normal(*leaf.shape), nnx.state(text, nnx.Param)))
    return text


@pytest.mark.slow
def test_what_is_no_character_changes_nothing(reader):
    """A text is read alike with less room after it, in order and with every character; the empty text is zero."""
    vectors = reader(TEXT)
    np.testing.assert_array_equal(vectors[TEXT == 0], 0.0)
    np.testing.assert_allclose(reader(TEXT[:1, :3]), vectors[:1, :3], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(reader(jnp.zeros((1, 4), int)), 0.0)
    for other in (TEXT[0, jnp.array([0, 2, 1, 3, 4, 5])], TEXT[0].at[2].set(5)):
        assert np.abs(reader(other[None])[0, 0] - vectors[0, 0]).max() > 1e-3


@pytest.mark.slow
def test_a_text_inside_a_network_is_read_and_trained():
    """The empty text is no tokens; the gradient reaches the table at the characters that occur."""
    net = small("DDPM", tokens=TOKENS, vocabulary=CHARACTERS)
    params = drawn(net)
    out = lambda params, y: functional(net).apply(params, X, NOISE, y, None)
    told, empty, none = jax.jit(lambda params: [out(params, y) for y in ({"tokens": TEXT}, {"tokens": 0 * TEXT}, None)])(params)
    np.testing.assert_allclose(empty, none, rtol=1e-6, atol=1e-6)
    assert np.abs(told - none).max() > 1e-3
    table = jax.jit(jax.grad(lambda params: (out(params, {"tokens": TEXT}) ** 2).sum()))(params)["text"]["table"]
    assert (np.abs(table).max(1) > 0).tolist() == [n in {*np.unique(TEXT)} - {0} for n in range(CHARACTERS)]


@pytest.mark.parametrize(
    ("options", "says"), [({"vocabulary": 9}, "take tokens = 128"), ({"vocabulary": 9, "tokens": 6}, "4 heads")]
)
def test_a_text_that_cannot_be_read_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        abstract(small("DDPM", **options), X.shape[1:])
