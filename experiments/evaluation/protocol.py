"""The protocol of a report: what a reader needs to repeat or to doubt its numbers."""

from __future__ import annotations

import math
import platform

import jax

from experiments.config.classes import numbered
from experiments.config.options import parameters
from experiments.config.parts import STEP
from experiments.config.schema import Config, Named, Sampler
from experiments.data.dataset import Dataset
from experiments.data.moments import Moments
from experiments.data.scaler import Scaler, scale
from experiments.evaluation.measures import applicable
from experiments.evaluation.reference import Reference
from experiments.runtime.circumstances import versions


def protocol_lines(config: Config, data: Dataset, reference: Reference) -> list[list[str]]:
    """Pairs of a heading and its words."""
    e, split = config.evaluate, {"test": "held-out", "train": "training"}
    examples = f"{len(data.train)} training and {len(data.test)} held-out examples of shape {data.shape}"
    latents = "the same latents in every arm and sampler"
    seeds = {name: arm.get("seed", config.seed) for name, arm in config.arms.items()}
    apart = ", ".join(f"{seed} of {name}" for name, seed in seeds.items()) if len({*seeds.values()}) > 1 else ""
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    lines = {
        "data": f"{config.data.name}: {examples}",
        **({"labels": numbered(data.classes)} if data.classes else {}),
        "data hash": data.digest,
        "config hash": config.digest(),
        "training seed": f"{apart or next(iter(seeds.values()), config.seed)} (one training run per arm)",
        "sampling seeds": f"{', '.join(str(s) for s in range(e.seeds))}; ± is the standard deviation over them",
        "samples": f"{e.n} per seed, against all {reference.real.n} {split[e.real]} examples; {latents}",
        "likelihood, loss": "of the first held-out examples of one random order, the same in every run",
        **({"standardisation": standardisation(config, data.moments)} if data.moments else {}),
        "features": reference.space.description,
        **dict(m.protocol(config, reference) for m in applicable(reference.space, labelled=True) if m.protocol),
        "bits/dim": bits_protocol(scale(config, data.moments), reference.space.noun),
        "NFE": "network evaluations per sample, a guide's among them, counted; for an adaptive solver the mean over samples",
        "wall time": f"of {e.n} samples in batches of {e.batch}, without compiling",
        "devices": f"{jax.device_count()} {jax.devices()[0].device_kind}, {machine}",
        "versions": versions(),
    }
    return [list(line) for line in lines.items()]


def solver(sampler: Sampler) -> str:
    """The step of a sampler after its corrector, with the options that the config sets, and the order if it has one."""

    def words(part: Named) -> str:
        order = {"order": parameters(STEP.find(part.name))["order"].default} if STEP.takes(part.name, "order") else {}
        return ", ".join([part.name, *(f"{key} = {value}" for key, value in (order | part.options).items())])

    return "; ".join(words(part) for part in (sampler.corrector, sampler.step) if part)


def standardisation(config: Config, moments: Moments) -> str:
    """The moments that floats are standardised by."""
    by = moments.over(config.data.standardise) or moments
    return f"(k - mean)/std, those of all training examples: {by.words}"


def bits_protocol(scaler: Scaler, noun: str) -> str:
    """The definition of the bits, and their offset; `noun`: the word for several examples."""
    if not scaler.levels:
        unit = f", which the standard deviations raise by {-math.log2(scaler.cell):.4g}" if scaler.moments else ""
        return f"-log2 p(x)/D of held-out {noun} in their own units{unit}; ± is the standard error of the mean over them"
    return (
        "-log2 P(k)/D of held-out examples, bounded by the draws of u in the cells of their levels, P(k) = ∫ p(k + u) du; "
        f"the scale of the {scaler.levels} levels adds -log2({scaler.cell:.4g}) = {scaler.bits_per_dim(0.0, 1):.4g}; "
        "± is the standard error of the mean over examples"
    )
