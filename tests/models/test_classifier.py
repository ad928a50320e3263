"""A classifier of noisy examples: its loss against the exact p(y | x_t) of a mixture, its network, and what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import traced
from flax import nnx
from labelled import LABELLED, log_prob_y
from oracle import MIXTURE
from runs import DIGITS
from sdes import KIN
from slow import one_in, slow_for

import models
from experiments.main import main
from losses import cross_entropy
from sde_lib import VPSDE, LogisticSDE

pytestmark = pytest.mark.usefixtures("in_root")


@jax.jit
def slopes(sde, t):
    """d/dw of -log p_w(y | x_t) at w = 1, of 4000 draws (x_0, y), with logit p_w = w logit p; and the same at w = 0.5."""

    def slope(key, w):
        which, example, noise = jax.random.split(key, 3)
        ours = jax.random.bernoulli(which, MIXTURE.weights[0])  # y: whether x_0 is of the labelled component
        mean = jnp.where(ours, MIXTURE.means[0], MIXTURE.means[1])
        x_0 = mean + MIXTURE.std * jax.random.normal(example, (2,))

        def loss(w):
            def log_prob(x, t):
                log_p = log_prob_y(sde)(x, t)
                logit = w * (log_p - jnp.log(-jnp.expm1(jnp.minimum(log_p, -1e-6))))
                return jax.nn.log_sigmoid(jnp.where(ours, logit, -logit))

            return cross_entropy(sde, log_prob)(noise, x_0, t)

        return jax.grad(loss)(w)

    keys = jax.random.split(jax.random.key(0), 4000)
    return tuple(jax.vmap(partial(slope, w=w))(keys) for w in (1.0, 0.5))


@slow_for(*KIN)
def test_the_loss_is_least_at_the_posterior(sde):
    """Its expected slope is 0 at the exact p(y | x_t), to 5 standard errors, and not at a flatter one."""
    t = sde.time_at(jnp.float32(1.0))
    at_truth, flatter = (np.asarray(slope) for slope in slopes(traced(sde), t))
    error = lambda slope: slope.std() / np.sqrt(len(slope))
    assert abs(at_truth.mean()) < 5 * error(at_truth)
    assert flatter.mean() < -5 * error(flatter)


def test_the_loss_is_of_any_sde():
    """Where p(x_t | x_0) is not used x_t is simulated: of x_0 = 0 it is within int g^2 = 0.418 of Brownian motion."""
    squared = lambda x, t: -jnp.sum(x**2)
    loss = cross_entropy(LogisticSDE(), squared)
    values = jax.vmap(lambda key: loss(key, jnp.zeros(2), 0.2))(jax.random.split(jax.random.key(0), 2000))
    assert 0.55 < float(values.mean()) < 2 * 0.418


def classifier(shape=(8, 8, 1), classes=10, **options):
    net = partial(models.Classifier, classes=classes, width=8, **{"multipliers": (1, 2)} | options)
    model = models.class_model(net, VPSDE(), classes)
    return model, model.init(jax.random.key(0), jnp.zeros(shape))


@pytest.mark.slow
def test_it_begins_without_a_preference_and_hears_the_noise():
    """log p = -log K at first; with other parameters it depends on x and on t, and sums to one."""
    model, params = classifier()
    x = jax.random.normal(jax.random.key(1), (8, 8, 1))
    np.testing.assert_allclose(model.apply(params, x, 0.5), -np.log(10) * np.ones(10), rtol=1e-6)
    params = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(jax.random.key(2), p.shape), params)
    a, b, c = (model.apply(params, x, t) for x, t in ((x, 0.2), (x, 0.8), (-x, 0.2)))
    assert np.abs(a - b).max() > 1e-3
    assert np.abs(a - c).max() > 1e-3
    assert float(jnp.exp(a).sum()) == pytest.approx(1, rel=1e-5)


@pytest.mark.slow
def test_it_learns_a_law_it_can():
    """Bright and dark images under noise: after 60 steps of its own loss it tells most, and the noisiest it does not know."""
    import optax

    sde = VPSDE()
    model, params = classifier(classes=2)
    adam = optax.adam(3e-3)

    def loss(params, key):
        y_key, t_key, z_key = jax.random.split(key, 3)
        y = jax.random.randint(y_key, (64,), 0, 2)
        t = jax.random.uniform(t_key, (64,), minval=0.1, maxval=1.0)
        x_0 = jnp.broadcast_to((2.0 * y - 1)[:, None, None, None], (64, 8, 8, 1))
        one = lambda key, x_0, y, t: cross_entropy(sde, lambda x, t: model.apply(params, x, t)[y])(key, x_0, t)
        return jax.vmap(one)(jax.random.split(z_key, 64), x_0, y, t).mean()

    def step(state, key):
        update, opt = adam.update(jax.grad(loss)(state[0], key), state[1])
        return (optax.apply_updates(state[0], update), opt), None

    train = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys)[0])
    params, _ = train((params, adam.init(params)), jax.random.split(jax.random.key(1), 60))
    z = jax.random.normal(jax.random.key(3), (8, 8, 1))
    at = lambda x_0, t: float(jnp.exp(model.apply(params, sde.perturb(x_0 * jnp.ones((8, 8, 1)), z, t), t))[1])
    assert at(1.0, 0.3) > 0.9
    assert at(-1.0, 0.3) < 0.1
    assert 0.2 < at(1.0, 1.0) < 0.8


@pytest.mark.slow
def test_its_features_are_those_that_it_classifies_by():
    """The last ones give its logits, and there are some at each resolution."""
    net = models.Classifier((8, 8, 1), 3, width=8, multipliers=(1, 2), rngs=nnx.Rngs(0))
    net.last.kernel[...] = jax.random.normal(jax.random.key(2), net.last.kernel.shape)
    x, c = jax.random.normal(jax.random.key(1), (2, 8, 8, 1)), jnp.array([0.1, 0.7])
    features = net.features(x, c)
    assert [f.shape for f in features] == [(2, 8, 8, 8), (2, 4, 4, 16)]
    logits = net.last(nnx.silu(net.norm(features[-1])).reshape(2, -1))
    np.testing.assert_allclose(net(x, c), logits, rtol=1e-5)
    of_one = models.features(lambda shape, rngs: net, c_in=1.0, c_noise=c[1])
    for one, both in zip(of_one(nnx.to_pure_dict(nnx.state(net, nnx.Param)), x[1]), features, strict=True):
        np.testing.assert_allclose(one, both[1], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_what_is_no_classifier_is_refused():
    model = models.class_model(partial(models.DDPM, width=8, multipliers=(1,), attention=()), VPSDE(), 10)
    params = model.init(jax.random.key(0), jnp.zeros((8, 8, 1)))
    with pytest.raises(ValueError, match="a classifier emits 10 logits, not"):
        model.apply(params, jnp.zeros((8, 8, 1)), 0.5)
    with pytest.raises(TypeError, match=r"samplers.classifier takes any function log_prob_y"):
        models.class_model(models.Classifier, LogisticSDE(), 10)


@one_in(4)
@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("--config.net={'name': 'Classifier', 'width': 8}",), "option classes is missing"),
        (("--config.net={'name': 'Classifier', 'classes': 10}", "--config.weight=sigma2"), "cross_entropy weighs t itself"),
        (("--config.net={'name': 'MLP', 'classes': 10}",), "take net Classifier, or objective dsm"),
        (
            ("--config.objective=dsm", "--config.weight=sigma2", "--config.net={'name': 'Classifier', 'classes': 10}"),
            "the network must emit",
        ),
    ],
)
def test_configs_that_make_none_are_refused(tmp_path, capsys, overrides, says):
    argv = ["train", f"--config={DIGITS}", f"--workdir={tmp_path}", "--config.objective=cross_entropy", "--config.weight=None"]
    assert main([*argv, *overrides]) == 2
    assert says in capsys.readouterr().err


assert LABELLED.std == MIXTURE.std  # of which `slopes` draws
