"""Devices: one mesh over every device of every host, with one axis, `data`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache
from operator import itemgetter
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from experiments.runtime.processes import asking, stop_if_asked

SMALL = 2**12
"""Numbers below which an array is not worth a gather of its own: biases, scales of norms, counts."""


@cache
def _mesh() -> Mesh:
    # By process, where jax.make_mesh may follow a TPU's torus: the rows of a batch that a process reads are then its devices'.
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    # Auto: explicit axes would refuse a gather by index.
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def replicated() -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(_mesh(), PartitionSpec())


def over_data(axis: int = 0) -> NamedSharding:
    """Axis `axis` split over the devices."""
    return NamedSharding(_mesh(), PartitionSpec(*[None] * axis, "data"))


def sharded(tree: Any) -> Any:
    """For each array of a tree (or its shape) a sharding that leaves every device its share: FSDP, or ZeRO's third stage.

    Its largest axis of those that the number of devices divides is split; what is `SMALL`, or has no such axis, stays whole.
    """

    def share(array: Any) -> NamedSharding:
        divided = [axis for axis, size in enumerate(array.shape) if size % jax.device_count() == 0]
        if array.size < SMALL or not divided:
            return replicated()
        return over_data(max(divided, key=lambda axis: array.shape[axis]))

    return jax.tree.map(share, tree)


def put(tree: Any, where: Any) -> Any:
    """The arrays of a tree, the same in every process, on the devices that `where` says.

    By way of the host: of an array on one device jax.device_put (0.10.2) makes a broken one where each process has one device.
    """
    return jax.device_put(jax.tree.map(np.asarray, tree), where)


def whole(tree: Any) -> Any:
    """Inside jit: every array of the tree on every device, gathered where it is a share."""
    return jax.lax.with_sharding_constraint(tree, replicated())


def pmapped(
    step: Callable[..., Any], state: Any = None, result: Any = None, frozen: tuple[Any, ...] = ()
) -> Callable[..., Any]:
    """jit of `step(state, batch, *frozen) -> result` on every device: batch [k, B, ...] split over B, all else replicated.

    `state` and `result` (by default as the state) may say otherwise, as trees of shardings; what is `frozen` lies where it is.
    Replicated, this is the program of jax.pmap with a pmean of the gradients, which jax now writes as jit over shardings; the
    noise drawn inside is that of one device, whatever their number. The state is donated.
    """
    state = state or replicated()
    there = jax.tree.map(lambda a: a.sharding, frozen)
    return jax.jit(step, donate_argnums=0, in_shardings=(state, over_data(1), *there), out_shardings=result or state)


def mapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """jit of `function(params, row, *rest)`, vmapped over rows [n, ...] (any tree), rows and results split over devices.

    Parameters that are shares are gathered once a call. The axis of the rows is called "batch", for a function that must know
    its fellows.
    """

    def run(params: Any, rows: Any, *rest: Any) -> Any:
        params, rows = whole(params), jax.lax.with_sharding_constraint(rows, over_data())
        return jax.vmap(lambda row: function(params, row, *rest), axis_name="batch")(rows)

    return jax.jit(run, out_shardings=over_data())


def in_batches(function: Callable[..., Any], params: Any, rows: Any, batch: int, *rest: Any) -> Any:
    """A `mapped` function over rows [n, ...] in batches of one size, the last padded: results [n, ...] on this host.

    One batch is fetched as the next is computed, and beside them the results alone are held. Between batches it can be
    interrupted: by a signal to any process, in all of them.
    """
    n = len(jax.tree.leaves(rows)[0])
    batches = np.resize(np.arange(n), (-(-n // batch), batch))  # the last wraps around
    asked, in_flight = asking(), deque()
    results: Any = None

    def fetch() -> None:
        nonlocal results
        at, part = in_flight.popleft()
        part = jax.tree.map(gather, part)
        if results is None:
            results = jax.tree.map(lambda a: np.empty((n, *a.shape[1:]), a.dtype), part)
        for result, of_part in zip(jax.tree.leaves(results), jax.tree.leaves(part), strict=True):
            result[at : at + batch] = of_part[: n - at]

    for at, chosen in zip(range(0, n, batch), batches, strict=True):
        stop_if_asked(asked)
        in_flight.append((at, function(params, jax.tree.map(itemgetter(chosen), rows), *rest)))
        if len(in_flight) > 1:
            fetch()
    fetch()
    return results


def split(rows: Any, axis: int = 0) -> Any:
    """This process's rows of global arrays (any tree), split over the devices along `axis`."""
    return jax.tree.map(lambda a: jax.make_array_from_process_local_data(over_data(axis), np.asarray(a)), rows)


def gather(array: jax.Array | np.ndarray) -> np.ndarray:
    """The whole array on this host."""
    here = isinstance(array, np.ndarray) or array.is_fully_addressable
    return np.asarray(array if here else multihost_utils.process_allgather(array, tiled=True))
