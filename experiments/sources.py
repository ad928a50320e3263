"""Where examples come from: each source is a random-access sequence of {"image", "label"?}, decoded by nobody yet."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock

from experiments.errors import DataError
from experiments.schema import Data
from experiments.toys import TOYS

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
NAMES = ("digits", "folder", "npz", *TOYS)


class Sources(NamedTuple):
    """The training and the held-out examples, each random-access."""

    train: Any
    test: Any


def open_sources(config: Data) -> Sources:
    """The sources that `config.name` stands for. DataError says what is missing and where it was looked for."""
    if config.name in TOYS:
        toy = TOYS[config.name]
        return Sources(*([{"image": x} for x in toy(n, seed).astype(np.float32)] for n, seed in ((20_000, 1), (2_000, 2))))
    if config.name == "npz":
        return Sources(*(_npz(Path(config.data_dir) / f"{split}.npz") for split in (config.train, config.test)))
    if config.name == "folder":
        return _folder(Path(config.data_dir), config.train, config.test)
    return _tfds(config)


def _npz(path: Path) -> Sequence[dict[str, Any]]:
    """`image` [N, H, W] or [N, H, W, C] of uint8, and perhaps `label` [N]."""
    if not path.is_file():
        there = ", ".join(sorted(p.name for p in path.parent.glob("*.npz"))[:5]) or "no .npz file"
        raise DataError(f"no file {path}; its folder holds {there}: set --config.data.data_dir, data.train and data.test")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("image", "label") if key in file.files}
            keys = file.files
    except (ValueError, OSError, EOFError, TypeError, AttributeError, BadZipFile) as error:
        raise DataError(f"{path} cannot be read as .npz: {error}") from error
    image = arrays.get("image")
    if image is None:
        raise DataError(f"{path} has no array `image`; it holds {', '.join(keys)}")
    if image.dtype != np.uint8 or image.ndim not in (3, 4) or not len(image):
        raise DataError(f"{path}: image must be uint8 [N, H, W] or [N, H, W, C] with N > 0, not {image.dtype} {image.shape}")
    if (labels := arrays.get("label", image)).shape[:1] != image.shape[:1]:
        raise DataError(f"{path}: labels of shape {labels.shape} for {len(image)} images")
    return [{key: array[i] for key, array in arrays.items()} for i in range(len(image))]


def _folder(root: Path, train: str, test: str) -> Sources:
    """`root`/`train` and `root`/`test` if they exist, else every tenth file of `root` is held out. A subfolder is a class."""
    if not root.is_dir():
        raise DataError(f"no folder {root}: set --config.data.data_dir to a folder of images")
    if (root / train).is_dir() and (root / test).is_dir():
        classes = sorted({path.parent.name for split in (train, test) for path in _paths(root / split)} - {train, test})
        return Sources(*(_files(root / split, classes) for split in (train, test)))
    files = _files(root, sorted({path.parent.name for path in _paths(root)} - {root.name}))
    return Sources([f for i, f in enumerate(files) if i % 10], files[::10])


def _paths(root: Path) -> list[Path]:
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"{root} holds no image ({', '.join(SUFFIXES)})")
    return paths


def _files(root: Path, classes: list[str]) -> list[dict[str, Any]]:
    """The images under `root`, numbered by the place of their folder in `classes`."""
    return [
        {"image": path} | ({"label": classes.index(path.parent.name)} if path.parent != root else {}) for path in _paths(root)
    ]


def _tfds(config: Data) -> Sources:
    """A TFDS dataset that is on disk already; ours, `digits`, is written at first use. Never touches the network."""
    from tensorflow_datasets.core import constants, read_only_builder  # seconds to import: only where it is used

    folder = Path(config.data_dir or constants.DATA_DIR).expanduser()
    if config.name == "digits":
        builder = _written_digits(folder)
    else:
        try:
            builder = read_only_builder.builder_from_files(config.name, data_dir=folder)
        except Exception as error:  # TFDS raises several, all of which mean that it is not there
            raise DataError(_missing(config.name, folder)) from error
    try:
        return Sources(
            *(
                builder.as_data_source(split=split)  # pyright: ignore[reportCallIssue]
                for split in (config.train, config.test)
            )
        )
    except ValueError as error:
        raise DataError(
            f"{config.name} has the splits {', '.join(builder.info.splits)}: "
            f"data.train = {config.train!r} or data.test = {config.test!r} is none of them, nor a part: {error}"
        ) from error


def _written_digits(folder: Path) -> Any:
    import tensorflow_datasets as tfds

    from experiments.digits import Digits

    tfds.disable_progress_bar()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".digits.lock"), redirect_stdout(None):  # two first runs at once; TFDS speaks of a download
            builder = Digits(data_dir=folder, file_format="array_record")
            builder.download_and_prepare()
    except OSError as error:
        raise DataError(f"the digits cannot be written to {folder}: {error}; set --config.data.data_dir") from error
    return builder


def _missing(name: str, folder: Path) -> list[str]:
    import tensorflow_datasets as tfds

    known = [*NAMES, *tfds.list_builders(with_community_datasets=False)]
    there = sorted(p.name for p in folder.glob("*") if p.is_dir()) if folder.is_dir() else []
    close = [] if name in known else difflib.get_close_matches(name, known, n=1)
    return [
        f"no prepared dataset {name!r} in {folder}" + (f" (did you mean {close[0]}?)" if close else ""),
        f"that folder holds {', '.join(there) or 'nothing'}; data.name may also be {', '.join(NAMES)}",
        f"to prepare it: pip install tensorflow-cpu && tfds build {name} --data_dir={folder} --file_format=array_record",
    ]
