"""Batches ahead of the step: a thread reads and sends the next ones as the device works, which never waits for the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grain
import jax
import numpy as np

from experiments.data.dataset import Batch, Records
from experiments.runtime import devices

AHEAD = 2
"""Calls whose batches are read before they are asked for."""
SHARE = 0.1
"""Of a device's memory, the most that is given to the examples."""


def calls(start: int, steps: int, per_call: int) -> grain.MapDataset:
    """The steps from `start` to `steps`, as a range for each call."""
    return grain.MapDataset.range(start, steps, per_call).map(lambda i: range(i, min(i + per_call, steps)))


def feed(records: Records, size: int, of: grain.MapDataset, classes: int = 0, on_device: bool | None = None) -> Iterator[Batch]:
    """The batches [k, B, ...] of each call, split over the devices: the same, to the last bit, wherever the examples lie.

    Where there are `classes`, with their labels. DataError where the labels are of others.

    They lie on the devices where those have memory of their own and room for all (or as `on_device` says); then a batch is a
    gather there, and only its indices are sent. That is a program of its own, so that the step's is one for every source.
    """
    place = size, jax.process_index(), jax.process_count()
    examples = records.resident
    if examples is not None and (has_room(examples.nbytes) if on_device is None else on_device):
        everywhere = devices.replicated()
        kept = jax.device_put(Batch(examples, records.labels_of(classes) if classes else None), everywhere)
        split = devices.over_data(1)
        gathered = lambda kept, rows: jax.tree.map(lambda a: a[rows], kept)
        pick = jax.jit(gathered, in_shardings=(everywhere, split), out_shardings=split)
        return (pick(kept, rows) for rows in _ahead(of, lambda i: records.indices(i, *place).astype(np.int32)))
    return _ahead(of, lambda i: records.batch(i, *place, classes))


def has_room(nbytes: int) -> bool:
    """Whether so many bytes are at most `SHARE` of a device's own memory; a CPU's is the host's, where they are already."""
    memory = {} if jax.default_backend() == "cpu" else jax.local_devices()[0].memory_stats() or {}
    return nbytes <= SHARE * memory.get("bytes_limit", -1)


def stacked(trees: Iterable[Any]) -> Any:
    """The trees as one, of arrays with one axis more in front."""
    return jax.tree.map(lambda *arrays: np.stack(arrays), *trees)


def _ahead(of: grain.MapDataset, read: Callable[[int], Any]) -> Iterator[Any]:
    """What is read for the steps of each call (any tree), stacked and on the devices."""
    sent = of.map(lambda steps: devices.split(stacked(map(read, steps)), axis=1))
    # One thread: what is left out of the examples as they are read depends on their order.
    return iter(sent.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD)))
