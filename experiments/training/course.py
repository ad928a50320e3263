"""The course of one run in training: the state that it begins with, and all that is written on its way."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp

from experiments.build import averages
from experiments.build.experiment import Experiment
from experiments.build.optimizer import optimizer_of
from experiments.build.sampler import sample_sampler
from experiments.build.state import State, init_state
from experiments.config.parts import classifies, schedule_of
from experiments.config.schema import Train
from experiments.data.dataset import Dataset
from experiments.randomness import Purpose, stream
from experiments.runs.checkpoint import Checkpoints
from experiments.runs.code_cache import with_codes
from experiments.runs.folder import Folder
from experiments.runs.log_forms import Write, further_forms
from experiments.runs.metrics import Log
from experiments.runs.record import RunRecord, imported
from experiments.runs.resume import from_weights
from experiments.runtime import processes
from experiments.runtime.errors import NumericsError, UserError
from experiments.runtime.files import write_json
from experiments.runtime.progress import say
from experiments.runtime.signals import Interrupted
from experiments.runtime.startup import PROGRAM
from experiments.sampling.draw import drawing, save_images, unsound
from experiments.training.autopsy import autopsy, sentence
from experiments.training.callbacks import Callback, watching
from experiments.training.program import Outcome


class Training(NamedTuple):
    """A run to train: its experiment, the data in its order, its folder, and its record."""

    experiment: Experiment
    data: Dataset
    workdir: Path
    record: RunRecord


@dataclass(frozen=True, eq=False)
class Course:
    """A run on its way, and the files that it writes.

    `picture(state, step)` draws samples into a file; `watch(step, row, state)` calls the callbacks, if there are any.
    """

    training: Training
    checkpoints: Checkpoints
    log: Log
    forms: Write
    picture: Callable[[State, int], None]
    watch: Callable[[int, Mapping[str, Any], State], UserError | None] | None

    def save(self, state: State, step: int, wait: bool) -> None:
        """Saves the state of `step`, after all rows up to it."""
        self.training.record.note_saved(self.checkpoints.save(step, state, wait, self.log.unlogged))

    def account(self, state: State, outcome: Outcome, step: int, logs: bool) -> None:
        """Waits for the call that ended with `step`, and `logs` its row. Ends the run if it was the last of its bad steps.

        `state`: the newest one. A run of bad steps is frozen, so that it is the one after that call.
        """
        tally, rate = outcome
        if int(tally.streak) >= self.training.experiment.config.train.bad_steps:
            self.end(state._replace(tally=tally))
        if logs:
            self.forms(self.log.write(step, tally, rate, self.training.experiment.config.train.batch))

    def look(self, state: State, step: int) -> None:
        """Has the callbacks look at `step`, whose row is the last one. If one fails, saves the state and raises the failure."""
        if self.watch and (failure := self.watch(step, self.log.rows[-1], state)):
            self.save(state, step, wait=True)
            raise failure

    def draw(self, state: State, step: int) -> None:
        """Draws the picture of a step, unless it is there."""
        self.picture(state, step)

    def end(self, state: State) -> None:
        """Ends a run whose steps are not finite any more, with a report on the last of them: raises NumericsError.

        The state is saved as it was before that step, so that `replay` finds it, and the same command ends here again.
        """
        experiment, data, workdir, _ = self.training
        last, folder = int(state.step) - 1, Folder(workdir)
        streak, skipped = state.tally.streak - 1, state.tally.skipped - 1
        before = state._replace(step=state.step - 1, tally=state.tally._replace(streak=streak, skipped=skipped))
        report = autopsy(experiment, data, before, last)
        if processes.first():
            write_json(folder.nan_report, report)
        self.checkpoints.save(last, before, wait=True)
        bad, run = experiment.config.train.bad_steps, shlex.quote(str(workdir))
        raise NumericsError(
            [
                f"{bad} steps in a row were not finite and changed nothing; {sentence(report)}",
                f"the whole story is in {folder.nan_report}; to see where: {PROGRAM} replay {run} --step={last}",
                f"to go on: {PROGRAM} ckpt rollback {run} --step=N, then train by a lower learning rate",
                "(--config.train.learning_rate=RATE --allow-change=train.learning_rate)",
            ]
        )


@contextmanager
def begin(training: Training, callbacks: Sequence[Callback] = (), at_once: int = 1) -> Iterator[tuple[Course, State]]:
    """Yields the course of a run with the state that it goes on from: the newest sound one, or else the initial one.

    `callbacks`: those beside `train.callbacks`. `at_once`: the number of runs that are trained together.
    """
    experiment, data, workdir, record = training
    training = training._replace(data=with_codes(experiment, data, workdir))
    config, folder = experiment.config.train, Folder(workdir)
    picture, watch = _picture(experiment, folder), watching(experiment, callbacks)
    with Checkpoints(folder.checkpoints, record.id, config.keep) as checkpoints:
        state = _first_state(training, checkpoints)
        step = int(state.step)
        if step > config.steps:
            say(f"{workdir} is at step {step} already, beyond train.steps = {config.steps}")
        checkpoints.room_for(state, saves=2 + (config.steps - step) // min(config.checkpoint_every, config.sample_every))
        if processes.first():
            for path in folder.pictures_after(step):  # from a crashed session; training draws them again
                path.unlink()
        log = Log(folder.metrics, step, checkpoints.unlogged(step), at_once)
        if step < config.steps and processes.stop_asked():
            raise Interrupted(f"stopped at step {step}, before any other; the same command goes on from there")
        with further_forms(experiment.config, folder, record, log.rows) as forms:
            yield Course(training, checkpoints, log, forms, picture, watch), state


def _first_state(training: Training, checkpoints: Checkpoints) -> State:
    """The newest sound state, or else the initial one, with imported weights if there are any."""
    experiment, _, workdir, record = training
    config = experiment.config.train
    state = init_state(experiment, optimizer_of(experiment.config), stream(experiment.config.seed, Purpose.INIT))
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
    draw = experiment.once(("draw", config.sample.sampler), lambda: drawing(sampler))

    def picture(state: State, step: int) -> None:
        path = folder.picture(step)
        if not processes.everywhere(path.exists()):
            rows = sampler.rows(config.sample.seed, min(config.sample.n, 64))
            params = experiment.network(averages.choose(config, state.ema))
            samples = draw(params, rows, sampler.config.n)
            if why := unsound(samples, sampler.at(params).grid()):
                say(f"warning: no picture of step {step}: {why}")
            else:
                save_images(samples, experiment, path)

    return picture
