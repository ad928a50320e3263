"""What several processes of one run agree on."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.signals import stop

PATIENCE = 30
"""Seconds until a process that says nothing is taken for dead."""


def join(words: str) -> None:
    """Makes this process one of several: as the cluster says ("auto"), or process I of N ("HOST:PORT,N,I").

    The death of any of them is the end of all, within `PATIENCE`.
    """
    jax.config.update("jax_enable_preemption_service", False)  # which would take SIGTERM from us
    try:
        place = {}
        if words != "auto":
            coordinator, n, i = words.split(",")
            place = {"coordinator_address": coordinator, "num_processes": int(n), "process_id": int(i)}
        jax.distributed.initialize(**place, heartbeat_timeout_seconds=PATIENCE, shutdown_timeout_seconds=PATIENCE)
    except ValueError as error:
        raise ConfigError(f"--distributed={words}: write auto or HOST:PORT,N,I, as in localhost:1234,2,0 ({error})") from error
    except RuntimeError as error:
        raise StorageError(f"--distributed={words}: {' '.join(str(error).split())[:200]}") from error


def first() -> bool:
    """Whether this process is the one that writes files."""
    return jax.process_index() == 0


def everywhere(so: bool) -> bool:
    """Whether it is so in every process; all of them must ask."""
    return so if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array(so)).all())


def stop_asked() -> bool:
    """Whether any process was asked to stop; all of them must ask."""
    return not everywhere(not stop.asked)


def asking(every: float = 0.5) -> Callable[[], bool]:
    """`stop_asked` for a loop that all processes go through alike: they confer about every so many seconds.

    An exchange waits for what the devices are at, so one in every round would keep them waiting for the host. Each time they
    settle on the number of rounds until the next, at most twice as many as the last.
    """
    rounds = left = 1
    since = time.monotonic()

    def asked() -> bool:
        nonlocal rounds, left, since
        if jax.process_count() == 1:
            return stop.asked
        left -= 1
        if left:
            return False
        now = time.monotonic()
        wanted = max(1, min(2 * rounds, int(every * rounds / max(now - since, 1e-6))))
        told = multihost_utils.process_allgather(np.array([stop.asked, wanted]))
        rounds = left = int(told[:, 1].min())
        since = now
        return bool(told[:, 0].any())

    return asked


def stop_if_asked(asked: Callable[[], bool] = stop_asked) -> None:
    """Raises Interrupted if any process was asked to stop, in all of them: one that goes on alone waits for the others."""
    if asked():
        stop.asked = True
        stop.check()
