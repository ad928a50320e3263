"""Where examples come from: each source is a random-access sequence of {"image", "label"?}, decoded by nobody yet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np

from experiments.config.schema import Data
from experiments.data.prepared import prepared
from experiments.data.toys import TOYS
from experiments.runtime.errors import DataError, printable
from experiments.runtime.limits import fits, within

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
NAMES = ("digits", "folder", "npz", *TOYS)


class Sources(NamedTuple):
    """The training and the held-out examples, each random-access."""

    train: Any
    test: Any


class Chosen:
    """The examples of a source that `rows` number."""

    def __init__(self, source: Any, rows: Sequence[int]):
        self._source, self._rows = source, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> Any:
        return self._source[self._rows[i]]


def open_sources(config: Data) -> Sources:
    """The sources that `config.name` stands for, and of them the examples whose label is among `config.only`, if that says any.

    DataError says what is missing and where it was looked for.
    """
    sources = _opened(config)
    if not config.only:
        return sources
    return Sources(*(_of_labels(s, config, split) for s, split in zip(sources, (config.train, config.test), strict=True)))


def _of_labels(source: Any, config: Data, split: str) -> Chosen:
    """Each example is read once, for its label; one that cannot be read stays, for whoever decodes it to name."""
    rows, labels = [], set()
    for i in range(len(source)):
        try:
            with within(300, f"reading {config.name} {split}"):
                label = source[i].get("label")
        except Exception:
            label = config.only[0]
        else:
            labels.add(label)
        if label in config.only:
            rows.append(i)
    asked = f"data.only = {config.only}"
    if not any(isinstance(label, int | np.integer) for label in labels):
        raise DataError(f"{asked}: the examples of {config.name} {split} have no labels; leave it out")
    if not rows:
        there = ", ".join(map(str, sorted(labels - {None}, key=str)[:20]))
        raise DataError(f"{asked}: no example of {config.name} {split} has such a label; there are {there}")
    return Chosen(source, rows)


def _opened(config: Data) -> Sources:
    if config.name in TOYS:
        toy = TOYS[config.name]
        return Sources(*([{"image": x} for x in toy(n, seed).astype(np.float32)] for n, seed in ((20_000, 1), (2_000, 2))))
    if config.name == "npz":
        return Sources(*(_npz(Path(config.data_dir) / f"{split}.npz") for split in (config.train, config.test)))
    if config.name == "folder":
        return _folder(Path(config.data_dir), config.train, config.test)
    return Sources(*prepared(config, NAMES))


def _npz(path: Path) -> Sequence[dict[str, Any]]:
    """`image` [N, H, W] or [N, H, W, C] of uint8, and perhaps `label` [N]."""
    if not path.is_file():
        there = ", ".join(sorted(p.name for p in path.parent.glob("*.npz"))[:5]) or "no .npz file"
        raise DataError(f"no file {path}; its folder holds {there}: set --config.data.data_dir, data.train and data.test")
    name = printable(path)
    try:
        with ZipFile(path) as file, within(3600, f"reading {name}"):
            keys = [member.removesuffix(".npy") for member in file.namelist()]
            arrays = {key: _array(file, key, name) for key in ("image", "label") if key in keys}
    except DataError:
        raise
    except Exception as error:  # damaged files raise anything
        raise DataError(f"{name} cannot be read as .npz: {printable(error)}") from error
    image = arrays.get("image")
    if image is None:
        raise DataError(f"{name} has no array `image`; it holds {printable(', '.join(keys)[:200]) or 'nothing'}")
    if image.dtype != np.uint8 or image.ndim not in (3, 4) or not len(image):
        raise DataError(f"{name}: image must be uint8 [N, H, W] or [N, H, W, C] with N > 0, not {image.dtype} {image.shape}")
    if (labels := arrays.get("label", image)).shape[:1] != image.shape[:1]:
        raise DataError(f"{name}: labels of shape {labels.shape} for {len(image)} images")
    return [{key: array[i] for key, array in arrays.items()} for i in range(len(image))]


def _array(file: ZipFile, key: str, name: str) -> np.ndarray:
    """An array of an .npz file, after its header: what that claims has to be there, without pickles, and to fit the memory."""
    member = file.getinfo(f"{key}.npy")
    with file.open(member) as start:
        if (version := np.lib.format.read_magic(start)) != (1, 0):  # later ones are for records, with headers of any length
            raise DataError(f"{name}: {key} is of version {version} of .npy: write it by numpy.savez")
        shape, _, dtype = np.lib.format.read_array_header_1_0(start)
        claimed = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
        if dtype.hasobject:
            raise DataError(f"{name} cannot be read: {key} is a pickle, which could run any program; save numbers")
        if start.tell() + claimed != member.file_size:
            raise DataError(f"{name}: {key} {shape} of {dtype} takes {claimed} bytes; the file has {member.file_size}")
    fits(claimed, f"{name}: {key} {shape}")
    with file.open(member) as content:
        return np.lib.format.read_array(content, allow_pickle=False)


def _folder(root: Path, train: str, test: str) -> Sources:
    """`root`/`train` and `root`/`test` if they exist, else every tenth file of `root` is held out. A subfolder is a class."""
    if not root.is_dir():
        raise DataError(f"no folder {printable(root)}: set --config.data.data_dir to a folder of images")
    if (root / train).is_dir() and (root / test).is_dir():
        return Sources(*_labelled({split: _paths(split) for split in (root / train, root / test)}))
    (files,) = _labelled({root: _paths(root)})
    return Sources([f for i, f in enumerate(files) if i % 10], files[::10])


def _paths(root: Path) -> list[Path]:
    """The images under `root` by their suffixes, sorted; a folder of such a name is among them, to be complained of."""

    def unreadable(error: OSError) -> None:
        raise DataError(f"the folder {printable(error.filename)} cannot be read: {error.strerror}")

    paths, walk = [], os.walk(root, onerror=unreadable)
    while True:
        with within(300, f"listing {printable(root)}"):
            folder, folders, files = next(walk, (None, [], []))
        if folder is None:
            break
        paths += [Path(folder, name) for name in folders + files if os.path.splitext(name)[1].lower() in SUFFIXES]
    if not paths:
        raise DataError(f"{printable(root)} holds no image ({', '.join(SUFFIXES)})")
    return sorted(paths)


def _labelled(paths: dict[Path, list[Path]]) -> list[list[dict[str, Any]]]:
    """The images under each root, numbered by the place of their folder's name among all such names."""
    names = sorted({path.parent.name for root, found in paths.items() for path in found if path.parent != root})
    number = {name: i for i, name in enumerate(names)}
    label = lambda path, root: {"label": number[path.parent.name]} if path.parent != root else {}
    return [[{"image": path} | label(path, root) for path in found] for root, found in paths.items()]
