"""One mesh over every device of every host, with one axis, `data`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from functools import cache
from operator import itemgetter
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.limits import available
from experiments.runtime.processes import asking, stop_if_asked

SMALL = 2**12
"""The fewest numbers of an array that is worth a gather of its own: biases, scales of norms and counts have fewer."""


def find() -> None:
    """Lets jax find its devices, before anything else asks for one.

    Raises ConfigError if there are none of the platform that the environment names, or if it asks for float64.
    """
    if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ConfigError("JAX_ENABLE_X64 is set, and the arrays of a run are float32: unset it")
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # jax asserts that there is one if CUDA alone is named
        why = " ".join(str(error).split())[:200]
        if jax.distributed.is_initialized():
            raise StorageError(f"the processes do not find each other's devices: {why}") from error
        named = [f"{name}={os.environ[name]}" for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME") if os.environ.get(name)]
        remedy = "unset it to compute on what there is, or install jax for that device"
        raise ConfigError([f"{named[0]}: jax finds no such device; {remedy}" if named else why]) from error


def memory() -> dict[str, int]:
    """Returns what a device says of its own memory, such as its `bytes_limit`; a CPU has none, for the host's is its own."""
    return {} if jax.default_backend() == "cpu" else jax.local_devices()[0].memory_stats() or {}


def free() -> int:
    """Returns the bytes that are free on each device; those of a CPU are its share of the host's."""
    own = memory()
    return own["bytes_limit"] - own["bytes_in_use"] if own else available() // jax.local_device_count()


@cache
def _mesh() -> Mesh:
    # Sorted by process, so that a process reads the rows of its own devices; jax.make_mesh may follow a TPU's torus.
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    # Auto: explicit axes would refuse a gather by index.
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def replicated() -> NamedSharding:
    """Returns the sharding of an array that is whole on every device."""
    return NamedSharding(_mesh(), PartitionSpec())


def over_data(axis: int = 0) -> NamedSharding:
    """Returns the sharding of an array whose axis `axis` is split over the devices."""
    return NamedSharding(_mesh(), PartitionSpec(*[None] * axis, "data"))


def sharded(tree: Any) -> Any:
    """Returns a sharding for each array of a tree (or its shape), by which every device has a share: FSDP, ZeRO's third stage.

    The number of devices must divide the axis that is split: the largest such axis. An array without one, or with fewer numbers
    than `SMALL`, stays whole.
    """

    def share(array: Any) -> NamedSharding:
        divided = [axis for axis, size in enumerate(array.shape) if size % jax.device_count() == 0]
        if array.size < SMALL or not divided:
            return replicated()
        return over_data(max(divided, key=lambda axis: array.shape[axis]))

    return jax.tree.map(share, tree)


def put(tree: Any, shardings: Any) -> Any:
    """Returns the arrays of a tree, which are the same in every process, on devices by these shardings.

    They go by way of the host: jax.device_put (0.10.2) breaks an array on one device if each process has one device.
    """
    return jax.device_put(jax.tree.map(np.asarray, tree), shardings)


def whole(tree: Any) -> Any:
    """Gathers every array of the tree on every device, inside jit."""
    return jax.lax.with_sharding_constraint(tree, replicated())


def pmapped(step: Callable[..., Any], state: Any = None, result: Any = None, frozen: Any = None) -> Callable[..., Any]:
    """Compiles `step(state, batch) -> result` for all devices: batch [k, B, ...] is split over B, the rest replicated.

    `state` and `result` (by default like the state) may be other trees of shardings. With `frozen` arrays, which lie where they
    are, it is of `step(state, batch, frozen, span)`, whose span (i, j) says which of the k to take. If all is replicated, this
    is the program of jax.pmap with a pmean of the gradients, which jax now writes as jit over shardings. Noise drawn inside
    does not depend on the number of devices. The state is donated.
    """
    state = state or replicated()
    there = () if frozen is None else (jax.tree.map(lambda a: a.sharding, frozen), replicated())
    return jax.jit(step, donate_argnums=0, in_shardings=(state, over_data(1), *there), out_shardings=result or state)


def mapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles `function(params, row, *rest)`, vmapped over rows [n, ...] (any tree); rows and results are split over devices.

    Parameters of which a device has a share are gathered once a call. The axis of the rows is called "batch", for a function
    that reduces over the others.
    """

    def run(params: Any, rows: Any, *rest: Any) -> Any:
        params, rows = whole(params), jax.lax.with_sharding_constraint(rows, over_data())
        return jax.vmap(lambda row: function(params, row, *rest), axis_name="batch")(rows)

    return jax.jit(run, out_shardings=over_data())


def batches(n: int, most: int) -> np.ndarray:
    """Returns the rows of each batch [k, size]: as few batches as hold n, of at most `most` rows and of one size, one program.

    The last wraps around to the first rows; on one device it repeats fewer than k.
    """
    k = -(-n // most)
    return np.resize(np.arange(n), (k, rounded_up(-(-n // k))))


def in_batches(
    function: Callable[..., Any],
    params: Any,
    rows: Any,
    most: int,
    *rest: Any,
    show: Callable[[int], None] = lambda n: None,
) -> Any:
    """Calls a `mapped` function on rows [n, ...] in `batches` of at most `most`; results [n, ...] are on this host.

    It fetches one batch while it computes the next, and holds only the results beside them. A signal to any process interrupts
    it in all of them, between two batches. `show` gets the number of rows that have results.
    """
    n = len(jax.tree.leaves(rows)[0])
    stop_asked, in_flight = asking(), deque()
    results: Any = None

    def fetch() -> None:
        nonlocal results
        at, part = in_flight.popleft()
        part = jax.tree.map(gather, part)
        if results is None:
            results = jax.tree.map(lambda a: np.empty((n, *a.shape[1:]), a.dtype), part)
        for result, of_part in zip(jax.tree.leaves(results), jax.tree.leaves(part), strict=True):
            result[at : at + len(of_part)] = of_part[: n - at]
        show(min(at + len(of_part), n))

    for batch in batches(n, most):
        stop_if_asked(stop_asked)
        in_flight.append((batch[0], function(params, jax.tree.map(itemgetter(batch), rows), *rest)))
        if len(in_flight) > 1:
            fetch()
    fetch()
    return results


def rounded_up(n: int) -> int:
    """Returns the least multiple of the number of devices that is at least n."""
    return -(-n // jax.device_count()) * jax.device_count()


def split(rows: Any, axis: int = 0) -> Any:
    """Returns global arrays, split over the devices along `axis`, of which `rows` (any tree) are this process's part."""
    return jax.tree.map(lambda a: jax.make_array_from_process_local_data(over_data(axis), np.asarray(a)), rows)


def one_copy(tree: Any) -> Any:
    """Returns the tree with one device's copy of each array that the devices of this process all hold; nothing is copied."""
    first = lambda a: a.addressable_data(0) if a.is_fully_addressable and a.is_fully_replicated else a
    return jax.tree.map(lambda a: first(a) if isinstance(a, jax.Array) else a, tree)


def gather(array: jax.Array | np.ndarray) -> np.ndarray:
    """Returns the whole array on this host."""
    here = isinstance(array, np.ndarray) or array.is_fully_addressable
    return np.asarray(array if here else multihost_utils.process_allgather(array, tiled=True))
