"""The first stage of latent diffusion with a codebook: VQ-f4 to VQ-f16 (Rombach et al. 2022, sec. 3.1)."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le
from jaxtyping import Array, Float, Int, Key

from models.codec import Code, Codec, reconstructing
from models.codecs.kl import Distance
from models.codecs.pair import pair
from sde_lib.base import Event, NonNegative, Scalar


def vq_autoencoder(
    encoder: Any,
    decoder: Any,
    codes: Annotated[int, Ge(2), Le(2**20)] = 8192,
    commitment: NonNegative = 0.25,
    usage: NonNegative = 0.01,
    legacy: bool = False,
    distance: Distance | None = None,
) -> Codec:
    """An autoencoder whose decoder reads, for each vector of z = encoder(x), the nearest of `codes` vectors e_k of a codebook.

        loss = sum |x - x_hat| + D d(x, x_hat) + beta D/C (mean_z (|sg z - e|^2 + `commitment` |z - sg e|^2) + `usage` r)
        x_hat = decoder(z + sg(e - z)),   e = the nearest e_k to z,   r = mean_k min_z (|e_k - sg z|^2 - sg |z - e|^2)

    with the D numbers of x, the C channels of z, a `distance` d or none, and sg, of no gradient. van den Oord et al. (2017),
    eq. 3, but for r, which is 0 if each code is the nearest to some z of the example, and more if not. It draws each to the z
    to which it is nearest to be the nearest, so that none stays unused for long.
    `legacy`: `commitment` weighs the other square, as in all published first stages. Their loss is this one over D at beta = 1
    and `usage` = 0.

    A code is z, before it is quantised: `decode` does that, and draws nothing. There is no density, and the cost is 0.
    """
    networks = pair(encoder, decoder, code=lambda z: z)
    to_codebook, to_encoder = (commitment, 1.0) if legacy else (1.0, commitment)
    sg = jax.lax.stop_gradient

    def init(key: Key[Array, ""], x: Event) -> dict[str, Any]:
        of_networks, of_codebook = jax.random.split(key)
        params = networks.init(of_networks, x)
        channels = jax.eval_shape(networks.encode, params, x).shape[-1]
        codebook = jax.random.uniform(of_codebook, (codes, channels), minval=-1 / codes, maxval=1 / codes)
        return params | {"codebook": codebook}

    def encode(params: dict[str, Any], key: Key[Array, ""], x: Event) -> tuple[Code, Scalar]:
        return networks.encode(params, x), 0.0

    def decode(params: dict[str, Any], key: Key[Array, ""] | None, z: Code) -> Event:
        return networks.decode(params, params["codebook"][nearest(params["codebook"], z)])

    def reconstruct(params: dict[str, Any], key: Key[Array, ""], x: Event, beta: Scalar) -> tuple[Scalar, Event]:
        codebook, z = params["codebook"], networks.encode(params, x)
        e = codebook[nearest(codebook, z)]
        x_hat = networks.decode(params, z + sg(e - z))
        apart = jnp.abs(x - x_hat) + (0.0 if distance is None else distance(x, x_hat))
        squares = to_codebook * jnp.mean((sg(z) - e) ** 2) + to_encoder * jnp.mean((z - sg(e)) ** 2)
        return jnp.sum(apart) + beta * x.size * (squares + usage * unused(codebook, sg(z)) / z.shape[-1]), x_hat

    return reconstructing(init, encode, decode, reconstruct, density=False)


def nearest(
    points: Float[Array, "K C"], x: Float[Array, "*space C"], advance: Float[Array, " K"] | float = 0.0
) -> Int[Array, "*space"]:
    """argmin_k |x - points_k|^2 - advance_k at each place of x."""
    products = jnp.matmul(x, points.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.argmin(jnp.sum(points**2, axis=-1) - advance - 2 * products, axis=-1)


def unused(codebook: Float[Array, "K C"], z: Float[Array, "*space C"]) -> Scalar:
    """mean_k min_z (|e_k - z|^2 - min_j |e_j - z|^2), of which the second square has no gradient; 0 if each code is in use."""
    z = z.reshape(-1, z.shape[-1])
    least = jax.lax.stop_gradient(jnp.sum((z - codebook[nearest(codebook, z)]) ** 2, axis=-1))
    i = nearest(z, codebook, advance=least)
    return jnp.mean(jnp.sum((codebook - z[i]) ** 2, axis=-1) - least[i])
