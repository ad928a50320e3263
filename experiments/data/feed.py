"""Batches are read ahead: a thread reads and sends the next ones as the device works, which so never waits for the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import grain
import jax
import numpy as np

from experiments.data.dataset import Batch, ExampleStream
from experiments.runtime import devices

AHEAD = 2
"""The number of blocks that are read ahead."""
SHARE = 0.1
"""The largest part of a device's memory that examples may take."""


def blocks(start: int, steps: int, k: int) -> grain.MapDataset:
    """Returns the steps from `start` to `steps` in blocks of k; the last one repeats its last step until it has k."""
    return grain.MapDataset.range(start, steps, k).map(lambda i: [min(j, steps - 1) for j in range(i, i + k)])


def feed(
    streams: Sequence[ExampleStream], size: int, of: grain.MapDataset, classes: int = 0, on_device: bool | None = None
) -> Iterator[tuple[Batch, ...]]:
    """Yields the batches [k, B, ...] of each block, one for each stream, split over the devices, with labels if `classes` > 0.

    The streams are of the same examples, each in an order of its own.

    The examples lie on the devices if these have memory of their own and room for all, or as `on_device` says. A batch is then
    a gather there, and only its indices are sent: a program of its own, so that the step's is the same for every source. The
    batches are the same to the last bit wherever the examples lie. DataError if a label is out of range.
    """
    place = size, jax.process_index(), jax.process_count()
    first = streams[0]
    examples = first.resident
    if examples is not None and (has_room(examples.nbytes) if on_device is None else on_device):
        everywhere = devices.replicated()
        resident = jax.device_put(Batch(examples, first.labels_of(classes) if classes else None), everywhere)
        split = devices.over_data(1)
        gather = lambda resident, rows: jax.tree.map(lambda a: a[rows], resident)
        pick = jax.jit(gather, in_shardings=(everywhere, split), out_shardings=split)
        rows = _ahead(of, lambda i: tuple(stream.indices(i, *place).astype(np.int32) for stream in streams))
        return (tuple(pick(resident, each) for each in of_block) for of_block in rows)
    return _ahead(of, lambda i: tuple(stream.batch(i, *place, classes) for stream in streams))


def has_room(nbytes: int) -> bool:
    """Returns whether so many bytes are at most `SHARE` of a device's own memory, if it has some."""
    return nbytes <= SHARE * devices.memory().get("bytes_limit", -1)


def stacked(trees: Iterable[Any]) -> Any:
    """Returns the trees as one, of arrays with one axis more in front."""
    return jax.tree.map(lambda *arrays: np.stack(arrays), *trees)


def _ahead(of: grain.MapDataset, read: Callable[[int], Any]) -> Iterator[Any]:
    """Yields read(step) (any tree) for the steps of each block, stacked and on the devices."""
    # A step that a block repeats is read once.
    sent = of.map(lambda steps: devices.split(stacked(map(cache(read), steps)), axis=1))
    # One thread, because which examples are left out depends on the order of reading.
    return iter(sent.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD)))
