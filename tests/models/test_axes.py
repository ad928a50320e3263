"""DDPM and DiT over one, two and three axes of space: counts by hand, symmetries, and a network inside one of an axis more."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads
from scipy.signal import correlate
from slow import slow_for

import models
from experiments.build.build import build
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.runtime.errors import ConfigError
from experiments.weights.layout import flatten
from models import DDPM, DiT, score_model
from models.build import abstract
from models.cpu.convolution import Form, convolve
from models.functional import functional
from models.layers.affine import Conv
from models.layers.transformer import patches, unpatchify
from models.networks.dit import positions
from sde_lib import VPSDE

AXES = [1, 2, 3]
SMALL = partial(DDPM, width=4, multipliers=(1, 2), blocks=1, attention=(4,), dropout=0.0)
OTHERS = [net for net in models.NETWORKS if net.__name__ not in ("DDPM", "DiT", "MLP", "Zero")]


def shapes(net, shape):
    return nnx.to_pure_dict(nnx.state(abstract(net, shape), nnx.Param))


def size(net, shape):
    return sum(leaf.size for leaf in jax.tree.leaves(shapes(net, shape)))


def drawn(net, shape, seed=0):
    """Parameters of which none is zero."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.array(0.3 * rng.standard_normal(leaf.shape), jnp.float32), shapes(net, shape))


def emitted(net, params, x):
    return jax.jit(functional(net).apply)(params, x, jnp.full(len(x), 0.3), None, None)


def linear(i, o):
    return i * o + o


@pytest.mark.parametrize("n", AXES)
def test_ddpm_has_the_parameters_that_its_layers_add_up_to(n):
    w, c, e = 8, 3, 32
    conv = lambda i, o: 3**n * i * o + o
    attention = lambda i: 2 * i + 4 * linear(i, i)

    def residual(i, o):
        return 2 * i + conv(i, o) + linear(e, o) + 2 * o + conv(o, o) + (linear(i, o) if i != o else 0)

    parts = [
        linear(w, e) + linear(e, e) + conv(c, w),
        residual(w, w) + conv(w, w) + residual(w, 2 * w),
        residual(2 * w, 2 * w) + attention(2 * w) + residual(2 * w, 2 * w),
        residual(4 * w, 2 * w) + residual(3 * w, 2 * w) + conv(2 * w, 2 * w) + residual(3 * w, w) + residual(2 * w, w),
        2 * w + conv(w, c),
    ]
    assert size(partial(SMALL, width=w, attention=()), (6,) * n + (c,)) == sum(parts)


@pytest.mark.parametrize("n", AXES)
def test_dit_has_the_parameters_that_its_layers_add_up_to(n):
    w, c, p, depth = 12, 3, 2, 2
    block = 4 * linear(w, w) + linear(w, 4 * w) + linear(4 * w, w) + linear(w, 6 * w)
    ends = linear(256, w) + linear(w, w) + linear(p**n * c, w) + linear(w, 2 * w) + linear(w, p**n * c)
    assert size(partial(DiT, width=w, depth=depth, heads=3), (4,) * n + (c,)) == ends + depth * block


@pytest.mark.parametrize(("stride", "places"), [(1, slice(None)), (2, slice(1, None, 2))], ids=["1", "2"])
@pytest.mark.parametrize("n", [1, 3])
def test_a_convolution_is_the_sum_over_its_taps(n, stride, places):
    """scipy's, with zeros around x; at stride 2 the taps begin at each even place, as Ho et al. (2020) pad."""
    rng = np.random.default_rng(0)
    conv = Conv(2, 3, stride=stride, axes=n, rngs=nnx.Rngs(0))
    conv.bias[...] = jnp.arange(3.0)
    x, W = rng.standard_normal((1, *(8, 4, 6)[:n], 2), np.float32), np.asarray(conv.kernel[...])
    by_tap = [sum(correlate(x[0, ..., i], W[..., i, o], "same") for i in range(2)) + o for o in range(3)]
    np.testing.assert_allclose(conv(x)[0], np.stack(by_tap, -1)[(places,) * n], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3])
def test_every_derivative_of_a_convolution_is_its_own(n):
    """They agree with finite differences to second order, at stride 2 and under vmap."""
    form, keys = Form(((0, 1),) * n, stride=2), jax.random.split(jax.random.key(0))
    x, W = jax.random.normal(keys[0], (2, 1, *(4,) * n, 1)), jax.random.normal(keys[1], (*(3,) * n, 1, 2))
    convolved = lambda x, W: jnp.sin(jax.vmap(lambda x: convolve(x, W, form))(x))
    check_grads(convolved, (x, W), order=2, rtol=2e-2, atol=2e-2)


@pytest.mark.slow
def test_a_turned_volume_comes_out_turned():
    """All kernels are turned alike: convolutions, halving, doubling, norms and attention prefer no axis."""
    turn = lambda a: a.transpose(0, 3, 1, 2, 4)
    x = jax.random.normal(jax.random.key(1), (1, 4, 2, 6, 1))
    params = drawn(SMALL, x.shape[1:])
    turned = jax.tree.map(lambda leaf: leaf.transpose(2, 0, 1, 3, 4) if leaf.ndim == 5 else leaf, params)
    out = emitted(SMALL, params, x)
    again = emitted(partial(SMALL, attention=(6,)), turned, turn(x))
    np.testing.assert_allclose(again, turn(out), rtol=1e-3, atol=1e-4 * float(jnp.abs(out).max()))
    assert float(jnp.abs(again - emitted(partial(SMALL, attention=(6,)), params, turn(x))).max()) > 0.1


@pytest.mark.slow
@slow_for("1")
@pytest.mark.parametrize("n", [1, 2])
def test_a_network_is_inside_one_of_an_axis_more(n):
    """An event is constant along it, and only the middle tap of the kernels is not zero: attention sees each value twice."""
    x = jax.random.normal(jax.random.key(1), (2, *(4, 6)[:n], 1))
    params = drawn(SMALL, x.shape[1:])
    wider = jax.tree.map(lambda leaf: jnp.stack([0 * leaf, leaf, 0 * leaf], n) if leaf.ndim == n + 2 else leaf, params)
    out = emitted(SMALL, params, x)
    of_more = emitted(SMALL, wider, jnp.stack([x, x], n + 1))
    np.testing.assert_allclose(of_more, jnp.stack([out, out], n + 1), rtol=1e-3, atol=1e-4 * float(jnp.abs(out).max()))


def test_positions_of_a_line_are_those_along_the_rows_of_a_plane():
    """So are those of a plane's columns, in half of the channels each; in space the last axis comes first."""
    line, plane = positions(5, 6), positions(5, 5, 12).reshape(5, 5, 12)
    for place in range(5):
        np.testing.assert_array_equal(plane[place, :, :6], line)
        np.testing.assert_array_equal(plane[:, place, 6:], line)
    space = positions(2, 3, 5, 18).reshape(2, 3, 5, 18)
    for i, j, k in np.ndindex(2, 3, 5):
        np.testing.assert_array_equal(space[i, j, k], jnp.concatenate([line[k], line[j], line[i]]))


@pytest.mark.parametrize("n", AXES)
def test_patches_are_cut_and_joined_alike(n):
    """One matrix makes a token of each patch, along rows last; its transpose would put it back where it was."""
    p, sides = 2, (2, 3, 4)[:n]
    x = np.random.default_rng(0).standard_normal((2, *(p * side for side in sides), 3), np.float32)
    at = [tuple(slice(p * i, p * i + p) for i in place) for place in np.ndindex(*sides)]
    tokens = np.stack([x[:, *place].reshape(2, -1) for place in at], axis=1)
    stage = patches(x.shape[1:], p, 8, 1, 1, axes=(n,))
    assert stage.sides == sides
    np.testing.assert_array_equal(unpatchify(jnp.array(tokens), stage, p), x)
    first = Conv(3, 8, size=p, stride=p, axes=n, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(
        first(x).reshape(2, -1, 8), tokens @ np.asarray(first.kernel[...]).reshape(-1, 8), rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("net", [SMALL, partial(DiT, width=12, depth=1, heads=2)], ids=["DDPM", "DiT"])
@slow_for("3", "DDPM")
@pytest.mark.parametrize("n", [1, 3])
def test_a_score_has_a_gradient_in_every_parameter(n, net):
    model, x = score_model(net, VPSDE()), jax.random.normal(jax.random.key(1), ((4,) * n) + (2,))
    params = drawn(net, x.shape)
    score = jax.vmap(lambda params, x: model.apply(params, x, 0.5), (None, 0))
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(score(params, jnp.stack([x, -x])) ** 2)))(params)
    for path, leaf in flatten(gradient).items():
        assert jnp.isfinite(leaf).all()
        assert jnp.abs(leaf).max() > 0 or path.endswith("k.bias")  # which adds the same to every logit


@pytest.mark.parametrize("shape", [(16, 3), (8, 8, 8, 3)], ids=["signal", "volume"])
@pytest.mark.parametrize("net", OTHERS, ids=lambda net: net.__name__)
def test_other_networks_name_those_that_take_it(net, shape):
    options = {"classes": 3} if net is models.Classifier else {}
    with pytest.raises(ValueError, match=r"need.? an image \[H, W, C\], not an event of shape .*, which DDPM and DiT take"):
        abstract(partial(net, **options), shape)


@pytest.mark.slow
def test_a_config_is_refused_before_it_compiles():
    tree = read_config("configs/digits/vp.py", []) | {"net": {"name": "ADM"}}
    with pytest.raises(ConfigError, match=r"net: 4 resolutions need an image .*\(8, 8, 8, 1\), which DDPM and DiT take"):
        build(Config.model_validate(tree), (8, 8, 8, 1))


def test_sides_that_do_not_divide_are_named():
    with pytest.raises(ValueError, match=r"2 resolutions need a signal \[L, C\] with L divisible by 2, not \(5, 1\)"):
        abstract(SMALL, (5, 1))
    with pytest.raises(
        ValueError, match=r"patch 2 needs a volume \[D, H, W, C\] with D, H and W divisible by 2, not \(4, 4, 5, 1\)"
    ):
        abstract(DiT, (4, 4, 5, 1))
    with pytest.raises(ValueError, match=r"attention \[4\] never occur; the resolutions are \[6, 3\]"):
        abstract(SMALL, (6, 4, 4, 1))
    with pytest.raises(ValueError, match=r"divisible by 6, for sine and cosine along each axis, not 16; take 18"):
        abstract(partial(DiT, width=16, heads=2), (4, 4, 4, 1))
    for shape in ((3,), (2, 2, 2, 2, 1)):
        with pytest.raises(ValueError, match=r"a signal \[L, C\] or an image .* not an event of shape .*, which MLP takes"):
            abstract(SMALL, shape)
