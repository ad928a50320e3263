"""Real images as a yardstick: the statistics of their features under a stated protocol, kept on disk by their hash."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments.config.schema import Config
from experiments.data.dataset import Dataset
from experiments.evaluation import distances
from experiments.evaluation.distances import Features
from experiments.evaluation.features import FeatureSpace
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.progress import say

FEW = 10_000
"""Images below which FID says more of their number than of the model; and the most whose features are held."""


class Protocol(NamedTuple):
    """How images became features, and which real ones they are held against: distances under unlike protocols do not compare.

    `levels` of a pixel of images of this `shape`; `data` is the digest of the data, and `split` the part of it that is real.
    """

    extractor: str
    input: str
    shape: tuple[int, ...]
    levels: int
    data: str
    split: str

    def unlike(self, other: Protocol) -> list[str]:
        """The fields that differ, a line each."""
        pairs = zip(self._fields, self, other, strict=True)
        return [f"{field}: {mine!r} and {its!r}" for field, mine, its in pairs if mine != its]


class Statistics(NamedTuple):
    """Mean [f] and covariance [f, f] of the features of n images, and `features` of all or of `FEW` of them."""

    mu: np.ndarray
    cov: np.ndarray
    n: int
    features: Features
    protocol: Protocol


def statistics(features: Features, protocol: Protocol) -> Statistics:
    """Those of all features; where some are left out, they are drawn, since data may be sorted."""
    n = len(features)
    some = features if n <= FEW else features[np.sort(np.random.default_rng(0).choice(n, FEW, replace=False))]
    return Statistics(*distances.moments(features), n, some, protocol)


def frechet(a: Statistics, b: Statistics) -> float:
    """The Fréchet distance of two sets of images. Raises ConfigError with the fields of their protocols that differ."""
    if unlike := a.protocol.unlike(b.protocol):
        raise ConfigError(["statistics of unlike protocols do not compare:", *unlike])
    return distances.gaussian_distance(a.mu, a.cov, b.mu, b.cov)


class Yardstick(NamedTuple):
    """Real images in a feature space, for sets of images to be held against."""

    space: FeatureSpace
    real: Statistics
    neighbours: int

    def measures(self, labelled: bool = False) -> list[str]:
        """The names of what `measure` gives, of images with labels or without."""
        of_labels = ["accuracy"] if labelled and self.space.classify else []
        return ["frechet", "precision", "recall", *of_labels, *(["kid", "inception_score"] if self.space.logits else [])]

    def measure(self, images: np.ndarray, levels: int, labels: np.ndarray | None = None) -> dict[str, float]:
        """Every measure of quality of images [n, *event] of so many levels. ConfigError where the real ones are of others.

        Of images that were asked for by their `labels`, and a space that classifies, how many are of the class asked for.

        Beside the images it holds their features, once, and moments in blocks: of 50,000 images 0.4 GB of Inception's 2048 in
        float32, and their 1008 logits; of the pixels of CIFAR-10 0.6 GB.
        """
        features = self.space.embed(images)
        if features.shape[1:] != self.real.mu.shape:
            kept = f"the statistics of real images are of {len(self.real.mu)} features, and these have {features.shape[1]}"
            raise StorageError(f"{kept}: remove the files they were kept in, or take another evaluate.statistics")
        fake = statistics(features, self.real.protocol._replace(levels=levels, shape=images.shape[1:]))
        precision, recall = distances.precision_recall(fake.features, self.real.features, self.neighbours)
        measured = {"frechet": frechet(fake, self.real), "precision": precision, "recall": recall}
        if labels is not None and self.space.classify:
            measured["accuracy"] = float((self.space.classify(features) == labels).mean())
        if self.space.logits:
            measured["kid"], _ = distances.kernel_distance(features, self.real.features)
            measured["inception_score"], _ = distances.inception_score(self.space.logits(features))
        return measured

    def doubts(self, n: int) -> list[str]:
        """Why a FID of n samples is not one to compare with a paper's, a line each."""
        more = ": papers have the training images, evaluate.real = 'train'" if self.real.protocol.split == "test" else ""
        sets = [
            (n, "of", "samples", ": raise evaluate.n, papers have 50,000"),
            (self.real.n, "against", "real images", more),
        ]
        return [
            f"FID {of} {size:,} {what}, fewer than {FEW:,}, is biased up{remedy}"
            for size, of, what, remedy in sets
            if size < FEW and self.space.logits
        ]


def yardstick(config: Config, data: Dataset, space: FeatureSpace, workdir: Path) -> Yardstick:
    """The real images that the config names, and warnings. In Inception's features their statistics are kept on disk."""
    e = config.evaluate
    images = data.test if e.real == "test" else data.train_examples(len(data.train))
    protocol = Protocol(space.extractor, space.input, data.shape, config.data.levels, data.digest, e.real)
    make = lambda: statistics(space.embed(images), protocol)
    folder = Path(e.statistics) if e.statistics else workdir / "statistics"
    if e.neighbours >= len(images):
        raise ConfigError(f"evaluate.neighbours = {e.neighbours} of {len(images)} real images: take fewer")
    made = Yardstick(space, kept(folder, images, protocol, make) if space.logits else make(), e.neighbours)
    for doubt in made.doubts(e.n):
        say(f"warning: {doubt}")
    return made


def kept(folder: Path, images: np.ndarray, protocol: Protocol, make: Callable[[], Statistics]) -> Statistics:
    """What `make()` gives, or gave for the same images under the same protocol: FOLDER/SPLIT_HASH.npz, beside its .json."""
    key = sha256(json.dumps(protocol).encode() + images.tobytes()).hexdigest()[:16]
    path = folder / f"{protocol.split}_{key}.npz"
    found = _read(path, protocol)
    everywhere = multihost_utils.process_allgather(np.array(found is not None)).all()  # all processes compute, or none does
    if found is not None and everywhere:
        return found
    say(f"statistics of {len(images):,} real images ({protocol.split})")
    made = make()
    if jax.process_index() == 0:
        _write(path, made)
    return made


def _read(path: Path, protocol: Protocol) -> Statistics | None:
    """The statistics in a file, unless there is none, or another than was written."""
    if not path.exists():
        return None
    try:
        content, words = path.read_bytes(), json.loads(path.with_suffix(".json").read_text())
        if words["sha256"] == sha256(content).hexdigest():
            found = Statistics(n=words["n"], protocol=protocol, **_arrays(content))
            if _sound(found):
                return found
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, MemoryError, BadZipFile):
        pass
    say(f"warning: {path} is damaged, and is made anew")
    return None


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an .npz that does not unpack to more than it is. ValueError where it would."""
    with ZipFile(BytesIO(content)) as archive:
        if any(member.compress_type or member.file_size > len(content) for member in archive.infolist()):
            raise ValueError("it is compressed, and what is kept here is not")
    with np.load(BytesIO(content), allow_pickle=False) as file:
        return {key: file[key] for key in ("mu", "cov", "features")}


def _sound(found: Statistics) -> bool:
    """Whether these are the moments of n sets of f features, all of them numbers."""
    f, held = found.mu.size, len(found.features)
    shapes = (found.mu.shape, found.cov.shape, found.features.shape) == ((f,), (f, f), (held, f))
    numbers = all(a.dtype.kind in "fiu" and np.isfinite(a).all() for a in (found.mu, found.cov, found.features))
    return shapes and numbers and type(found.n) is int and held == min(found.n, FEW) > 1


def _write(path: Path, made: Statistics) -> None:
    """Both files, whole or not at all; the run goes on where they cannot be written."""
    packed = BytesIO()
    np.savez(packed, mu=made.mu, cov=made.cov, features=made.features)
    words = {"n": made.n, "protocol": made.protocol._asdict(), "sha256": sha256(packed.getvalue()).hexdigest()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, content in ((path.with_suffix(".json"), json.dumps(words, indent=1).encode()), (path, packed.getvalue())):
            part = target.with_suffix(f"{target.suffix}.{os.getpid()}")
            part.write_bytes(content)
            part.replace(target)
    except OSError as error:
        say(f"warning: the statistics cannot be kept in {path.parent}: {error.strerror}")
