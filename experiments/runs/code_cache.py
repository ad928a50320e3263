"""Codes of the training examples on disk: a step reads them, and evaluates no encoder.

A folder is of one codec and one form of the data, by which it is named, and has the form of the source `npy`:

    train.npy [n, v, *q] float32      for each example the posteriors of v views: as it is, and mirrored if data.flip says so
    train.label.npy [n]               the labels, if all examples have one
    codes.json                        the codec, the data, and how many rows are written

q(z | x) depends on x alone, and a draw of z on q and a key: so a step that draws from a posterior on disk has the code that it
would have computed, by the same key. A codec whose codes no key reaches has them on disk themselves.
"""

from __future__ import annotations

import json
import os
import shutil
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from time import sleep
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.build.experiment import Experiment
from experiments.config.guidance import Params
from experiments.data.array_files import npy_split
from experiments.data.dataset import BLOCK, Dataset, ExampleStream
from experiments.data.decoded import Decoded
from experiments.runs.folder import Folder
from experiments.runtime import devices, processes
from experiments.runtime.errors import BusyError, ConfigError, StorageError
from experiments.runtime.files import write_json
from experiments.runtime.lock import exclusive
from experiments.runtime.paths import home
from experiments.runtime.progress import progress, say

CODES, LABELS, WORDS = "train.npy", "train.label.npy", "codes.json"
WAIT = 10.0
"""Seconds between two looks at a folder that another run is writing to."""
SAMPLE = 4
"""The number of examples by which the halves of an encoder are held to the whole."""


def with_codes(experiment: Experiment, data: Dataset, workdir: Path) -> Dataset:
    """Returns the data with the codes of the training examples, if `codec.cache` asks for them; else as they are.

    What is not on disk yet is computed and written, by one run at a time: one that was stopped goes on from its last block.
    Raises ConfigError if codes are random and their codec has no posterior; StorageError if the disk has no room, or if the
    folder holds the codes of something else.
    """
    section = experiment.config.codec
    if section is None or not experiment.reads_codes:
        return data
    facts = _facts(experiment, data)
    above = Folder(home(section.run) if section.cache == "codec" else workdir).codes
    folder = above / sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    if not processes.everywhere(folder.is_dir()):
        _require_halves(experiment, data)
    while not processes.everywhere(folder.is_dir()):
        try:
            with exclusive(above):
                if not processes.everywhere(folder.is_dir()):  # the process that held it may have written them
                    _write(experiment, data, folder, facts)
        except BusyError as error:
            say(f"waiting for codes: {str(error).partition(':')[0]}")
            sleep(WAIT)
            processes.stop_if_asked()
    _require_whole(folder, facts)
    codes = _stream(folder / CODES, experiment.config.data.resident_mib)
    return data._replace(codes=codes.by(experiment.config.seed))


def _facts(experiment: Experiment, data: Dataset) -> dict[str, Any]:
    """All that the codes depend on, as JSON holds it: the codec, the examples and their order, and the form that it sees."""
    config, codec = experiment.config, experiment.config.codec
    assert codec
    of_codec = codec.model_dump(include={"digest", "by", "encoder", "decoder", "net", "likelihood", "mean", "std"})
    of_data = {"digest": data.digest, "examples": data.train.places, "flip": config.data.flip}
    shape = [data.train.places, *experiment.row(data.test.dtype).shape]
    return json.loads(json.dumps({"codec": of_codec, "data": of_data, "scaler": experiment.scaler._asdict(), "shape": shape}))


def _require_halves(experiment: Experiment, data: Dataset) -> None:
    """Raises ConfigError unless a code is a draw from the posterior, by the same key, of the first examples."""
    k = jnp.asarray(data.train.at_places(np.arange(min(SAMPLE, data.train.places))).levels)

    @jax.jit
    def both(key: jax.Array, k: jax.Array, codec: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
        fixed = experiment._replace(frozen=experiment.frozen._replace(codec=codec))
        whole = lambda key, k: fixed.encode(None, key, fixed.scaler.place(k, 0.5))[0]
        halves = lambda key, k: fixed.draw(None, key, fixed.posteriors(None, k)[0])
        return tuple(jax.vmap(code)(jax.random.split(key, len(k)), k) for code in (whole, halves))

    whole, halves = both(jax.random.key(1), k, experiment.frozen.codec)
    if not np.allclose(whole, halves, rtol=1e-3, atol=1e-3 * float(jnp.abs(whole).max())):
        section = experiment.config.codec
        which = section and (section.by.name if section.by else section.run)
        raise ConfigError(
            f"codec.cache: codes of {which} are random, and no draws of its posterior: take 'none', or give it Codec.posterior"
        )


def _write(experiment: Experiment, data: Dataset, folder: Path, facts: dict[str, Any]) -> None:
    """Writes the codes into a folder beside, which gets its own name when it is whole."""
    part, n, row = folder.with_name(f"{folder.name}.part"), data.train.places, experiment.row(data.test.dtype)
    nbytes = row.size * row.dtype.itemsize
    block = max(1, BLOCK // max(nbytes, data.train.nbytes // n))
    encode, params = devices.mapped(experiment.posteriors), Params((), {}, experiment.frozen.codec)
    start, labelled = _written(part, facts)
    need, free = (n - start) * nbytes, shutil.disk_usage(folder.parent).free
    if not processes.everywhere(need <= free or not processes.first()):
        sizes = f"codes of {n:,} examples need {need / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free"
        raise StorageError(f"no room in {folder.parent}: {sizes}; free some, or take codec.cache = 'none'")
    if processes.first() and not start:
        part.mkdir(exist_ok=True)
        np.lib.format.open_memmap(part / CODES, "w+", np.float32, (n, *row.shape))
        np.lib.format.open_memmap(part / LABELS, "w+", np.int64, (n,))
    say(f"codes of {n:,} training examples, {n * nbytes / 2**20:,.1f} MiB, into {folder}")
    with progress("codes", n, start) as show:
        for first in range(start, n, block):
            examples = data.train.at_places(np.arange(first, min(first + block, n)))
            codes = devices.in_batches(encode, params, examples.levels, experiment.config.evaluate.batch)
            labelled = labelled and examples.y is not None
            if processes.first():
                _put(part / CODES, first, codes)
                if examples.y is not None:
                    _put(part / LABELS, first, examples.y)
                write_json(part / WORDS, facts | {"rows": first + len(codes), "labelled": labelled})
            show(first + len(codes), "")
    if processes.first():
        if not labelled:
            (part / LABELS).unlink()
        part.rename(folder)
    processes.everywhere(True)  # the others wait until it is there


def _put(path: Path, first: int, rows: np.ndarray) -> None:
    """Writes rows of an .npy file from the one numbered `first` on. Into a mapped file a full disk would end the process."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    with path.open("r+b") as file:
        file.seek(array.offset + first * array[0].nbytes)
        file.write(np.ascontiguousarray(rows, array.dtype).tobytes())
        os.fsync(file.fileno())


def _written(folder: Path, facts: dict[str, Any]) -> tuple[int, bool]:
    """The number of rows that are on disk for these facts, and whether all of them have labels; (0, True) if there are none."""
    words = _words(folder)
    rows, labelled = words.pop("rows", 0), words.pop("labelled", True)
    return (rows, labelled) if words == facts else (0, True)


def _require_whole(folder: Path, facts: dict[str, Any]) -> None:
    """Raises StorageError unless the folder has every row for these facts."""
    if _written(folder, facts)[0] != facts["shape"][0]:
        raise StorageError(f"{folder} holds no whole codes of this codec and these data: delete it, and they are computed anew")


def _words(folder: Path) -> dict[str, Any]:
    """What a folder says of its codes; nothing if it cannot be read."""
    try:
        words = json.loads((folder / WORDS).read_bytes())
    except (OSError, ValueError):
        return {}
    return words if isinstance(words, dict) else {}


@lru_cache(maxsize=1)
def _stream(path: Path, resident_mib: int) -> ExampleStream:
    """The codes of a file as a stream of examples, in the order of the seed 0. Runs of several seeds share them in memory."""
    rows, _ = npy_split(path, levels=0)
    return ExampleStream(Decoded(rows, 0, f"the codes in {path.parent}"), 0, resident_mib)
