"""Statistics of real images on disk: FOLDER/SPLIT_HASH.npz beside its .json, named by the images and the protocol."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from jax.experimental import multihost_utils

from experiments.evaluation.statistics import FEW, Protocol, Statistics
from experiments.runtime import processes
from experiments.runtime.lazy_arrays import LazyArray, blocks
from experiments.runtime.progress import say

PARTS = ("mu", "root", "features")
"""The arrays of a file."""


def stored_statistics(folder: Path, images: LazyArray, protocol: Protocol, compute: Callable[[], Statistics]) -> Statistics:
    """The result of `compute()`, read from `folder` if it was stored there for the same images and protocol."""
    key = sha256(json.dumps([PARTS, protocol]).encode())
    for some in blocks(images):
        key.update(some.tobytes())
    path = folder / f"{protocol.split}_{key.hexdigest()[:16]}.npz"
    stored = _read(path, protocol)
    everywhere = multihost_utils.process_allgather(np.array(stored is not None)).all()  # all processes compute, or none does
    if stored is not None and everywhere:
        return stored
    say(f"statistics of {len(images):,} real images ({protocol.split})")
    computed = compute()
    if processes.first():
        _write(path, computed)
    return computed


def _read(path: Path, protocol: Protocol) -> Statistics | None:
    """The statistics in a file; None if there is no file, or its content is not what was written."""
    if not path.exists():
        return None
    try:
        content, words = path.read_bytes(), json.loads(path.with_suffix(".json").read_text())
        if words["sha256"] == sha256(content).hexdigest():
            stored = Statistics(n=words["n"], protocol=protocol, **_arrays(content))
            if _is_sound(stored):
                return stored
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, MemoryError, BadZipFile):
        pass
    say(f"warning: {path} is damaged, and is made anew")
    return None


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an .npz. ValueError if it would unpack to more than its own size."""
    with ZipFile(BytesIO(content)) as archive:
        if any(member.compress_type or member.file_size > len(content) for member in archive.infolist()):
            raise ValueError("it is compressed, and the files stored here are not")
    with np.load(BytesIO(content), allow_pickle=False) as file:
        return {key: file[key] for key in PARTS}


def _is_sound(stored: Statistics) -> bool:
    """Says if these are the moments of n sets of f features, all of them finite numbers."""
    f, held = stored.mu.size, len(stored.features)
    arrays = tuple(getattr(stored, part) for part in PARTS)
    shapes = tuple(a.shape for a in arrays) == ((f,), (min(stored.n, f), f), (held, f))
    numbers = all(a.dtype.kind in "fiu" and np.isfinite(a).all() for a in arrays)
    return shapes and numbers and type(stored.n) is int and held == min(stored.n, FEW) > 1


def _write(path: Path, computed: Statistics) -> None:
    """Writes both files, whole or not at all; a failure is a warning, and the run goes on."""
    packed = BytesIO()
    np.savez(packed, **{part: getattr(computed, part) for part in PARTS})
    words = {"n": computed.n, "protocol": computed.protocol._asdict(), "sha256": sha256(packed.getvalue()).hexdigest()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, content in ((path.with_suffix(".json"), json.dumps(words, indent=1).encode()), (path, packed.getvalue())):
            part = target.with_suffix(f"{target.suffix}.{os.getpid()}")
            part.write_bytes(content)
            part.replace(target)
    except OSError as error:
        say(f"warning: the statistics cannot be kept in {path.parent}: {error.strerror}")
