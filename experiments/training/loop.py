"""The loop of training: calls of several steps on the devices, with logs, checkpoints and pictures between them."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.build import averages
from experiments.build.experiment import Experiment
from experiments.build.optimizer import make_optimizer, optimizer_rate
from experiments.build.sampler import sample_sampler
from experiments.build.state import State, Tally, init_state, placement
from experiments.build.summary import summary
from experiments.config.parts import classifies, schedule_of
from experiments.config.schema import Train
from experiments.data.dataset import Batch, Dataset
from experiments.data.feed import calls, feed
from experiments.randomness import Purpose, stream
from experiments.runs.checkpoint import Checkpoints
from experiments.runs.folder import Folder
from experiments.runs.log_forms import further_forms
from experiments.runs.metrics import Log, loss_in_words
from experiments.runs.record import RunRecord, imported
from experiments.runs.resume import from_weights
from experiments.runtime import devices, processes
from experiments.runtime.errors import NumericsError
from experiments.runtime.files import write_json
from experiments.runtime.progress import progress, say
from experiments.runtime.signals import Interrupted, stop
from experiments.runtime.startup import PROGRAM
from experiments.sampling.draw import drawing, save_images, unsound
from experiments.training.autopsy import autopsy, sentence
from experiments.training.callbacks import Callback, watching
from experiments.training.step import make_call


def train(experiment: Experiment, data: Dataset, workdir: Path, record: RunRecord, callbacks: Sequence[Callback] = ()) -> State:
    """Trains to train.steps and returns the state, its `ema` the one average that `sample` asks for.

    It goes on from the newest sound checkpoint in `workdir` if there is one. `callbacks`: those beside `train.callbacks`.
    """
    config, folder = experiment.config.train, Folder(workdir)
    optimizer = make_optimizer(config)
    picture = _picture(experiment, folder)
    watch = watching(experiment, callbacks)

    with Checkpoints(folder.checkpoints, record.id, config.keep) as checkpoints:
        state = _first_state(experiment, optimizer, checkpoints, workdir, record)
        advance = _compiled_call(experiment, optimizer, state)
        step = int(state.step)
        record.note(from_step=step)
        if step > config.steps:
            say(f"{workdir} is at step {step} already, beyond train.steps = {config.steps}")
        checkpoints.room_for(state, saves=2 + (config.steps - step) // min(config.checkpoint_every, config.sample_every))
        if processes.first():
            for path in folder.pictures_after(step):  # from a crashed session; training draws them again
                path.unlink()
        log = Log(folder.metrics, step, checkpoints.unlogged(step))

        def due(every: int) -> bool:
            """Returns whether a multiple of `every` is among the steps of the last call."""
            return step % every < config.steps_per_call or step == config.steps

        if step < config.steps:
            if processes.stop_asked():
                raise Interrupted(f"stopped at step {step}, before any other; the same command goes on from there")
            say("\n".join(summary(experiment)))
            devices_in_words = f"{jax.device_count()} {jax.default_backend()} device(s)"
            say(f"compiling the training step ({devices_in_words}); this takes some seconds")
        if step and due(config.sample_every):  # a run that died while it drew this has not drawn it
            picture(state, step)
        batches = feed(data.train, config.batch, calls(step, config.steps, config.steps_per_call), experiment.classes)
        stop_asked = processes.asking()
        in_flight: deque[tuple[int, bool, tuple[Tally, jax.Array]]] = deque()
        forms = further_forms(experiment.config, folder, record, log.rows)
        with progress("train", config.steps, step) as show, forms as write:

            def wait(most: int) -> None:
                """Waits until at most so many calls are in flight; logs the others, and ends a run of bad steps."""
                while len(in_flight) > most:
                    at, logs, (tally, rate) = in_flight.popleft()
                    if int(tally.streak) >= config.bad_steps:
                        _end(experiment, data, state._replace(tally=tally), checkpoints, folder)
                    if logs:
                        row = log.write(at, tally, rate, config.batch)
                        write(row)
                        show(at, loss_in_words(row))

            def save(wait: bool) -> None:
                """Saves the state of `step`, after all rows up to it."""
                record.note_saved(checkpoints.save(step, state, wait, log.unlogged))
                stop.unsaved = False

            while step < config.steps:
                batch = next(batches)
                wait(most=1)  # two calls in flight: XLA takes 32, and a signal would wait for all
                state, outcome = advance(state, batch, *experiment.frozen)
                step += len(batch.levels)
                stop.unsaved = True

                logs = due(config.log_every)
                in_flight.append((step, logs, outcome))
                if logs:
                    state = state._replace(tally=state.tally.restarted())
                if logs and watch:
                    wait(most=0)  # so that the last row is of this state
                    if failure := watch(step, log.rows[-1], state):
                        save(wait=True)
                        raise failure
                stopping = stop_asked()
                if due(config.checkpoint_every) or due(config.sample_every) or stopping:
                    wait(most=0)
                    save(wait=stopping or step == config.steps)
                if stopping:
                    raise Interrupted(f"stopped at step {step}, which is saved; the same command goes on from there")
                if due(config.sample_every):
                    picture(state, step)
    return state._replace(ema=averages.choose(experiment.config, state.ema))


def _compiled_call(
    experiment: Experiment, optimizer: optax.GradientTransformation, state: State
) -> Callable[..., tuple[State, tuple[Tally, jax.Array]]]:
    """advance(state, batches, *frozen) -> (state, (tally, learning rate)), on all devices.

    The next call takes the state; the tally and the rate stand apart from it, to wait for and to read later.
    """
    call = make_call(experiment, optimizer, stream(experiment.config.seed, Purpose.STEP))
    rate = optimizer_rate(experiment.config.train)

    def advance(state: State, batches: Batch, *frozen: Any) -> tuple[State, tuple[Tally, jax.Array]]:
        after = call(state, batches, *frozen)
        return after, (after.tally, jnp.asarray(rate(after.step - after.tally.skipped)))

    placed = placement(experiment.config, state)
    return devices.pmapped(advance, placed, (placed, devices.replicated()), experiment.frozen)


def _first_state(
    experiment: Experiment,
    optimizer: optax.GradientTransformation,
    checkpoints: Checkpoints,
    workdir: Path,
    record: RunRecord,
) -> State:
    """The newest sound state, or else the initial one, with imported weights if there are any."""
    config = experiment.config.train
    state = init_state(experiment, optimizer, stream(experiment.config.seed, Purpose.INIT))
    resumed = checkpoints.restore(state)
    if resumed is None:
        record.refuse_if_saved()
        if imported(workdir):
            say(f"starting from {Folder(workdir).weights}")
        return from_weights(experiment, state, workdir)
    step = int(resumed.step)
    say(f"resuming {workdir} at step {step}")
    if moved := record.device_change():
        say(f"trained on {moved}: sums in another order, so what follows differs by rounding from a run on one of them")
    before = record.config_at(step - 1)
    if before and before.train.steps != config.steps and (kind := _shape_by_steps(config)):
        say(f"warning: the {kind} was over {before.train.steps} steps, and goes on over {config.steps}: the rate jumps")
    # The config may allow fewer bad steps now than there have been; the next one is the last.
    streak = jnp.minimum(resumed.tally.streak, config.bad_steps - 1)
    return resumed._replace(tally=resumed.tally._replace(streak=streak))


def _shape_by_steps(config: Train) -> str:
    """Names what the learning rate follows if its shape depends on train.steps, or nothing."""
    if config.schedule is None:
        return "cosine" if config.decay == "cosine" else ""
    longer = config.model_copy(update={"steps": config.steps + 1})
    return "schedule" if schedule_of(longer) != schedule_of(config) else ""


def _picture(experiment: Experiment, folder: Folder) -> Callable[[State, int], None]:
    """picture(state, step), which saves samples as a file, once. If they are not finite training goes on without it."""
    config = experiment.config
    if classifies(config):
        return lambda state, step: None  # a classifier draws nothing; `evaluate` measures it
    sampler = sample_sampler(experiment)
    draw = drawing(sampler)

    def picture(state: State, step: int) -> None:
        path = folder.picture(step)
        if not processes.everywhere(path.exists()):
            rows = sampler.rows(config.sample.seed, min(config.sample.n, 64))
            params = experiment.network(averages.choose(config, state.ema))
            samples = draw(params, rows, sampler.config.n)
            if why := unsound(samples, sampler.grid()):
                say(f"warning: no picture of step {step}: {why}")
            else:
                save_images(samples, experiment, path)

    return picture


def _end(experiment: Experiment, data: Dataset, state: State, checkpoints: Checkpoints, folder: Folder) -> None:
    """Ends a run whose steps are not finite any more, with a report on the last of them: raises NumericsError.

    The state is saved as it was before that step, so that `replay` finds it, and the same command ends here again.
    """
    last = int(state.step) - 1
    before = state._replace(
        step=state.step - 1, tally=state.tally._replace(streak=state.tally.streak - 1, skipped=state.tally.skipped - 1)
    )
    report = autopsy(experiment, data, before, last)
    if processes.first():
        write_json(folder.nan_report, report)
    checkpoints.save(last, before, wait=True)
    bad, run = experiment.config.train.bad_steps, shlex.quote(str(folder.path))
    raise NumericsError(
        [
            f"{bad} steps in a row were not finite and changed nothing; {sentence(report)}",
            f"the whole story is in {folder.nan_report}; to see where: {PROGRAM} replay {run} --step={last}",
            f"to go on: {PROGRAM} ckpt rollback {run} --step=N, then train by a lower learning rate",
            "(--config.train.learning_rate=RATE --allow-change=train.learning_rate)",
        ]
    )
