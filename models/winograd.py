"""The 3x3 convolution with a quarter of its products (Winograd 1980; Lavin & Gray 2016).

Along a line, four pixels y_i with three taps W_k see six x_n, and the trilinear form of `models.correlation` holds x against
the coefficients of a product of polynomials: sum_{i k} y_i W_k x_{i+k} = sum_n (y W)_n x_n. Five values and the leading
coefficient tell a polynomial of degree 5 (Toom and Cook, by Lagrange):

    y W = sum_p y(a_p) W(a_p) / N_p prod_{l != p} (z - a_l) + y_3 W_2 prod_l (z - a_l),    N_p = prod_{l != p} (a_p - a_l),

so that sum_{i k} y_i W_k x_{i+k} = sum_p (A y)_p (G W)_p (B x)_p. Over both axes it is sum_{p q} (A y A')_pq (G W G')_pq
(B x B')_pq: of a tile of 4x4 pixels and a pair of channels 36 products for 144, and of each p q one product of matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax import lax
from jaxtyping import Array, Float
from numpy.polynomial.polynomial import polyfromroots, polyvander

Padding = tuple[tuple[int, int], tuple[int, int]]
Map = Float[Array, "B H W C"]
Kernel = Float[Array, "3 3 I O"]
Grid = list[list[Array]]

TILE, TAPS = 4, 3
POINTS = np.array([0, 3 / 4, -3 / 4, 3 / 2, -3 / 2])
"""Of ten sets tried the one that rounds least: 9e-7 of the largest y, where 0, 1, -1, 2, -2 leave 3e-6."""


def _told(coefficients: int) -> np.ndarray:
    """Of a polynomial its values at the points, and its leading coefficient."""
    return np.vstack([polyvander(POINTS, coefficients - 1), np.eye(coefficients)[-1]])


_OTHERS = [POINTS[a != POINTS] for a in POINTS]
A = _told(TILE)
G = _told(TAPS) / np.array([*(np.prod(a - others) for a, others in zip(POINTS, _OTHERS, strict=True)), 1])[:, None]
B = np.vstack([*(np.append(polyfromroots(others), 0) for others in _OTHERS), polyfromroots(POINTS)])


def pays(W: Sequence[int], y: Sequence[int], dtype: Any) -> bool:
    """Whether kernel and output of these shapes are in whole tiles, and a CPU is faster so, by measurement.

    The sums are of every channel, the products of every pair: at 256 channels it takes half the time, at 64 as much. Below
    float32 it rounds too much.
    """
    whole = tuple(W[:2]) == (TAPS, TAPS) and not any(side % TILE for side in y[1:3])
    return whole and min(W[2:]) >= 128 and jnp.finfo(dtype).bits >= 32


def correlate(x: Map, W: Kernel, padding: Padding) -> Map:
    """y[h, w] = sum_{k l} x[h + k, w + l] W[k, l], with zeros before and after each side of x; of y TILE divides the sides."""
    n, m = _tiles(x, padding)
    products = _each(jnp.matmul, _of_x(x, padding), _both(G, [[*row] for row in W]))
    y = _both(A.T, [[product.reshape(len(x), n, m, -1) for product in row] for row in products])
    return rearrange(jnp.stack([jnp.stack(row, axis=3) for row in y], axis=2), "b n i m j o -> b (n i) (m j) o")


def kernel_adjoint(x: Map, y: Map, padding: Padding) -> Kernel:
    """W[k, l] = sum_{b h w} x[b, h + k, w + l] y[b, h, w]: the adjoint of `correlate` in W, at y."""
    tiles = rearrange(y, "b (n i) (m j) o -> i j b n m o", i=TILE, j=TILE)
    of_y = [[part.reshape(-1, y.shape[-1]) for part in row] for row in _both(A, [[*row] for row in tiles])]
    products = _each(lambda v, z: v.T @ z, _of_x(x, padding), of_y)
    return jnp.stack([jnp.stack(row) for row in _both(G.T, products)])


def _tiles(x: Map, padding: Padding) -> list[int]:
    """How many cover y, down and across."""
    return [(side + sum(around) - TAPS + 1) // TILE for side, around in zip(x.shape[1:3], padding, strict=True)]


def _of_x(x: Map, padding: Padding) -> Grid:
    """B x B' of every tile [B n m, I]: its six pixels are its own four and the next one's first two."""
    sides = zip(_tiles(x, padding), x.shape[1:3], padding, strict=True)
    spare = [(before, TILE * (n + 1) - side - before, 0) for n, side, (before, _) in sides]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *spare, (0, 0, 0)])
    rows = _along(B, _windows(x, 1))
    return [[part.reshape(-1, x.shape[-1]) for part in _along(B, _windows(row, 2))] for row in rows]


def _windows(x: Array, axis: int) -> list[Array]:
    """x[4 n + i] along an axis for each i < 6."""
    tiles = x.reshape(*x.shape[:axis], -1, TILE, *x.shape[axis + 1 :])
    of = lambda i: lax.index_in_dim(tiles, i % TILE, axis + 1, keepdims=False)
    n = tiles.shape[axis] - 1
    return [lax.slice_in_dim(of(i), i // TILE, i // TILE + n, axis=axis) for i in range(TILE + TAPS - 1)]


def _both(C: np.ndarray, grid: Grid) -> Grid:
    """C grid C'."""
    columns = [_along(C, column) for column in zip(*grid, strict=True)]
    return [_along(C, row) for row in zip(*columns, strict=True)]


def _along(C: np.ndarray, parts: Sequence[Array]) -> list[Array]:
    """sum_j C[p, j] parts[j] for each p; what the points a and -a have in common is multiplied once."""

    def combined(row: np.ndarray) -> Array:
        terms = list(zip(row, parts, strict=True))
        alike = lambda size: sum(part if c > 0 else -part for c, part in terms if abs(c) == size)
        return sum(float(size) * alike(size) for size in np.unique(np.abs(row[row != 0])))

    return [combined(row) for row in C]


def _each(product: Callable[[Array, Array], Array], left: Grid, right: Grid) -> Grid:
    return [[product(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(left, right, strict=True)]
