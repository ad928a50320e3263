"""The loop of training: calls of several steps on the devices, with logs, checkpoints and pictures between them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.build import averages
from experiments.build.experiment import Experiment
from experiments.build.state import State
from experiments.build.summary import summary
from experiments.data.dataset import Dataset
from experiments.data.feed import blocks, feed
from experiments.runs.metrics import loss_in_words
from experiments.runs.record import RunRecord
from experiments.runtime import processes
from experiments.runtime.errors import UserError, brief
from experiments.runtime.progress import progress, say
from experiments.runtime.signals import Interrupted, stop
from experiments.training.callbacks import Callback
from experiments.training.calls import pace, steps_per_call
from experiments.training.course import Course, Training, begin
from experiments.training.program import Outcome, Program, arguments_of, program


def train(experiment: Experiment, data: Dataset, workdir: Path, record: RunRecord, callbacks: Sequence[Callback] = ()) -> State:
    """Trains to train.steps and returns the state, its `ema` the one average that `sample` asks for.

    It goes on from the newest sound checkpoint in `workdir` if there is one. `callbacks`: those beside `train.callbacks`.
    """
    with begin(Training(experiment, data, workdir, record), callbacks) as (course, state):
        if int(state.step) < experiment.config.train.steps:
            announce(experiment)
        (state,) = go_on([course], (state,), program([experiment], state))
    return state._replace(ema=averages.choose(experiment.config, state.ema))


def announce(experiment: Experiment, step: str = "step") -> None:
    """Says what is trained, and that the program of a `step` is compiled now."""
    devices_in_words = f"{jax.device_count()} {jax.default_backend()} device(s)"
    say("\n".join(summary(experiment)))
    say(f"compiling the training {step} ({devices_in_words}); this takes some seconds")


def go_on(courses: Sequence[Course], states: tuple[State, ...], advance: Program) -> tuple[State, ...]:
    """Takes runs from the step at which all of them stand to train.steps, and returns their states.

    An error that a user can cause, such as steps that are not finite, ends its own run, and the others go on; the error of the
    last one is raised.
    """
    experiment = courses[0].training.experiment
    config, step, going = experiment.config.train, int(states[0].step), set(courses)
    k = steps_per_call(courses[0].training)
    for course in courses:
        course.training.record.note_training(step, len(courses), k)

    def due(every: int) -> bool:
        """Returns whether something that is due every so many steps is due now."""
        return step % every == 0 or step == config.steps

    def undisturbed() -> int:
        """Returns the number of steps until something is due."""
        periods = config.log_every, config.checkpoint_every, config.sample_every
        return min(config.steps - step, *(every - step % every for every in periods))

    def each(act: Callable[..., object], *of_runs: Sequence[Any], **common: Any) -> None:
        """Calls act(course, ...) for every run that goes on, with its own arguments and those `common` to all."""
        for course, *own in zip(courses, *of_runs, strict=True):
            if course in going:
                try:
                    act(course, *own, **common)
                except UserError as error:
                    going.remove(course)
                    if not going:
                        stop.unsaved = False  # there is nothing left to save
                        raise
                    say(f"{course.training.workdir} fails, and the others go on: {brief(error)}")

    if step and due(config.sample_every):  # a run that died while it drew this has not drawn it
        each(Course.draw, states, step=step)
    streams = [course.training.data.batches for course in courses]
    of_blocks = feed(streams, config.batch, blocks(step, config.steps, k), experiment.classes)
    block, i = (), k  # the next step is the i-th of its block
    of_call, seconds = config.steps_per_call, []  # the steps of a call, or seconds of single ones by which to choose them
    arguments = arguments_of([course.training.experiment for course in courses])
    stop_asked = processes.asking()
    in_flight: deque[tuple[int, bool, tuple[Outcome, ...]]] = deque()
    with progress("train", config.steps, step) as show:

        def wait(most: int) -> None:
            """Waits until at most so many calls are in flight; logs the others, and ends runs of bad steps."""
            while len(in_flight) > most:
                at, logs, outcomes = in_flight.popleft()
                each(Course.account, states, outcomes, step=at, logs=logs)
                if logs:
                    show(at, ", ".join(loss_in_words(course.log.rows[-1]) for course in courses if course in going))

        def save(wait: bool) -> None:
            each(Course.save, states, step=step, wait=wait)
            stop.unsaved = False

        while step < config.steps:
            if i == k:
                block, i = next(of_blocks), 0
            n = min(of_call or 1, k - i, undisturbed())
            wait(most=1)  # two calls in flight: XLA takes 32, and a signal would wait for all
            began = time.monotonic()
            states, outcomes = advance(states, block, arguments, np.array([i, i + n], np.int32))
            step, i = step + n, i + n
            stop.unsaved = True
            if of_call is None:
                jax.block_until_ready(outcomes)
                seconds.append(time.monotonic() - began)
                of_call = pace(seconds, k)

            logs = due(config.log_every)
            in_flight.append((step, logs, outcomes))
            if logs:
                states = tuple(state._replace(tally=state.tally.restarted()) for state in states)
            if logs and any(course.watch for course in courses):
                wait(most=0)  # so that the last row is of this state
                each(Course.look, states, step=step)
            stopping = stop_asked()
            if due(config.checkpoint_every) or due(config.sample_every) or stopping:
                wait(most=0)
                save(wait=stopping or step == config.steps)
            if stopping:
                raise Interrupted(f"stopped at step {step}, which is saved; the same command goes on from there")
            if due(config.sample_every):
                each(Course.draw, states, step=step)
    return states
