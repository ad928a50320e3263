"""scikit-learn's handwritten digits as a TFDS dataset, written once as ArrayRecord."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_digits


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 real 8x8 digits of 17 grey levels v, stored as round(v 255/16)."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Handwritten digits of 43 writers, 8x8 pixels of 17 grey levels.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            citation="Alpaydin, E. and Kaynak, C. (1998). Optical Recognition of Handwritten Digits. UCI. doi:10.24432/C50P49",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        # The later rows come from other writers, so held-out ones are from all over.
        order = np.random.default_rng(0).permutation(1797)
        return {"train": self._generate_examples(order[:1297]), "test": self._generate_examples(order[1297:])}

    def _generate_examples(self, rows: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        values, labels = map(np.asarray, load_digits(return_X_y=True))
        for row in rows.tolist():
            pixels = np.round(values[row].reshape(8, 8) * (255 / 16)).astype(np.uint8)
            # A PIL image: TFDS would encode an array with TensorFlow.
            yield row, {"image": Image.fromarray(pixels), "label": int(labels[row])}
