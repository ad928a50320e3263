"""TFDS's own builder, for the contents of an archive: records, and the files that describe them, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.utils.shard_utils import ShardConfig, get_shard_boundaries

from experiments.data.archives.contents import Contents, Split
from experiments.runtime.progress import progress
from experiments.runtime.signals import stop

Numbered = Iterator[tuple[int, dict[str, Any]]]


class Written(tfds.core.ShardBasedBuilder, skip_registration=True):
    """The data set `name`, or "name/config", of these contents, in the order of the archive.

    A builder with a shuffled order would hold a gibibyte of examples, and beyond that needs TensorFlow.
    """

    def __init__(self, name: str, version: str, contents: Contents, folder: Path):
        self.name, _, part = name.partition("/")  # pyright: ignore[reportAttributeAccessIssue]
        self.VERSION = tfds.core.Version(version)
        config = tfds.core.BuilderConfig(name=part, version=version) if part else None
        self.BUILDER_CONFIGS = [config] if config else []
        self._contents = contents
        super().__init__(data_dir=folder, config=config, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        shape, classes, _ = self._contents
        image = tfds.features.Image(shape=shape, encoding_format="png")
        labels = {label: tfds.features.ClassLabel(names=list(names)) for label, names in classes.items()}
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{self.name}, by onesde's `data prepare`.",
            features=tfds.features.FeaturesDict({"image": image, **labels}),
            supervised_keys=("image", "label") if "label" in labels else None,
        )

    def _log_download_bytes(self) -> None:
        """Says nothing: TFDS would speak of a download, and there is none."""

    _log_download_done = _log_download_bytes

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list[Callable[[], Numbered]]]:
        return {name: self._shards(name, split) for name, split in self._contents.splits.items()}

    def _shards(self, name: str, split: Split) -> list[Callable[[], Numbered]]:
        """The examples, shared out to as many files as TFDS makes for as many bytes; the last file takes what is left."""
        count = ShardConfig().get_number_shards(split.n * prod(self._contents.shape), split.n)
        starts = [0, *get_shard_boundaries(split.n, count)[:-1]]
        examples = self._numbered(name, split)
        parts = [islice(examples, end - start) for start, end in pairwise(starts)]
        return [lambda part=part: part for part in [*parts, examples]]

    def _numbered(self, name: str, split: Split) -> Numbered:
        with progress(f"{self.name} {name}", split.n) as show:
            for i, example in enumerate(split.examples):
                # A PIL image: TFDS would encode an array with TensorFlow.
                pixels = np.ascontiguousarray(example["image"])
                image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
                yield i, example | {"image": image}
                show(i + 1, "")
                stop.check()
