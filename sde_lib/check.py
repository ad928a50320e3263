"""check(sde): the promises of the interface, executable. Run it on your own subclass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from sde_lib.augmented import AugmentedSDE
from sde_lib.base import SDE, Diagonal, LinearSDE, Scalar, coordinates, derivative


def check(sde: SDE, shape: tuple[int, ...] | None = None) -> None:
    """Raise a ValueError that names every broken promise of `sde`, tried on events of `shape`.

    An SDE promises a drift of event shape, a finite g(t)^2 > 0 on [t_min, 1] and a prior whose samples have finite density. A
    LinearSDE also promises finite alpha, sigma^2 > 0, a strictly decreasing log-SNR with `time_at` as the inverse of `level`,
    and the moment equations alpha' = f alpha and (sigma^2)' = 2 f sigma^2 + g^2 (Särkkä & Solin 2019, sec. 6.2), in every
    coordinate; arrays broadcast to the event. An AugmentedSDE promises the same of its matrices, P' = F P and
    S' = F S + S F^T + G G^T with S = L L^T, the noise in the last variable, and the others independent at t = 0. A prior that
    still knows the data (SNR above 2 % at t = 1) is a warning. Beside the promises the error says what causes and mends it, as
    far as alpha and sigma in float64 tell. `shape` None: that of the arrays, (k,), or (2,).
    """
    broken = list(_broken(sde, shape))
    if broken:
        causes = _causes(sde) if isinstance(sde, LinearSDE) else ()
        lines = "\n".join(f"- {line}" for line in (*broken, *causes))
        raise ValueError(f"{type(sde).__name__} breaks {len(broken)} promise(s):\n{lines}")


def _broken(sde: SDE, shape: tuple[int, ...] | None) -> Iterator[str]:
    of_each = coordinates(sde) if isinstance(sde, LinearSDE) else ()
    if shape is None:
        shape = (sde.k,) if isinstance(sde, AugmentedSDE) else of_each or (2,)
    try:
        # One of another class may have been changed, and arrays of many coordinates take much memory.
        t, curves = (_remembered if is_dataclass(sde) and not of_each else _tabulated)(sde)
    except TypeError:  # an SDE that holds arrays is not hashable, and a wrong one raises again
        t, curves = _tabulated(sde)
    if isinstance(sde, LinearSDE):
        alpha, sigma, log_snr = curves["alpha"], curves["sigma"], curves["log_snr"]
        outside = [*_outside("alpha", t, alpha), *_outside("sigma", t, sigma)]
        yield from outside
        rises = np.diff(log_snr, axis=0)
        rising = ~(rises < 0)
        if rising.any():
            i, *j = _first(rising)
            remedy = "; t = 0 is the data and t = 1 the prior: exchange the ends" if (rises > 0).all() else ""
            rise = f"{log_snr[i, *j]:.4g} at t = {t[i]:.3g}, {log_snr[i + 1, *j]:.4g} at t = {t[i + 1]:.3g}"
            yield f"log_snr(t){_of(j)} must decrease: {rise}{remedy}"
        if not _broadcasts(of_each, shape):
            yield f"alpha and sigma must broadcast to events of shape {shape}, and together they have shape {of_each}"
            return
        if outside or rising.any():
            return  # what follows divides by sigma^2 and by lambda'
        yield from _broken_moments(sde, t, curves)
        if log_snr[-1].max() > np.log(0.02):
            _warn_of_data(sde, (alpha[-1] / sigma[-1]).max())
    if isinstance(sde, AugmentedSDE):
        broken = list(_broken_factors(sde, t, curves))
        yield from broken
        if broken:
            return  # what follows divides by L
        if (snr := curves["snr"][-1]) > 0.02:
            _warn_of_data(sde, snr**0.5)
    yield from _outside("diffusion", t, curves["g"])
    key, prior_sample = jax.random.key(0), lambda key: sde.prior_sample(key, shape)
    x = jax.eval_shape(prior_sample, key)
    if x.shape != shape:
        yield f"prior_sample(key, {shape}) must have that shape, not {x.shape}"
    elif not jnp.isfinite(sde.prior_log_prob(prior_sample(key))):
        yield "prior_log_prob must be finite at a sample of the prior"
    elif (drift := jax.eval_shape(lambda x: sde.drift(x, 0.5), x)).shape != shape:
        yield f"drift(x, t) must have the shape of x, {shape}, not {drift.shape}"


def _warn_of_data(sde: SDE, ratio: float) -> None:
    """Warns of a prior that is not reached; `ratio`: of the data's deviation to that of the noise, at t = 1."""
    warnings.warn(
        f"{type(sde).__name__}: alpha(1)/sigma(1) = {ratio:.2g}, so x_1 still knows the data; "
        "samples start from a prior that the forward process does not reach",
        stacklevel=4,
    )


def _broadcasts(of_each: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether arrays of that shape broadcast to events of the other without a change of the latter."""
    try:
        return np.broadcast_shapes(of_each, shape) == shape
    except ValueError:
        return False


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    """The index of the first of the largest values, of its time and then of its coordinate."""
    return tuple(int(i) for i in np.unravel_index(wrong.argmax(), wrong.shape))


def _of(coordinate: list[int]) -> str:
    """The index of a coordinate, if there is one."""
    return f"{coordinate}" if coordinate else ""


def _tabulated(sde: SDE) -> tuple[jax.Array, dict[str, np.ndarray]]:
    """64 times and the values of the curves there, by one program: a hundred, an operation each, take a second to compile."""
    t = jnp.linspace(sde.t_min, 1.0, 64)
    return t, {key: np.asarray(value) for key, value in jax.jit(jax.vmap(_curves(sde)))(t).items()}


_remembered = lru_cache(maxsize=64)(_tabulated)


def _curves(sde: SDE) -> Callable[[Scalar], dict[str, Diagonal]]:
    """The functions of t that a promise is about: g; of a LinearSDE alpha, sigma, log-SNR, f, derivatives, and the level.

    Those of an AugmentedSDE are its `_matrices`.
    """
    if isinstance(sde, AugmentedSDE):
        return lambda t: _matrices(sde, t)
    if not isinstance(sde, LinearSDE):
        return lambda t: {"g": sde.diffusion(t)}
    shape = coordinates(sde)

    def curves(t: Scalar) -> dict[str, Diagonal]:
        of_each = {
            "g": sde.diffusion(t),
            "alpha": sde.alpha(t),
            "sigma": sde.sigma(t),
            "log_snr": sde.log_snr(t),
            "f": sde.drift(jnp.ones(shape or (1,)), t).reshape(shape),
            "d_alpha": derivative(lambda t: jnp.asarray(sde.alpha(t)), t),
            "d_sigma2": derivative(lambda t: jnp.asarray(sde.sigma(t)) ** 2, t),
        }
        level = sde.level(t)
        broadcast = {name: jnp.broadcast_to(value, shape) for name, value in of_each.items()}
        return broadcast | {"level": level, "back": sde.level(sde.time_at(level))}

    return curves


def _causes(sde: LinearSDE) -> Iterator[str]:
    """Each cause that alpha or sigma show in float64, with what mends it."""
    t = np.linspace(sde.t_min, 1.0, 64, dtype=np.float32)
    for name, of in (("alpha", sde.alpha), ("sigma", sde.sigma)):
        single = np.asarray(jax.vmap(of)(jnp.asarray(t)))
        with jax.enable_x64(True):
            double = np.asarray(jax.vmap(of)(jnp.asarray(t, jnp.float64)))
        sound = np.isfinite(double) & (double > 0)
        with np.errstate(all="ignore"):
            lost = sound & (np.abs(single.astype(np.float64)) < 1e19) & ~(np.abs(single / double - 1) < 1e-3)
        if lost.any():
            i, *j = _first(lost)
            digits = f"{name}({t[i]:.3g}){_of(j)} = {single[i, *j]:.4g} in float32, and {double[i, *j]:.4g} in float64"
            yield f"{name} loses its digits, {digits}: write 1 - exp(-b) as -expm1(-b), say, or give the SDE a larger t_min"
        if not sound[0].all() and sound[1:].all():
            yield f"{name}(t) is sound after t = {t[0]:.3g}: give the SDE a t_min above that"
        if not sound[-1].all() and sound[:-1].all():
            yield f"{name}(t) is sound before t = 1: let it end a little short of that, as CosineVPSDE's t_end does"


def _outside(name: str, t: jax.Array, value: np.ndarray) -> Iterator[str]:
    """The first t at which the values, or their squares (of weights and densities), are not finite and positive."""
    with np.errstate(all="ignore"):
        square = value**2
    for what, bad in (
        (f"{name}(t)", ~(np.isfinite(value) & (value > 0))),
        (f"{name}(t)^2, in {value.dtype},", ~(np.isfinite(square) & (square > 0))),
    ):
        if bad.any():
            i, *j = _first(bad)
            yield f"{what} must be finite and positive: {name}({t[i]:.3g}){_of(j)} = {value[i, *j]:.3g}"
            return


def _broken_moments(sde: LinearSDE, t: jax.Array, curves: dict[str, np.ndarray]) -> Iterator[str]:
    """A line for each equation whose sides, scaled to order one, differ."""
    alpha, sigma, f, g, d_alpha = (curves[key] for key in ("alpha", "sigma", "f", "g", "d_alpha"))
    level = "level" if coordinates(sde) else "log_snr"
    equations = [
        ("alpha' = f alpha", d_alpha, f * alpha, np.abs(d_alpha) + 1, "drift"),
        (
            "(sigma^2)' = 2 f sigma^2 + g^2",
            curves["d_sigma2"],
            2 * f * sigma**2 + g**2,
            g**2 + np.abs(f) * sigma**2,
            "diffusion",
        ),
        (f"{level}(time_at(l)) = l", curves["back"], curves["level"], 1.0, "time_at"),
    ]
    yield from _unequal(sde, t, equations)


def _matrices(sde: AugmentedSDE, t: Scalar) -> dict[str, Diagonal]:
    """P, L, both sides of their equations, the level and its inverse, g of the last variable, and the SNR of all together."""
    P, L, F, g = sde.mean_factor(t), sde.noise_factor(t), sde.drift(jnp.eye(sde.k), t).T, sde.diffusion(t) * jnp.ones(sde.k)
    S, level = L @ L.T, sde.level(t)
    return {
        "g": g[-1],
        "P": P,
        "L": L,
        "d_P": derivative(sde.mean_factor, t),
        "F P": F @ P,
        "d_S": derivative(lambda t: sde.noise_factor(t) @ sde.noise_factor(t).T, t),
        "F S": F @ S + S @ F.T + jnp.diag(g**2),
        "level": level,
        "back": sde.level(sde.time_at(level)),
        "snr": jnp.sum(sde.whiten(P[:, 0], t) ** 2),
    }


def _broken_factors(sde: AugmentedSDE, t: jax.Array, curves: dict[str, np.ndarray]) -> Iterator[str]:
    """A line for each promise of the matrices that is broken: their form, then the level, then their equations."""
    P, L, level = (curves[key] for key in ("P", "L", "level"))
    start = np.asarray(sde.noise_factor(0.0))
    apart = start @ start.T
    if not (np.isfinite(P).all() and np.isfinite(L).all()):
        yield "mean_factor(t) and noise_factor(t) must be finite"
    elif np.triu(L, 1).any() or not (np.diagonal(L, axis1=1, axis2=2) > 0).all():
        yield "noise_factor(t) must be lower triangular, with a positive diagonal: L[i, j] is the share of z_j in variable i"
    elif not (np.allclose(apart, np.diag([0.0, *np.diagonal(apart)[1:]]), atol=1e-6) and (np.diagonal(apart)[1:] > 0).all()):
        yield "noise_factor(0) must leave the data as it is, and draw the others independently: L L^T = diag(0, > 0, ..)"
    elif not (np.diff(level) < 0).all():
        i = int((~(np.diff(level) < 0)).argmax())
        yield f"level(t) must decrease: {level[i]:.4g} at t = {t[i]:.3g}, {level[i + 1]:.4g} at t = {t[i + 1]:.3g}"
    else:
        size = lambda a: np.abs(a).max(axis=(1, 2), keepdims=True)
        equations = [
            ("P' = F P", curves["d_P"], curves["F P"], size(curves["d_P"]) + 1, "drift"),
            ("(L L^T)' = F L L^T + L L^T F^T + G G^T", curves["d_S"], curves["F S"], size(curves["F S"]) + 1, "diffusion"),
            ("level(time_at(l)) = l", curves["back"], level, 1.0, "time_at"),
        ]
        yield from _unequal(sde, t, equations)


Equation = tuple[str, np.ndarray, np.ndarray, np.ndarray | float, str]
"""A name, both sides at each time, their scale, and the method that states one of them."""


def _unequal(sde: SDE, t: jax.Array, equations: list[Equation]) -> Iterator[str]:
    """A line for each equation whose sides, over their scale, differ."""
    for name, left, right, scale, method in equations:
        with np.errstate(all="ignore"):
            error = np.abs(left - right) / scale
        if not (error < 1e-2).all():
            i, *j = _first(np.nan_to_num(error, nan=np.inf))
            of = "alpha and sigma" if isinstance(sde, LinearSDE) else "the two matrices"
            own = f"; leave your {method} out, it follows from {of}" if method in vars(type(sde)) else ""
            yield f"{name}{_of(j)} fails at t = {t[i]:.3g}: {left[i, *j]:.5g} against {right[i, *j]:.5g}{own}"
