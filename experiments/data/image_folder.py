"""A folder of images: its splits, the files that count as images, and the classes that its subfolders are."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.config.schema import Data
from experiments.runtime.errors import DataError, printable
from experiments.runtime.limits import within
from experiments.runtime.paths import home, is_folder
from experiments.runtime.progress import say

FORMATS = {"BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"}
SUFFIXES = sorted(suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS)
SPLIT = re.compile(r"(train|test|val)(ing|id|idation)?[-_ ]?(set|data|images|split|\d*|[AB])", re.IGNORECASE)
"""The names that people give to the folder of a split."""
SYSTEMS = {"__macosx", "@eadir", "@__thumb", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found"}
"""The folders that archives, disks and their servers put beside a user's, in small letters."""


def image_folder(config: Data) -> list[list[Any]]:
    """Returns the parts of `Sources` for the images in data_dir/`train` and data_dir/`test`.

    Without splits every tenth image is held out. A subfolder is a class. DataError if there is one split without the other, or
    if one is in the other.
    """
    root, names = home(config.data_dir), (config.train, config.test)
    if not config.data_dir or not is_folder(root):
        raise DataError(f"no folder '{printable(config.data_dir)[:300]}': set --config.data.data_dir to a folder of images")
    splits = [root / name for name in names]
    if all(split.is_dir() for split in splits):
        train, test = (split.resolve() for split in splits)
        if train.is_relative_to(test) or test.is_relative_to(train):
            raise DataError(f"data.train = {names[0]!r} and data.test = {names[1]!r} share images: name two folders apart")
        return _labelled({split: _images(split) for split in splits})
    _refuse_half(root, names)
    images, classes = _labelled({root: _images(root)})
    return [[image for i, image in enumerate(images) if i % 10], images[::10], classes]


def _refuse_half(root: Path, names: tuple[str, str]) -> None:
    """DataError if a folder is one of the two splits or has a name that splits have, or if the config names other ones."""
    _, folders, _ = next(os.walk(root, onerror=_refuse_unreadable))
    splits = [name for name in names if (root / name).is_dir()] or [name for name in sorted(folders) if SPLIT.fullmatch(name)]
    if not splits and names == (Data.model_fields["train"].default, Data.model_fields["test"].default):
        return
    absent = " and no ".join(name for name in names if not (root / name).is_dir())
    tenth = f"--config.data.data_dir={root / splits[0]} (a class needs another name)" if splits else "leaving both out"
    raise DataError(
        [
            printable(f"{root} holds {', '.join(sorted(folders)[:8]) or 'no folder'}, and no {absent}:"),
            "name the folders of both splits by --config.data.train and --config.data.test,",
            printable(f"or hold out every tenth image by {tenth}"),
        ]
    )


def _images(root: Path) -> list[Path]:
    """Returns the images under `root`, sorted, and says what is left out. A folder of such a name fails to decode."""
    images, left_out, visited = list[Path](), Counter[str](), {os.path.realpath(root)}
    walk = os.walk(root, onerror=_refuse_unreadable, followlinks=True)
    while True:
        with within(300, f"listing {printable(root)}"):
            place, folders, files = next(walk, (None, [], []))
        if place is None:
            break
        images += [Path(place, name) for name in folders + files if _kind(name) in SUFFIXES]
        left_out.update(kind for kind in map(_kind, files) if kind not in SUFFIXES)
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(place, name))
            if why := _outside(name) or ("linked twice" if real in visited else ""):
                left_out[why] += 1
                folders.remove(name)  # and so the walk does not enter it
            visited.add(real)
        folders.sort()
    if commonest := left_out.most_common(8):
        rest = left_out.total() - sum(n for _, n in commonest)
        kinds = [f"{n} {kind}" for kind, n in commonest] + [f"{rest} of other kinds"] * bool(rest)
        say(f"{root}: left out {', '.join(kinds)}")
    if not images:
        raise DataError(f"{printable(root)} holds no image ({', '.join(SUFFIXES)})")
    return sorted(images)


def _refuse_unreadable(error: OSError) -> None:
    raise DataError(f"the folder {printable(error.filename)} cannot be read: {error.strerror}")


def _kind(name: str) -> str:
    """The suffix of a file's name, in small letters; or why it is left out whatever that is."""
    return _outside(name) or os.path.splitext(name)[1].lower() or "without a suffix"


def _outside(name: str) -> str:
    """Says why a file or folder is none of the user's images or classes; nothing if it may be."""
    return "hidden" if name.startswith(".") else name if name.lower() in SYSTEMS else ""


def _labelled(images: dict[Path, list[Path]]) -> list[list[Any]]:
    """The images under each root, numbered by the place of their folder's path among those of all; and these paths."""
    folder = {path: path.parent.relative_to(root).parts for root, paths in images.items() for path in paths}
    classes = sorted(set(folder.values()) - {()}, key=_numbers_first)
    label = {parts: {"label": i} for i, parts in enumerate(classes)}
    splits = ([{"image": path} | label.get(folder[path], {}) for path in paths] for paths in images.values())
    return [*splits, ["/".join(parts) for parts in classes]]


def _numbers_first(parts: tuple[str, ...]) -> list[tuple[bool, int, str]]:
    """Orders 9 before 10, and both before other names."""
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
