"""The measures of a set of images: report, protocol and plots iterate over the table `MEASURES`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from experiments.config.schema import Config
from experiments.evaluation import distances
from experiments.evaluation.features import FeatureSpace
from experiments.evaluation.reference import Reference
from experiments.evaluation.statistics import FEW, frechet, statistics
from experiments.runtime.errors import StorageError
from experiments.runtime.lazy_arrays import LazyArray, blocks


class Comparison:
    """The features [n, f] of events of a `shape` and so many `levels`, held against a reference.

    `labels` [n] are the classes that they were drawn for. Measures read the features a block at a time; in memory are those of
    `FEW` alone, which are held against each other.
    """

    def __init__(
        self,
        reference: Reference,
        features: LazyArray,
        shape: tuple[int, ...],
        levels: int,
        labels: np.ndarray | None = None,
    ):
        self.reference, self.features, self.labels, real = reference, features, labels, reference.real
        if features.shape[1:] != real.mu.shape:
            raise StorageError(
                f"the statistics of real images are of {len(real.mu)} features, and these have {features.shape[1]}: "
                "remove the files they were kept in, or take another evaluate.statistics"
            )
        self.fake = statistics(features, real.protocol._replace(levels=levels, shape=shape))

    @cached_property
    def precision_recall(self) -> tuple[float, float]:
        """Both at once, from one table of distances."""
        return distances.precision_recall(self.fake.features, self.reference.real.features, self.reference.neighbours)


class Measure(NamedTuple):
    """A number of a set of images, and how the report shows it.

    `name` is its key in report.json; `of` computes it. `label` heads its column and its axis; "{distance}" in it stands for
    the name of the Fréchet distance in the feature space. Table and plots show it `times` as large.
    `protocol` returns a heading and a sentence on how it came about; measures may share one.
    It exists in the feature spaces that `applies` accepts, and if `of_labels`, only for images drawn for a label. `least`
    returns the fewest images that it is a number of, for a space of so many features.
    `signed`: it is unbiased, and so may fall below its least value, 0.
    `against` lists the plots that show it: over network evaluations ("nfe"), over the guidance weight ("w").
    """

    name: str
    label: str
    better: Literal["lower", "higher"]
    of: Callable[[Comparison], float]
    protocol: Callable[[Config, Reference], tuple[str, str]] | None = None
    applies: Callable[[FeatureSpace], bool] = lambda space: True
    least: Callable[[int], int] = lambda features: 1
    of_labels: bool = False
    signed: bool = False
    times: float = 1
    against: tuple[Literal["nfe", "w"], ...] = ("nfe", "w")

    def heading(self, distance: str) -> str:
        """The label, for a feature space whose Fréchet distance is called `distance`."""
        return self.label.format(distance=distance)


def _frechet_protocol(config: Config, reference: Reference) -> tuple[str, str]:
    """Returns how the Fréchet distance was computed; for FID, everything that its number depends on."""
    gaussians = "between Gaussians fitted to the features (squared 2-Wasserstein); biased up by small n, alike for all rows"
    if not reference.space.logits:
        return "Fréchet distance", gaussians
    e, real, data = config.evaluate, reference.real, config.data
    split = {"test": f"held-out ({data.test})", "train": f"training ({data.train})"}[e.real]
    return "FID", (
        f"n = {e.n:,} samples of each seed, {', '.join(str(s) for s in range(e.seeds))}: their mean, not the least; "
        f"against all {real.n:,} real images of {data.name}, {split}, data hash {real.protocol.data}; extractor "
        f"{real.protocol.extractor}; input {real.protocol.input}; {gaussians}"
    )


def _infinity_protocol(config: Config, reference: Reference) -> tuple[str, str]:
    """Returns how the distance of infinitely many samples was extrapolated, or why it was not."""
    n, f = config.evaluate.n, len(reference.real.mu)
    name, least = f"{reference.space.distance}, n → ∞", distances.least_for_infinity(f)
    if n < least:
        return name, f"no value: a fit takes {least:,} samples for {f:,} features, and evaluate.n = {n:,}"
    return name, (
        f"the value at 1/n = 0 of a line in 1/n, by least squares over {distances.SIZES} subsets of up to {n:,} samples: "
        f"without the bias of their number, so that it may fall below 0; the bias of {reference.real.n:,} real "
        f"{reference.space.noun} stays (Chong & Forsyth 2020)"
    )


def _precision_recall_protocol(config: Config, reference: Reference) -> tuple[str, str]:
    neighbours = config.evaluate.neighbours
    return "precision, recall", f"share within the other's {neighbours}-nearest-neighbour balls, of at most {FEW:,} of each"


def _accuracy(comparison: Comparison) -> float:
    classify = comparison.reference.space.classify
    assert classify is not None
    classes = np.concatenate([classify(some) for some in blocks(comparison.features)])
    return float((classes == comparison.labels).mean())


def _inception_score(comparison: Comparison) -> float:
    logits = comparison.reference.space.logits
    assert logits is not None
    return distances.inception_score(comparison.features, logits)[0]


has_logits = lambda space: space.logits is not None

MEASURES = (
    Measure(
        "energy",
        "energy distance × 10³",
        "lower",
        of=lambda c: distances.energy_distance(c.fake.features, c.reference.real.features),
        protocol=lambda config, reference: (
            "energy distance",
            f"2 E|x - y|^½ - E|x - x'|^½ - E|y - y'|^½ of samples x and real {reference.space.noun} y, at most {FEW:,} of "
            "each; 0 if their laws are equal, and else above; unbiased, so that it may fall below",
        ),
        applies=lambda space: space.floats,
        signed=True,
        times=1000,
        against=("nfe",),
    ),
    Measure(
        "frechet",
        "{distance}",
        "lower",
        of=lambda c: frechet(c.fake, c.reference.real),
        protocol=_frechet_protocol,
        against=("nfe",),
    ),
    Measure(
        "frechet_infinity",
        "{distance}, n → ∞",
        "lower",
        of=lambda c: distances.frechet_at_infinity(c.features, c.reference.real.mu, c.reference.real.root),
        protocol=_infinity_protocol,
        least=distances.least_for_infinity,
        signed=True,
        against=(),
    ),
    Measure(
        "kid",
        "KID × 10³",
        "lower",
        of=lambda c: distances.kernel_distance(c.features, c.reference.real.features)[0],
        protocol=lambda config, reference: (
            "KID",
            "unbiased squared MMD under (x y/2048 + 1)^3, the mean over 100 subsets of 1,000 of each, or all of the fewer",
        ),
        applies=has_logits,
        times=1000,
        against=(),
    ),
    Measure(
        "inception_score",
        "Inception score",
        "higher",
        of=_inception_score,
        protocol=lambda config, reference: (
            "Inception score",
            "mean over 10 splits of a seed's samples; of logits without bias",
        ),
        applies=has_logits,
        against=(),
    ),
    Measure(
        "precision",
        "precision",
        "higher",
        of=lambda c: c.precision_recall[0],
        protocol=_precision_recall_protocol,
        against=("w",),
    ),
    Measure(
        "recall",
        "recall",
        "higher",
        of=lambda c: c.precision_recall[1],
        protocol=_precision_recall_protocol,
        against=("w",),
    ),
    Measure(
        "accuracy",
        "accuracy",
        "higher",
        of=_accuracy,
        applies=lambda space: space.classify is not None,
        of_labels=True,
        against=("w",),
    ),
)
"""The columns of the report, in their order. The first of those that apply ranks the samplers of an arm."""


CHOICE = "validation"
"""The name of the first measure against the validation split, by which samplers are chosen."""


def applicable(space: FeatureSpace, labelled: bool = False) -> list[Measure]:
    """The measures of images with labels or without, in this feature space."""
    return [m for m in MEASURES if m.applies(space) and (labelled or not m.of_labels)]


def computable(reference: Reference, n: int, labelled: bool = False) -> list[Measure]:
    """The applicable measures that n images are enough for."""
    return [m for m in applicable(reference.space, labelled) if n >= m.least(len(reference.real.mu))]


def measure_images(reference: Reference, images: LazyArray, levels: int, labels: np.ndarray | None = None) -> dict[str, float]:
    """Every computable measure of the images [n, *event], by its name: `measure` of their features."""
    features = reference.space.embed_all([images], reference.folder)
    return measure(reference, features, images.shape[1:], levels, labels)


def measure(
    reference: Reference, features: LazyArray, shape: tuple[int, ...], levels: int, labels: np.ndarray | None = None
) -> dict[str, float]:
    """Every computable measure of a `Comparison`, by its name. ConfigError if the real images are of other levels or shape.

    If there is a validation split, the first of them against that split is there as `CHOICE`, too.
    """
    held_against = lambda reference: Comparison(reference, features, shape, levels, labels)
    comparison = held_against(reference)
    computed = computable(reference, len(features), labels is not None)
    values = {m.name: m.of(comparison) for m in computed}
    if reference.for_choices:
        values[CHOICE] = computed[0].of(held_against(reference.for_choices))
    return values


def measured(results: dict[str, Any]) -> list[Measure]:
    """The measures that some row of a report has."""
    names = {name for arm in results["arms"] for row in arm["samplers"] for name in row}
    return [m for m in MEASURES if m.name in names]


def plotted(results: dict[str, Any], against: Literal["nfe", "w"]) -> list[Measure]:
    """The measures of a report that a plot shows; first those of labels, which guidance is meant to raise."""
    return sorted((m for m in measured(results) if against in m.against), key=lambda m: not m.of_labels)
