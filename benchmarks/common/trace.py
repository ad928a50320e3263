"""The device time of a step by operation, from JAX's own profiler. Part of `benchmarks.gpu`."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import jax
from jax.profiler import ProfileData

from benchmarks.common.turns import Contender


def longest(step: Contender, folder: Path, steps: int = 3, n: int = 20) -> dict[str, Any]:
    """Returns shares of device time over some steps: by kind of operation, and the `n` longest. The trace is in `folder`."""
    step.queue()
    step.wait()
    with jax.profiler.trace(str(folder)):
        for _ in range(steps):
            step.queue()
        step.wait()
    newest = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    spent = nanoseconds(ProfileData.from_file(str(newest)))
    if not spent:
        return {"note": "the trace has no operation of the device", "kinds": {}, "operations": {}}
    kinds: Counter[str] = Counter()
    for name, time in spent.items():
        kinds[kind_of(name)] += time
    shares = lambda counted, n: {name: time / spent.total() for name, time in counted.most_common(n)}
    return {"ms a step": spent.total() / steps / 1e6, "kinds": shares(kinds, n), "operations": shares(spent, n)}


def nanoseconds(profile: ProfileData) -> Counter[str]:
    """Returns the time of every operation of a compiled program, over the devices' lines or, on a CPU, its threads."""
    lines = [(plane.name, line) for plane in profile.planes for line in plane.lines]
    streams = [line for plane, line in lines if plane.startswith("/device:") and line.name.startswith(("Stream", "XLA Ops"))]
    spent: Counter[str] = Counter()
    for line in streams or [line for _, line in lines]:
        for event in line.events:
            # A kernel that a CUDA graph launched may not know its operation.
            name = dict(event.stats).get("hlo_op") or (event.name if streams else None)
            if name and kind_of(str(name)) not in ("while", "conditional", "call"):  # whose insides are counted
                spent[str(name)] += int(event.duration_ns)
    return spent


def kind_of(name: str) -> str:
    """Returns `loop_add_fusion` for `loop_add_fusion.12.clone`."""
    return re.sub(r"(\.(\d+|clone|remat\d*))+$", "", name)


def summary(result: dict[str, Any]) -> str:
    """Returns lines of the kinds, then of the operations, with their shares."""
    lines = [result.get("note") or f"device time of a training step: {result['ms a step']:.4g} ms"]
    for title in ("kinds", "operations"):
        lines += [f"{title}:"] + [f"  {share:6.1%} {name}" for name, share in result[title].items()]
    return "\n".join(lines)
