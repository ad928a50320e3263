"""Codes of the training examples on disk: a step reads them, and evaluates no encoder.

q(z | x) depends on x alone, and a draw of z on q and a key. So a step that draws from a posterior on disk has the code that it
would have computed, by the same key. A codec whose codes no key reaches has them on disk themselves.
"""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from time import sleep
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.build.experiment import Experiment
from experiments.config.guidance import Params
from experiments.data.dataset import BLOCK, Dataset
from experiments.runs.code_files import Codes
from experiments.runs.folder import Folder
from experiments.runtime import devices, processes
from experiments.runtime.errors import BusyError, ConfigError, StorageError
from experiments.runtime.lock import exclusive
from experiments.runtime.paths import home
from experiments.runtime.progress import progress, say

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
    codes = Codes(above / sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16], facts)
    there = lambda: processes.everywhere(codes.folder.is_dir())
    if not there():
        _require_halves(experiment, data)
    while not there():
        try:
            with exclusive(above):
                if not there():  # the run that held it may have written them
                    _write(experiment, data, codes)
        except BusyError as error:
            say(f"waiting for codes: {str(error).partition(':')[0]}")
            sleep(WAIT)
            processes.stop_if_asked()
    if not codes.whole:
        what = f"{codes.folder} holds no whole codes of this codec and these data"
        raise StorageError(f"{what}: delete it, and they are computed anew")
    return data._replace(codes=codes.stream(experiment.config.seed, experiment.config.data.resident_mib))


def _facts(experiment: Experiment, data: Dataset) -> dict[str, Any]:
    """All that the codes depend on, as JSON holds it: the codec, the examples and their order, and the form that it sees."""
    config, codec = experiment.config, experiment.config.codec
    assert codec
    of_codec = codec.model_dump(include={"digest", "by", "encoder", "decoder", "net", "likelihood", "mean", "std"})
    of_data = {"digest": data.digest, "flip": config.data.flip, "scaler": experiment.scaler._asdict()}
    shape = (data.train.places, *experiment.row(data.test.dtype).shape)
    return json.loads(json.dumps({"codec": of_codec, "data": of_data, "shape": shape}))


def _require_halves(experiment: Experiment, data: Dataset) -> None:
    """Raises ConfigError unless a code is a draw from the posterior, by the same key, of the first examples."""
    k = jnp.asarray(data.train.at_places(np.arange(min(SAMPLE, data.train.places))).levels)

    @jax.jit
    def both(key: jax.Array, k: jax.Array, codec: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
        fixed = experiment._replace(frozen=experiment.frozen._replace(codec=codec))
        whole = lambda key, k: fixed.encode(None, key, fixed.scaler.place(k, 0.5))[0]
        halves = lambda key, k: fixed.draw(None, key, fixed.posteriors(None, k)[0])
        whole, halves = (jax.vmap(code)(jax.random.split(key, len(k)), k) for code in (whole, halves))
        return whole, halves

    whole, halves = both(jax.random.key(1), k, experiment.frozen.codec)
    if not np.allclose(whole, halves, rtol=1e-3, atol=1e-3 * float(jnp.abs(whole).max())):
        section = experiment.config.codec
        which = section and (section.by.name if section.by else section.run)
        raise ConfigError(
            f"codec.cache: codes of {which} are random, and no draws of its posterior: take 'none', or give it Codec.posterior"
        )


def _write(experiment: Experiment, data: Dataset, codes: Codes) -> None:
    """Writes the codes into a folder beside, which gets its own name when it is whole."""
    (n, *row), above = codes.facts["shape"], codes.folder.parent
    nbytes, part = 4 * int(np.prod(row)), codes._replace(folder=codes.folder.with_name(f"{codes.folder.name}.part"))
    start, free = part.rows, shutil.disk_usage(above).free
    need = (n - start) * nbytes
    if not processes.everywhere(need <= free or not processes.first()):
        sizes = f"codes of {n:,} examples need {need / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free"
        raise StorageError(f"no room in {above}: {sizes}; free some, or take codec.cache = 'none'")
    if processes.first() and not start:
        part.begin()
    say(f"codes of {n:,} training examples, {n * nbytes / 2**20:,.1f} MiB, into {codes.folder}")
    encode, params = devices.mapped(experiment.posteriors), Params((), {}, experiment.frozen.codec)
    block = max(1, BLOCK // max(nbytes, data.train.nbytes // n))
    with progress("codes", n, start) as show:
        for first in range(start, n, block):
            some = data.train.at_places(np.arange(first, min(first + block, n)))
            rows = devices.in_batches(encode, params, some.levels, experiment.config.evaluate.batch)
            if processes.first():
                part.write(some._replace(levels=rows))
            show(first + len(rows), "")
    if processes.first():
        part.move(codes.folder)
    processes.everywhere(True)  # the others wait until it is there
