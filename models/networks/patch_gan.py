"""The discriminator of latent diffusion's first stages: PatchGAN (Isola et al. 2017, sec. 3.2.2)."""

from __future__ import annotations

from functools import partial

from flax import nnx

from models.layers.affine import Conv, Images, Init, torch_default
from models.layers.norm import BatchNorm
from models.ranges import Depth, Width


class PatchGAN(nnx.Module):
    """A logit that an image is real for each of its patches, [B, h, w, 1], by convolutions of size 4 alone.

    conv, then norm(conv) `layers` times, each through a leaky ReLU, and conv: of `width`, twice, four times, and at most eight
    times as many channels. The last two keep the resolution (but for a pixel), those before halve it. The defaults see patches
    of 70 x 70.
    """

    def __init__(self, shape: tuple[int, ...], width: Width = 64, layers: Depth = 3, *, rngs: nnx.Rngs):
        conv = partial(Conv, size=4, padding=(1, 1), init=Init(nnx.initializers.normal(0.02), torch_default().bias), rngs=rngs)
        self.first = conv(shape[-1], width, stride=2)
        convs, norms, now = [], [], width
        for i in range(1, layers + 1):
            n = width * min(2**i, 8)
            convs.append(conv(now, n, stride=2 if i < layers else 1, bias=False))
            norms.append(BatchNorm(n, rngs=rngs))
            now = n
        self.convs, self.norms = nnx.List(convs), nnx.List(norms)
        self.last = conv(now, 1)

    def __call__(self, x: Images, *_) -> Images:
        """The arguments that it does not read are those of a network that hears a noise level."""
        h = nnx.leaky_relu(self.first(x), 0.2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = nnx.leaky_relu(norm(conv(h)), 0.2)
        return self.last(h)
