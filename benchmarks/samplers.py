"""Quality of every sampler against score evaluations and against wall time, on a trained run.

python -m experiments train --config=configs/mnist/vp.py --workdir=runs/mnist_vp --config.data.data_dir=FOLDER
python -m benchmarks.samplers --config=runs/mnist_vp/config.json --workdir=runs/mnist_vp --out=runs/samplers

The same network, latents and real images for all; each sampler ends at log-SNR 6 with Tweedie's denoising, which counts as an
evaluation. Samples, seeds, batch and features are the config's `evaluate`. Seconds are of one image within a batch, the median
over calls of a compiled program, one call for each seed; `--clock cpu` takes those of the processor, where others
use the machine too. What is in OUT/samplers.json already is not drawn again, unless the run, its config or its measure changed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from benchmarks.common.machine import circumstances
from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler
from experiments.commands.opening import build_arms, make_plan
from experiments.config.parts import STEP
from experiments.config.reading import read_config
from experiments.evaluation.distances import kernel_distance
from experiments.evaluation.features import feature_space
from experiments.evaluation.reference import Reference
from experiments.evaluation.spreads import spread
from experiments.evaluation.statistics import frechet, statistics
from experiments.runs.resume import trained_state
from experiments.runtime.compile_cache import keep_compiled
from experiments.runtime.errors import ConfigError
from experiments.runtime.startup import make_fast
from experiments.sampling.draw import drawing

END = {"log_snr_max": 6.0}
NOT_SAMPLERS = {"langevin", "ddim_inversion", "sscs"}  # a corrector, before a step below; the way to noise; and CLD's own
TOLERANCES = (0.5, 0.1, 0.02)


def plain(name: str, evaluations: int = 1, grid: str = "log_snr_grid", corrector: Any = None, **options: Any) -> dict[str, Any]:
    """A sampler with a grid of n steps of so many evaluations."""
    step = {"name": name, **options}
    return {"evaluations": evaluations, "step": step, "grid": {"name": grid, **END}, "corrector": corrector}


DETERMINISTIC = {
    "deis": plain("deis", grid="arctan_grid"),
    "dpmpp_2m": plain("dpmpp_2m"),
    "dpmpp_3m": plain("dpmpp_3m"),
    "unipc": plain("unipc"),
    "ddim": plain("ddim"),
    "dpmpp_2s": plain("dpmpp_2s", 2),
    "edm_heun": plain("edm_heun", 2, "karras_grid"),
    "heun": plain("heun", 2),
}
STOCHASTIC = {
    "ancestral": plain("ancestral"),
    "deis_eta_0.15": plain("deis", grid="arctan_grid", order=3, eta=0.15),
    "dpmpp_2m_eta_1": plain("dpmpp_2m", eta=1.0),
    "euler_maruyama": plain("euler_maruyama"),
    "reverse_diffusion": plain("reverse_diffusion"),
    "predictor_corrector": plain("reverse_diffusion", 2, corrector={"name": "langevin", "snr": 0.16}),
    "annealed_langevin": plain("annealed_langevin", snr=0.5, n_steps=1),
}
ADAPTIVE = {name: plain(name, rtol=TOLERANCES[0], atol=TOLERANCES[0]) for name in ("probability_flow", "adaptive_sde")}
STYLES = {
    "deterministic": (DETERMINISTIC, "-", "o"),
    "stochastic": (STOCHASTIC, "--", "s"),
    "adaptive": (ADAPTIVE, ":", "^"),
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")


def samplers(nfe: list[int], more: list[int]) -> dict[str, dict[str, Any]]:
    """Every sampler of the config's schema, swept over the numbers of evaluations, stochastic ones over `more` too."""
    found: dict[str, dict[str, Any]] = {}
    for kind, (of_kind, _, _) in STYLES.items():
        for label, sampler in of_kind.items():
            options = {k: v for k, v in sampler.items() if k != "evaluations"} | {"denoise": True}
            if kind == "adaptive":
                found[label] = options | {"n": 1, "sweep": {"rtol": TOLERANCES, "atol": TOLERANCES}}
            else:
                steps = tuple((n - 1) // sampler["evaluations"] for n in nfe + more * (kind == "stochastic"))
                found[label] = options | {"n": max(steps), "sweep": {"n": steps}}
    if unswept := set(STEP.names) - NOT_SAMPLERS - {sampler["step"]["name"] for sampler in found.values()}:
        raise ConfigError(f"{', '.join(sorted(unswept))}: a sampler that this has no line for; add one")
    return found


def distances(reference: Reference, images: np.ndarray) -> dict[str, float]:
    """The Fréchet distance, which few samples bias up, and the kernel distance, which they do not.

    Without precision and recall, which take longer than most of the drawing.
    """
    fake = statistics(reference.space.embed(images), reference.real.protocol)
    return {"frechet": frechet(fake, reference.real), "kernel": kernel_distance(fake.features, reference.real.features)[0]}


def measured(experiment: Experiment, label: str, params: Any, reference: Reference) -> list[dict[str, Any]]:
    """One sampler at every setting of its sweep."""
    sampler, config = experiment.config.samplers[label], experiment.config.evaluate
    bound = BoundSampler(experiment, sampler)
    draw, rows = drawing(bound), []
    for values in zip(*sampler.sweep.values(), strict=True):
        swept = dict(zip(sampler.sweep, values, strict=True))
        steps, measures, drawn, cpu = int(swept.pop("n", sampler.n)), [], [], []
        if not rows:
            draw(params, bound.rows(0, 1), steps, **swept)  # compiles
        for seed in range(config.seeds):
            began = time.process_time()
            drawn.append(draw(params, bound.rows(seed, config.n), steps, **swept))
            cpu.append(time.process_time() - began)
            if drawn[-1].finite.all():
                measures.append(distances(reference, drawn[-1].levels))
        row = {
            "nfe": float(np.mean([d.nfe.mean() for d in drawn])),
            "wall": float(np.median([d.seconds for d in drawn]) / config.n),
            "cpu": float(np.median(cpu) / config.n),
            "non_finite": int(sum((~d.finite).sum() for d in drawn)),
            **(swept or {"n": steps}),
            **spread(measures, ["frechet", "kernel"]),
        }
        print(f"{label}: NFE {row['nfe']:.0f}, {row['frechet']['mean']:.3g}, {1e3 * row['cpu']:.3g} ms of CPU", flush=True)
        rows.append(row)
    return rows


def kind_of(label: str) -> str:
    """Deterministic, stochastic or adaptive."""
    return next(kind for kind, (of_kind, _, _) in STYLES.items() if label in of_kind)


def plot(found: dict[str, Any], path: Path) -> None:
    """The distance against evaluations, and against seconds an image; other real images as a line."""
    figure = Figure(figsize=(11, 5.2), layout="constrained", dpi=110)
    panels = figure.subplots(1, 2, sharey=True)
    places = dict.fromkeys(STYLES, 0)
    for label, rows in found["samplers"].items():
        kind = kind_of(label)
        _, line, marker = STYLES[kind]
        colour, places[kind] = COLOURS[places[kind] % len(COLOURS)], places[kind] + 1
        for panel, key in zip(panels, ("nfe", found["clock"]), strict=True):
            points = sorted(rows, key=lambda row: row[key])
            y, error = ([row["frechet"][of] for row in points] for of in ("mean", "std"))
            panel.errorbar(
                [row[key] for row in points],
                y,
                error,
                ls=line,
                marker=marker,
                ms=4,
                lw=1.2,
                capsize=2,
                color=colour,
                label=label,
            )
    for panel, words in zip(panels, ("score evaluations (NFE)", f"seconds an image ({found['clock']})"), strict=True):
        panel.axhline(_mean(found["reference"]), color="#555", lw=0.9, ls="-.", label="other real images")
        panel.set(xscale="log", yscale="log", xlabel=words)
        panel.grid(alpha=0.25)
    panels[0].set_ylabel(f"{found['distance']} to held-out images")
    panels[1].legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path)


def _mean(row: dict[str, Any]) -> float:
    return row["frechet"]["mean"]


def table(found: dict[str, Any]) -> str:
    """A row for every sampler: distance ± its spread over seeds (milliseconds an image) at each number of evaluations."""
    columns = found["nfe"]
    lines = ["| sampler | " + " | ".join(f"NFE {n}" for n in columns) + " |", "|---" * (1 + len(columns)) + "|"]
    cell = lambda r: f"{_mean(r):.3g} ± {r['frechet']['std']:.2g} ({1e3 * r[found['clock']]:.3g} ms)"
    adaptive = []
    for label, rows in found["samplers"].items():
        if kind_of(label) == "adaptive":
            adaptive += [f"| {label} | {r['rtol']:g} | {r['nfe']:.0f} | {cell(r)} |" for r in rows]
            continue
        at = {min(columns, key=lambda n, row=row: abs(n - row["nfe"])): cell(row) for row in rows}
        lines.append(f"| {label} | " + " | ".join(at.get(n, "") for n in columns) + " |")
    lines += ["", "| adaptive | tolerance | NFE, mean | |", "|---|---|---|---|", *adaptive] if adaptive else []
    return "\n".join([*lines, "", f"Other real images, as many: {_mean(found['reference']):.3g}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="the run's config, or its config.json")
    parser.add_argument("--workdir", required=True, type=Path, help="a trained run")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--nfe", nargs="+", type=int, default=[5, 10, 20, 50])
    parser.add_argument("--more", nargs="*", type=int, default=[100, 200], help="evaluations of the stochastic ones alone")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="of the table and the figure; both are kept")
    line, overrides = parser.parse_known_args()
    keep_compiled()
    tree = read_config(line.config, overrides)
    tree["samplers"] = samplers(line.nfe, line.more)
    tree["sample"]["sampler"] = "ancestral"
    plan = make_plan(tree)
    config, data = plan.base, plan.load()
    assert data is not None
    experiment = build_arms(plan.arms, data.shape, training=False)[""]
    state = trained_state(experiment, line.workdir.absolute())
    reference = Reference.of(config, data, feature_space(config, data), line.out)
    e = config.evaluate
    protocol = {
        "config": line.config,
        "config hash": config.digest(),
        "data hash": data.digest,
        "network": tree["net"],
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "trained": f"{int(state.step)} steps of {config.train.batch}, seed {config.seed}; the average of parameters",
        "samples": f"{e.n} for each of {e.seeds} seeds, in batches of {e.batch}, against {reference.real.n} held-out images",
        "features": reference.space.description,
        **circumstances("numpy", "scikit-learn"),
    }
    line.out.mkdir(parents=True, exist_ok=True)
    file = line.out / "samplers.json"
    before = json.loads(file.read_text()) if file.exists() else {}
    kept = before["samplers"] if before.get("protocol") == protocol else {}
    found = {
        "protocol": protocol,
        "clock": line.clock,
        "distance": reference.space.distance,
        "nfe": line.nfe + line.more,
        "reference": spread(
            [distances(reference, data.train_examples()[i * e.n :][: e.n]) for i in range(e.seeds)], ["frechet", "kernel"]
        ),
        "samplers": kept,
    }
    for label in experiment.config.samplers:
        if label not in kept:
            kept[label] = measured(experiment, label, state.ema, reference)
            file.write_text(json.dumps(found, indent=1))
    plot(found, line.out / "samplers.png")
    (line.out / "samplers.md").write_text(table(found) + "\n")
    print(table(found))


if __name__ == "__main__":
    make_fast()
    main()
