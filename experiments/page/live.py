"""A trained run, as the page takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.build.experiment import Experiment


class Live(NamedTuple):
    """A run in `folder`, with the parameters to sample with after `step` steps of training.

    `held_out` [M, *event]: examples to paint on; there may be none.
    """

    experiment: Experiment
    params: Any
    step: int
    held_out: np.ndarray
    folder: Path
