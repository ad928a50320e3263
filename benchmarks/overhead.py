"""Microseconds of a sampler's step beside its network: ours in their loop, diffusers' `step`, with a free score at 32 x 32 x 3.

python -m benchmarks.overhead --out runs/overhead [--rounds N] [--only NAME ...]     (needs `pip install -e .[bench]`)

One example of 3,072 numbers on one core and one thread. The score is a multiple of x. Ours run as `draw` runs them: by name, in
`samplers.solve`, with its checks. The figure is (T(2n) - T(n))/n, T the median over rounds of the seconds of that many steps,
in turns with the peer's: what a call costs once is not in it. If ours has two evaluations and the peer's `step` one, two of
them are counted. Adaptive samplers choose their own steps and are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import torch
from diffusers import schedulers
from diffusers.schedulers.deprecated.scheduling_sde_vp import ScoreSdeVpScheduler

import samplers
from benchmarks.common.machine import circumstances
from experiments.config.parts import STEP
from experiments.runtime.startup import make_fast
from sde_lib import VESDE, VPSDE, LinearSDE, fast_random

SHAPE = (32, 32, 3)
VP, VE = (VPSDE(), 1.0), (VESDE(), 1e-3)
"""An SDE, and the c of its score -c x, at which x stays finite on the way."""
Run = Callable[[int], float]
"""Seconds of n steps, their preparation apart."""


def predicted(scheduler: Any, t: torch.Tensor, x: torch.Tensor, **options: Any) -> torch.Tensor:
    """A `step` with eps = x/10."""
    return scheduler.step(0.1 * x, t, x, **options).prev_sample


def corrected(scheduler: Any, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """A Langevin step and one of reverse diffusion, with the score of `VE`."""
    x = scheduler.step_correct(-1e-3 * x, x).prev_sample
    return scheduler.step_pred(-1e-3 * x, t, x).prev_sample


class Pair(NamedTuple):
    """A step of ours by name and options, perhaps after a corrector; the peer, and how many of its steps are one of ours."""

    step: dict[str, Any]
    peer: Callable[[], Any]
    on: tuple[LinearSDE, float] = VP
    corrector: str | None = None
    call: Callable[..., torch.Tensor] = predicted
    calls: int = 1


MULTISTEP = schedulers.DPMSolverMultistepScheduler
VP_CALL = lambda scheduler, t, x: scheduler.step_pred(-x, x, t)[0]
DETERMINISTIC = {
    "ddim": Pair({"name": "ddim"}, schedulers.DDIMScheduler),
    "ddim on VE, which is Euler's": Pair({"name": "ddim"}, schedulers.EulerDiscreteScheduler, VE),
    "dpmpp_2m": Pair({"name": "dpmpp_2m"}, MULTISTEP),
    "dpmpp_3m": Pair({"name": "dpmpp_3m"}, partial(MULTISTEP, solver_order=3)),
    "deis, order 3": Pair({"name": "deis", "order": 3}, partial(schedulers.DEISMultistepScheduler, solver_order=3)),
    "deis, order 4": Pair({"name": "deis"}, partial(schedulers.DEISMultistepScheduler, solver_order=3)),
    "unipc": Pair({"name": "unipc"}, partial(schedulers.UniPCMultistepScheduler, solver_order=3)),
    "heun": Pair({"name": "heun"}, schedulers.HeunDiscreteScheduler, calls=2),
    "edm_heun": Pair({"name": "edm_heun"}, schedulers.HeunDiscreteScheduler, VE, calls=2),
    "dpmpp_2s": Pair({"name": "dpmpp_2s"}, partial(schedulers.DPMSolverSinglestepScheduler, lower_order_final=True), calls=2),
}
STOCHASTIC = {
    "ddim, eta 1": Pair({"name": "ddim", "eta": 1.0}, schedulers.DDIMScheduler, call=partial(predicted, eta=1.0)),
    "ancestral": Pair({"name": "ancestral"}, schedulers.DDPMScheduler),
    "ancestral on VE": Pair({"name": "ancestral"}, schedulers.EulerAncestralDiscreteScheduler, VE),
    "dpmpp_2m, eta 1": Pair({"name": "dpmpp_2m", "eta": 1.0}, partial(MULTISTEP, algorithm_type="sde-dpmsolver++")),
    "euler_maruyama": Pair({"name": "euler_maruyama"}, ScoreSdeVpScheduler, call=VP_CALL),
    "reverse_diffusion after langevin": Pair(
        {"name": "reverse_diffusion"}, schedulers.ScoreSdeVeScheduler, VE, "langevin", corrected
    ),
}
PAIRS = DETERMINISTIC | STOCHASTIC


def ours(pair: Pair) -> Run:
    """Returns `solve` on one example along `uniform_grid`, compiled for each n."""
    sde, c = pair.on
    score = lambda x, t: -c * x
    make = lambda name, **options: STEP.find(name)(sde, score, **options)
    step = make(**pair.step)
    if pair.corrector:
        step = samplers.chain(make(pair.corrector), step)

    @jax.jit
    def run(x: jax.Array, grid: jax.Array) -> Any:
        solution = samplers.solve(jax.random.key(0), step, x, grid)
        return solution.x, solution.finite, solution.nfe

    x = jnp.ones(SHAPE)

    def seconds(n: int) -> float:
        grid = jax.block_until_ready(samplers.uniform_grid(sde, n, 1e-3))
        begin = time.perf_counter()
        _, finite, _ = jax.block_until_ready(run(x, grid))
        end = time.perf_counter()
        if finite != n:
            raise AssertionError(f"{pair.step}: x is not finite after {finite} steps")
        return end - begin

    return seconds


def theirs(pair: Pair) -> Run:
    """Returns n calls of the peer along a schedule of n."""

    @torch.inference_mode()
    def seconds(n: int) -> float:
        scheduler, x = pair.peer(), torch.ones(1, SHAPE[2], *SHAPE[:2])
        scheduler.set_timesteps(n)
        if hasattr(scheduler, "set_sigmas"):
            scheduler.set_sigmas(n)
        times = scheduler.timesteps[:n]
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, times[0])  # else it warns
        begin = time.perf_counter()
        for t in times:
            x = pair.call(scheduler, t, x)
        return time.perf_counter() - begin

    return seconds


def jax_draws(normal: Callable[..., jax.Array]) -> Run:
    """Returns n draws of x's shape, each added to x in the loop."""

    @jax.jit
    def run(keys: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda x, key: (0.5 * x + normal(key, SHAPE), None), jnp.zeros(SHAPE), keys)[0]

    def seconds(n: int) -> float:
        keys = jax.block_until_ready(jax.random.split(jax.random.key(0), n))
        begin = time.perf_counter()
        jax.block_until_ready(run(keys))
        return time.perf_counter() - begin

    return seconds


def torch_draws(n: int) -> float:
    """Returns the seconds of n draws by torch.randn."""
    x = torch.zeros(SHAPE)
    begin = time.perf_counter()
    for _ in range(n):
        x = 0.5 * x + torch.randn(SHAPE)
    return time.perf_counter() - begin


def microseconds(runs: dict[str, tuple[Run, int]], rounds: int) -> dict[str, float]:
    """Returns the cost of a step of each run, (T(2n) - T(n))/n, in turns; the first round does not count."""
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for i in range(rounds + 1):
        for name, (run, n) in runs.items():
            pair = run(n), run(2 * n)
            if i:
                results[name].append(pair)
    long = lambda name: median(b for _, b in results[name]) - median(a for a, _ in results[name])
    return {name: 1e6 * long(name) / n for name, (_, n) in runs.items()}


def measured(pair: Pair, rounds: int) -> dict[str, Any]:
    """Returns microseconds of both, and theirs over ours."""
    results = microseconds({"ours": (ours(pair), 1000), "theirs": (theirs(pair), 250)}, rounds)
    results["theirs"] *= pair.calls
    return results | {"ratio": results["theirs"] / results["ours"], "peer": type(pair.peer()).__name__}


def main(argv: Sequence[str] | None = None) -> None:
    """Measures every pair, prints a row of each and writes overhead.json."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="+", choices=PAIRS, default=list(PAIRS))
    arguments = parser.parse_args(argv)
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    protocol = {"threads": 1, "rounds": arguments.rounds, **circumstances("torch", "diffusers")}
    normals = {
        "sde_lib.fast_random.normal": (jax_draws(fast_random.normal), 1000),
        "jax.random.normal": (jax_draws(jax.random.normal), 1000),
    }
    results: dict[str, Any] = {
        "protocol": protocol,
        "draws": microseconds(normals | {"torch.randn": (torch_draws, 1000)}, arguments.rounds),
    }
    print("; ".join(f"{name} {cost:.2f} us" for name, cost in results["draws"].items()), flush=True)
    print("| step | ours, us | theirs, us | ratio | peer |\n|---|---|---|---|---|")
    steps = results["steps"] = {}
    for name in arguments.only:
        steps[name] = row = measured(PAIRS[name], arguments.rounds) | {"stochastic": name in STOCHASTIC}
        print(f"| {name} | {row['ours']:.2f} | {row['theirs']:.0f} | {row['ratio']:.0f} | {row['peer']} |", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "overhead.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    make_fast()
    main()
