"""Tensors of files from elsewhere. The first bytes tell a file's kind, and this process never executes anything in it.

safetensors and msgpack are data. A torch file is a pickle: another process reads it, by torch's list of what a pickle of
weights may name, and hands back safetensors.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ml_dtypes
import msgpack
import numpy as np
from safetensors import SafetensorError, safe_open

from experiments.runtime.errors import StorageError

READER = Path(__file__).with_name("torch_reader.py")
SECONDS = 600
"""The most seconds that a process may take to read a torch file."""
WIDEST = 10_000
"""The most entries of one table in msgpack, which allocates memory for the length that a file claims."""
LARGEST = 2**26
"""The most numbers of an image."""
MOST = 10**6
"""The most times of a schedule, and the largest count of any other part of a config."""
LONGEST = 2**17
"""The most characters of a config: a longer one is not parsed."""
DTYPES = {np.dtype(d).name: np.dtype(d) for d in (*"?bhilqBHILQefd", ml_dtypes.bfloat16)}


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a safetensors, torch (.pth, .pt, .bin, .ckpt) or flax msgpack file, by name and in its order.

    Tables within tables make dotted names: "ema.shadow_params.0"; numbers are arrays without a dimension. The state of a torch
    file's optimizer is left out. StorageError for a file that cannot be read, or is none of these.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
    if head[8:] == b"{":
        return read_safetensors(path)[0]
    if head.startswith((b"PK\x03\x04", b"\x80")):  # a zip, or a pickle: both are torch's
        return _torch(path)
    if head[:1] and (0x80 < head[0] < 0x90 or head[0] in (0xDE, 0xDF)):  # a table of msgpack with entries
        return _msgpack(path)
    raise StorageError(f"{path} is no safetensors, torch or flax msgpack file of tensors; it starts with {head!r}")


def unwrapped(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors by their names, without what torch's wrappers for compiling and for sharding put into them."""
    wrapper = r"(^|(?<=\.))(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
    return {re.sub(wrapper, "", name): tensor for name, tensor in tensors.items()}


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns the tensors of a safetensors file, and its metadata."""
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StorageError(f"{path} is no whole safetensors file: {_line(error)}") from error


def _torch(path: Path) -> dict[str, np.ndarray]:
    """Reads a torch file by way of safetensors that another process writes."""
    with path.open("rb") as file:
        zipped = file.read(1) == b"P"
    if zipped:
        try:
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise StorageError(f"{path} is no whole torch file: {_line(error)}") from error
        if unpacked > path.stat().st_size:
            raise StorageError(f"{path} would unpack to {unpacked} bytes from {path.stat().st_size}; torch does not compress")
    with TemporaryDirectory() as folder:
        target = Path(folder) / "tensors.safetensors"
        # -I: neither the working folder nor PYTHONPATH decides what `import torch` is.
        command = [sys.executable, "-I", "-B", str(READER), str(path.absolute()), str(target)]
        try:
            process = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise StorageError(f"{path} was not read by torch in {SECONDS} s") from error
        if process.returncode == 3:
            install = "pip install onesde[torch], or convert the file to safetensors where torch is installed"
            raise StorageError(f"{path} is a torch file, and there is no torch to read it: {install}")
        if process.returncode:
            why = process.stdout or f"torch ended with {process.returncode}: {process.stderr[-300:]}"
            raise StorageError([f"{path} is no torch file of tensors alone, and nothing in it was run:", _line(why)])
        tensors, _ = read_safetensors(target)
        return {name: tensors[str(i)] for i, name in enumerate(json.loads(process.stdout))}


def _msgpack(path: Path) -> dict[str, np.ndarray]:
    """Reads what `flax.serialization.to_bytes` wrote: maps, numbers, and arrays as an extension."""
    try:
        limits = {"max_array_len": WIDEST, "max_map_len": WIDEST}
        tree = msgpack.unpackb(path.read_bytes(), ext_hook=_extension, strict_map_key=True, **limits)
        return dict(_leaves(tree))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise StorageError(f"{path} is no whole flax msgpack file: {type(error).__name__}: {_line(error)}") from error


def _extension(code: int, data: bytes) -> Any:
    """Reads flax's arrays and numpy scalars: (shape, dtype, bytes), with as many bytes as the shape says."""
    if code not in (1, 3):
        return None
    shape, name, buffer = msgpack.unpackb(data, raw=True, max_array_len=64, max_map_len=0)
    return np.frombuffer(buffer, DTYPES[name.decode()]).reshape(shape)


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yields the arrays and numbers of a tree of tables, by dotted names."""
    if isinstance(tree, dict | list):
        for key, below in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _leaves(below, f"{name}.{key}" if name else str(key))
    elif isinstance(tree, np.ndarray | int | float) and math.prod(np.shape(tree)):
        yield name, np.asarray(tree)


def _line(error: Any) -> str:
    """Returns an error's message in one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
