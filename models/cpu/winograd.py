"""The 3x3 convolution with a quarter of its products (Winograd 1980; Lavin & Gray 2016).

Along a line, four pixels y_i with three taps W_k see six x_n, and the trilinear form of `correlation` holds x against
the coefficients of a product of polynomials: sum_{i k} y_i W_k x_{i+k} = sum_n (y W)_n x_n. Five values and the leading
coefficient tell a polynomial of degree 5 (Toom and Cook, by Lagrange):

    y W = sum_p y(a_p) W(a_p) / N_p prod_{l != p} (z - a_l) + y_3 W_2 prod_l (z - a_l),    N_p = prod_{l != p} (a_p - a_l),

so that sum_{i k} y_i W_k x_{i+k} = sum_p (A y)_p (G W)_p (B x)_p. Over both axes it is sum_{p q} (A y A')_pq (G W G')_pq
(B x B')_pq: of a tile of 4x4 pixels and a pair of channels 36 products for 144, and of each p q one product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax import lax
from jaxtyping import Array, Float
from numpy.polynomial.polynomial import polyfromroots, polyvander

Padding = tuple[tuple[int, int], ...]
"""The zeros before and after each axis of space."""
Map = Float[Array, "B H W C"]
Kernel = Float[Array, "3 3 I O"]
Parts = Float[Array, "pq t c"]

TILE, TAPS = 4, 3
POINTS = np.array([0, 3 / 4, -3 / 4, 3 / 2, -3 / 2])
"""The set that rounds least of ten: by 9e-7 of the largest y, against 3e-6 of 0, 1, -1, 2, -2."""


def _evaluation(coefficients: int) -> np.ndarray:
    """The matrix from the coefficients of a polynomial to its values at the points and its leading coefficient."""
    return np.vstack([polyvander(POINTS, coefficients - 1), np.eye(coefficients)[-1]])


_OTHERS = [POINTS[a != POINTS] for a in POINTS]
A = _evaluation(TILE)
G = _evaluation(TAPS) / np.array([*(np.prod(a - others) for a, others in zip(POINTS, _OTHERS, strict=True)), 1])[:, None]
B = np.vstack([*(np.append(polyfromroots(others), 0) for others in _OTHERS), polyfromroots(POINTS)])


def pays(W: Sequence[int], y: Sequence[int], dtype: Any) -> bool:
    """Returns whether kernel and output of these shapes are in whole tiles, and a CPU is faster so, by measurement.

    The sums are of every channel, the products of every pair: at 256 channels it takes half the time, at 64 as much. Without
    it a step of training takes 1.25 times as long (DDPM of width 128 at 32x32x3, batch 4; two cores of an AMD EPYC, jax
    0.10.2). Below float32 it rounds too much.
    """
    whole = tuple(W[:2]) == (TAPS, TAPS) and not any(side % TILE for side in y[1:3])
    return whole and min(W[2:]) >= 128 and jnp.finfo(dtype).bits >= 32


def correlate(x: Map, W: Kernel, padding: Padding) -> Map:
    """y[h, w] = sum_{k l} x[h + k, w + l] W[k, l], with zeros before and after each side of x; of y TILE divides the sides."""
    V, (n, m) = _of_x(x, padding)
    y = _over_both(A.T, V @ _over_both(G, W))
    return rearrange(y, "(i j) (b n m) o -> b (n i) (m j) o", i=TILE, n=n, m=m)


def kernel_adjoint(x: Map, y: Map, padding: Padding) -> Kernel:
    """W[k, l] = sum_{b h w} x[b, h + k, w + l] y[b, h, w]: the adjoint of `correlate` in W, at y."""
    Y = _over_both(A, rearrange(y, "b (n i) (m j) o -> i j (b n m) o", i=TILE, j=TILE))
    V, _ = _of_x(x, padding)
    return rearrange(_over_both(G.T, V.swapaxes(1, 2) @ Y), "(k l) i o -> k l i o", k=TAPS)


def _of_x(x: Map, padding: Padding) -> tuple[Parts, tuple[int, ...]]:
    """B x B' of every tile [p q, B n m, I], and n and m: how many tiles there are down and across."""
    counts = tuple((side + sum(around) - TAPS + 1) // TILE for side, around in zip(x.shape[1:3], padding, strict=True))
    sides = zip(counts, x.shape[1:3], padding, strict=True)
    spare = [(before, TILE * (n + 1) - side - before, 0) for n, side, (before, _) in sides]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *spare, (0, 0, 0)])
    columns = _windows(x, 2)  # [6, B, H, m, I]
    tiles = _windows(columns, 2)  # [6, 6, B, n, m, I]
    return _over_both(B, rearrange(tiles, "i j b n m c -> i j (b n m) c")), counts


def _windows(x: Array, axis: int) -> Array:
    """x[4 n + i] along an axis, for each i < 6: the pixels of a tile and the next one's first two."""
    tiles = x.reshape(*x.shape[:axis], -1, TILE, *x.shape[axis + 1 :])
    of = lambda i: lax.index_in_dim(tiles, i % TILE, axis + 1, keepdims=False)
    n = tiles.shape[axis] - 1
    return jnp.stack([lax.slice_in_dim(of(i), i // TILE, i // TILE + n, axis=axis) for i in range(TILE + TAPS - 1)])


def _over_both(C: np.ndarray, parts: Float[Array, "*ij t c"]) -> Parts:
    """sum_{i j} C[p, i] C[q, j] parts[i, j]: [p q, t, c]."""
    t, c = parts.shape[-2:]
    return (jnp.asarray(np.kron(C, C), parts.dtype) @ parts.reshape(-1, t * c)).reshape(-1, t, c)
