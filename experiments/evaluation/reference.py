"""The real images that samples are held against, as statistics in a feature space."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from experiments.config.schema import Config
from experiments.data.dataset import Dataset
from experiments.data.validation import load_validation
from experiments.evaluation.features import FeatureSpace
from experiments.evaluation.statistics import FEW, Protocol, Statistics, statistics
from experiments.evaluation.statistics_files import stored_statistics
from experiments.runtime.errors import ConfigError
from experiments.runtime.lazy_arrays import FunctionArray, LazyArray
from experiments.runtime.paths import home
from experiments.runtime.progress import say


class Reference(NamedTuple):
    """Real images in a feature space; `neighbours` is the k of the balls that precision and recall count by.

    `folder`: where the features of a set are while it is measured. `validation`: the real images of the validation split, by
    which samplers are chosen; None if there is no such split.
    """

    space: FeatureSpace
    real: Statistics
    neighbours: int
    folder: Path
    validation: Statistics | None = None

    @property
    def for_choices(self) -> Reference | None:
        """The reference whose real images are those of the validation split."""
        return self._replace(real=self.validation) if self.validation else None

    @classmethod
    def of(cls, config: Config, data: Dataset, space: FeatureSpace, workdir: Path) -> Reference:
        """The real images that the config names, with warnings of few. In Inception's features their statistics are stored.

        ConfigError if a set that precision and recall compare has no more of them than neighbours.
        """
        e = config.evaluate
        of_training = FunctionArray((len(data.train), *data.shape), lambda rows: data.train.read(rows).levels)
        images = data.test if e.real == "test" else of_training
        most = min(FEW, len(data.train), len(data.test))
        if e.neighbours >= most:
            fix = "take fewer" if most > 1 else "hold out more examples"
            raise ConfigError(f"evaluate.neighbours = {e.neighbours} of {most} real {space.noun}: {fix}")
        folder = home(e.statistics) if e.statistics else workdir / "statistics"

        def statistics_of(images: LazyArray, split: str) -> Statistics:
            protocol = Protocol(space.extractor, space.input, data.shape, config.data.levels, data.digest, split)
            compute = lambda: statistics(space.embed_all([images], workdir), protocol)
            return stored_statistics(folder, images, protocol, compute) if space.logits else compute()

        chosen_by = load_validation(config.data, data) if config.data.validation else None
        reference = cls(space, statistics_of(images, e.real), e.neighbours, workdir)
        if chosen_by is not None:
            reference = reference._replace(validation=statistics_of(chosen_by, "validation"))
        for doubt in reference.doubts(e.n):
            say(f"warning: {doubt}")
        return reference

    def doubts(self, n: int) -> list[str]:
        """The reasons why the Fréchet distance of n samples says more of their number than of the model, a line each.

        FID wants as many as papers have. In any space fewer than features have no covariance of full rank.
        """
        if self.space.logits:
            least, few = FEW, f"fewer than {FEW:,}"
            raised, whole = "raise evaluate.n, papers have 50,000", "papers have the training images, evaluate.real = 'train'"
        else:
            f = len(self.real.mu)
            least, few = f + 1, f"too few for {f:,} features"
            raised, whole = "raise evaluate.n, or take other evaluate.features", "evaluate.real = 'train' has more"
        more = f": {whole}" if self.real.protocol.split == "test" else ""
        sets = [(n, "of", "samples", f": {raised}"), (self.real.n, "against", f"real {self.space.noun}", more)]
        return [
            f"{self.space.distance} {of} {size:,} {what}, {few}, is biased up{remedy}"
            for size, of, what, remedy in sets
            if size < least
        ]
