"""The adversarial term: what its optimum knows, and its weight by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from losses import adaptive_weight, hinge_discriminator, hinge_generator

KEYS = jax.random.split(jax.random.key(0), 3)
FAR = jnp.array(jnp.inf)


def test_hinges_by_hand():
    real, fake = jnp.array([[2.0, 0.5]]), jnp.array([[-3.0, 0.5]])
    assert float(hinge_discriminator(real, fake)) == pytest.approx((0.5 / 2 + 1.5 / 2) / 2)
    assert float(hinge_generator(fake)) == pytest.approx(1.25)
    assert float(hinge_discriminator(jnp.zeros(3), jnp.zeros(5))) == 1.0
    assert float(hinge_discriminator(jnp.ones(3), -jnp.ones(5))) == 0.0


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_the_best_logit_is_the_sign_of_the_difference_of_laws(p):
    """Of a patch that is real with probability p: -1 or 1, where the loss is the lesser of p and 1 - p."""
    logits = jnp.linspace(-2, 2, 401)
    loss = jax.vmap(lambda d: p * hinge_discriminator(d, -FAR) + (1 - p) * hinge_discriminator(FAR, d))(logits)
    assert float(logits[loss.argmin()]) == pytest.approx(np.sign(p - 0.5), abs=1e-3)
    assert float(loss.min()) == pytest.approx(min(p, 1 - p), abs=1e-5)


def losses():
    """A likelihood and a generator's loss of one last layer, x_hat = h W + b."""
    h, x = jax.random.normal(KEYS[0], (5, 3)), jax.random.normal(KEYS[1], (5, 2))
    last = {"kernel": jax.random.normal(KEYS[2], (3, 2)), "bias": jnp.ones(2)}
    x_hat = lambda last: h @ last["kernel"] + last["bias"]
    return last, lambda last: jnp.sum((x - x_hat(last)) ** 2), lambda last: hinge_generator(jnp.tanh(x_hat(last)))


def norm_of_differences(loss, last, step=1e-2):
    """The norm of the gradient by central differences."""
    leaves, tree = jax.tree.flatten(last)
    flat = np.concatenate([np.ravel(leaf) for leaf in leaves])
    sizes = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def at(flat):
        parts = np.split(flat, sizes)
        return float(loss(jax.tree.unflatten(tree, [p.reshape(leaf.shape) for p, leaf in zip(parts, leaves, strict=True)])))

    every = [(at(flat + d) - at(flat - d)) / (2 * step) for d in step * np.eye(len(flat), dtype=np.float32)]
    return np.linalg.norm(every)


def test_the_weight_is_the_ratio_of_slopes():
    last, nll, generator = losses()
    ratio = norm_of_differences(nll, last) / norm_of_differences(generator, last)
    assert float(adaptive_weight(nll, generator, last)) == pytest.approx(0.5 * ratio, rel=1e-2)
    assert float(adaptive_weight(nll, generator, last, scale=0.75)) == pytest.approx(0.75 * ratio, rel=1e-2)


def test_the_weight_makes_both_slopes_alike():
    """Whatever the unit of either."""
    last, nll, generator = losses()
    weighted = lambda a, b: b * adaptive_weight(lambda p: a * nll(p), lambda p: b * generator(p), last, scale=1.0) / a
    assert float(weighted(7.0, 3.0)) == pytest.approx(float(weighted(1.0, 1.0)), rel=1e-3)


def test_the_weight_is_bounded_and_has_no_slope():
    last, nll, generator = losses()
    assert float(adaptive_weight(nll, lambda last: 0.0 * generator(last), last)) == 5000.0
    slope = jax.grad(lambda last: adaptive_weight(nll, generator, last))(last)
    assert not any(leaf.any() for leaf in jax.tree.leaves(slope))
