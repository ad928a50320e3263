"""interpolate: show what lies between held-out examples, by a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.build.experiment import Experiment
from experiments.data.pictures import first_shown
from experiments.runtime.files import replacing
from experiments.sampling import figures
from experiments.sampling.interpolation import interpolate_examples


def write(experiment: Experiment, params: Any, test: np.ndarray, path: Path) -> None:
    """The frames as one picture: a row for each pair, between its two examples."""
    frames = interpolate_examples(experiment, params, test)
    if jax.process_index() == 0:
        pairs, shown = experiment.config.interpolate.pairs, experiment.scaler.display
        ends = shown(test[:pairs]), shown(test[pairs : 2 * pairs])
        figure = figures.interpolation(
            {kind: shown(k) for kind, k in frames.items()}, ends, first_shown(experiment.scaler, test)
        )
        with replacing(path) as part:
            figure.savefig(part, bbox_inches="tight", pad_inches=0.1)
