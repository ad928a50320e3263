"""The protocol of a report: what a reader needs to repeat or to doubt its numbers."""

from __future__ import annotations

import math
import platform

import jax

from experiments.config.arms import resolve_arms
from experiments.config.classes import numbered
from experiments.config.options import parameters
from experiments.config.parts import STEP
from experiments.config.schema import CodecConfig, Config, Named, Sampler
from experiments.data.dataset import Dataset
from experiments.data.framing import Frame
from experiments.data.moments import Moments
from experiments.data.scaler import Scaler, scale
from experiments.evaluation.intervals import CONFIDENCE, POWER
from experiments.evaluation.measures import applicable
from experiments.evaluation.reference import Reference
from experiments.runtime.circumstances import versions


def protocol_lines(config: Config, data: Dataset, reference: Reference) -> list[list[str]]:
    """Pairs of a heading and its words."""
    e, split = config.evaluate, {"test": "held-out", "train": "training"}
    examples = f"{len(data.train)} training and {len(data.test)} held-out examples of shape {data.shape}"
    latents = "the same latents in every arm and sampler"
    frame = Frame.of(config.data)
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    lines = {
        "data": f"{config.data.name}: {examples}",
        **({"labels": numbered(data.classes)} if data.classes else {}),
        **({"images": frame.words} if frame else {}),
        **_condition_lines(config),
        "data hash": data.digest,
        "config hash": config.digest(),
        **_seed_lines(config),
        **_choice_lines(config, reference),
        "samples": f"{e.n} per seed, against all {reference.real.n} {split[e.real]} examples; {latents}",
        "likelihood, loss": "of the first held-out examples of one random order, the same in every run",
        **_codec_lines(config),
        **({"standardisation": standardisation(config, data.moments)} if data.moments else {}),
        "features": reference.space.description,
        **dict(m.protocol(config, reference) for m in applicable(reference.space, labelled=True) if m.protocol),
        "bits/dim": f"{bits_protocol(scale(config, data.moments), reference.space.noun)}; {_bits_error(config)}",
        "NFE": "network evaluations per sample, a guide's among them, counted; for an adaptive solver the mean over samples",
        "wall time": f"of {e.n} samples in batches of {e.batch}, without compiling",
        "devices": f"{jax.device_count()} {jax.devices()[0].device_kind}, {machine}",
        "versions": versions(),
    }
    return [list(line) for line in lines.items()]


def _codec_lines(config: Config) -> dict[str, str]:
    """The codecs of all arms, and what samples and likelihood are of; nothing without any."""
    arms = resolve_arms(config.model_dump()) or {"": config.model_dump()}
    codecs = {name: CodecConfig.model_validate(arm["codec"]) for name, arm in arms.items() if arm.get("codec")}
    if not codecs:
        return {}

    def words(codec: CodecConfig) -> str:
        parts = [f"that of {codec.run}" if codec.run else "", codec.by.name if codec.by else ""]
        standardised = f", standardised ({codec.standardise})" if codec.standardise != "none" else ""
        samples = ", samples are draws from p(x | z)" if codec.noise else ""
        return " and ".join(filter(None, parts)) + standardised + samples

    each = "; ".join(f"{name}: {words(codec)}" if name else words(codec) for name, codec in codecs.items())
    rest = "samples are means of p(x | z) unless it says so, and bits/dim are bounds, E[cost - log p(z)] over codes z of x"
    return {"codecs": f"{each}; {rest}"}


def training_seeds(config: Config) -> list[int]:
    """Returns the seeds of several training runs an arm; none if there is one run an arm."""
    return list(config.train.seeds) if len(config.train.seeds) > 1 else []


def _condition_lines(config: Config) -> dict[str, str]:
    """The conditions that the network hears, and where those of samples come from, if it hears some."""
    parts = {kind: part for kind, part in config.conditions if part is not None}
    options = lambda part: "".join(f", {name} = {value}" for name, value in part.options.items())
    words = [f"{kind}: {part.name}{options(part)}, not in {part.dropout:.0%} of training" for kind, part in parts.items()]
    of_samples = "samples have those of held-out examples or of each class in turn; images stand at the left of their samples"
    return {"conditions": f"{'; '.join(words)}; {of_samples}"} if words else {}


def _seed_lines(config: Config) -> dict[str, str]:
    """The seeds of training and of sampling, and over which of them spreads and differences are."""
    sampling = ", ".join(map(str, range(config.evaluate.seeds)))
    if seeds := training_seeds(config):
        return {
            "training seeds": f"{', '.join(map(str, seeds))}: a training run of every arm from each; "
            "± is the standard deviation over them",
            "sampling seeds": f"{sampling}, the same in every run: its number is the mean over them; their spread stands apart",
            "differences": "a - b for each training seed, which gives both arms their initial parameters, noise and order of "
            f"data; the latents are the same, too. Their mean over seeds and Student's interval at {CONFIDENCE:.0%}, each by "
            "itself. Seeds to see it: the fewest by which a two-sided paired t-test sees a difference of this size, mean/s, "
            f"with probability {POWER:.0%}, by the noncentral t law (Cohen 1988; Colas et al. 2018)",
        }
    seeds = {name: arm.get("seed", config.seed) for name, arm in config.arms.items()}
    apart = ", ".join(f"{seed} of {name}" for name, seed in seeds.items()) if len({*seeds.values()}) > 1 else ""
    one = config.train.seeds[0] if config.train.seeds else next(iter(seeds.values()), config.seed)
    return {
        "training seed": f"{apart or one} (one training run per arm)",
        "sampling seeds": f"{sampling}; ± is the standard deviation over them",
    }


def _choice_lines(config: Config, reference: Reference) -> dict[str, str]:
    """The split that samplers are chosen by, and how often each split was looked at; nothing if there is no choice."""
    arms = resolve_arms(config.model_dump()).values() or [config.model_dump()]
    sweeps = [sampler.get("sweep", {}) for arm in arms for sampler in arm["samplers"].values() if sampler]
    sets = sum(1 + len(next(iter(sweep.values()), ())) for sweep in sweeps)
    looks = f"{sets * config.evaluate.seeds * max(1, len(config.train.seeds))} times, by each set of samples once"
    table = {"test": f"held-out ({config.data.test})", "train": f"training ({config.data.train})"}[config.evaluate.real]
    chosen = "the best sampler of an arm is chosen by the"
    if reference.validation:
        by = f"{reference.validation.n:,} examples of {config.data.validation}, looked at {looks}"
        return {
            "choices": f"{chosen} {by}; the {table} examples of the table were looked at as often, and nothing chosen by them"
        }
    if len(sweeps) == len(arms):
        return {}
    by = f"{table} examples of the table, looked at {looks}"
    return {
        "choices": f"{chosen} {by}: the best of several looks better than it is; data.validation names a split to choose by"
    }


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


def _bits_error(config: Config) -> str:
    """The spread that stands beside bits/dim."""
    over = "examples" if config.data.levels else "them"
    error = f"the standard error of the mean over {over}"
    return f"± is over training seeds, and {error} stands apart" if training_seeds(config) else f"± is {error}"


def bits_protocol(scaler: Scaler, noun: str) -> str:
    """The definition of the bits, and their offset; `noun`: the word for several examples."""
    if not scaler.levels:
        unit = f", which the standard deviations raise by {-math.log2(scaler.cell):.4g}" if scaler.moments else ""
        return f"-log2 p(x)/D of held-out {noun} in their own units{unit}"
    return (
        "-log2 P(k)/D of held-out examples, bounded by the draws of u in the cells of their levels, P(k) = ∫ p(k + u) du; "
        f"the scale of the {scaler.levels} levels adds -log2({scaler.cell:.4g}) = {scaler.bits_per_dim(0.0, 1):.4g}"
    )
