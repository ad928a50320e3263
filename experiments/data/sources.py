"""Sources of examples. Each opens the training and the held-out examples that a config asks for, and decodes none.

A source is a function of the config's section `data`. `SOURCES` are ours; a user's is "my_pkg.my_module:my_source":

    def my_source(config: Data) -> Sources:
        images, labels = np.load(config.data_dir + "/images.npy"), np.load(config.data_dir + "/labels.npy")
        examples = [{"image": image, "label": int(label)} for image, label in zip(images, labels)]
        return Sources(train=examples[1000:], test=examples[:1000])

`Sources` says what the two must be able to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.config.classes import class_numbers
from experiments.config.messages import in_words, suggestion
from experiments.config.parts import import_module_of
from experiments.config.schema import USERS_NAME, Data
from experiments.data.array_files import npy, npz
from experiments.data.examples import is_class
from experiments.data.image_folder import image_folder
from experiments.data.prepared import digits, prepared
from experiments.data.shipped import SHIPPED, Windows
from experiments.data.toys import TOYS, Points
from experiments.runtime.errors import ConfigError, DataError, UserError, blamed, printable
from experiments.runtime.limits import within


class Sources(NamedTuple):
    """The training and the held-out examples: two sequences with `len(examples)` and `examples[i]`, as lists have them.

    An example is a dictionary. `image`, or `x`, is an array: uint8 or uint16, of two axes an image [H, W], else of any shape
    whose last axis is the channels; or the `Path` of an image file; with data.levels = 0 floats of any shape, such as a vector
    [D], a signal [L, C], a field [H, W, C] or a volume [D, H, W, C]. `label`, if there is one, is an integer from 0 on. All
    examples have one shape, or are images to which data.size gives one.

    `classes`: the names of the labels 0, 1, ..., if they have names.

    examples[i] is the same at every call and in every process, and several threads call it at once. Each example that it raises
    an error for is named to the user. Resuming, `data check` and the hash of the data rely on no more than this.
    """

    train: Any
    test: Any
    classes: Sequence[str] = ()


Source = Callable[[Data], Sources]


class Subset:
    """The examples of a source at `rows`."""

    def __init__(self, source: Any, rows: Sequence[int]):
        self._source, self._rows = source, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> Any:
        return self._source[self._rows[i]]


def open_sources(config: Data) -> Sources:
    """Returns the examples that `config.name` stands for; of these only the labels in `config.only`, if that is not empty.

    ConfigError if there is no such function of a user's. DataError says what else is missing and where it was looked for.
    """
    train, test, names = find_source(config.name)(config)
    classes = _classes(config.name, names)
    for examples, split in ((train, config.train), (test, config.test)):
        _refuse_none(examples, config.origin(split))
    if not config.only:
        return Sources(train, test, classes)
    try:
        wanted = class_numbers(config.only, classes)
    except ValueError as error:
        raise DataError(f"data.only: {error}") from error
    of_labels = lambda source, split: _of_labels(source, wanted, config, split)
    return Sources(of_labels(train, config.train), of_labels(test, config.test), classes)


def _classes(source: str, names: Any) -> tuple[str, ...]:
    """The names of a source's labels, if they have names, as strings of which no two look alike."""
    classes = () if names is None else tuple(names) if isinstance(names, Iterable) else (names,)
    if len({printable(name) for name in classes if isinstance(name, str)}) < len(classes):
        raise DataError(f"{source}: the names of its labels must be strings, each another: {in_words(names)}")
    return classes


def _refuse_none(examples: Any, origin: str) -> None:
    try:
        n = len(examples)
    except Exception as error:  # it is the user's
        raise DataError(f"{origin}: its len() raised {blamed(error)}") from error
    if not n:
        raise DataError(f"{origin} holds no example, and training and evaluation need some of each split")


def find_source(name: str) -> Source:
    """Returns one of `SOURCES`, the user's function that "my_pkg.my_module:my_source" names, or TFDS for any other name."""
    if re.fullmatch(USERS_NAME, name):
        return _checked(name, _imported(name))
    return SOURCES.get(name, lambda config: Sources(*prepared(config, list(SOURCES))))


def _imported(name: str) -> Callable[..., Any]:
    try:
        module = import_module_of(name)
    except ConfigError as error:
        raise ConfigError(f"data.name: {error}") from error
    path, _, attribute = name.partition(":")
    functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    if attribute not in functions:
        raise ConfigError(f"data.name: {path} has no function {attribute}{suggestion(attribute, functions)}")
    return getattr(module, attribute)


def _checked(name: str, function: Callable[..., Any]) -> Source:
    """A user's function, with an error for anything but `Sources`."""

    def source(config: Data) -> Sources:
        try:
            sources = function(config)
        except UserError:
            raise
        except Exception as error:
            raise DataError(f"{name} raised {blamed(error)}") from error
        contract = "a source returns experiments.data.sources.Sources(train, test)"
        if not isinstance(sources, Sources):
            raise DataError(f"{name} returned a {type(sources).__name__}: {contract}")
        for split, examples in {"train": sources.train, "test": sources.test}.items():
            if not (hasattr(examples, "__len__") and hasattr(examples, "__getitem__")):
                kind = type(examples).__name__
                raise DataError(f"{name} returned a {kind} as {split}, which has no len() or no [i]: take a list, say")
        return sources

    return source


def _of_labels(source: Any, wanted: tuple[int, ...], config: Data, split: str) -> Any:
    """Reads each example once, for its label. One that cannot be read stays: decoding names it."""
    rows, labels = [], set[int]()
    for i in range(len(source)):
        try:
            with within(300, f"reading {config.name} {split}"):
                label = source[i].get("label")
        except Exception:
            rows.append(i)
            continue
        if is_class(label):
            labels.add(int(label))
            rows += [i] if label in wanted else []
    only = f"data.only = {config.only}"
    if not labels:
        raise DataError(f"{only}: the examples of {config.name} {split} have no labels that are integers; leave it out")
    if not rows:
        there = ", ".join(map(str, sorted(labels)[:20]))
        raise DataError(f"{only}: no example of {config.name} {split} has such a label; there are {there}")
    return [source[i] for i in rows] if isinstance(source, list) else Subset(source, rows)


def _toy(points: Callable[[int, int], Points]) -> Source:
    """20,000 training and 2,000 held-out points."""
    draw = lambda n, seed: [{"image": x} for x in points(n, seed).astype(np.float32)]
    return lambda config: Sources(draw(20_000, 1), draw(2_000, 2))


def _without_options(open_windows: Callable[[], Windows]) -> Source:
    return lambda config: Sources(*open_windows())


SOURCES: dict[str, Source] = {
    "digits": lambda config: Sources(*digits(config)),
    "folder": lambda config: Sources(*image_folder(config)),
    "npz": lambda config: Sources(*npz(config)),
    "npy": lambda config: Sources(*npy(config)),
    **{name: _toy(points) for name, points in TOYS.items()},
    **{name: _without_options(open_windows) for name, open_windows in SHIPPED.items()},
}
"""Our own sources by data.name. Any other name is one of a data set that TFDS has prepared."""
