"""A trained run in Python: its score, its samples and its likelihood, without its data.

    run = experiments.open_run("runs/demo/ddpm")
    run.sample(0, n=64, sampler="fast")          # a notebook shows the picture
    jax.vmap(run.score, (0, None))(x, 0.5)       # grad log p_t, to be compiled, mapped and differentiated

Where a method takes or returns x, it is one event [*event] as the network sees it: `scaler` maps levels to x and back. If the
run has a codec, x is a code: `code` and `levels` map examples to codes and back.
"""

from __future__ import annotations

import json
import shlex
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key
from ml_collections import ConfigDict

import samplers
import sde_lib
from experiments.build.checks import sampler_problems, with_exact_score
from experiments.build.experiment import Experiment
from experiments.build.held_out import with_held_out
from experiments.build.sampler import BoundSampler, Rows
from experiments.commands import train as train_command
from experiments.commands.arguments import Call
from experiments.commands.opening import Needs
from experiments.commands.opening import open_run as open_folder
from experiments.config.classes import class_number
from experiments.config.messages import suggestion
from experiments.config.problems import Problems, attempt, parse
from experiments.config.schema import Config
from experiments.data.scaler import Scaler
from experiments.randomness import Purpose, streams
from experiments.runs.folder import Folder
from experiments.runs.metrics import rows
from experiments.runs.resume import trained_state
from experiments.runtime.errors import ConfigError
from experiments.sampling.draw import Samples, drawing
from experiments.training.callbacks import Callback
from samplers.likelihood import Encoding
from sde_lib.base import Event, Scalar, linear

Label = int | str | None
Conditions = Label | Mapping[str, Any]
"""The name or the number of a class, or conditions by name: "label" so, "tokens" perhaps as a text, others as arrays."""
ConfigSource = str | Path | ConfigDict


def open_run(folder: str | Path, *overrides: str, keep_compiled: bool = True) -> Run:
    """Opens a trained run, or imported weights, at the newest sound checkpoint. Its data are not read.

    `overrides`: changes of its config as the command line has them, "samplers.fast.n=20" or "--config.samplers.fast.n=20".
    `keep_compiled`: whether JAX keeps compiled programs in the user's cache, as commands do. Raises ConfigError or StorageError
    if the folder holds no run that can be drawn from.
    """
    return _opened(call_from_python("open_run", folder, None, overrides, keep_compiled))


def _opened(call: Call) -> Run:
    """The run in the folder of a call."""
    opened = open_folder(call, Needs(data=False))
    opened.refuse_changes(opened.workdir, opened.experiment)
    state = trained_state(opened.experiment, opened.workdir)
    return Run(opened.workdir, opened.experiment.at(state.ema), opened.experiment.network(state.ema), int(state.step))


def train(
    config: ConfigSource,
    workdir: str | Path,
    *overrides: str,
    allow_change: Sequence[str] = (),
    keep_compiled: bool = True,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Trains one experiment in a folder, or goes on with it, as the command `train` does, and opens the run.

    `config`: a file, or what its `get_config()` returns. `allow_change`: keys that may differ from the run's own. `callbacks`:
    functions that are called with every row of the log (see `experiments.training.callbacks`). Raises ConfigError, DataError,
    NumericsError or StorageError. A classifier is trained and not opened: it has no score, so that ConfigError says so.
    """
    train_command.run(call_from_python("train", workdir, config, overrides, keep_compiled, allow_change, callbacks))
    # By the caller's config, whose code is trusted, and not by the copy of it in the folder.
    return _opened(call_from_python("open_run", workdir, config, overrides, keep_compiled, allow_change))


def call_from_python(
    command: str,
    workdir: str | Path,
    config: ConfigSource | None,
    overrides: Sequence[str],
    keep_compiled: bool,
    allow_change: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
) -> Call:
    """The call of a command from Python."""
    options = Namespace(
        command=command,
        workdir=Path(workdir).expanduser(),
        config=config if isinstance(config, ConfigDict | None) else str(config),
        no_compile_cache=not keep_compiled,
        allow_change=list(allow_change),
        fork=None,
        callbacks=callbacks,
    )
    changes = [f"--config.{text.removeprefix('--config.')}" for text in overrides]
    return Call(f"experiments.{command} {shlex.join([str(workdir), *changes])}", options, changes)


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A trained run: the `experiment` that its config names, and the averaged `params` after `step` steps of training."""

    folder: Path
    experiment: Experiment
    params: Any
    step: int
    _compiled: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        """The config, with the overrides that it was opened with."""
        return self.experiment.config

    @property
    def sde(self) -> sde_lib.SDE:
        """The SDE that the network was trained on."""
        return self.experiment.sde

    @property
    def scaler(self) -> Scaler:
        """The map between examples k and x: `scaler.place(k, 0.5)` is x, and `scaler.decode(x)` the levels or floats k."""
        return self.experiment.scaler

    def metrics(self) -> list[dict[str, Any]]:
        """Returns the rows of the log of training; none of imported weights."""
        return rows(Folder(self.folder).metrics)

    def score(self, x: Event, t: Scalar, y: Conditions = None) -> Event:
        """Returns grad_x log p_t(x | y) [*event] of an event x at time t in (0, 1].

        `y`: the name or the number of a class, which may be traced, or conditions by name, as in {"label": 3, "image": ...};
        None is none. Raises ValueError if the network has not learned that score.
        """
        return self._score(y)(x, t)

    def denoise(self, x: Event, t: Scalar, y: Conditions = None) -> Event:
        """Returns E[x_0 | x_t = x, y] = (x + sigma_t^2 score)/alpha_t [*event], Tweedie's formula.

        Raises TypeError for an SDE without alpha and sigma.
        """
        return linear(self.sde, "denoise", "sample from x").denoise(self._score(y), x, t)

    def log_prob(self, x: Event, y: Conditions = None, *, key: Key[Array, ""] | None = None, **options: Any) -> Scalar:
        """Returns log p(x | y) in nats along the probability flow, exact without `key`, by a random probe with it.

        `options` are those of `samplers.encode`. In the units of the data it is `scaler.log_prob(log_prob, x.size)`, in bits
        `scaler.bits_per_dim(log_prob, x.size)`.
        """
        return self.encode(x, y, key=key, **options).log_prob

    def encode(self, x: Event, y: Conditions = None, **options: Any) -> Encoding:
        """Returns the latent x_1 of x under the probability flow, with log p(x | y); see `samplers.encode` for the options."""
        return samplers.encode(self.sde, self._score(y), x, **self._flow | options)

    def decode(self, latent: Event, y: Conditions = None, **options: Any) -> Event:
        """Returns the x of a latent x_1: the inverse of `encode`; see `samplers.decode` for the options."""
        return samplers.decode(self.sde, self._score(y), latent, **self._flow | options)

    def sample(
        self,
        key: Key[Array, ""] | int = 0,
        n: int = 64,
        sampler: str = "",
        y: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Samples:
        """Returns n samples as levels, or as floats in the units of the data, [n, *event]; a notebook shows them.

        `key`: the key of their noise; of an integer they are those of `sample.seed`. `sampler`: a label of config.samplers, or
        that of config.sample. `y`: conditions by name, each for all samples or [n, ...], in the place of those that `sample`
        says; "tokens" may be a text. Of the `options`, `label`, `caption` and `like` are as in config.sample: the class of all
        samples, "each", or None; a text; the held-out examples that conditions come from. The others replace keys of the
        sampler: n (call it `steps`), grid, step, guidance, denoise. Equal options are compiled once.
        Raises ConfigError if the sampler, an option or a condition does not fit.
        """
        name = sampler or self.config.sample.sampler
        words = {"label": "label", "tokens": "caption"}
        of_sample = {words[name]: word for name, word in (y or {}).items() if isinstance(word, int | str)}
        of_sample |= {option: options.pop(option) for option in ("label", "caption", "like") if option in options}
        steps = {"n": options.pop("steps")} if "steps" in options else {}
        bound = self._bound(name, {"sampler": name, "n": n} | of_sample, steps | options)
        keys = streams(key, Purpose.SAMPLE, n) if isinstance(key, int) else jax.random.split(key, n)
        rows = self._rows(bound, keys, y or {})
        program = json.dumps([name, bound.config.model_dump(), str(jax.tree.structure(rows))])
        if program not in self._compiled:
            exact = bound._replace(experiment=with_exact_score(bound.experiment))
            if problems := sampler_problems(name, exact):
                raise ConfigError(problems)
            self._compiled[program] = drawing(bound)
        return self._compiled[program](self.params, rows, bound.config.n)

    def code(self, k: Event, key: Key[Array, ""] | int = 0) -> Event:
        """Returns the x of an example k, levels or floats [*event]: its code, drawn by `key`, if the run has a codec."""
        return self.experiment.code(self.params, jax.random.key(key) if isinstance(key, int) else key, jnp.asarray(k))

    def conditions(self, x: Event, label: Label = None, key: Key[Array, ""] | int = 0) -> dict[str, Any]:
        """Returns the conditions of an event x [*shape], and of a class, by name: what other methods take as y.

        Of a diffusion autoencoder "vector" is its semantic code. `key`: for what is drawn at random, as masks are.
        """
        experiment = self.experiment
        y = None if label is None else class_number(label, experiment.classes, experiment.names)
        return experiment.conditions_of(self.params, jax.random.key(key) if isinstance(key, int) else key, x, y)

    def levels(self, x: Event) -> Array:
        """Returns the example of x, as levels or as floats in the units of the data [*event]: the inverse of `code`."""
        return self.experiment.levels(self.params, x)

    def _repr_html_(self) -> str:
        """Returns a table of what the run is, for a notebook."""
        parameters = sum(np.size(leaf) for leaf in jax.tree.leaves(self.params))
        facts = {
            "run": self.folder,
            "SDE": self.config.sde.name,
            "network": f"{self.config.net.name}, {parameters:,} parameters",
            "steps of training": f"{self.step:,}",
            "event": self.experiment.shape,
            "samplers": ", ".join(self.config.samplers),
        }
        lines = (f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
        return f"<table><caption>{escape(self.config.title)}</caption>{''.join(lines)}</table>"

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {self.config.sde.name}, {self.config.net.name}, step {self.step})"

    @property
    def _flow(self) -> dict[str, Any]:
        """The options of the probability flow that evaluation has."""
        e = self.config.evaluate
        return {"t_min": e.t_min, "rtol": e.tolerance, "atol": e.tolerance}

    def _score(self, y: Conditions) -> sde_lib.Score:
        experiment = self.experiment
        by_name = y if isinstance(y, Mapping) else {"label": y}
        label, text = by_name.get("label"), by_name.get("tokens")
        number = class_number(label, experiment.classes, experiment.names) if isinstance(label, int | str) else label
        tokens = {"tokens": experiment.tokens(text)} if isinstance(text, str) else {}
        arrays = self._arrays(by_name, ())
        return experiment.conditional(self.params, {**experiment.named(number), **arrays, **tokens})

    def _arrays(self, y: Mapping[str, Any], rows: tuple[int, ...]) -> dict[str, Any]:
        """The conditions y that are arrays [*rows, ...], or one for all rows. Raises ValueError for any of another shape."""
        shapes, arrays = self.experiment.condition_shapes, {}
        for name, condition in y.items():
            if name not in (*shapes, "label"):
                raise ValueError(f"y: the network hears no {name!r}{suggestion(name, [*shapes, 'label'])}")
            if name != "label" and not isinstance(condition, str):
                shape = shapes[name].shape
                if np.shape(condition) not in (shape, (*rows, *shape)):
                    raise ValueError(f"y: {name} is of shape {np.shape(condition)}, and must be {shape}")
                arrays[name] = jnp.broadcast_to(jnp.asarray(condition, shapes[name].dtype), (*rows, *shape))
        return arrays

    def _bound(self, name: str, sample: Mapping[str, Any], options: Mapping[str, Any]) -> BoundSampler:
        """The sampler of that name with other options. ConfigError with all problems."""
        if name not in self.config.samplers:
            raise ConfigError(f"no sampler {name!r}{suggestion(name, [*self.config.samplers])}")
        tree = self.config.model_dump()
        tree["samplers"][name] |= {"sweep": {}, **options}
        tree["sample"] |= sample
        config, problems = parse(tree)
        if config is None or problems:
            raise ConfigError(problems)
        return BoundSampler(self.experiment._replace(config=config), config.samplers[name])

    def _rows(self, bound: BoundSampler, keys: Key[Array, " n"], y: Mapping[str, Any]) -> Rows:
        """The rows of samples with these keys, and conditions y in the place of their own. ConfigError if one does not fit."""
        problems: Problems = []
        arrays = attempt(problems, "sample", lambda: self._arrays(y, (len(keys),))) or {}
        of_examples = {name for name, each in self.experiment.conditions.items() if "x" in each.needs}
        experiment = bound.experiment if of_examples <= arrays.keys() else with_held_out(bound.experiment)
        rows = attempt(problems, "sample", lambda: bound._replace(experiment=experiment).rows_of(keys))
        if problems:
            raise ConfigError(problems)
        labels = y.get("label")
        if labels is not None and not isinstance(labels, int | str):  # a label for each sample
            rows = rows._replace(labels=jnp.broadcast_to(jnp.asarray(labels, jnp.int32), len(keys)))
        return rows._replace(y=(dict(rows.y or {}) | arrays) or None)
