"""Any folder of images, with its splits and classes as `data.name=folder` has them, as the contents of an archive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.config.schema import Data
from experiments.data.archives.contents import Contents, Example, Split
from experiments.data.examples import Bad, example
from experiments.data.image_folder import image_folder
from experiments.runtime.errors import DataError


def images(place: Path) -> Contents:
    """Returns the splits train and test of the images, all of the first one's shape.

    Labels count if every image has one. DataError if an image cannot be read, or has another shape.
    """
    config = Data(name="folder", data_dir=str(place))
    train, test, classes = image_folder(config)
    labels = {"label": classes} if all("label" in one for one in train + test) else {}
    first, _ = _good(train, 0, config.origin("train"))
    height, width, channels = first.shape
    split = lambda its, name: Split(len(its), _examples(its, config.origin(name), first.shape, labels))
    return Contents((height, width, channels), labels, {"train": split(train, "train"), "test": split(test, "test")})


def _examples(source: list[Any], origin: str, shape: tuple[int, ...], labels: dict[str, list[str]]) -> Iterator[Example]:
    for i in range(len(source)):
        image, label = _good(source, i, origin, shape)
        yield {"image": image} | dict.fromkeys(labels, label)


def _good(source: list[Any], i: int, origin: str, shape: tuple[int, ...] = ()) -> tuple[Any, Any]:
    """The pixels and the label of an example. DataError if it cannot be used."""
    decoded = example(source, i, origin, 256, shape)
    if isinstance(decoded, Bad):
        raise DataError(str(decoded))
    return decoded
