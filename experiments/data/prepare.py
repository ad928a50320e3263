"""data prepare: writes a data set, of its authors' archive or of a folder of images, as TFDS would, without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.config.messages import shorten, suggestion
from experiments.config.schema import Data
from experiments.data.archives import ARCHIVES
from experiments.data.archives.contents import Contents
from experiments.data.archives.files import open_files
from experiments.data.archives.images import images
from experiments.data.archives.sums import check_sums
from experiments.data.prepared import folder_of_prepared
from experiments.data.sources import SOURCES
from experiments.runtime.errors import ConfigError, DataError
from experiments.runtime.files import scratch, sweep
from experiments.runtime.paths import is_folder
from experiments.runtime.progress import say

OWN_VERSION = "1.0.0"
"""The version of what is a user's own."""


def prepare(name: str, place: Path, data_dir: str) -> None:
    """Writes the data set `name` from what is at `place` to a folder of `data_dir`, where `data.name` finds it.

    The folder is whole or not there: what was cut off begins again. Raises ConfigError for a name that stands for nothing,
    DataError for an archive that is not what it should be.
    """
    version = _version(name, place)
    try:
        folder = folder_of_prepared(Data(name=name, data_dir=data_dir)) / name
    except FileNotFoundError as error:
        raise DataError(f"{error}: set --config.data.data_dir") from error
    if is_folder(folder / version):
        say(f"{folder / version} is there already: delete it to prepare {name} anew")
        return
    sweep(folder)
    with _remedy(name), _contents(name, place) as contents, scratch(folder) as part:
        from experiments.data.archives.writer import Written  # seconds to import

        builder = Written(name, version, contents, part)
        builder.download_and_prepare()
        Path(builder.data_dir).rename(folder / version)
    counts = ", ".join(f"{split} {its.n}" for split, its in contents.splits.items())
    say(f"prepared {folder / version}: {counts}")
    say("\n".join(_use(name, data_dir, contents)))


def _version(name: str, place: Path) -> str:
    """The version of the data set. ConfigError if the name stands for none."""
    if name in ARCHIVES:
        return ARCHIVES[name].version
    if name in SOURCES:
        raise ConfigError(f"data prepare: {name} is a source of ours, which needs no preparing; take another name")
    if not is_folder(place):
        base = name.partition(":")[0]
        close = suggestion(base, [part for part in ARCHIVES if part.startswith(f"{base}/")] or list(ARCHIVES))
        what = f"data prepare: {shorten(name)!r} is no published data set that is known here{close}"
        raise ConfigError([what, "any other name is yours to give to a folder of images, --from=FOLDER"])
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise ConfigError(f"data prepare: {shorten(name)!r} names a folder: write small letters, digits and _, as in my_images")
    return OWN_VERSION


@contextmanager
def _contents(name: str, place: Path) -> Iterator[Contents]:
    if name not in ARCHIVES:
        yield images(place)
        return
    with open_files(place, ARCHIVES[name].sums) as files:
        contents = ARCHIVES[name].read(files)
        check_sums(name, files)
        yield contents


@contextmanager
def _remedy(name: str) -> Iterator[None]:
    """Adds to a DataError where the published archive is."""
    try:
        yield
    except DataError as error:
        if name not in ARCHIVES:
            raise
        archive = ARCHIVES[name]
        what = f"{name} is prepared from {' and '.join(archive.sums)} of {archive.page},"
        raise DataError([*str(error).splitlines(), what, "or from a folder that holds that, packed or unpacked"]) from error


def _use(name: str, data_dir: str, contents: Contents) -> list[str]:
    """Returns the lines that say how a config names the data."""
    others = [] if "test" in contents.splits else [f"--config.data.test={next(s for s in contents.splits if s != 'train')}"]
    where = [f"--config.data.data_dir={data_dir}"] if data_dir else []
    return ["to use it: " + " ".join([f"--config.data.name={name}", *where, *others])]
