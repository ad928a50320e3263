"""A frame of H x W pixels that images of any size are scaled and cut to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from experiments.config.schema import Data
from experiments.runtime.errors import DataError

CROPS = {
    "centre": "centre crop",
    "random": "random crop in training, centre crop elsewhere",
    "none": "no crop, so the aspect changes",
}
"""The values of `data.crop` in words."""


class Frame(NamedTuple):
    """The `height` H and the `width` W that images get, in pixels, and the `crop` that makes them fit.

    "centre" and "random" keep the aspect: an image [h, w] is scaled by s = max(H/h, W/w), so that it covers the frame, and cut
    where it sticks out, in the middle or at a random place. "none" scales each side by itself, and cuts nothing.
    """

    height: int
    width: int
    crop: str = "centre"

    @classmethod
    def of(cls, config: Data) -> Frame | None:
        """Returns the frame that `data.size` and `data.crop` ask for, or None if images keep their size."""
        if config.size is None:
            return None
        height, width = config.size if isinstance(config.size, tuple) else (config.size, config.size)
        return cls(height, width, config.crop)

    @property
    def sides(self) -> str:
        """The two sides in words, the height first."""
        return f"{self.height} x {self.width}"

    @property
    def words(self) -> str:
        """Says all that is done to an image."""
        return f"resized to {self.sides}, {CROPS[self.crop]}, antialiased (means of whole pixels, then bicubic)"

    def enlarges(self, height: int, width: int) -> bool:
        """Returns whether an image of these sides has fewer pixels along one of them than it gets."""
        return height < self.height or width < self.width

    def cover(self, pixels: UInt8[np.ndarray, "h w C"]) -> UInt8[np.ndarray, "sh sw C"]:
        """Returns the image scaled, antialiased and not yet cut; of one that covers the frame already, its own pixels.

        If a side shrinks r times, means of floor(r) pixels come first, and a bicubic filter as wide as what is left, less than
        2, does the rest: Pillow's `reducing_gap` = 1. At a whole r a pixel is the mean of r x r, and no edge rings, as it would
        under Lanczos's filter. ADM, and EDM for ImageNet, halve by hand instead, because their Pillow lacked that argument:
        Dhariwal & Nichol (2021), guided_diffusion/image_datasets.py, `center_crop_arr`. Where r is below 2 the pixels are
        theirs, and else to rounding if r is 2, 4, 8, ... Values are averaged as they are stored, as there.

        DataError if the scaled image would have more pixels than Pillow takes for an attack.
        """
        height, width = self._scaled(*pixels.shape[:2])
        if Image.MAX_IMAGE_PIXELS and height * width > Image.MAX_IMAGE_PIXELS:
            large = f"scaled to cover {self.sides} it is {height} x {width}, more than Image.MAX_IMAGE_PIXELS"
            raise DataError(f"{large}: leave it out, or take data.crop = 'none'")
        resize = lambda channel: np.asarray(
            Image.fromarray(channel).resize((width, height), Image.Resampling.BICUBIC, reducing_gap=1.0)
        )
        # Each channel by itself, as there may be any number; Pillow would weigh colours by a fourth one.
        return np.stack([resize(np.ascontiguousarray(pixels[..., c])) for c in range(pixels.shape[-1])], axis=-1)

    def cut(self, image: UInt8[np.ndarray, "sh sw C"], at: float | None = None) -> UInt8[np.ndarray, "H W C"]:
        """Returns the frame's pixels of an image that covers it, as a view.

        Of m pixels too many, floor(at (m + 1)) are cut off at the top or the left, so that `at` ~ U[0, 1) makes each place
        equally likely; without `at` it is floor(m/2).
        """
        start = lambda extra: extra // 2 if at is None else int(at * (extra + 1))
        top, left = start(image.shape[0] - self.height), start(image.shape[1] - self.width)
        return image[top : top + self.height, left : left + self.width]

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        """The sides of an image before it is cut."""
        if self.crop == "none":
            return self.height, self.width
        scale = max(self.height / height, self.width / width)
        return round(scale * height), round(scale * width)
