"""train: a score network by the config's objective, resumed by the same command."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import parallel
from experiments.anatomy import anatomy
from experiments.bridge import native
from experiments.build import Experiment
from experiments.checkpoint import Checkpoints
from experiments.data import Dataset
from experiments.draw import drawing, save_images
from experiments.errors import NumericsError, StorageError
from experiments.interrupt import Interrupted, interruptible
from experiments.progress import progress, say
from experiments.randomness import Purpose, stream
from experiments.schema import Train
from sde_lib.base import Scalar


class State(NamedTuple):
    """All that training carries from step to step, and all that a checkpoint holds."""

    step: jax.Array
    params: Any
    ema: Any
    opt: optax.OptState
    times: Any


def train(experiment: Experiment, data: Dataset, workdir: Path) -> State:
    """The state after train.steps, from the newest checkpoint in `workdir` if there is one."""
    config = experiment.config.train
    seed = experiment.config.seed
    optimizer = make_optimizer(config)
    advance = parallel.pmapped(make_step(experiment, optimizer, stream(seed, Purpose.STEP)))
    sampler = experiment.config.samplers[experiment.config.sample.sampler]
    draw = drawing(experiment, sampler)

    with Checkpoints(workdir / "checkpoints", config.keep) as checkpoints, interruptible() as asked:
        state = init_state(experiment, optimizer, stream(seed, Purpose.INIT))
        if checkpoints.latest() is None:
            state = from_weights(experiment, state, workdir)
            if imported(workdir):
                say(f"starting from {workdir / native.FILE}")
        else:
            state = checkpoints.restore(state)
            say(f"resuming {workdir} at step {int(state.step)}")
        step = int(state.step)
        log = Log(workdir / "metrics.jsonl", step, optimizer_rate(config))
        if step < config.steps:
            say("\n".join(anatomy(experiment)))
            say(
                f"compiling the training step ({jax.device_count()} {jax.default_backend()} device(s)); this takes some seconds"
            )
        with progress("train", config.steps, step) as show:
            while step < config.steps:
                calls = min(config.steps_per_call, config.steps - step)
                place = config.batch, jax.process_index(), jax.process_count()
                batches = np.stack([data.train.batch(i, *place) for i in range(step, step + calls)])
                state, metrics = advance(state, parallel.split(batches, axis=1))
                before, step = step, step + calls
                log.hold(metrics)

                def due(every: int, before: int = before, step: int = step) -> bool:
                    return step // every > before // every or step == config.steps

                if due(config.log_every):
                    show(step, f"loss {log.write(step, config.batch):.4f}")
                stop = asked()
                if due(config.checkpoint_every) or stop:
                    checkpoints.save(step, state)
                if stop:
                    raise Interrupted(f"stopped at step {step}, which is saved; the same command goes on from there")
                if due(config.sample_every):
                    n = min(experiment.config.sample.n, 64)
                    drawn = draw(state.ema, experiment.config.sample.seed, n, sampler.n)
                    save_images(drawn, experiment, workdir / "samples" / f"step_{step:07d}.png")
    return state


def trained(experiment: Experiment, workdir: Path) -> State:
    """The newest state of a run, without training on: its newest checkpoint, or else the weights it starts from."""
    state = jax.eval_shape(lambda: init_state(experiment, make_optimizer(experiment.config.train), jax.random.key(0)))
    with Checkpoints(workdir / "checkpoints", experiment.config.train.keep) as checkpoints:
        if checkpoints.latest() is not None:
            return checkpoints.restore(state)
    if not (workdir / native.FILE).exists():
        raise StorageError(f"{workdir} holds no checkpoint: train it first, by the same command with `train`")
    return from_weights(experiment, state, workdir)


def imported(workdir: Path) -> bool:
    """Whether the run is weights from elsewhere, and has not been trained here."""
    saved = any(path.name.isdigit() for path in (workdir / "checkpoints").glob("*"))
    return (workdir / native.FILE).is_file() and not saved


def from_weights(experiment: Experiment, state: State, workdir: Path) -> State:
    """The state (or its shapes) at step 0 with the weights that were imported into `workdir`, if any were."""
    if not (workdir / native.FILE).exists():
        return state
    origin = str(workdir / native.FILE)
    tensors = native.read(workdir).tensors
    params = native.sound(state.params, native.fitted(state.params, tensors, origin), origin)
    place = lambda: jax.device_put(params, parallel.replicated())
    return state._replace(step=jax.device_put(jnp.zeros((), jnp.int32), parallel.replicated()), params=place(), ema=place())


def make_optimizer(config: Train) -> optax.GradientTransformation:
    """AdamW after clipping by the global norm (score_sde's order)."""
    clip = optax.identity() if config.clip is None else optax.clip_by_global_norm(config.clip)
    rate = optimizer_rate(config)
    return optax.chain(clip, optax.adamw(rate, config.beta1, config.beta2, config.epsilon, weight_decay=config.weight_decay))


def optimizer_rate(config: Train) -> Callable[[Any], Any]:
    """The learning rate: linear warm-up from 0, then constant or a cosine to 0 at the last step."""
    rate, ramp = config.learning_rate, config.warm_up
    after = (
        optax.cosine_decay_schedule(rate, config.steps - ramp) if config.decay == "cosine" else optax.constant_schedule(rate)
    )
    return optax.join_schedules([optax.linear_schedule(0.0, rate, ramp), after], [ramp]) if ramp else after


def init_state(experiment: Experiment, optimizer: optax.GradientTransformation, key: jax.Array) -> State:
    """The state at step 0, on every device."""

    def init(key: jax.Array) -> State:
        params = experiment.model.init(key, jnp.zeros(experiment.shape))
        # A copy: a buffer that parameters and average share could not be donated twice.
        ema = jax.tree.map(jnp.copy, params)
        return State(jnp.zeros((), jnp.int32), params, ema, optimizer.init(params), experiment.times.init())

    return jax.jit(init, out_shardings=parallel.replicated())(key)


def make_step(
    experiment: Experiment, optimizer: optax.GradientTransformation, base_key: jax.Array
) -> Callable[[State, jax.Array], tuple[State, dict[str, jax.Array]]]:
    """advance(state, batches [k, B, *event] of levels) -> (state after k steps, {loss, grad_norm} [k])."""
    config, times, scaler = experiment.config, experiment.times, experiment.scaler

    def one_loss(params: Any, key: jax.Array, levels: jax.Array, t: jax.Array) -> Scalar:
        data_key, noise_key, flip_key, dropout_key = jax.random.split(key, 4)
        x_0 = scaler.encode(data_key, levels)
        if config.data.flip:
            x_0 = jnp.where(jax.random.bernoulli(flip_key), x_0[:, ::-1], x_0)
        return experiment.loss(params, dropout_key)(noise_key, x_0, t)

    def one_step(state: State, batch: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        t_key, example_key = jax.random.split(jax.random.fold_in(base_key, state.step))
        t, inverse_density = times.sample(t_key, state.times, len(batch))
        keys = jax.random.split(example_key, len(batch))

        def mean_loss(params: Any) -> tuple[jax.Array, Scalar]:
            loss = jax.vmap(one_loss, (None, 0, 0, 0))(params, keys, batch, t)
            return jnp.mean(inverse_density * loss), loss

        (loss, by_example), gradient = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
        update, opt = optimizer.update(gradient, state.opt, state.params)
        params = optax.apply_updates(state.params, update)
        decay = jnp.minimum(config.train.ema, (1 + state.step) / (10 + state.step))  # warm-up: early averages forget fast
        ema = optax.incremental_update(params, state.ema, 1 - decay)
        state = State(state.step + 1, params, ema, opt, times.update(state.times, t, by_example))
        return state, {"loss": loss, "grad_norm": optax.global_norm(gradient)}

    def advance(state: State, batches: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        if len(batches) > 1:
            return jax.lax.scan(one_step, state, batches)
        # XLA:CPU runs a convolution's weight gradient many times slower inside a loop, so one step is no loop.
        state, metrics = one_step(state, batches[0])
        return state, jax.tree.map(lambda a: a[None], metrics)

    return advance


class Log:
    """metrics.jsonl: one row per interval. Metrics stay on the device until a row is due."""

    def __init__(self, path: Path, step: int, rate: Callable[[int], Any]):
        self._path, self._rate, self._held, self._since = path, rate, [], time.monotonic()
        kept = [row for row in rows(path) if row["step"] <= step]  # what a lost run wrote after its last checkpoint
        if jax.process_index() == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in kept))

    def hold(self, metrics: dict[str, jax.Array]) -> None:
        """Keeps a call's metrics for the next row."""
        self._held.append(metrics)

    def write(self, step: int, batch: int) -> float:
        """Appends the row of `step` and returns its mean loss. NumericsError when that is not finite."""
        held = {k: np.concatenate([parallel.gather(m[k]) for m in self._held]) for k in self._held[0]}
        seconds = time.monotonic() - self._since
        loss = float(held["loss"].mean())
        if not np.isfinite(loss):
            first = step - len(held["loss"]) + 1 + int(np.argmin(np.isfinite(held["loss"])))
            raise NumericsError(
                f"the loss is not finite from step {first} on; the last checkpoint is from before: lower the rate"
            )
        row = {
            "step": step,
            "loss": loss,
            "grad_norm": float(held["grad_norm"].mean()),
            "learning_rate": float(self._rate(step)),
            "seconds": seconds,
            "images_per_second": len(held["loss"]) * batch / seconds,
        }
        if jax.process_index() == 0:
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        self._held, self._since = [], time.monotonic()
        return loss


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file, without a last line that a crash cut short."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
