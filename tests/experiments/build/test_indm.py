"""INDM (Kim et al. 2022), a flow and a score of its codes, from a config: on Gaussian data, in closed form.

A flow whose couplings do nothing is affine, z = x A + b, so that z is normal if x is, and its score is exact.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from edited_runs import experiment_of
from oracle import Normal
from scipy.stats import multivariate_normal
from slow import slow_for

import models
from experiments.data.dataset import Batch
from experiments.evaluation.likelihood import measure_bits

pytestmark = pytest.mark.usefixtures("in_root")
C = np.array([[0.8, 0.3, -0.2], [0.3, 0.5, 0.1], [-0.2, 0.1, 0.4]])
GLOW = "--config.codec.by={'name': 'glow', 'levels': 0, 'steps': 2, 'width': 8}"
LIKELIHOOD = "--config.weight=likelihood", "--config.times=importance"
FLOWS = {
    "glow": (GLOW, (3,)),
    "glow of an image": ("--config.codec.by={'name': 'glow', 'levels': 1, 'steps': 2, 'width': 8}", (8, 8, 1)),
    "real_nvp": ("--config.codec.by={'name': 'real_nvp', 'couplings': 3, 'width': 8}", (4,)),
    "residual_flow": ("--config.codec.by={'name': 'residual_flow', 'blocks': 2, 'width': 8}", (3,)),
}


def draws(law, n):
    return np.float32(law.rvs(n, random_state=np.random.default_rng(0)))


def affine():
    """An experiment whose flow is affine, and far from where it starts; its parameters; and the law N(m, C) of x with h(m) = 0.

    Its score is that of the codes of x, exactly. At t = 1 no mean is left that the prior would not have.
    """
    exactly = "--config.evaluate.tolerance=1e-5", "--config.evaluate.probes=0", "--config.evaluate.bound_times=64"
    experiment = experiment_of(GLOW, *LIKELIHOOD, *exactly, shape=(3,))
    rng = np.random.default_rng(1)
    *linear, coupling = experiment.initial(jax.random.key(0))["codec"]
    flow = (*jax.tree.map(lambda a: jnp.asarray(0.4 * rng.standard_normal(a.shape), jnp.float32), linear), coupling)
    m = experiment.codec.decode((flow,), None, jnp.zeros(3))
    A = np.asarray(jax.jacfwd(lambda x: experiment.codec.encode((flow,), jax.random.key(0), x)[0])(m))
    codes = Normal(jnp.zeros(3), jnp.asarray(A @ C @ A.T, jnp.float32))
    score = lambda params, z, t, y=None, key=None: codes.score(experiment.sde)(z, t)
    model = models.ScoreModel(lambda key, z: {}, score, lambda *a, **k: None)
    return experiment._replace(model=model), {"net": {}, "codec": flow}, multivariate_normal(np.asarray(m), C)


@pytest.mark.slow
def test_the_likelihood_of_an_affine_flow_is_that_of_the_data():
    """log p(x) = log p(h(x)) + log|det dh/dx|: by the flow of each example, and by the mean bound, which is tight."""
    experiment, params, law = affine()
    x = draws(law, 512)
    bits = measure_bits(experiment, experiment.network(params), Batch(x))
    truth = -law.logpdf(x) / 3 / np.log(2)
    np.testing.assert_allclose(bits.flow, truth, atol=2e-3)
    gap = bits.bound - truth
    assert gap.mean() == pytest.approx(0, abs=4.5 * gap.std() / 512**0.5)


@pytest.mark.slow
def test_the_joint_loss_is_the_negative_log_likelihood():
    """The mean over x of D cost + D/2 dsm/p(t), and of L_0 = D/2 (log 2 pi e - lambda(t_min)): the entropy of the data."""
    experiment, params, law = affine()
    n = 20_000
    t, inverse_density = experiment.times.sample(jax.random.key(1), experiment.times.init(), n)
    one = lambda key, x, t: experiment.loss(params, key)(key, x, t)
    joint = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), n), draws(law, n), t)
    sde, D = experiment.sde, 3
    total = D * (joint.cost + inverse_density * joint.score / 2) + D / 2 * (np.log(2 * np.pi * np.e) - sde.log_snr(sde.t_min))
    assert float(total.mean()) == pytest.approx(law.entropy(), abs=4.5 * float(total.std()) / n**0.5 + 5e-3)


@slow_for("glow of an image", "residual_flow")
@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_begins_as_an_isometry(name):
    """|z| = |x| at no cost, so that INDM begins as the diffusion of x itself; for in a run init sees no example."""
    flow, shape = FLOWS[name]
    config = "configs/digits/vp.py:tiny" if len(shape) == 3 else "configs/toy2d/moons.py"
    experiment = experiment_of(flow, config=config, shape=shape)
    x = jax.random.normal(jax.random.key(1), shape)

    @jax.jit
    def start(key):
        return experiment.codec.encode((experiment.initial(key)["codec"],), key, x)

    z, cost = start(jax.random.key(0))
    assert float(cost) == pytest.approx(0, abs=1e-5)
    assert float(jnp.linalg.norm(z)) == pytest.approx(float(jnp.linalg.norm(x)), rel=1e-5)


LAW = multivariate_normal(np.array([0.5, -1.0, 0.2]), C)


@pytest.mark.slow
@pytest.mark.parametrize("weight", ["likelihood", "sigma2"])
def test_a_flow_learns_the_data_beneath_a_fixed_prior(weight):
    """The score stays that of N(0, I). Whatever it is weighed by, the flow ends at the data: its bits are the entropy."""
    normal = "--config.net=Zero", "--config.parameterization=edm"
    exactly = "--config.evaluate.probes=0", "--config.evaluate.tolerance=1e-5"
    weighed = f"--config.weight={weight}", "--config.times=importance"
    experiment = experiment_of(GLOW, *normal, *exactly, *weighed, shape=(3,))
    params, x = experiment.initial(jax.random.key(0)), jnp.asarray(draws(LAW, 8192))
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, 1500))

    def loss(params, key):
        t, inverse_density = experiment.times.sample(key, experiment.times.init(), 512)
        batch = jax.random.choice(key, x, (512,))
        one = lambda key, x, t: experiment.loss(params, key)(key, x, t)
        joint = jax.vmap(one)(jax.random.split(key, 512), batch, t)
        return jnp.mean(joint.cost + inverse_density * joint.score)

    @jax.jit
    def train(params):
        def step(state, key):
            params, opt = state
            update, opt = optimizer.update(jax.grad(loss)(params, key), opt)
            return (optax.apply_updates(params, update), opt), None

        return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(jax.random.key(1), 1500))[0][0]

    held_out = np.float32(LAW.rvs(2048, random_state=np.random.default_rng(5)))
    bits = measure_bits(experiment, experiment.network(train(params)), Batch(held_out)).flow
    excess = bits + LAW.logpdf(held_out) / 3 / np.log(2)
    assert excess.mean() == pytest.approx(0, abs=0.02)
