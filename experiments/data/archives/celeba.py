"""CelebA at 64 x 64, as score-based models are trained on it: the middle 140 x 140 of each aligned face, made smaller.

Liu et al. (2015), https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html; Song et al. (2021)'s score_sde, datasets.py, for what is
done to the faces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np
from PIL import Image

from experiments.data.archives.contents import Contents, Example, Split
from experiments.data.archives.files import Files
from experiments.runtime.errors import DataError

FACE, CROP, SIDE = (178, 218), 140, 64
LAST = {"train": 162_770, "validation": 182_637, "test": 202_599}
"""The number of the last image of each split, as list_eval_partition.txt has them: they follow one another from 1 on."""


def celeba_64(files: Files) -> Contents:
    """Returns the splits, without labels. DataError if one of them has no image, as in a part of the archive."""
    names, splits, first = files.matching(r"\d{6}\.jpg"), {}, 1
    for split, last in LAST.items():
        its = [name for name in names if first <= int(name[:6]) <= last]
        if not its:
            raise DataError(f"{files.place} has no image from {first:06}.jpg to {last:06}.jpg, the split {split}")
        splits[split], first = Split(len(its), _examples(files, its)), last + 1
    return Contents((SIDE, SIDE, 3), {}, splits)


def _examples(files: Files, names: list[str]) -> Iterator[Example]:
    for name in names:
        with files.open(name) as stream:
            yield {"image": _face(stream, f"{files.place}: {name}")}


def _face(stream: IO[bytes], name: str) -> np.ndarray:
    """The middle of a face made smaller: each pixel is a mean over a triangle, as of tf.image.resize with `antialias`."""
    image = Image.open(stream, formats=["JPEG"])
    if image.size != FACE:
        raise DataError(f"{name} is {image.width} x {image.height}, not {FACE[0]} x {FACE[1]}: take img_align_celeba.zip")
    left, top = ((side - CROP) // 2 for side in FACE)
    middle = image.convert("RGB").crop((left, top, left + CROP, top + CROP))
    return np.asarray(middle.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
