"""Exact integrals of an interpolating polynomial against an exponential: the weights of every exponential integrator."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Int

from sde_lib.base import Diagonal, Event, Scalar


def integral(
    h: Diagonal,
    a: Scalar,
    nodes: Sequence[Diagonal],
    values: Sequence[Event],
    n: Int[Array, "..."],
    trust: Diagonal = 1.0,
) -> Event:
    """int_0^h e^(-a v) P(v) dv, P the polynomial through the first `n` of the (nodes[j], values[j]).

    P in Newton's form, sum_k [v_0 .. v_k] prod_{j < k} (v - v_j), integrated term by term; `trust` times the terms from the
    third difference on, k >= 3. The sum runs over the weights of the values, which are of the shape of h and the nodes. h may
    be infinite.
    """
    moment, each = _moments(h, a, len(nodes)), (1,) * jnp.ndim(h)
    total = jnp.zeros((len(nodes), *each))
    differences = list(jnp.eye(len(nodes)).reshape(len(nodes), len(nodes), *each))  # [v_j .. v_{j + k}]
    product: list[Diagonal] = [1.0]  # the coefficients of prod_{j < k} (v - v_j)
    for k in range(len(nodes)):
        weight = sum(c * m for c, m in zip(product, moment, strict=False))
        total = total + jnp.where(k < n, weight if k < 3 else trust * weight, 0.0) * differences[0]
        gaps = [jnp.where(j + k + 1 < n, nodes[j] - nodes[j + k + 1], 1.0) for j in range(len(differences) - 1)]
        differences = [(differences[j] - differences[j + 1]) / gap for j, gap in enumerate(gaps)]
        product = [up - nodes[k] * c for up, c in zip([0.0, *product], [*product, 0.0], strict=True)]
    return sum((w * value for w, value in zip(total, values, strict=True)), jnp.zeros_like(values[0]))


def _moments(h: Diagonal, a: Scalar, n: int) -> list[Diagonal]:
    """int_0^h e^(-a v) v^k dv for k < n, by parts: M_k = (k M_{k-1} - h^k e^(-a h)) / a."""
    moments: list[Diagonal] = [-jnp.expm1(-a * h) / a]
    finite = jnp.where(jnp.isinf(h), 0.0, h)
    for k in range(1, n):
        boundary = jnp.where(jnp.isinf(h), 0.0, finite**k * jnp.exp(-a * finite))
        moments.append((k * moments[-1] - boundary) / a)
    return moments
