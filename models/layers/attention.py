"""Scaled dot-product attention, in the form that is fastest on the current platform."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from models.cpu.gate import by_backend

Heads = Float[Array, "B T N d"]


def attend(q: Heads, k: Heads, v: Heads) -> Heads:
    """softmax(q k^T / sqrt(d)) v over the T tokens in each of N heads of d channels; logits and sums in float32.

    On a CPU as `divided_last`, whose backward pass takes half as long there; elsewhere jax.nn's, which knows fused kernels.
    Vaswani et al. (2017), eq. 1.
    """
    return by_backend(divided_last, jax.nn.dot_product_attention)(q, k, v)


def divided_last(q: Heads, k: Heads, v: Heads) -> Heads:
    """`attend` as e v / sum(e) with e = exp(q k^T / sqrt(d) - max): the division is of d channels, not of T weights."""
    q, k, v = q.transpose(0, 2, 1, 3) * q.shape[-1] ** -0.5, k.transpose(0, 2, 3, 1), v.transpose(0, 2, 1, 3)
    logits = jnp.matmul(q, k, preferred_element_type=jnp.float32)
    e = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
    weighted = jnp.matmul(e.astype(v.dtype), v, preferred_element_type=jnp.float32) / e.sum(-1, keepdims=True)
    return weighted.astype(v.dtype).transpose(0, 2, 1, 3)
