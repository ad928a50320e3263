"""How t is drawn: every draw against the integral it must estimate, and the adaptive one against what it has seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cubature import expectation
from oracle import GAUSSIAN
from sdes import KIN, SDES
from slow import one_in, slow_for

from losses import discrete, dsm, importance, likelihood, log_normal, logit_normal, loss_aware, uniform
from sde_lib import EDMSDE, VESDE, VPSDE, CosineVPSDE, GeometricVPSDE, LogisticSDE, RectifiedFlowSDE, SubVPSDE, ddpm_table


def with_memory(sde, t_min):
    """`loss_aware` after a batch in every bin, of losses that prefer some of them five to one."""
    times = loss_aware(sde, 16, uniform_share=0.1, t_min=t_min)
    t, _ = times.sample(jax.random.key(5), times.init(), 256)
    memory = times.update(times.init(), t, 1 + 4 * jnp.sin(7 * t) ** 2)
    return times._replace(init=lambda: memory)


SAMPLERS = {
    "uniform": uniform,
    "importance": importance,
    "importance of wide data": lambda sde, t_min: importance(sde, t_min, prior_variance=1e4),
    "log_normal": lambda sde, t_min: log_normal(sde, 1.0, 3.0, t_min),
    "logit_normal": lambda sde, t_min: logit_normal(sde, 0.3, 2.0, t_min),
    "loss_aware": with_memory,
}
ANY_SDE = ("uniform", "logit_normal", "loss_aware")
PAIRS = [(name, which) for name in SAMPLERS for which in SDES] + [(name, "LogisticSDE") for name in ANY_SDE]


def draw(name, sde, n):
    """key -> n draws on [0.05, 1]."""

    @jax.jit
    def drawn(key):
        times = SAMPLERS[name](sde, 0.05)
        return times.sample(key, times.init(), n)

    return drawn


@one_in(4)
@slow_for(*KIN)
@pytest.mark.parametrize(("name", "which"), PAIRS)
def test_weights_are_unbiased(name, which):
    """E[h(t) / p(t)] = int h dt, for smooth h: low-discrepancy draws make this sharp at one key."""
    t, inverse_density = draw(name, SDES.get(which, LogisticSDE()), 10_000)(jax.random.key(1))
    h = lambda t: 1 + np.cos(3 * t)
    exact = 0.95 + (np.sin(3) - np.sin(0.15)) / 3
    assert float(np.mean(h(np.asarray(t)) * np.asarray(inverse_density))) == pytest.approx(exact, rel=5e-3)
    assert float(t.min()) >= 0.05 - 1e-6
    assert float(t.max()) <= 1


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_draw_is_unbiased_on_its_own(name):
    """The first of a batch, over keys: the mean of 1/p is the length of the interval."""
    first = jax.vmap(draw(name, VPSDE(), 4))(jax.random.split(jax.random.key(0), 20_000))[1][:, 0]
    assert float(first.mean()) == pytest.approx(0.95, abs=1e-5 + 4 * float(first.std()) / 141)


def test_a_batch_spreads_evenly():
    """One draw in each of n equal cells, whatever the key."""
    t, _ = uniform(VPSDE(), 0.0).sample(jax.random.key(3), None, 64)
    cells = np.sort(np.floor((np.asarray(t) - float(t.min())) * 64 + 1e-3))
    np.testing.assert_array_equal(cells, np.arange(64))


def normaliser(sde, t_min):
    """Z = g^2/(sigma^2 p), which the weights of `importance` reveal at any t."""
    t, inverse_density = importance(sde, t_min).sample(jax.random.key(0), None, 64)
    return np.asarray(inverse_density * jax.vmap(lambda t: sde.diffusion(t) ** 2 / sde.sigma(t) ** 2)(t))


@pytest.mark.parametrize(
    ("sde", "t_min", "z"),
    [(VPSDE(), 1e-5, 23.8645), (SubVPSDE(), 1e-5, 37.6789), (VPSDE(), 1e-3, 19.1654), (VESDE(), 1e-2, 17.0344 * 0.99)],
)
def test_normaliser_of_importance(sde, t_min, z):
    """Z = lambda(t_min) - lambda(1), against quadrature in float64 (Song et al. 2021, sec. 5.1)."""
    np.testing.assert_allclose(normaliser(sde, t_min), z, rtol=1e-3)


def test_quantiles_of_importance_on_vp():
    """The inverse distribution function at 10, 25, 50, 75, 90 %, in float64, of p proportional to g^2/sigma^2."""
    t, _ = importance(VPSDE(), 1e-5).sample(jax.random.key(0), None, 100_000)
    exact = [1.08e-4, 3.00e-3, 0.1144, 0.6370, 0.8726]
    np.testing.assert_allclose(np.quantile(np.asarray(t), [0.1, 0.25, 0.5, 0.75, 0.9]), exact, rtol=5e-3)


@pytest.mark.parametrize("sde", [VPSDE(), SubVPSDE()])
def test_importance_has_less_variance_for_the_likelihood(sde):
    """Where |sigma score + z| is constant, importance has none and uniform a lot."""
    weighted = lambda times: jax.vmap(lambda t: likelihood(sde, t) / sde.sigma(t) ** 2)(times[0]) * times[1]
    draws = {times: weighted(times(sde).sample(jax.random.key(0), None, 4096)) for times in (uniform, importance)}
    assert float(draws[importance].std()) < 1e-2 * float(draws[uniform].std())


@slow_for(*KIN)
def test_importance_for_a_normal_leaves_no_variance_between_times(sde):
    """On N(m, v I), mean g^2/D E|score - grad log p|^2 over p(t) is Z at every t; v = 0.49."""
    times, loss = importance(sde, prior_variance=GAUSSIAN.std**2), dsm(sde, GAUSSIAN.score(sde), likelihood)
    t, inverse_density = times.sample(jax.random.key(0), None, 64)
    errors = jax.jit(jax.vmap(lambda t: expectation(lambda key, x_0: loss(key, x_0, t), 2)))(t)
    z = -np.subtract(*(np.mean(np.log1p(GAUSSIAN.std**2 * np.exp(np.float64(sde.log_snr(t))))) for t in (1.0, sde.t_min)))
    np.testing.assert_allclose(errors * inverse_density, z, rtol=2e-3)


NORMAL = {
    "VP": (VPSDE(), 13.814473, 0.602),
    "sub VP": (SubVPSDE(), 27.628989, 0.314),
    "geometric VP": (GeometricVPSDE(), 10.413343, 0.504),
    "VE": (VESDE(), 9.210040, 0.649),
    "EDM": (EDMSDE(), 12.429064, 0.568),
    "straight": (SDES["Straight"], 23.025731, 0.339),
}
"""On N(0, I), in float64: Z_1, and the relative variance between t that is left if t is uniform in log-SNR."""


@slow_for("sub VP", "EDM", "straight")
@pytest.mark.parametrize("name", NORMAL)
def test_variance_between_times_of_the_likelihood(name):
    """E_p (h/p)^2 / (int h)^2 - 1 with h = -lambda' sigmoid(lambda), and int h = Z_1."""
    sde, z, variance = NORMAL[name]
    h = jax.vmap(lambda t: -jax.grad(sde.log_snr)(t) * jax.nn.sigmoid(sde.log_snr(t)))
    for prior_variance, expected in ((None, variance), (1.0, 0.0)):
        t, inverse_density = importance(sde, prior_variance=prior_variance).sample(jax.random.key(0), None, 20_000)
        weighted = np.asarray(h(t) * inverse_density, np.float64)
        assert weighted.mean() == pytest.approx(z, rel=2e-3)
        assert weighted.var() / z**2 == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("sde", [VPSDE(), CosineVPSDE()])
def test_importance_for_the_standard_normal_is_lsgm_s_on_vp(sde):
    """log sigma^2 is uniform, and w_ll/(2 p) is (log sigma_1^2 - log sigma_e^2)/(2 (1 - sigma^2)) (Vahdat et al. 2021)."""
    n, log_sigma2 = 1000, lambda t: 2 * jnp.log(sde.sigma(t))
    t, inverse_density = importance(sde, prior_variance=1.0).sample(jax.random.key(0), None, n)
    first, last = float(log_sigma2(sde.t_min)), float(log_sigma2(1.0))
    got = np.sort((np.asarray(jax.vmap(log_sigma2)(t)) - first) / (last - first))
    np.testing.assert_allclose(got, (np.arange(n) + 0.5) / n, atol=0.6 / n)
    inside = t < 0.99  # where sigma^2 is not 1 to float32
    ours = jax.vmap(lambda t: likelihood(sde, t) / sde.sigma(t) ** 2)(t) * inverse_density / 2
    theirs = (last - first) / (2 * (1 - np.asarray(jax.vmap(sde.sigma)(t), np.float64) ** 2))
    np.testing.assert_allclose(ours[inside], theirs[inside], rtol=5e-3)


def test_uniform_is_importance_on_the_geometric_vp():
    """For the standard normal, t and 1/p are the same."""
    sde = GeometricVPSDE()
    both = (times.sample(jax.random.key(0), None, 64) for times in (uniform(sde), importance(sde, prior_variance=1.0)))
    for mine, theirs in zip(*both, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-3)


@pytest.mark.parametrize("sde", [VPSDE(), SDES["Straight"]])
def test_importance_of_a_wide_prior_is_uniform_in_log_snr(sde):
    """As v grows, l - log v becomes lambda, and nothing overflows."""
    for mine, theirs in zip(
        *(importance(sde, prior_variance=v).sample(jax.random.key(0), None, 64) for v in (1e30, None)), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=2e-3)


def test_discrete_draws_ddpm_s_and_ncsn_s_times():
    """i/N on the table, NCSN's ladder on VE, each equally often."""
    t, weight = discrete(ddpm_table(10), 10).sample(jax.random.key(0), None, 100)
    values, counts = np.unique(np.round(np.asarray(t), 5), return_counts=True)
    np.testing.assert_allclose(values, np.arange(1, 11) / 10, atol=1e-5)
    assert set(counts) == {10}
    assert set(np.asarray(weight)) == {1.0}
    t, _ = discrete(VESDE(0.01, 1.0), 10).sample(jax.random.key(0), None, 100)
    ladder = np.unique(np.round(np.asarray(jax.vmap(VESDE(0.01, 1.0).sigma)(t)), 6))
    np.testing.assert_allclose(ladder, np.sort(VESDE(0.01, 1.0).ladder(10)), rtol=1e-3)


@pytest.mark.parametrize("sde", [VESDE(0.002, 80.0), VPSDE()])
def test_log_normal_is_edm_s_draw(sde):
    """log(sigma/alpha) has the quartiles of N(-1.2, 1.2^2), and weighs nothing once p is part of the objective."""
    t, weight = log_normal(sde, unbiased=False).sample(jax.random.key(0), None, 10_000)
    quartiles = np.quantile(-np.asarray(jax.vmap(sde.log_snr)(t)) / 2, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, -1.2 + 1.2 * np.array([-0.67449, 0, 0.67449]), atol=5e-3)
    assert (np.asarray(weight) == 1).all()


def test_logit_normal_is_stable_diffusion_s_draw():
    """log(t/(1 - t)) has the quartiles of N(0, 1), on an SDE that reaches t = 0 too."""
    t, weight = logit_normal(VESDE(), unbiased=False).sample(jax.random.key(0), None, 10_000)
    t = np.asarray(t, np.float64)
    np.testing.assert_allclose(np.quantile(np.log(t / (1 - t)), [0.25, 0.5, 0.75]), [-0.67449, 0, 0.67449], atol=5e-3)
    assert (np.asarray(weight) == 1).all()


def test_a_shift_multiplies_the_odds_of_every_t():
    """t -> k t / (1 + (k - 1) t), Stable Diffusion 3's eq. 23; the draw stays unbiased."""
    k, of = 3.0, lambda **options: logit_normal(VPSDE(), 0.2, 1.5, 1e-5, **options).sample(jax.random.key(0), None, 10_000)
    (t, _), (shifted, inverse_density) = of(), of(shift=k)
    np.testing.assert_allclose(shifted, k * t / (1 + (k - 1) * t), rtol=1e-4)
    h = lambda t: t**2 * (1 - t) ** 2
    assert float(np.mean(h(np.asarray(shifted, np.float64)) * np.asarray(inverse_density))) == pytest.approx(1 / 30, rel=5e-3)


def test_logit_normal_is_log_normal_on_the_rectified_flow():
    """There log(sigma/alpha) = log(t/(1 - t)), but for `end`: EDM's draw and Stable Diffusion 3's are one family."""
    draws = [make(RectifiedFlowSDE(1e-5), -0.3, 1.1, unbiased=False) for make in (log_normal, logit_normal)]
    edm, sd3 = (times.sample(jax.random.key(0), None, 1000)[0] for times in draws)
    np.testing.assert_allclose(edm, sd3, rtol=1e-3)


@one_in(2)
@pytest.mark.parametrize("sde", [VPSDE(), SDES["Straight"]])
def test_loss_aware_is_importance_until_every_bin_is_seen(sde):
    """Losses that differ a thousandfold change nothing while one bin has none."""
    times, plain = loss_aware(sde, 8), importance(sde)
    t, _ = plain.sample(jax.random.key(0), None, 64)
    memory = times.update(times.init(), t[jnp.argsort(t)][:48], jnp.logspace(-3, 0, 48))
    assert 0 < int(memory.seen.sum()) < 8
    for mine, theirs in zip(
        times.sample(jax.random.key(1), memory, 64), plain.sample(jax.random.key(1), None, 64), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=5e-3, atol=1e-5)


@pytest.mark.parametrize("sde", [VPSDE(), SDES["Straight"]])
@pytest.mark.slow
def test_loss_aware_leaves_no_variance_on_a_loss_it_can_tell_apart(sde):
    """Where l/|y'| is constant in each bin, l/p is constant after one batch: p_b ~ m_b; importance has a lot left."""
    times = loss_aware(sde, 8, uniform_share=1e-6)
    first, last = (-sde.log_snr(jnp.asarray(t)) for t in (sde.t_min, 1.0))

    def loss(t):
        b = jnp.clip(jnp.floor((-sde.log_snr(t) - first) / (last - first) * 8), 0, 7)
        return jax.grad(lambda t: -sde.log_snr(t))(t) * 3**b

    spread = lambda t, inverse_density: float((ratio := jax.vmap(loss)(t) * inverse_density).std() / ratio.mean())
    t, inverse_density = times.sample(jax.random.key(0), times.init(), 800)
    memory = times.update(times.init(), t, jax.vmap(loss)(t))
    t, inverse_density = times.sample(jax.random.key(1), memory, 800)
    inside = (
        np.abs((np.asarray(jax.vmap(lambda t: -sde.log_snr(t))(t)) - float(first)) / float(last - first) * 8 % 1 - 0.5) < 0.45
    )
    assert spread(t[inside], inverse_density[inside]) < 1e-2
    assert spread(*importance(sde).sample(jax.random.key(1), None, 800)) > 1


def test_loss_aware_forgets_at_its_decay():
    """c^2 after k losses of one and m of another: decay^m c_1^2 + (1 - decay^m) c_2^2; a bin that sees none keeps its own."""
    times = loss_aware(LogisticSDE(), 2, decay=0.8, t_min=0.0)
    memory = times.update(times.init(), jnp.array([0.2, 0.3, 0.7]), jnp.array([2.0, 2.0, 5.0]))
    memory = times.update(memory, jnp.array([0.1, 0.2, 0.3]), jnp.array([1.0, 3.0, 1.0]))
    np.testing.assert_allclose(memory.square, [0.8**3 * 4 + (1 - 0.8**3) * 11 / 3, 25.0], rtol=1e-5)


def test_loss_aware_finds_a_peak():
    """Trained on its own draws by a loss that lives on a tenth of the interval, it beats importance fivefold in deviation."""
    sde = VPSDE()
    times, loss = loss_aware(sde), lambda t: jnp.exp(-(((t - 0.6) / 0.05) ** 2)) + 1e-3

    @jax.jit
    def round_(memory, key):
        t, inverse_density = times.sample(key, memory, 512)
        return times.update(memory, t, loss(t)), (loss(t) * inverse_density).std()

    memory, deviations = jax.lax.scan(round_, times.init(), jax.random.split(jax.random.key(0), 20))
    t, inverse_density = importance(sde).sample(jax.random.key(1), None, 512)
    assert float(deviations[0]) == pytest.approx(float((loss(t) * inverse_density).std()), rel=0.05)
    assert float(deviations[-1]) < float(deviations[0]) / 5
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(memory))


@pytest.mark.parametrize("make", [importance, log_normal])
def test_what_needs_alpha_and_sigma_says_so(make):
    with pytest.raises(TypeError, match=f"{make.__name__} needs alpha.*LogisticSDE is not a LinearSDE; (uniform|logit_normal)"):
        make(LogisticSDE())


@pytest.mark.parametrize("mean", [-9.0, 9.0])
def test_log_normal_is_unbiased_in_its_tails(mean):
    """Where nearly all of the normal lies outside of what t reaches, on either side."""
    t, inverse_density = log_normal(VESDE(0.01, 50.0), mean=mean, std=1.0).sample(jax.random.key(0), None, 4000)
    y = np.log(0.01 * 5000 ** np.asarray(t))
    near = np.abs(y - mean) < np.abs(y - mean).min() + 1.0  # the mass of the last unit of y, over the tail's own density
    assert np.isfinite(inverse_density).all()
    assert (np.asarray(inverse_density) > 0).all()
    weight = np.asarray(inverse_density)[near].mean() * near.mean()
    assert weight == pytest.approx(1 / np.log(5000), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("sde", "z"), [(VPSDE(), 23.8645), (SubVPSDE(), 37.6789)], ids=["VP", "sub-VP"])
def test_importance_without_z_is_z_times_smaller(sde, z):
    """The same t, and 1/p without the constants that ScoreFlow leaves out (recomputed in float64 at t_min = 1e-5)."""
    (t, whole), (same, without) = (
        importance(sde, 1e-5, normalized=asked).sample(jax.random.key(0), None, 64) for asked in (True, False)
    )
    np.testing.assert_array_equal(t, same)
    np.testing.assert_allclose(whole / without, z, rtol=1e-4)
