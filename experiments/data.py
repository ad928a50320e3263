"""Examples by number: Grain decodes them and fixes their order, a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import grain
import numpy as np
from PIL import Image, ImageOps

from experiments.errors import DataError
from experiments.schema import Data
from experiments.sources import Sources


class Records:
    """Training examples in Grain's order: `MapDataset.shuffle(seed).repeat()`, a new permutation each epoch.

    Those that fit `resident_mib` are decoded once and kept; the others are decoded as they are asked for, in the same order.
    """

    def __init__(self, source: Any, levels: int, seed: int, resident_mib: int):
        decoded = grain.MapDataset.source(_Decoded(source, levels))
        self._length = len(decoded)
        first = np.asarray(decoded[0])
        self.resident = read_all(decoded) if first.nbytes * len(decoded) <= resident_mib * 2**20 else None
        rows: Any = grain.MapDataset.range(len(decoded)) if self.resident is not None else decoded
        self._order = rows.seed(seed).shuffle().repeat()

    def __len__(self) -> int:
        return self._length

    def batch(self, step: int, size: int, process: int = 0, processes: int = 1) -> np.ndarray:
        """This process's rows of batch `step` [size / processes, *event]: examples step size ... of the order."""
        share = size // processes
        start = step * size + process * share
        items: list[Any] = [self._order[i] for i in range(start, start + share)]
        return np.stack(items) if self.resident is None else self.resident[items]


class Dataset(NamedTuple):
    """Examples as grey levels (uint8), or points (float32).

    `shape`: of one event; `train`: by batch; `test` [M, *shape]: all that is held out; labels, where there are any; `digest`
    of the held-out examples and as many training ones.
    """

    shape: tuple[int, ...]
    train: Records
    test: np.ndarray
    train_labels: np.ndarray | None
    test_labels: np.ndarray | None
    digest: str

    def train_examples(self, most: int = 50_000) -> np.ndarray:
        """The training examples in their own order, at most `most` of them."""
        if self.train.resident is None:
            raise DataError("these training examples do not fit data.resident_mib, and this needs them at once")
        return self.train.resident[:most]


def load(sources: Sources, config: Data, seed: int) -> Dataset:
    """The examples of opened sources, decoded. DataError names those that cannot be."""
    train = Records(sources.train, config.levels, seed, config.resident_mib)
    test = read_all(grain.MapDataset.source(_Decoded(sources.test, config.levels)))
    seen = train.resident if train.resident is not None else train.batch(0, min(len(train), len(test)))
    if seen.shape[1:] != test.shape[1:]:
        raise DataError(f"training examples have shape {seen.shape[1:]}, held-out ones {test.shape[1:]}")
    digest = sha256(seen.tobytes() + test.tobytes()).hexdigest()[:16]
    return Dataset(test.shape[1:], train, test, _labels(sources.train), _labels(sources.test), digest)


def read_all(decoded: grain.MapDataset) -> np.ndarray:
    """Every example, in order, decoded by Grain's threads. DataError lists the first that cannot be, or have another shape."""
    images, bad = [], []
    for image in decoded.to_iter_dataset(grain.ReadOptions(num_threads=4, prefetch_buffer_size=64)):
        bad += [image] if isinstance(image, str) else []
        images += [] if isinstance(image, str) else [image]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        first = images[0].shape
        other = next(i for i, image in enumerate(images) if image.shape != first)
        bad.append(f"example {other} has shape {images[other].shape}, the first {first}: resize them to one shape")
    if bad:
        raise DataError([f"{len(bad)} of {len(images) + len(bad)} examples cannot be used:", *bad[:3]])
    return np.stack(images)


class _Decoded(Sequence[np.ndarray | str]):
    """A source whose items are decoded: an event, or a string that says why not."""

    def __init__(self, source: Any, levels: int):
        self._source, self._levels = source, levels

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, i: int) -> np.ndarray | str:  # pyright: ignore[reportIncompatibleMethodOverride]
        try:
            item = self._source[i]["image"]
        except Exception as error:  # TFDS decodes here, and names neither dataset nor index
            return f"example {i}: {error}"
        if not self._levels:
            return np.asarray(item)
        try:
            pixels = _pixels(item) if isinstance(item, Path) else np.asarray(item)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return f"{item}: {' '.join(str(error).split())}"
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
        return np.round(pixels * ((self._levels - 1) / 255)).astype(np.uint8)


def _pixels(path: Path) -> np.ndarray:
    """uint8 [H, W, C], upright, C = 1 or 3: alpha dropped, palette and CMYK converted, 16 bits scaled to 8, not clipped."""
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I") or image.mode == "F":
            wide = np.asarray(image).astype(np.float64)
            return np.round(wide * (255 / 65535)).clip(0, 255).astype(np.uint8)
        grey = image.mode in ("1", "L", "LA")
        return np.asarray(image.convert("L" if grey else "RGB"))


def _labels(source: Any) -> np.ndarray | None:
    return np.array([source[i]["label"] for i in range(len(source))], int) if "label" in source[0] else None
