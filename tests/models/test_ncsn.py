"""NCSN and NCSNv2 against ermongroup/ncsn and ermongroup/ncsnv2: blocks, outputs, sizes; and what their options do."""

import json
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from published import HERE, draw, outputs_of, relative_error
from slow import one_in, slow_for

from experiments.weights.layout import flatten, from_published, to_published
from experiments.weights.published.ncsn import ncsn
from models.build import abstract
from models.functional import functional
from models.networks.ncsn import NCSN
from models.networks.ncsnv2 import NCSNv2
from models.networks.refinenet import Refinement, ResidualBlock, resize

QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
DEEPER = partial(NCSNv2, multipliers=(1, 2, 2, 4, 4))
DEEPEST = partial(NCSNv2, multipliers=(1, 2, 2, 2, 4, 4))
# Theirs: the network, the width of the recorded one, the blocks recorded.
THEIRS = {
    "ncsn": (NCSN, 8, (ResidualBlock, Refinement)),
    "ncsnv2": (NCSNv2, 8, (ResidualBlock, Refinement)),
    "deeper": (DEEPER, 8, (Refinement,)),
    "deepest": (DEEPEST, 4, (Refinement,)),
}


@cache
def loaded(name, **options):
    """Our network with their weights, these as parameters, and their record."""
    family = "ncsn" if name == "ncsn" else "ncsnv2"
    facts = json.loads((HERE / f"{family}.json").read_text())[name]
    with np.load(HERE / f"{family}.npz") as arrays:
        record = {key.removeprefix(f"{name}."): arrays[key] for key in arrays if key.startswith(f"{name}.")}
    build, width, _ = THEIRS[name]
    graph, state = nnx.split(abstract(partial(build, width=width, **options), record["x"].shape[1:]))
    like, layout = nnx.to_pure_dict(state), ncsn(nnx.merge(graph, state))
    params = jax.tree.map(jnp.asarray, from_published(like, layout, draw(facts["shapes"]), name))
    nnx.replace_by_pure_dict(state, params)
    return nnx.merge(graph, state), params, facts, record


@slow_for("ncsn")
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in ("deeper", "deepest") else n for n in THEIRS])
def test_every_block_computes_what_theirs_does(name):
    net, _, facts, record = loaded(name)
    with outputs_of(*THEIRS[name][2]) as blocks:
        out = net(jnp.asarray(record["x"]), jnp.array(facts["labels"], float))
    theirs = [record[f"block{i}"] for i in range(len(blocks))]
    assert len(record) == 2 + len(blocks)
    errors = [relative_error(a, b) for a, b in zip([*blocks, out], [*theirs, record["out"]], strict=True)]
    assert max(errors) < 1e-5, errors


@one_in(2)
@pytest.mark.parametrize("name", THEIRS)
def test_the_layout_writes_what_it_read(name):
    net, params, facts, _ = loaded(name)
    tensors = draw(facts["shapes"])
    written = to_published(params, ncsn(net), facts["shapes"])
    for key in tensors.keys() - {"sigmas"}:
        np.testing.assert_array_equal(written[key], tensors[key])


@slow_for("deepest", "deeper")
@pytest.mark.parametrize("name", THEIRS)
def test_cifar_networks_have_the_published_size(name):
    _, _, facts, _ = loaded(name)
    params = jax.eval_shape(functional(THEIRS[name][0]).init, jax.random.key(0), jnp.zeros((32, 32, 3)))
    assert sum(a.size for a in jax.tree.leaves(params)) == facts["parameters"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ncsn", "ncsnv2"])
def test_half_precision_stays_close(name):
    net, params, facts, record = loaded(name)
    call = jax.jit(functional(net, compute="bfloat16").apply, compiler_options=QUICKLY)
    half = call(params, record["x"], jnp.array(facts["labels"], float), None, None)
    assert half.dtype == jnp.float32
    assert relative_error(half, record["out"]) < 0.03


@pytest.mark.slow
def test_rematerialised_blocks_have_the_same_gradient():
    small = partial(NCSN, width=4, multipliers=(1,), dilations=(), rungs=3)
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 3))
    params = jax.jit(functional(small).init, compiler_options=QUICKLY)(jax.random.key(1), x[0])

    def gradient(remat):
        call = functional(small, remat=remat).apply
        mean_square = lambda p: (call(p, x, jnp.ones(1), None, None) ** 2).mean()
        return jax.tree.leaves(jax.jit(jax.grad(mean_square), compiler_options=QUICKLY)(params))

    plain, again = gradient(False), gradient(True)
    largest = max(float(jnp.abs(a).max()) for a in plain)  # a bias before a normalisation has none but by rounding
    for a, b in zip(plain, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6 * largest)


@pytest.mark.slow
def test_ncsn_hears_the_rung_and_ncsnv2_hears_nothing():
    """Rounded to a rung, held to the ladder."""

    def outputs(name, *labels):
        net, _, _, record = loaded(name)
        # One image at a time: a batch may round its rows differently.
        return [net(jnp.asarray(record["x"][[0]]), jnp.array([label]))[0] for label in labels]

    for same in (outputs("ncsn", 3.0, 3.4), outputs("ncsn", 9.0, 12.0), outputs("ncsnv2", 3.0, 40.0)):
        np.testing.assert_array_equal(same[0], same[1])
    assert relative_error(*outputs("ncsn", 3.0, 4.0)) > 1e-2


@pytest.mark.parametrize(
    "option", [{"pool": "mean"}, {"dilations": (2, 2)}, {"centre_input": False}], ids=lambda option: next(iter(option))
)
def test_every_option_does_something(option):
    net, _, facts, record = loaded("ncsnv2", **option)
    out = net(jnp.asarray(record["x"]), jnp.array(facts["labels"], float))
    assert relative_error(out, record["out"]) > 1e-2


@pytest.mark.slow
def test_ncsn_of_other_ladders_classes_and_outputs():
    net = partial(NCSN, width=4, multipliers=(1,), dilations=(), rungs=3, classes=2, outputs=2)
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 3))
    params = jax.jit(functional(net).init, compiler_options=QUICKLY)(jax.random.key(1), x[0])
    assert {len(leaf) for path, leaf in flatten(params).items() if path.endswith("norm1.table")} == {3}
    call = jax.jit(functional(net).apply, compiler_options=QUICKLY)
    first, second, none = (call(params, x, jnp.zeros(1), jnp.array([y]), None) for y in range(3))
    assert first.shape == (1, 4, 4, 6)
    assert relative_error(first, second) > 1e-4
    unlabelled = functional(net).apply(params, x, jnp.zeros(1), None, None)
    np.testing.assert_allclose(none, unlabelled, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_dilated_stages_keep_the_resolution():
    stages = abstract(DEEPEST, (32, 64, 3)).stages
    assert [(stage.height, stage.width) for stage in stages] == [(32, 64), (16, 32), (8, 16), (4, 8), (4, 8), (4, 8)]


def test_it_starts_as_published():
    """gamma, alpha ~ N(1, 0.02^2), beta = 0; kernels and biases uniform in 1/sqrt(fan_in)."""
    block = ResidualBlock(64, 64, "none", 1, 10, rngs=nnx.Rngs(0))
    gamma_alpha, beta = np.split(np.asarray(block.norm1.table[...]), [128], axis=1)
    assert gamma_alpha.mean() == pytest.approx(1, abs=2e-3)
    assert gamma_alpha.std() == pytest.approx(0.02, rel=0.1)
    assert not beta.any()
    bound = (9 * 64) ** -0.5
    for name in ("kernel", "bias"):
        leaf = getattr(block.conv1, name)[...]
        assert bound * 0.9 < float(jnp.abs(leaf).max()) <= bound


@pytest.mark.parametrize(("n", "wanted"), [((3, 4), (6, 8)), ((1, 2), (2, 1)), ((3, 5), (7, 4))])
def test_resize_is_exact_on_what_is_linear(n, wanted):
    """A bilinear function of the pixels, corners at 0 and 1, is itself at any resolution."""

    def bilinear(height, width):
        i, j = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)
        return (1 + 2 * (height > 1) * (n[0] > 1) * i - 3 * j + i * j * (n[0] > 1))[None, :, :, None]

    np.testing.assert_allclose(resize(jnp.asarray(bilinear(*n), jnp.float32), *wanted), bilinear(*wanted), atol=1e-5)


def test_a_shape_or_depth_that_cannot_be_is_an_error():
    with pytest.raises(ValueError, match="divisible by 2"):
        NCSNv2((5, 4, 3), width=4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"dilations \(2, 4\) leave no stage of the multipliers \(1, 2\)"):
        NCSNv2((4, 4, 3), width=4, multipliers=(1, 2), rngs=nnx.Rngs(0))
