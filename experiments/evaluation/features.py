"""Feature spaces that examples are compared in: their numbers, the hidden layer of a classifier, or Inception's features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from experiments.config.schema import Config
from experiments.data.dataset import Dataset
from experiments.data.scaler import scale
from experiments.data.views import noun
from experiments.evaluation import inception, inception_weights
from experiments.evaluation.distances import Features
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError
from experiments.runtime.lazy_arrays import FileArray, LazyArray, block_size, blocks
from experiments.runtime.progress import say

Name = Literal["pixels", "classifier", "inception"]
FITTED = 10_000
"""The most training labels that the classifier is fit to: more would take minutes."""


class FeatureSpace(NamedTuple):
    """A map `embed(levels [n, *event]) -> features [n, f]`, and its `description`.

    `extractor` names the network, with the hash of its weights if it has any, and `input` the form of its images.
    `logits` of the features exist if they are Inception's, and `classify`, their classes, if they are a classifier's. `floats`:
    the features are the floats of an event themselves. `noun`: the word for several of what is measured. `block`: how many
    events are embedded together at best, or 0 for as many as a block of theirs has.
    """

    embed: Callable[[np.ndarray], Features]
    description: str
    extractor: str
    input: str
    logits: Callable[[Features], Features] | None = None
    classify: Callable[[Features], np.ndarray] | None = None
    floats: bool = False
    noun: str = "images"
    block: int = 0

    @property
    def distance(self) -> str:
        """The name of the Fréchet distance in this space."""
        return "FID" if self.logits else "Fréchet distance"

    def embed_all(self, parts: Iterable[LazyArray], folder: Path) -> FileArray:
        """Returns the features of the levels of all parts, in a file in `folder`: a block of either is in memory at a time."""
        features = FileArray(folder)
        for levels in parts:
            for some in blocks(levels, size=self.block):
                features.append(self.embed(some))
        return features


def default_features(config: Config, data: Dataset) -> Name:
    """The features of data if the config names none: FID's if it has their weights, those of labels if there are several."""
    if config.evaluate.inception:
        return "inception"
    if not config.data.levels or data.test_labels is None:
        return "pixels"
    y = data.some_training(1000).y
    return "pixels" if y is None or len(np.unique(y)) < 2 else "classifier"


def feature_space(config: Config, data: Dataset) -> FeatureSpace:
    """The space `evaluate.features`, or of the `default_features`. ConfigError if the data or the weights do not give it.

    `pixels`: the event itself, levels scaled to [-1, 1], floats standardised if data.standardise says so, as else the channel
    of the largest unit would be all of a distance; `classifier`: the hidden layer of a network fit to the labels; `inception`:
    FID's network, on all devices.
    """
    features = config.evaluate.features or default_features(config, data)
    if features == "inception":
        return _inception(config, data.shape)
    levels, scaler, kind = config.data.levels, scale(config, data.moments), noun(data.shape, config.data.levels)

    def pixels(images: np.ndarray, dtype: type[np.floating] = np.float64) -> Features:
        # On the host, where numpy's arrays do as JAX's.
        events = images if levels else np.asarray(scaler.place(images, 0.5))  # pyright: ignore[reportArgumentType]
        flat = events.reshape(len(events), -1).astype(dtype)
        if levels:  # in place: 50,000 images of CIFAR-10 are 0.6 GB in float32
            flat /= (levels - 1) / 2
            flat -= 1
        return flat

    standard = f"standardised by {config.data.standardise}" if scaler.moments else "as it is"
    scaled = "scaled to [-1, 1]" if levels else standard
    if features == "pixels":
        size = int(np.prod(data.shape))
        embed = lambda images: pixels(images, np.float32)
        words = f"the {size} values of an event" + (", in [-1, 1]" if levels else f", {standard}" if scaler.moments else "")
        return FeatureSpace(embed, words, "pixels", scaled, floats=not levels, noun=kind)

    fitted = data.some_training(FITTED)
    if fitted.y is None or data.test_labels is None:
        split = "training" if fitted.y is None else "held-out"
        raise ConfigError(
            f"evaluate.features = 'classifier' needs labels, and not all {split} examples have one: take 'pixels'"
        )
    from sklearn.neural_network import MLPClassifier  # seconds to import: only if it is used

    say(f"fitting the classifier of the features to {len(fitted.y):,} labels")
    classifier = MLPClassifier(hidden_layer_sizes=(64,), alpha=1e-2, max_iter=300, random_state=0)
    with warnings.catch_warnings(action="ignore"):  # of 300 iterations that were few: how right it is stands in the protocol
        classifier.fit(pixels(fitted.levels), fitted.y)

    def hidden(images: np.ndarray) -> Features:
        layer = lambda some: np.maximum(pixels(some) @ classifier.coefs_[0] + classifier.intercepts_[0], 0)
        return np.concatenate([layer(some) for some in blocks(images)])

    def classify(features: Features) -> np.ndarray:
        logits = features @ classifier.coefs_[1] + classifier.intercepts_[1]
        if len(classifier.classes_) == 2:  # scikit-learn gives only the second's: the first's is 0
            logits = np.pad(logits, ((0, 0), (1, 0)))
        return classifier.classes_[logits.argmax(1)]

    words = (
        f"64 hidden units (ReLU) of a classifier fit to {len(fitted.y):,} training labels drawn at random, seed 0, "
        f"{(classify(hidden(data.test)) == data.test_labels).mean():.1%} right on held-out {kind}"
    )
    return FeatureSpace(hidden, words, "classifier", scaled, classify=classify, noun=kind)


def _inception(config: Config, shape: tuple[int, ...]) -> FeatureSpace:
    """The features of FID, of images as 8-bit pixels."""
    if not config.data.levels or len(shape) != 3 or shape[-1] not in (1, 3):
        raise ConfigError(f"evaluate.features = 'inception' needs images of 1 or 3 channels, not {shape}: take 'pixels'")
    network, batch, display = inception_weights.load(config.evaluate.inception), config.evaluate.batch, scale(config).display
    if not network.official:
        say(f"warning: {config.evaluate.inception} is not the published file by its hash; FID is what its weights make of it")
    run, params = devices.mapped(inception.embed), devices.put(network.params, devices.replicated())

    def embed(images: np.ndarray) -> Features:
        n = len(images)
        whole = images if n <= batch else np.resize(images, (-(-n // batch) * batch, *shape))  # of one size, one program
        return devices.in_batches(run, params, display(whole), batch)[:n]

    official = "the published file" if network.official else "not the published .pth, byte for byte"
    return FeatureSpace(
        embed,
        f"2048, of the Inception of 2015-12-05; hash of its weights {network.digest}, {official}",
        f"inception-2015-12-05 {network.digest}",
        f"uint8 of {config.data.levels} levels, {'repeated to 3 channels, ' if shape[-1] == 1 else ''}bilinear to "
        f"{inception.SIDE} x {inception.SIDE} as in TensorFlow 1, without antialiasing; float32",
        network.logits,
        block=batch * max(1, block_size(shape) // batch),
    )
