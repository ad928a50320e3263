"""Problems of what a config names, before anything compiles: each with the reason and what works."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import losses
import models
import samplers
import sde_lib
from experiments.build.bridge_checks import bridge_problems, check_bridge
from experiments.build.codec_checks import check_codec, codec_problems
from experiments.build.conditions import classes, condition_problems
from experiments.build.experiment import Experiment
from experiments.build.flow_checks import check_flow, flow_problems
from experiments.build.idle import idle_problems
from experiments.build.learned_checks import learning_problems
from experiments.build.optimizer import check_optimizer, check_rate
from experiments.build.sampler import BoundSampler, bound_samplers
from experiments.build.training_checks import average_problems, watching_problems
from experiments.config.classes import class_number, class_numbers
from experiments.config.guidance import Guide, Params
from experiments.config.messages import in_words, suggestion
from experiments.config.options import parameters
from experiments.config.parts import NET, OBJECTIVE, STEP, bridges, clash, classifies, is_users, learns_flow
from experiments.config.problems import Problems, attempt
from experiments.config.schema import MOST_STEPS, Config, Named
from experiments.data.augmentation import LABELS
from experiments.data.moments import Moments
from sde_lib.base import GaussianSDE, coordinates, gaussian

NO_NAMES = {None: ("none", "null"), "each": ("each",)}
"""For each value of sample.label that is no class the words that people write it by, and that a class may be called by, too."""


def experiment_problems(experiment: Experiment, weight: Callable[..., Any] | None) -> Problems:
    """Returns the problems of everything that was built; a part that could not be built is None, and its problem is known."""
    problems: Problems = []
    config, sde, objective, times = experiment.config, experiment.sde, experiment.objective, experiment.times
    if experiment.model is not None:
        attempt(problems, "net", lambda: check_net(experiment))
        if not problems:
            attempt(problems, "codec", lambda: check_codec(experiment))
        attempt(problems, "lora", lambda: check_lora(experiment))
    stand_ins = {"flow": lambda x_1: x_1} if learns_flow(config) else {"x_1": jnp.zeros(())} if bridges(config) else {}
    attempt(problems, "objective", lambda: objective and objective(sde, lambda x, t: x, **stand_ins))
    attempt(problems, "conditions.image", lambda: check_bridge(experiment))
    attempt(problems, "weight", lambda: weight and check_weight(weight, sde))
    attempt(problems, "times", lambda: times and check_times(config, sde, times))
    if config.evaluate.dequantizer == "variational":
        fitted = "'variational', fitted by the bound,"
        attempt(problems, "evaluate.dequantizer", lambda: gaussian(sde, fitted, "take 'uniform'"))
    attempt(problems, "train.schedule", lambda: config.train.schedule and check_rate(config.train))
    if not problems:
        attempt(problems, "train", lambda: check_loss(experiment))
    if not problems and config.train.optimizer is not None:
        params = jax.eval_shape(experiment.initial, jax.random.key(0))
        attempt(problems, "train.optimizer", lambda: check_optimizer(config.train, params))
    for label, sampler in bound_samplers(with_exact_score(experiment)).items():
        problems += sampler_problems(label, sampler)
    return problems


def check_net(experiment: Experiment) -> None:
    """Traces the network on a code, without compiling, so that it takes and returns what a score model asks of it."""
    z, x = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (experiment.code_shape, experiment.shape))
    own = jax.eval_shape(experiment.model.init, jax.random.key(0), z)
    if classifies(experiment.config):
        jax.eval_shape(experiment.model.apply, own, z, 0.5)
    else:
        params = Params(own, {}, sde=experiment.learned)
        score = lambda params, z, x: experiment.score(params, y=_conditions(experiment, params, x))(z, 0.5)
        jax.eval_shape(score, params, z, x)


def _conditions(experiment: Experiment, params: Any, x: Any) -> Any:
    """The conditions of an example to trace with."""
    return experiment.conditions_of(params, jax.random.key(0), x, jnp.int32(0))


def check_loss(experiment: Experiment) -> None:
    """Traces the gradient of an example's loss, with conditions and a key for dropout, in which a user's part may fail alone.

    Ours have been trained.
    """
    config = experiment.config
    parts = (config.sde, config.net, config.objective, config.weight, config.conditioning)
    parts += (config.conditions.vector, config.conditions.image, config.conditions.tokens)
    names = [part.name for part in parts if part]
    if config.lora is not None or not any(map(is_users, (*names, config.parameterization))):
        return
    key, x = jax.random.key(0), jax.ShapeDtypeStruct(experiment.shape, jnp.float32)
    augment = {"augment": jnp.zeros(LABELS)} if config.train.augment else {}
    y = lambda params, x: _conditions(experiment, params, x) | augment
    gradient = jax.grad(lambda params, x: experiment.loss(params, key, y(params, x))(key, x, 0.5).score)
    jax.eval_shape(gradient, jax.eval_shape(experiment.initial, key), x)


def check_lora(experiment: Experiment) -> None:
    """Traces the initial adapters, if there are any, without compiling, so that they have a base and kernels."""
    lora = experiment.config.lora
    if lora is None:
        return
    if not lora.run:
        raise ValueError("run is empty: name the run whose network is adapted, --config.lora.run=RUN")
    jax.eval_shape(experiment.initial, jax.random.key(0))


def event_problems(config: Config, shape: tuple[int, ...], moments: Moments | None) -> Problems:
    """Returns the problems of settings that do not fit events of `shape`, or that need the `moments` of their channels."""
    problems: Problems = []
    if config.data.flip and len(shape) < 3:
        problems.append(f"data.flip = True is for images [H, W, C], not for events of shape {shape}, which have no width")
    if config.train.augment and (len(shape) != 3 or min(shape[:2]) < 2):
        of_images = "is for images [H, W, C] of at least 2 x 2 pixels"
        problems.append(f"train.augment = {config.train.augment:g} {of_images}, not for events of shape {shape}")
    if config.evaluate.dequantizer == "variational" and config.data.levels and len(shape) != 3:
        problems.append(f"evaluate.dequantizer = 'variational' is for images [H, W, C], not for events of shape {shape}")
    standardise = config.data.standardise
    if standardise != "none" and not config.data.levels and (moments is None or (len(moments.mean),) != shape[-1:]):
        why = "the mean and std of the training examples are known of a run that was trained by it; take 'none'"
        problems.append(f"data.standardise = {standardise!r}: {why}")
    return problems


def check_coordinates(sde: sde_lib.SDE, shape: tuple[int, ...]) -> None:
    """Checks that alpha and sigma, if they are arrays, broadcast to codes of `shape`."""
    if isinstance(sde, sde_lib.LinearSDE) and coordinates(sde):
        sde_lib.check(sde, shape)


def check_weight(weight: Callable[..., Any], sde: sde_lib.SDE) -> None:
    """Checks that the weight at t = 0.5, or that of each coordinate that noise enters, is positive and finite."""
    w, mask = np.broadcast_arrays(weight(sde, 0.5), sde.noise_mask)
    w = w[mask > 0]
    wrong = w[~((w > 0) & (w < np.inf))]
    if wrong.size:
        raise ValueError(f"its options give t = 0.5 the weight {wrong[0]:.3g}, which must be positive and finite")


def check_times(config: Config, sde: sde_lib.SDE, times: losses.TimeSampler) -> None:
    """Checks that the draw with its options gives times, and none with sigma = 0."""
    options = config.times.options
    start = options.get("t_min")
    clean = start is not None and not jnp.all(sde.sigma(start) > 0)
    if start is not None and (clean or not 0 <= start < 1):
        raise ValueError(f"t_min = {start:g} must be in [0, 1) with sigma(t_min) > 0; without it, it is {sde.t_min:g}")
    if options:
        t, inverse_density = times.sample(jax.random.key(0), times.init(), 8)
        sound = jnp.isfinite(t).all() & jnp.isfinite(inverse_density).all() & (inverse_density > 0).all() & (t.min() < t.max())
        if not sound:
            raise ValueError(f"{options} leave next to nothing of its density in [t_min, 1]")


def with_exact_score(experiment: Experiment) -> Experiment:
    """Returns the experiment on data x_0 ~ N(0, I): its exact score instead of a network's, a variance, and exact guides.

    On an AugmentedSDE it is that of the last variable by itself, and of an SDE without p(x_t | x_0) that of the prior, at every
    t. The score is computed as a network's is, -eps_hat/sigma, so it is undefined if sigma = 0.
    """
    sde, config = experiment.sde, experiment.config

    def eps_hat(x: jax.Array, t: Any) -> jax.Array:
        if isinstance(sde, GaussianSDE):
            return sde.sigma(t) * x / sde.spread(t) ** 2
        return -sde.sigma(t) * jax.grad(sde.prior_log_prob)(x)

    def apply(params: Any, x: jax.Array, t: Any, y: Any = None, key: Any = None) -> jax.Array:
        return -eps_hat(x, t) / sde.sigma(t) * sde.noise_mask

    model = models.ScoreModel(lambda key, x: None, apply, lambda *a, **k: (apply(*a, **k), jnp.full_like(a[1], 0.5)))
    guide = Guide(1, lambda params, y: lambda x, t: -x, lambda params, x, t: -jnp.sum(x**2)[None] / 2)
    guidances = (sampler.guidance for sampler in config.samplers.values())
    guides = {guidance.options["run"]: guide for guidance in guidances if guidance and "run" in guidance.options}
    return experiment._replace(model=model, guides=guides)


def sampler_problems(label: str, sampler: BoundSampler) -> Problems:
    """Returns the problems of a sampler, tried on an exact score."""
    problems: Problems = []
    where, config, experiment = f"samplers.{label}", sampler.config, sampler.experiment
    if config.sde is not None:
        attempt(problems, f"{where}.sde", lambda: sde_lib.check(sampler.sde))
        attempt(problems, f"{where}.sde", lambda: samplers.under(experiment.sde, lambda x, t: x, sampler.sde))
        if problems:
            return problems
    step = attempt(problems, where, lambda: sampler.step(None, sampler.any_conditions))
    grid = attempt(problems, f"{where}.grid", lambda: _falling_grid(sampler))
    if config.sde is not None and grid is not None:
        least = experiment.config.times.options.get("t_min")
        reach = lambda: samplers.check_reach(experiment.sde, sampler.sde, jnp.asarray(grid), least)
        attempt(problems, f"{where}.sde", reach)
    if step is not None:
        attempt(problems, where, lambda: _check_moves(sampler))
        attempt(problems, where, lambda: check_flow(sampler, step))
        if grid is not None and not problems:
            attempt(problems, where, lambda: _check_end(sampler, step, grid))
    if grid is not None:
        attempt(problems, f"{where}.guidance", lambda: _check_interval(sampler, grid))
    return problems


def _falling_grid(sampler: BoundSampler) -> np.ndarray:
    """The grid, which falls from noise to data."""
    grid = np.asarray(sampler.grid())
    falls = (grid[1:] < grid[:-1]) & (grid[1:] >= 0)
    if not falls.all():
        t, s = grid[falls.argmin() :][:2]
        raise ValueError(
            f"in {sampler.config.n} steps it goes from t = {t:.3g} to {s:.3g}; times fall from 1 and end at 0 or above"
        )
    return grid


def _check_moves(sampler: BoundSampler) -> None:
    """Checks that the step moves x to s, and that the corrector leaves it at t."""
    y, corrector = sampler.any_conditions, sampler.config.corrector
    alone = sampler._replace(config=sampler.config.model_copy(update={"corrector": None}))
    check_moves(sampler.config.step.name, alone.step(None, y))
    if corrector is None:
        return
    alone = alone._replace(config=alone.config.model_copy(update={"step": corrector}))
    if not alone.step(None, y).corrector:
        raise ValueError(f"{corrector.name} moves x to s, and a corrector leaves it at t; take langevin, or None")


def check_moves(name: str, step: samplers.Step) -> None:
    """Checks that the step of that name moves x from t to s < t. Raises ValueError with a step that does, if not."""
    if STEP.find(name) is samplers.ddim_inversion:
        raise ValueError("ddim_inversion goes from data to noise, and a sampler from noise to data; take ddim")
    if step.corrector:
        raise ValueError(f"{name} leaves x at its t; make it the corrector, and ancestral the step")


def _check_end(sampler: BoundSampler, step: samplers.Step, grid: np.ndarray) -> None:
    """Checks that no score is asked for at the grid's end if sigma = 0 there, where it is infinite."""
    sde, config = sampler.sde, sampler.config
    if jnp.all(sde.sigma(float(grid[-1])) > 0):
        return
    where = f"the score is infinite at t = {grid[-1]:g}, where sigma = 0"
    if config.denoise:
        raise ValueError(f"{where}, and denoise asks for it; take denoise = False, or end the grid above")
    solution = jax.vmap(lambda x: samplers.solve(jax.random.key(0), step, x, jnp.asarray(grid)).x, axis_name="batch")
    if not jnp.isfinite(solution(jnp.ones((1, *sampler.experiment.code_shape)))).all():
        end = f"end the grid above, as at its default t_min = {sde.t_min:g}"
        raise ValueError(f"{where}, and {config.step.name} asks for it; {end}, or take deis")


def _check_interval(sampler: BoundSampler, grid: np.ndarray) -> None:
    """Checks that some of the noises sigma_t/alpha_t of the grid are in the guidance's interval, if it has one."""
    guidance, sde = sampler.config.guidance, sampler.sde
    interval = guidance and guidance.options.get("interval")
    if not interval:
        return
    most, least = (float(sde.noise_level(float(t))) for t in (grid[0], grid[-1]))
    if interval[0] >= most or interval[1] < least:
        raise ValueError(f"interval = {interval} would change nothing: the grid's noises are from {least:.3g} to {most:.3g}")


def training_problems(config: Config) -> Problems:
    """Returns the problems of settings that a run may be sampled and evaluated with, but not trained."""
    scale = config.lora.scale if config.lora else 1
    remedy = "adapters are trained at 1, and sampled, evaluated and exported at any; how much they do in training is lora.alpha"
    scaled = [f"lora.scale = {scale:g}: {remedy}"] if scale != 1 else []
    return scaled + watching_problems(config) + (_undivided("train.batch", config.train.batch) or _no_parts(config))


def device_problems(config: Config) -> Problems:
    """Returns the problems of settings that a run may be exported with, and guide another, but not be drawn from here."""
    return _undivided("evaluate.batch", config.evaluate.batch)


def label_problems(config: Config, names: tuple[str, ...]) -> Problems:
    """Returns the problems of settings that ask for labels that the network does not have; `names`: those of its labels."""
    labels, label, dropout = config.net.options.get("classes", 0), config.sample.label, config.train.label_dropout
    number = classes(config, names)
    sampler = config.samplers.get(config.sample.sampler)
    guided = sampler and sampler.guidance and "run" in sampler.guidance.options
    problems: Problems = []
    attempt(problems, "data.only", lambda: class_numbers(config.data.only, names))
    if number and (alike := [y for y, name in enumerate(names) if name.lower() in NO_NAMES.get(label, ())]):
        warnings.warn(f"sample.label = {label} is not the class of that name, which is number {alike[0]}", stacklevel=1)
    if not labels and dropout:
        problems.append(f"train.label_dropout = {dropout:g}: the network learns from no labels; set net.classes, or take 0")
    if not number and not guided and label not in (None, "each"):
        remedy = "train one with net.classes, or guide by a classifier's run"
        problems.append(f"sample.label = {label}: the network has no classes; {remedy}")
    if number and label is not None and label != "each":
        attempt(problems, "sample.label", lambda: class_number(label, number, names))
    if dropout and classifies(config):
        problems.append(f"train.label_dropout = {dropout:g}: a classifier learns from labels alone; take 0")
    if (labels or any(config.conditions.model_dump().values())) and config.evaluate.dequantizer == "variational":
        problems.append("evaluate.dequantizer = 'variational' knows of no conditions, and the network does; take 'uniform'")
    return problems


def augment_problems(config: Config) -> Problems:
    """Returns the problem of an augmentation that the network would not hear of, and so would draw; none if it hears."""
    name, labels, augment = config.net.name, config.net.options.get("augment", 0), f"train.augment = {config.train.augment:g}"
    if not config.train.augment:
        return []
    if classifies(config):
        return [f"{augment}: a classifier takes no augmentation labels; take 0, or data.flip"]
    if not NET.takes(name, "augment"):
        others = " or ".join(each for each in NET.names if NET.takes(each, "augment"))
        return [f"{augment}: {name} takes no augmentation labels; take {others}, or data.flip"]
    if labels != LABELS:
        return [f"{augment} has {LABELS} labels, and the network takes {labels}; set net.augment = {LABELS}, or take 0"]
    return []


def _no_parts(config: Config) -> Problems:
    """A problem if `accumulate` does not divide each device's share of a training batch, with the nearest numbers that do."""
    share, k = config.train.batch // jax.device_count(), config.train.accumulate
    near = sorted((n for n in range(1, share + 1) if share % n == 0), key=lambda n: (abs(n - k), n))[:2]
    what = f"train.accumulate = {k} does not divide the {share} examples of train.batch that each device has"
    return [f"{what}: take {' or '.join(map(str, sorted(near)))}"] if share % k else []


def _undivided(key: str, batch: int) -> Problems:
    """A problem if the batch does not divide over the devices, with the nearest numbers that do."""
    devices = jax.device_count()
    lower = batch // devices * devices
    valid = " or ".join(str(b) for b in (lower, lower + devices) if b)
    return [f"{key} = {batch} does not divide over {devices} devices: take {valid}"] if batch % devices else []


def combination_problems(config: Config, names: tuple[str, ...] = ()) -> Problems:
    """Returns the problems of combinations of keys that are right one by one; `names`: those of the labels, if any."""
    problems = label_problems(config, names) + condition_problems(config, names) + augment_problems(config)
    problems += codec_problems(config) + flow_problems(config) + bridge_problems(config) + learning_problems(config)
    problems += idle_problems(config) + average_problems(config)
    if config.sample.sampler not in config.samplers:
        close = suggestion(config.sample.sampler, list(config.samplers))
        problems.append(f"sample.sampler = {in_words(config.sample.sampler)} is not one of samplers{close}")
    if reason := clash(config.objective.name, config.times.name):
        problems.append(f"times: {reason}")
    if config.weight is not None and not OBJECTIVE.takes(config.objective.name, "weight"):
        problems.append(f"weight: {config.objective.name} weighs t itself, not by {config.weight.name}; take None, or dsm")
    if config.evaluate.features == "classifier" and len(set(config.data.only)) == 1:
        problems.append("evaluate.features = 'classifier' tells classes apart, and data.only leaves one: take 'pixels'")
    if config.mixed and classifies(config):
        problems.append("mixed = True mixes a score, and a classifier has none: take False")
    if config.in_space and not (config.codec and config.codec.by and config.codec.by.name == "cosine"):
        problems.append("in_space = True takes cosine codes back to images: set codec.by = 'cosine', or take False")
    if config.evaluate.neighbours >= config.evaluate.n:
        problems.append(f"evaluate.neighbours = {config.evaluate.neighbours} of evaluate.n = {config.evaluate.n}: take fewer")
    for label, sampler in config.samplers.items():
        lengths = {len(values) for values in sampler.sweep.values()}
        if len(lengths) > 1:
            problems.append(f"samplers.{label}.sweep: its values are taken together, so they need one length, not {lengths}")
        if any(not 1 <= n <= MOST_STEPS or n != int(n) for n in sampler.sweep.get("n", ())):
            problems.append(f"samplers.{label}.sweep.n: numbers of steps are whole, and from 1 to {MOST_STEPS}")
        options = {k: p for k, p in parameters(STEP.find(sampler.step.name)).items() if k not in STEP.context}
        where = f"samplers.{label}.sweep"
        if "w" in sampler.sweep and "w" not in (sampler.guidance.options if sampler.guidance else ()):
            problems.append(f"{where}: w is of a guidance; give samplers.{label}.guidance one, with a w for outside the sweep")
        if any(not 0 <= w <= 1000 for w in sampler.sweep.get("w", ())):
            problems.append(f"{where}.w: weights are from 0 to 1000")
        for name in sorted(sampler.sweep.keys() - {"n", "w"}):
            if name not in options:
                problems.append(f"{where}: unknown option {name}{suggestion(name, ['n', 'w', *options])}")
            elif type(options[name].default) is int:
                problems.append(f"{where}: {name} is a count, and each needs a program: write a sampler for each {name}")
            elif name not in sampler.step.options:
                problems.append(f"{where}: give samplers.{label}.step.{name} a value too, for outside the sweep")
            else:
                for value in sampler.sweep[name]:
                    swept = Named(name=sampler.step.name, **(sampler.step.options | {name: value}))
                    attempt(problems, where, lambda swept=swept: STEP.check(swept))
    return problems
