"""Bytes that a training step of several processes sends over loopback (Linux)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STEPS = 20
"""The training steps that are counted."""


def train_together(n: int, shard: bool) -> dict[str, Any]:
    """Returns the seconds and the bytes on loopback of a training step by n processes, and the bytes of the gradient.

    The network is the digits', four times as wide. Bytes are those of all that goes over loopback meanwhile, for each process.
    It is plain JAX, as on accelerators: of a wide convolution by `models.cpu` the processes sum the gradient of Winograd's
    product, 36 numbers for 9.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    code = "import sys, benchmarks.common.loopback as loopback; loopback.train_as(*map(int, sys.argv[1:]))"
    words = [[str(port), str(n), str(i), str(int(shard))] for i in range(n)]
    env = os.environ | {"ONESDE_PLAIN": "1"}
    start = lambda each: subprocess.Popen([sys.executable, "-c", code, *each], stdout=subprocess.PIPE, text=True, env=env)
    members = [start(each) for each in words]
    outputs = [member.communicate()[0] for member in members]
    if any(member.returncode for member in members):
        raise RuntimeError(f"{n} processes ended with {[member.returncode for member in members]}")
    return json.loads(outputs[0].splitlines()[-1])


def train_as(port: int, n: int, i: int, shard: int) -> None:
    """Trains as process i of n, and says as JSON what it took."""
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    from configs.digits import vp
    from experiments.build.build import build
    from experiments.build.optimizer import make_optimizer
    from experiments.build.state import init_state, placement
    from experiments.config.schema import Config
    from experiments.data.dataset import Batch
    from experiments.runtime import devices, processes
    from experiments.training.step import make_step

    processes.join(f"localhost:{port},{n},{i}")
    tree = vp.get_config().to_dict()
    tree["net"] |= {"width": 64}
    tree["train"] |= {"batch": 64, "shard": bool(shard)}
    experiment = build(Config.model_validate(tree), (8, 8, 1))
    optimizer = make_optimizer(experiment.config.train)
    state = init_state(experiment, optimizer, jax.random.key(0))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    step = devices.pmapped(make_step(experiment, optimizer, jax.random.key(1)), placement(experiment.config, state))
    batch = devices.split(Batch(np.zeros((1, 64 // n, 8, 8, 1), np.uint8)), axis=1)
    state = jax.block_until_ready(step(state, batch))  # compiles
    multihost_utils.sync_global_devices("begin")
    began, sent = time.perf_counter(), on_loopback()
    for _ in range(STEPS):
        state = step(state, batch)
    jax.block_until_ready(state)
    multihost_utils.sync_global_devices("end")
    seconds, sent = time.perf_counter() - began, on_loopback() - sent
    print(json.dumps({"seconds": seconds / STEPS, "sent": sent / STEPS / n, "gradient": 4 * parameters}), flush=True)


def on_loopback() -> int:
    """Returns the bytes that have gone over loopback since this machine started (Linux)."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.strip().startswith("lo:")))
