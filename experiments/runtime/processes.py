"""The processes of one run, and what they agree on."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments.runtime.errors import ConfigError, NumericsError, StorageError
from experiments.runtime.signals import stop

PATIENCE = 30
"""Seconds after which a process that sends nothing counts as dead."""


def join(place: str) -> None:
    """Makes this process one of several: by the cluster's own variables ("auto"), or as process I of N ("HOST:PORT,N,I").

    The death of any of them ends all, within `PATIENCE`.
    """
    jax.config.update("jax_enable_preemption_service", False)  # which would take SIGTERM from us
    try:
        options = {}
        if place != "auto":
            coordinator, n, i = place.split(",")
            host, _, port = coordinator.rpartition(":")
            if not (host and 0 < int(port) < 2**16 and 0 <= int(i) < int(n)):
                raise ValueError("PORT is 1 to 65535, and I is 0 to N - 1")
            options = {"coordinator_address": coordinator, "num_processes": int(n), "process_id": int(i)}
        jax.distributed.initialize(**options, heartbeat_timeout_seconds=PATIENCE, shutdown_timeout_seconds=PATIENCE)
    except ValueError as error:
        raise ConfigError(f"--distributed={place}: write auto or HOST:PORT,N,I, as in localhost:1234,2,0 ({error})") from error
    except RuntimeError as error:
        raise StorageError(f"--distributed={place}: {' '.join(str(error).split())[:200]}") from error


def first() -> bool:
    """Returns whether this process is the one that writes files."""
    return jax.process_index() == 0


def everywhere(here: bool) -> bool:
    """Returns whether it is true in every process. All of them must call this."""
    return here if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array(here)).all())


def of_first(number: int) -> int:
    """Returns the number that the first process has. All of them must call this."""
    return number if jax.process_count() == 1 else int(multihost_utils.process_allgather(np.array(number))[0])


def share(error: Exception) -> bool:
    """Returns whether all processes have this error: a number is not finite in each, others may be one's own."""
    return jax.process_count() == 1 or isinstance(error, NumericsError)


def stop_asked() -> bool:
    """Returns whether any process was asked to stop. All of them must call this."""
    return not everywhere(not stop.asked)


def asking(every: float = 0.5) -> Callable[[], bool]:
    """Returns `stop_asked` for a loop that all processes run alike: they confer about once in `every` seconds.

    An exchange waits for the devices, so that one in every round would keep them waiting for the host. At each exchange they
    agree on the number of rounds until the next: at most twice as many as the last.
    """
    rounds = left = 1
    since = time.monotonic()

    def stop_asked_now() -> bool:
        nonlocal rounds, left, since
        if jax.process_count() == 1:
            return stop.asked
        left -= 1
        if left:
            return False
        now = time.monotonic()
        wanted = max(1, min(2 * rounds, int(every * rounds / max(now - since, 1e-6))))
        votes = multihost_utils.process_allgather(np.array([stop.asked, wanted]))
        rounds = left = int(votes[:, 1].min())
        since = now
        return bool(votes[:, 0].any())

    return stop_asked_now


def stop_if_asked(question: Callable[[], bool] = stop_asked) -> None:
    """Raises Interrupted in all processes if any was asked to stop: one that went on alone would wait for the others."""
    if question():
        stop.asked = True
        stop.check()
