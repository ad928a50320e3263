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


class Decoded:
    """A source's examples as events of one shape, that of the first that can be decoded unless `shape` is given.

    `origin` names the source in errors. Nothing is kept: every read decodes.
    """

    def __init__(self, source: Any, levels: int, origin: str, shape: tuple[int, ...] = ()):
        self._source, self._origin, self._shape = source, origin, shape
        # The level of each of a pixel's 256 values: round(p (levels - 1) / 255).
        self._level_of = np.round(np.arange(256) * ((levels - 1) / 255)).astype(np.uint8) if levels else None
        bad = []
        for i in range(len(source)):
            example = self._example(i)
            if not isinstance(example, str):
                self._shape, self._dtype = shape or example[0].shape, example[0].dtype
                self.nbytes = example[0].nbytes * len(source)
                return
            bad.append(example)
        raise DataError([f"no example of {origin} can be used:", *bad[:3]] if bad else f"{origin} holds no example")

    def __len__(self) -> int:
        return len(self._source)

    def read(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Events [n, *event] and integer labels [n] of these rows, decoded by Grain's threads. DataError lists what fails."""
        # Chunks, because a hand-over between threads costs Grain more than decoding a small image.
        chunks = grain.MapDataset.source(rows).map(self._example).batch(16, batch_fn=list)
        events, labels, bad = np.empty((len(rows), *self._shape), self._dtype), [], []
        for chunk in chunks.to_iter_dataset(grain.ReadOptions(num_threads=4, prefetch_buffer_size=16)):
            for example in chunk:
                if isinstance(example, str):
                    bad.append(example)
                else:
                    events[len(labels)] = example[0]
                    labels.append(example[1])
        if bad:
            raise DataError([f"{len(bad)} of {len(rows)} examples of {self._origin} cannot be used:", *bad[:3]])
        labels = np.array(labels)
        return events, labels.astype(int) if labels.dtype.kind in "iu" else None

    def _example(self, i: int) -> tuple[np.ndarray, Any] | str:
        """(event, label or None), or the line that says why not."""
        name = f"example {i} of {self._origin}"
        try:
            item = self._source[i]  # TFDS decodes here
            image = item["image"]
            name = str(image) if isinstance(image, Path) else name
            event = _point(image) if self._level_of is None else self._level_of[_pixels(image)]
        except DataError as error:
            return f"{name}: {error}"
        except Exception as error:  # decoders of damaged files raise anything, and name neither file nor index
            return f"{name}: {type(error).__name__}: {' '.join(str(error).split())}"
        if self._shape and event.shape != self._shape:
            return f"{name}: its shape is {event.shape}, the others' {self._shape}: resize them to one shape"
        return event, item.get("label")


class Records:
    """Training examples in Grain's order: `MapDataset.shuffle().repeat()`, a new permutation each epoch.

    Those that fit `resident_mib` are decoded once and kept, as `resident` [n, *event]; the others are decoded as they are asked
    for, in the same order.
    """

    def __init__(self, decoded: Decoded, seed: int, resident_mib: int):
        self._decoded = decoded
        fit = decoded.nbytes <= resident_mib * 2**20
        self.resident, self.labels = decoded.read(range(len(decoded))) if fit else (None, None)
        self._order = grain.MapDataset.range(len(decoded)).seed(seed).shuffle().repeat()

    def __len__(self) -> int:
        return len(self._decoded)

    def indices(self, step: int, size: int, process: int = 0, processes: int = 1) -> np.ndarray:
        """This process's share of batch `step`, which is the examples step size ... (step + 1) size - 1 of the order."""
        return np.asarray(self._order.batch(size // processes)[step * processes + process])

    def batch(self, step: int, size: int, process: int = 0, processes: int = 1) -> np.ndarray:
        """The examples at `indices` [size / processes, *event]."""
        rows = self.indices(step, size, process, processes)
        return self._decoded.read(rows.tolist())[0] if self.resident is None else self.resident[rows]


class Dataset(NamedTuple):
    """Examples as grey levels (uint8), or points (float32).

    `shape`: of one event; `train`: by batch; `test` [M, *shape]: all that is held out; integer labels, where there are any and
    the examples are resident; `digest` of the held-out examples and as many training ones, or all that are resident.
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
    train = Records(Decoded(sources.train, config.levels, f"{config.name} {config.train}"), seed, config.resident_mib)
    seen = train.resident if train.resident is not None else train.batch(0, min(len(train), len(sources.test)))
    shape = seen.shape[1:]
    held_out = Decoded(sources.test, config.levels, f"{config.name} {config.test}", shape)
    test, test_labels = held_out.read(range(len(held_out)))
    digest = sha256(seen.tobytes() + test.tobytes()).hexdigest()[:16]
    return Dataset(shape, train, test, train.labels, test_labels, digest)


def _point(x: Any) -> np.ndarray:
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        raise DataError("data.levels = 0 is for points in the plane; an image has 256")
    return x


def _pixels(image: Any) -> np.ndarray:
    """uint8 [H, W, C] of a file or an array; 16 bits are scaled to 8, not clipped."""
    pixels = _opened(image) if isinstance(image, Path) else np.asarray(image)
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels * (255 / 65535)).astype(np.uint8)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise DataError(
            f"an image is uint8 or uint16 [H, W, C], not {pixels.dtype} {pixels.shape}; points have data.levels = 0"
        )
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _opened(path: Path) -> np.ndarray:
    """[H, W] or [H, W, 3], upright; alpha is dropped, palette and CMYK are converted."""
    with Image.open(path) as image:
        if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:  # where Pillow only warns
            raise DataError(f"{image.width} x {image.height} pixels are more than Image.MAX_IMAGE_PIXELS")
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            return np.asarray(image).astype(np.uint16)
        if image.mode in ("I", "F"):
            raise DataError("32-bit pixels have no known scale: convert the file to 8 or 16 bits")
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
