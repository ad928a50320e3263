"""A learned schedule under even t against importance-sampled t: variance of the loss, on one trained run.

python -m experiments train --config=configs/digits/vdm.py --workdir=runs/digits_vdm
python -m benchmarks.schedule --run=runs/digits_vdm --out=runs/schedule

All draws estimate one integral, int g(t)^2 |score - grad log p|^2 dt, at the averaged parameters. t even in log-SNR is what
importance sampling makes of any schedule with these ends, learned or not, and what even t is on `LogLinearVPSDE`. A batch
spreads its t evenly over its law, so that the variance of its mean is that of one term without what lies between t.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common.machine import circumstances
from experiments.commands.opening import make_plan
from experiments.config.reading import read_config
from experiments.data.dataset import Dataset
from experiments.run import Run, open_run
from experiments.runtime.startup import make_fast
from losses import TimeSampler, dsm, importance, likelihood, uniform


def laws(run: Run) -> dict[str, TimeSampler]:
    """Returns the draws of t, by what they are."""
    v = run.config.sigma_data**2
    return {
        "learned schedule": uniform(run.sde),
        "even in log-SNR": importance(run.sde),
        f"even in log(1 + {v:g} SNR)": importance(run.sde, prior_variance=v),
    }


def variances(run: Run, data: Dataset, times: TimeSampler, batches: int) -> dict[str, float]:
    """Returns the mean of loss(t)/p(t), and variances over its square: of one term, and of a batch's mean times its size."""
    experiment, batch = run.experiment, run.config.train.batch

    @jax.jit
    def terms(params: Any, key: jax.Array, levels: jax.Array) -> jax.Array:
        t_key, key = jax.random.split(key)
        t, inverse_density = times.sample(t_key, times.init(), batch)

        def term(key: jax.Array, k: jax.Array, t: jax.Array) -> jax.Array:
            data_key, noise_key = jax.random.split(key)
            x_0, _ = experiment.encode(params, data_key, experiment.scaler.encode(data_key, k))
            return dsm(experiment.sde, experiment.score(params), likelihood)(noise_key, x_0, t)

        return inverse_density * jax.vmap(term)(jax.random.split(key, batch), levels, t)

    keys = jax.random.split(jax.random.key(0), batches)
    every = np.array([terms(run.params, key, data.train.batch(i, batch).levels) for i, key in enumerate(keys)], np.float64)
    mean = every.mean()
    return {"mean": mean, "one": every.var() / mean**2, "batch": batch * every.mean(1).var(ddof=1) / mean**2}


def main() -> None:
    """Prints a table, and writes it to OUT/schedule.json with the learned log-SNR at even t."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a run with sde.learned")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batches", type=int, default=256)
    line = parser.parse_args()
    run, data = open_run(line.run), make_plan(read_config(str(line.run / "config.json"), [])).load()
    assert data is not None
    rows = {law: variances(run, data, times, line.batches) for law, times in laws(run).items()}
    log_snr = jax.vmap(run.sde.log_snr)(jnp.linspace(0.0, 1.0, 17)).tolist()
    line.out.mkdir(parents=True, exist_ok=True)
    facts = {"run": str(line.run), "step": run.step, "batch": run.config.train.batch, **circumstances("optax", "numpy")}
    (line.out / "schedule.json").write_text(json.dumps({"protocol": facts, "draws": rows, "log_snr": log_snr}))
    print("| draw of t | mean | variance of one term / mean² | variance of a batch's mean, times its size, / mean² |")
    print("|---|---|---|---|")
    for law, row in rows.items():
        print(f"| {law} | {row['mean']:.4g} | {row['one']:.3g} | {row['batch']:.3g} |")
    print("log-SNR at even t:", " ".join(f"{value:.3g}" for value in log_snr))


if __name__ == "__main__":
    make_fast()
    main()
