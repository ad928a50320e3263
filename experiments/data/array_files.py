"""Arrays in files: .npz, which is read whole, and .npy, which is mapped and may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from experiments.config.classes import numbered
from experiments.config.messages import shorten
from experiments.config.schema import Data
from experiments.data.examples import EVENT
from experiments.data.npz_member import npz_member
from experiments.runtime.errors import DataError, printable
from experiments.runtime.limits import fits, within
from experiments.runtime.paths import home, is_file, is_folder

MAPPED, PAGE = 64 * 2**20, 2 * 2**20
"""The bytes that are mapped of a file before it is mapped anew, and those of a large page, which one row may bring in."""
Split = tuple[Any, tuple[str, ...]]
"""The examples of a split and the names of their labels, if they have names."""


def npz(config: Data) -> tuple[Any, Any, tuple[str, ...]]:
    """Returns the parts of `Sources` for the files data_dir/`train`.npz and `test`.npz. `sample` writes such files.

    They hold `image` (or `x`): [N, H, W] or [N, H, W, C] of 8 or 16 bits, or integers of other shapes; with data.levels = 0
    floats [N, ...]. Perhaps they hold `label` [N] or [N, 1], and `classes`, the names of the labels.
    """
    return _splits(config, ".npz", lambda path: _npz(path, config.levels))


def npy(config: Data) -> tuple[Any, Any, tuple[str, ...]]:
    """Returns the parts of `Sources` for the files data_dir/`train`.npy and `test`.npy: arrays as `image` is of `npz`.

    They are mapped: a row is read when it is decoded. Beside each may be its labels, `train`.label.npy and `test`.label.npy,
    [N] or [N, 1], and their names, classes.npy.
    """
    return _splits(config, ".npy", lambda path: npy_split(path, config.levels))


def _splits(config: Data, suffix: str, read: Callable[[Path], Split]) -> tuple[Any, Any, tuple[str, ...]]:
    """Both splits, and the names of the labels, which those of the two must agree on if both have names."""

    def split(name: str) -> Split:
        path = home(config.data_dir) / f"{name}{suffix}"
        _require(path, suffix)
        return read(path)

    (train, classes), (test, others) = split(config.train), split(config.test)
    if classes and others and classes != others:
        names = f"data.train = {config.train!r} has the classes {numbered(classes)}, and data.test {numbered(others)}"
        raise DataError(f"{printable(names)[:300]}: give the labels of both the same names")
    return train, test, classes or others


def _require(path: Path, suffix: str) -> None:
    if not is_file(path):
        beside = sorted(p.name for p in path.parent.glob(f"*{suffix}")) if is_folder(path.parent) else []
        holds = f"its folder holds {', '.join(beside[:5]) or f'no {suffix} file'}"
        raise DataError(f"no file {shorten(str(path), 300)}; {holds}: set --config.data.data_dir, data.train and data.test")


def _npz(path: Path, levels: int) -> Split:
    name = printable(path)
    try:
        with ZipFile(path) as file, within(3600, f"reading {name}"):
            keys = [member.removesuffix(".npy") for member in file.namelist()]
            event = next((key for key in EVENT if key in keys), "")
            arrays = {key: _member(file, key, name) for key in (event, "label", "classes") if key in keys}
    except DataError:
        raise
    except Exception as error:  # damaged files raise anything
        raise DataError(f"{name} cannot be read as .npz: {printable(error)}") from error
    if not event:
        raise DataError(f"{name} has no array `image`; it holds {printable(', '.join(keys)[:200]) or 'nothing'}")
    rows = arrays[event]
    _require_events(rows, levels, name)
    classes = _names(arrays.get("classes", np.array([], str)), name)
    labels = _column(arrays["label"], len(rows), name) if "label" in arrays else None
    return [{event: rows[i]} | ({} if labels is None else {"label": labels[i]}) for i in range(len(rows))], classes


def _member(file: ZipFile, key: str, name: str) -> np.ndarray:
    """Returns an array of an .npz file if it fits the memory."""
    with npz_member(file, key, f"{name}: {key}") as (_, header):
        fits(header.nbytes, f"{name}: {key} {header.shape}", "save it by numpy.save, and take data.name = 'npy'")
    with file.open(f"{key}.npy") as content:
        return np.lib.format.read_array(content, allow_pickle=False)


def npy_split(path: Path, levels: int) -> Split:
    """Returns the examples of an .npy file, with the labels beside it, and their names; `levels` are 0 of floats."""
    name, rows = printable(path), _mapped(path)
    _require_events(rows, levels, name)
    if len(rows) > 1 and not rows.flags.c_contiguous:
        raise DataError(f"{name} is in Fortran order, where a row lies all over the file: save numpy.ascontiguousarray of it")
    labels, names = path.with_name(f"{path.stem}.label.npy"), path.with_name("classes.npy")
    classes = _names(np.array(_mapped(names)), printable(names)) if is_file(names) else ()
    return Rows(path, rows, _column(np.array(_mapped(labels)), len(rows), name) if is_file(labels) else None), classes


def _mapped(path: Path) -> np.memmap:
    """The array of an .npy file, of which nothing is read. DataError if the file does not hold what its header claims."""
    try:
        with within(3600, f"opening {printable(path)}"):
            return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # damaged files raise anything
        raise DataError(f"{printable(path)} cannot be mapped as .npy: {printable(error)}") from error


class Rows:
    """The examples of a mapped file, as dictionaries; `labels` [N], if there are any. Nothing of a row is read here.

    What is read of a mapped file counts as this process's memory until the map is gone, so a new map takes its place now and
    then; rows of the old one keep that alive. The file stays open: it may be renamed or replaced meanwhile.
    """

    def __init__(self, path: Path, rows: np.memmap, labels: np.ndarray | None):
        self._file, self._rows, self._labels = path.open("rb"), rows, labels
        self._anew = lambda: np.memmap(self._file, rows.dtype, "r", rows.offset, rows.shape)
        self._row, self._read = max(rows[0].nbytes, PAGE), 0

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> dict[str, Any]:
        self._read += self._row
        if self._read > MAPPED:  # two threads at once do no harm
            self._read, self._rows = self._row, self._anew()
        return {"image": self._rows[i]} | ({} if self._labels is None else {"label": self._labels[i]})


def _require_events(rows: np.ndarray, levels: int, name: str) -> None:
    """DataError if these are no rows of grey levels, or of floats where `levels` is 0."""
    right = rows.dtype in (np.uint8, np.uint16) if levels else rows.dtype.kind == "f"
    if not right or rows.ndim < 2 or not rows.size:
        wanted = "uint8 or uint16, [N, H, W] or [N, H, W, C]," if levels else "floats [N, ...], as data.levels = 0 says,"
        raise DataError(f"{name}: image must be {wanted} with N > 0, not {rows.dtype} {rows.shape}")


def _names(classes: np.ndarray, name: str) -> tuple[str, ...]:
    if classes.dtype.kind != "U" or classes.ndim != 1:
        raise DataError(f"{name}: classes must be strings [C], not {classes.dtype} {classes.shape}")
    return tuple(classes.tolist())


def _column(labels: np.ndarray, n: int, name: str) -> np.ndarray:
    """The labels, of a column [n, 1], as Keras writes them, as [n]."""
    if labels.shape[:1] != (n,):
        raise DataError(f"{name}: labels of shape {labels.shape} for {n} images")
    return labels[:, 0] if labels.shape == (n, 1) else labels
