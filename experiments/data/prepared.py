"""Datasets that TFDS has written to disk. They are opened whole or refused, without the network."""

from __future__ import annotations

import atexit
import difflib
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock

from experiments.config.messages import shorten
from experiments.config.schema import Data
from experiments.data.archives import ARCHIVES
from experiments.runtime.errors import DataError, printable
from experiments.runtime.limits import within
from experiments.runtime.paths import is_folder
from experiments.runtime.progress import say
from experiments.runtime.startup import PROGRAM

PATIENCE = 60
"""Seconds to wait for another process that writes the digits; FileLock would wait for ever where no lock can be."""


def digits(config: Data) -> tuple[Any, Any, tuple[str, ...]]:
    """Returns the parts of `Sources` for scikit-learn's digits, a TFDS dataset that is written at first use.

    If there is no home folder to write it to, or it cannot be written there, a folder of this process takes its place.
    """
    try:
        builder = _written_digits(folder_of_prepared(config))
    except (OSError, ValueError) as error:  # the latter of what the system takes for no path
        if config.data_dir:
            where = f"the digits cannot be written to {shorten(config.data_dir)}"
            raise DataError(f"{where}: {shorten(str(error), 300)}; set --config.data.data_dir") from error
        say(f"warning: the digits are not kept ({error}); --config.data.data_dir may name a folder for them")
        builder = _written_digits(_own_folder())
    return _splits(builder, config, "the next run writes it again")


def prepared(config: Data, others: Sequence[str]) -> tuple[Any, Any, tuple[str, ...]]:
    """Returns the parts of `Sources` for a TFDS dataset that is on disk.

    Never touches the network. DataError says how to prepare what is not there (`others`: what else data.name may be), or not
    whole.
    """
    from tensorflow_datasets.core import read_only_builder  # seconds to import

    try:
        folder = folder_of_prepared(config)
    except FileNotFoundError as error:
        raise DataError(f"{error}: set --config.data.data_dir") from error
    try:
        with _importing_nothing():
            builder = read_only_builder.builder_from_files(config.name, data_dir=folder)
    except DataError:
        raise
    except Exception as error:  # TFDS raises several, all of which mean that it is not there
        raise DataError(_missing(config.name, folder, others)) from error
    return _splits(builder, config, f"prepare it again: {_prepare(config.name, folder)}")


def folder_of_prepared(config: Data) -> Path:
    """Returns the folder of prepared datasets. Raises FileNotFoundError if it is in the user's home, and there is none."""
    from tensorflow_datasets.core import constants

    folder = config.data_dir or constants.DATA_DIR
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"there is no home folder for {folder}") from error


@cache
def _own_folder() -> Path:
    """Returns a folder that goes with this process."""
    folder = TemporaryDirectory(prefix="onesde-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _splits(builder: Any, config: Data, again: str) -> tuple[Any, Any, tuple[str, ...]]:
    """Returns both splits, of which every record is there, and the classes; `again` says how to make the data anew."""
    try:
        for split in (config.train, config.test):
            _check_whole(builder, split, again)
    except (ValueError, KeyError, NotImplementedError) as error:  # the last for a part of "all"
        raise DataError(
            f"{config.name} has the splits {', '.join(builder.info.splits)}: "
            f"data.train = {config.train!r} or data.test = {config.test!r} is none of them, nor a part: {error}"
        ) from error
    try:
        train, test = (builder.as_data_source(split=split) for split in (config.train, config.test))
    except (NotImplementedError, ImportError) as error:
        kind = builder.info.file_format.value
        raise DataError([f"{builder.data_path} is in the format {kind}, not array_record: delete it", again]) from error
    return train, test, _classes(builder.info.features)


def _classes(features: Any) -> tuple[str, ...]:
    """Returns the names of the labels 0, 1, ...; none if `label` is no class."""
    from tensorflow_datasets.core.features import ClassLabel, FeaturesDict

    label = features["label"] if isinstance(features, FeaturesDict) and "label" in features else None
    return tuple(label.names) if isinstance(label, ClassLabel) and label.num_classes else ()


@contextmanager
def _importing_nothing() -> Iterator[None]:
    """Keeps a dataset's files from importing code: their features are TFDS's own, or of modules that are imported already."""
    from tensorflow_datasets.core.features.feature import FeatureConnector

    find, theirs = FeatureConnector.cls_from_name, vars(FeatureConnector)["cls_from_name"]  # bound, and to be put back

    def imported_class(python_class_name: str) -> Any:
        module = python_class_name.rpartition(".")[0]
        if module not in sys.modules and not python_class_name.startswith("tensorflow_datasets."):
            foreign = f"the data's features.json names {python_class_name[:200]}, which would run"
            raise DataError(f"{foreign}: if you trust it, import {module[:200]} in the config file")
        return find(python_class_name)

    FeatureConnector.cls_from_name = imported_class  # whatever a file names comes by here; TFDS has no argument for it
    try:
        yield
    finally:
        FeatureConnector.cls_from_name = theirs


def _check_whole(builder: Any, split: str, again: str) -> None:
    """DataError unless every file of a split is there, to its last record."""
    from array_record.python.array_record_module import ArrayRecordReader

    if not builder.info.splits:
        raise DataError([f"{builder.data_path} was prepared in part only: delete it", again])
    for part in builder.info.splits[split].file_instructions:
        if ".array_record" not in Path(part.filename).name:
            continue
        try:
            with within(300, f"opening {part.filename}"):
                reader = ArrayRecordReader(part.filename)
                n = reader.num_records()
                reader.close()
        except Exception as error:
            why = printable(error).split("; ")[0]
            raise DataError([f"{part.filename} is damaged: {why}", f"delete {builder.data_path}", again]) from error
        if n != part.examples_in_shard:
            why = f"{part.filename} holds {n} examples, not the {part.examples_in_shard} that dataset_info.json says"
            raise DataError([why, f"delete {builder.data_path}", again])


def _written_digits(folder: Path) -> Any:
    import tensorflow_datasets as tfds

    from experiments.data.digits import Digits

    tfds.disable_progress_bar()
    there = folder / "digits" / str(Digits.VERSION)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # Two first runs may come at once; and a folder that holds the digits need not be ours to write to.
        with nullcontext() if there.is_dir() else FileLock(folder / ".digits.lock", timeout=PATIENCE), redirect_stdout(None):
            builder = Digits(data_dir=folder, file_format="array_record")
            builder.download_and_prepare()  # TFDS speaks of a download
    except OSError:
        raise
    except Exception as error:  # TFDS raises as many as there are ways to be damaged
        why = printable(error)[:200]
        raise DataError([f"{there} is damaged: {why}", "delete it: the next run writes it again"]) from error
    return builder


def _prepare(name: str, folder: Path) -> str:
    """The commands that prepare a dataset, a line each: ours if we read its archive, and TFDS's if it has the dataset."""
    place = shlex.quote(str(folder))
    ours = f"{PROGRAM} data prepare {name} --from=ARCHIVE --config.data.data_dir={place}"
    theirs = f"pip install tensorflow-cpu && tfds build {name} --data_dir={place} --file_format=array_record"
    if name not in ARCHIVES:
        return theirs
    return f"{ours}, or\n{theirs}" if ARCHIVES[name].in_tfds else ours


def _missing(name: str, folder: Path, others: Sequence[str]) -> list[str]:
    import tensorflow_datasets as tfds

    builders, theirs = [*tfds.list_builders(with_community_datasets=False), *ARCHIVES], re.split("[/:]", name)[0]
    there = sorted(p.name for p in folder.glob("*") if p.is_dir()) if is_folder(folder) else []
    close = difflib.get_close_matches(theirs.lower(), [*others, *builders], n=1)
    meant = theirs if theirs in builders else close[0] if close else ""
    begun = [str(path) for path in sorted((folder / theirs).glob("*")) if path.is_dir()][:3] if theirs in there else []
    if meant in builders and (meant == theirs or meant not in others):
        last = f"to prepare it: {_prepare(name if meant == theirs else meant, folder)}"
    else:
        last = "TFDS has none of that name; a function of yours is written my_pkg.my_module:source, as Python imports it"
    return [
        f"no prepared dataset {name!r} in {shorten(str(folder), 300)}"
        + (f" (did you mean {meant}?)" if meant not in ("", theirs) else ""),
        f"it holds {', '.join(there) or 'nothing'}; data.name may also be {', '.join(others)}, my_pkg.my_module:source",
        *([f"{', '.join(begun)} was prepared in part only, or is another version: if in part, delete it"] if begun else []),
        last,
    ]
