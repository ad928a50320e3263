"""Importance-sampled t against uniform t, under the likelihood weight: variance of the loss, and steps to a given bits/dim.

python -m benchmarks.importance --config=configs/digits/objectives.py --name=digits --out=runs/importance
python -m benchmarks.importance --config=configs/mnist/objectives.py --name=MNIST --out=runs/importance \\
    --config.data.data_dir=FOLDER [--config.key=value ...]

Both draws estimate one integral, int g(t)^2 |score - grad log p|^2 dt, so that the arms `likelihood` and `importance` of the
config differ by the noise of that estimate alone. A seed is a network, an order of the data and a stream of noise, the same in
both arms. Bits/dim is the variational bound on held-out examples at the average of parameters, at the same noise and times at
every step, seed and arm. The steps to a level end at the first look at or below it; the level is the worst uniform seed's end.

Each call adds NAME.json, and draws importance.png and importance.md of all that lie in the folder.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from benchmarks.common import markdown
from benchmarks.common.machine import circumstances
from experiments.build.experiment import Experiment
from experiments.build.optimizer import make_optimizer
from experiments.build.state import State, Tally, init_state
from experiments.commands.opening import Plan, build_arms, make_plan
from experiments.config.reading import read_config
from experiments.data.dataset import Batch, Dataset, load
from experiments.evaluation.dequantize import UNIFORM
from experiments.randomness import Purpose, stream
from experiments.runtime.compile_cache import keep_compiled
from experiments.runtime.startup import make_fast
from experiments.training.step import example_loss, make_step, step_noise
from losses import continuous_bound
from sde_lib.base import Scalar

ARMS = {"likelihood": "uniform t", "importance": "importance-sampled t"}
COLOURS = {"likelihood": "#D55E00", "importance": "#0072B2"}
Step = Callable[[jax.Array, State, Batch], State]


def stepping(experiment: Experiment) -> Step:
    """step(key of the run, state, batch [B, ...]) -> the state, with the tally of that step: one program for all seeds."""
    optimizer = make_optimizer(experiment.config.train)

    def step(key: jax.Array, state: State, batch: Batch) -> State:
        return make_step(experiment, optimizer, key)(state._replace(tally=Tally.zero()), jax.tree.map(lambda a: a[None], batch))

    return jax.jit(step)


def bounding(experiment: Experiment, test: np.ndarray, times: int) -> Callable[[Any], Scalar]:
    """bound(params): the mean bits/dim of the examples `test`, each at draws of u, t and noise of its own that never change."""
    keys = jax.random.split(stream(0, Purpose.LIKELIHOOD), len(test))

    def bits(params: Any, key: jax.Array, k: jax.Array) -> Scalar:
        u_key, bound_key = jax.random.split(key)
        u, _ = UNIFORM.draw((), u_key, k)
        bound = continuous_bound(experiment.sde, experiment.score(params), m=times, t_min=experiment.config.evaluate.t_min)
        return experiment.scaler.bits_per_dim(-bound(bound_key, experiment.scaler.place(k, u)).total, k.size)

    return jax.jit(lambda params: jnp.mean(jax.vmap(partial(bits, params))(keys, jnp.asarray(test))))


def trained(experiment: Experiment, step: Step, bound: Callable[[Any], Scalar], data: Dataset, seed: int, every: int) -> Any:
    """Returns one seed's training, in numbers, and the state that it ended with."""
    config, key = experiment.config.train, stream(seed, Purpose.STEP)
    state = init_state(experiment, make_optimizer(config), stream(seed, Purpose.INIT))
    log, bits, began = [], [float(bound(state.ema))], time.monotonic()
    for i in range(config.steps):
        state = step(key, state, data.train.batch(i, config.batch))
        log.append((state.tally.loss, state.tally.grad_norm, state.tally.skipped))
        if (i + 1) % every == 0:
            bits.append(float(bound(state.ema)))
    losses, norms, skipped = np.array(log, dtype=float).T
    last = losses[len(losses) // 2 :]
    results = {
        "seed": seed,
        "bits": bits,
        "losses": losses.tolist(),
        "gradient_norms": norms.tolist(),
        "skipped": int(skipped.sum()),
        # Differences of neighbours leave out the fall of the loss.
        "variance_along": float(np.mean(np.diff(last) ** 2) / 2 / last.mean() ** 2),
        "seconds": time.monotonic() - began,
    }
    return results, state


def variance(built: dict[str, Experiment], params: Any, data: Dataset, n: int) -> dict[str, dict[str, float]]:
    """Returns mean and variance of one example's loss(t)/p(t) at `params` for each p, from n draws of importance-sampled t:

        E_p[(loss/p)^2] = E_q[loss^2/(p q)],    q the importance density.

    Uniform t owes its variance to times that it hardly ever draws: most sets of n of its own would miss them.
    """
    experiment, batch = built["importance"], built["importance"].config.train.batch
    loss_of, key = jax.vmap(example_loss(experiment), (None, 0, 0, 0)), jax.random.key(0)

    @jax.jit
    def moments(params: Any, i: jax.Array, examples: Batch) -> dict[str, tuple[jax.Array, jax.Array]]:
        draws = step_noise(experiment, key, experiment.times.init(), i, batch)
        loss = loss_of(params, draws.keys, examples, draws.t).score
        of_uniform = step_noise(built["likelihood"], key, None, i, batch).inverse_density  # one number at every t
        mean = jnp.mean(loss * draws.inverse_density)
        inverse = {"likelihood": of_uniform, "importance": draws.inverse_density}
        return {name: (mean, jnp.mean(loss**2 * draws.inverse_density * each)) for name, each in inverse.items()}

    batches = [moments(params, jnp.int32(i), data.train.batch(i, batch)) for i in range(-(-n // batch))]
    results = {name: np.array([each[name] for each in batches], dtype=float).mean(0) for name in built}
    return {name: {"mean": m, "variance": square - m**2} for name, (m, square) in results.items()}


def compared(plan: Plan, data: list[Dataset], every: int, held_out: int, times: int, draws: int) -> dict[str, Any]:
    """Returns both arms on one SDE: the curves of every seed, the variances, the steps to the level."""
    built = build_arms({name: plan.arms[name] for name in ARMS}, data[0].shape, training=True)
    sde = built["importance"].config.sde.name
    bound = bounding(built["importance"], data[0].test[:held_out], times)
    steps = {name: stepping(experiment) for name, experiment in built.items()}
    runs, fixed = {name: [] for name in built}, {name: [] for name in built}
    for seed, of_seed in enumerate(data):
        for name, experiment in built.items():
            run, end = trained(experiment, steps[name], bound, of_seed, seed, every)
            runs[name].append(run)
            print(f"{sde} {name} seed {seed}: {run['bits'][-1]:.4f} bits/dim, {run['seconds']:.0f} s", flush=True)
        for name, of_draw in variance(built, end.params, of_seed, draws).items():
            fixed[name].append(of_draw)
    level = max(run["bits"][-1] for run in runs["likelihood"])
    looks = np.arange(len(runs["importance"][0]["bits"])) * every
    for run in [run for name in runs for run in runs[name]]:
        run["steps_to_level"] = next((int(at) for at, bits in zip(looks, run["bits"], strict=True) if bits <= level), None)
    digests = {name: experiment.config.digest() for name, experiment in built.items()}
    return {"level": level, "looks": looks.tolist(), "runs": runs, "fixed": fixed, "config_hash": digests}


def ratio(rows: dict[str, list[dict[str, Any]]], value: Callable[[dict[str, Any]], float]) -> list[float]:
    """Returns uniform t's value over importance-sampled t's, for each seed."""
    return [value(a) / value(b) for a, b in zip(rows["likelihood"], rows["importance"], strict=True)]


def uneven(values: list[float]) -> float:
    """Returns standard deviation over mean, of the second half."""
    last = np.array(values[len(values) // 2 :])
    return float(last.std(ddof=1) / last.mean())


def spread(values: list[Any], digits: str) -> str:
    """Returns their mean ± standard deviation."""
    return f"{np.mean(values):{digits}} ± {np.std(values, ddof=1) if len(values) > 1 else 0:{digits}}"


def table(results: dict[str, Any]) -> str:
    """Returns a row for every dataset and SDE."""
    head = (
        "data",
        "SDE",
        "variance of the loss, fixed parameters: uniform / importance",
        "the same of a step's loss over its mean, along training",
        "gradient norm along training, std over mean: uniform",
        "importance",
        "level, bits/dim",
        "steps to it: uniform",
        "importance",
        "at the end, bits/dim: uniform",
        "importance",
    )
    rows = []
    for name, of_data in results.items():
        for sde, of_sde in of_data["sdes"].items():
            runs, fixed = of_sde["runs"], of_sde["fixed"]
            steps = {arm: [r["steps_to_level"] for r in runs[arm]] for arm in ARMS}
            row = (
                name,
                sde,
                spread(ratio(fixed, lambda r: r["variance"]), ".3g"),
                spread(ratio(runs, lambda r: r["variance_along"]), ".2g"),
                *(spread([uneven(r["gradient_norms"]) for r in runs[arm]], ".2f") for arm in ARMS),
                f"{of_sde['level']:.3f}",
                *(spread(s, ".0f") if all(s) else f"not all: {s}" for s in steps.values()),
                *(spread([r["bits"][-1] for r in runs[arm]], ".3f") for arm in ARMS),
            )
            rows.append(row)
    return markdown.table(head, rows)


def plot(results: dict[str, Any], path: Path) -> None:
    """Draws bits/dim against steps for every dataset and SDE, and the loss of each step beneath."""
    panels = [(name, sde, of_sde) for name, of_data in results.items() for sde, of_sde in of_data["sdes"].items()]
    figure = Figure(figsize=(1 + 3.2 * len(panels), 5.6), layout="constrained", dpi=80)
    for (top, bottom), (name, sde, of_sde) in zip(figure.subplots(2, len(panels), squeeze=False).T, panels, strict=True):
        top.set(title=f"{name}, {sde}", xlabel="step")
        for arm, label in ARMS.items():
            curves = np.array([run["bits"] for run in of_sde["runs"][arm]])
            top.plot(of_sde["looks"], curves.mean(0), color=COLOURS[arm], label=label)
            top.fill_between(of_sde["looks"], curves.min(0), curves.max(0), color=COLOURS[arm], alpha=0.2, linewidth=0)
            losses = of_sde["runs"][arm][0]["losses"]
            bottom.plot(range(1, len(losses) + 1), losses, color=COLOURS[arm], lw=0.7, alpha=0.8)
        top.axhline(of_sde["level"], color="#555", ls="--", lw=0.8)
        ends = [run["bits"][-1] for runs in of_sde["runs"].values() for run in runs]
        halfway = [run["bits"][len(run["bits"]) // 4] for run in of_sde["runs"]["likelihood"]]
        top.set_ylim(min(ends) - 0.1 * (max(halfway) - min(ends)), max(halfway) + 0.3 * (max(halfway) - min(ends)))
        bottom.set(yscale="log", xlabel="step")
    axes = figure.axes
    axes[0].set_ylabel("bound, bits/dim\n(mean and range of the seeds)")
    axes[len(panels)].set_ylabel("loss of each step, seed 0")
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path)


def protocol(line: argparse.Namespace, overrides: list[str], tree: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """Returns what the numbers depend on."""
    looked = f"{line.times} times of each of {line.held_out} held-out examples, every {line.every} steps"
    return {
        "config": line.config,
        "overrides": [word for word in overrides if "data_dir" not in word],
        "network": tree["net"],
        "train": tree["train"],
        "seeds": line.seeds,
        "bits": f"variational bound at {looked}, at the average of parameters",
        "variance": f"of one example's term, from {line.draws} draws, where training by importance-sampled t ended; along "
        "training, of the loss of a step over its mean, by half the square of what neighbours differ by, second half",
        "data hash": data.digest,
        **circumstances("optax", "numpy"),
    }


def main() -> None:
    """Trains both arms on every SDE, and draws all that lies in OUT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config", required=True, help="a file whose arms `likelihood` and `importance` differ by the draw of t"
    )
    parser.add_argument("--name", required=True, help="the data's name in the table and the figure")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sdes", nargs="+", default=["VPSDE", "SubVPSDE"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--every", type=int, default=20, help="steps between two looks at bits/dim")
    parser.add_argument("--held-out", type=int, default=256, help="examples that bits/dim are measured on")
    parser.add_argument("--times", type=int, default=16, help="times of the bound for each of them")
    parser.add_argument("--draws", type=int, default=8192, help="examples for the variance at fixed parameters")
    line, overrides = parser.parse_known_args()
    keep_compiled()
    line.out.mkdir(parents=True, exist_ok=True)
    data, sdes = [], {}
    for sde in line.sdes:
        tree = read_config(line.config, [*overrides, f"--config.sde.name={sde}"])
        plan = make_plan(tree)
        assert plan.sources is not None
        data = data or [load(plan.sources, plan.base.data, seed) for seed in range(line.seeds)]
        sdes[sde] = compared(plan, data, line.every, line.held_out, line.times, line.draws)
        one = {"protocol": protocol(line, overrides, tree, data[0]), "sdes": sdes}
        (line.out / f"{line.name}.json").write_text(json.dumps(one))
    results = {path.stem: json.loads(path.read_text()) for path in sorted(line.out.glob("*.json"))}
    plot(results, line.out / "importance.png")
    (line.out / "importance.md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    make_fast()
    main()
