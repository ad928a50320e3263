"""The validation split: held-out examples to make choices by, apart from those that a table is of."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np

from experiments.config.schema import Data
from experiments.data.dataset import Dataset
from experiments.data.decoded import decode
from experiments.data.sources import open_sources
from experiments.runtime.errors import DataError, printable
from experiments.runtime.progress import say


def open_validation(config: Data) -> Any:
    """Returns the examples of the split `data.validation`: what its source opens by this name in the place of `data.test`.

    DataError if it has no such split.
    """
    try:
        return open_sources(config.model_copy(update={"test": config.validation})).test
    except DataError as error:
        raise DataError(f"data.validation, opened as data.test = {config.validation!r}: {error}") from error


def load_validation(config: Data, data: Dataset) -> np.ndarray:
    """Returns the events [n, *event] of the split `data.validation`, and warns of those that another split has, too.

    DataError if one of the other splits has them all, or if an example cannot be used.
    """
    events, *_ = decode(open_validation(config), config, config.validation, data.shape).everything()
    others = {"test": data.test, "train": data.train.resident}  # of a stream that is not resident nothing can be said
    digests = [sha256(event.tobytes()).digest() for event in events]
    for split, examples in others.items():
        its = {sha256(event.tobytes()).digest() for event in examples} if examples is not None else set()
        shared = sum(digest in its for digest in digests)
        of = f"of the {len(events)} examples of data.validation = {config.validation!r}"
        if shared == len(events):
            apart = "name a split apart, as train[90%:] beside data.train = train[:90%] of TFDS"
            raise DataError(printable(f"all {of} are in data.{split} = {getattr(config, split)!r}, too: {apart}"))
        if shared:
            say(f"warning: {shared} {of} are in data.{split}, too")
    return events
