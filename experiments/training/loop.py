"""train: a score network by the config's objective, resumed by the same command."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.build.experiment import Experiment
from experiments.build.optimizer import make_optimizer, optimizer_rate
from experiments.build.sampler import sample_sampler
from experiments.build.state import State, Tally, init_state, placement
from experiments.build.summary import anatomy
from experiments.config.parts import classifies
from experiments.data.dataset import Batch, Dataset
from experiments.data.feed import calls, feed
from experiments.randomness import Purpose, stream
from experiments.runs.checkpoint import Checkpoints
from experiments.runs.folder import Folder
from experiments.runs.metrics import Log
from experiments.runs.record import Record, imported
from experiments.runs.resume import from_weights
from experiments.runtime import devices, processes
from experiments.runtime.errors import NumericsError
from experiments.runtime.files import write_json
from experiments.runtime.progress import progress, say
from experiments.runtime.signals import Interrupted, stop
from experiments.sampling.draw import drawing, save_images, unsound
from experiments.training.autopsy import autopsy, sentence
from experiments.training.step import make_call


def train(experiment: Experiment, data: Dataset, workdir: Path, record: Record) -> State:
    """The state after train.steps, from the newest sound checkpoint in `workdir` if there is one."""
    config, seed = experiment.config.train, experiment.config.seed
    optimizer = make_optimizer(config)
    picture = _picture(experiment, workdir)

    with Checkpoints(Folder(workdir).checkpoints, record.id, config.keep) as checkpoints:
        state = _begun(experiment, optimizer, checkpoints, workdir, record)
        placed = placement(experiment.config, state)
        call = _told(make_call(experiment, optimizer, stream(seed, Purpose.STEP)), optimizer_rate(config))
        advance = devices.pmapped(call, placed, (placed, devices.replicated()), experiment.frozen)
        step = int(state.step)
        record.note(from_step=step)
        if step > config.steps:
            say(f"{workdir} is at step {step} already, beyond train.steps = {config.steps}")
        checkpoints.room_for(state, saves=2 + (config.steps - step) // min(config.checkpoint_every, config.sample_every))
        for path in Folder(workdir).pictures_after(step) if processes.first() else ():  # of a lost run, which are drawn again
            path.unlink()
        log = Log(Folder(workdir).metrics, step)

        def due(every: int) -> bool:
            """Whether a multiple of `every` is among the steps of the last call."""
            return step % every < config.steps_per_call or step == config.steps

        def save(wait: bool = False) -> None:
            record.saved(checkpoints.save(step, state, wait))
            stop.unsaved = False

        if step < config.steps:
            if processes.stop_asked():
                raise Interrupted(f"stopped at step {step}, before any other; the same command goes on from there")
            say("\n".join(anatomy(experiment)))
            say(
                f"compiling the training step ({jax.device_count()} {jax.default_backend()} device(s)); this takes some seconds"
            )
        if step and due(config.sample_every):  # what a run that died over it has not drawn
            picture(state.ema, step)
        batches = feed(data.train, config.batch, calls(step, config.steps, config.steps_per_call), experiment.classes)
        asked = processes.asking()
        in_flight: deque[tuple[int, bool, tuple[Tally, jax.Array]]] = deque()
        with progress("train", config.steps, step) as show:

            def wait(most: int) -> None:
                """Until at most so many calls are in flight; writes what the others have told, and ends a run of bad steps."""
                while len(in_flight) > most:
                    at, logged, (tally, rate) = in_flight.popleft()
                    if int(tally.streak) >= config.bad_steps:
                        _end(experiment, data, state._replace(tally=tally), checkpoints, workdir)
                    if logged:
                        show(at, log.write(at, tally, rate, config.batch))

            while step < config.steps:
                batch = next(batches)
                wait(most=1)  # two calls in flight: XLA takes 32, and a signal would wait for all
                state, told = advance(state, batch, *experiment.frozen)
                step += len(batch.levels)
                stop.unsaved = True

                logging = due(config.log_every)
                in_flight.append((step, logging, told))
                if logging:
                    state = state._replace(tally=state.tally.anew())
                stopping = asked()
                if due(config.checkpoint_every) or due(config.sample_every) or stopping:
                    wait(most=0)
                    save(wait=stopping or step == config.steps)
                if stopping:
                    raise Interrupted(f"stopped at step {step}, which is saved; the same command goes on from there")
                if due(config.sample_every):
                    picture(state.ema, step)
    return state


def _told(one_call: Callable[..., State], rate: Callable[[Any], Any]) -> Callable[..., tuple[State, tuple[Tally, jax.Array]]]:
    """A call that tells its tally and rate apart from the state, which the next call takes: to wait for, and to read later."""

    def advance(state: State, batches: Batch, *frozen: Any) -> tuple[State, tuple[Tally, jax.Array]]:
        after = one_call(state, batches, *frozen)
        return after, (after.tally, jnp.asarray(rate(after.step - after.tally.skipped)))

    return advance


def _begun(
    experiment: Experiment,
    optimizer: optax.GradientTransformation,
    checkpoints: Checkpoints,
    workdir: Path,
    record: Record,
) -> State:
    """The newest sound state, or else the first: of weights from elsewhere where there are any."""
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
    if moved := record.moved():
        say(f"trained on {moved}: sums in another order, so what follows differs by rounding from a run on one of them")
    before = record.config_at(step - 1)
    if before and config.decay == "cosine" and before.train.steps != config.steps:
        say(f"warning: the cosine was over {before.train.steps} steps, and goes on over {config.steps}: the rate jumps")
    # Fewer bad steps may be allowed now than there have been; the next one is the last.
    streak = jnp.minimum(resumed.tally.streak, config.bad_steps - 1)
    return resumed._replace(tally=resumed.tally._replace(streak=streak))


def _picture(experiment: Experiment, run: Path) -> Callable[[Any, int], None]:
    """picture(params, step): samples as a file that is not drawn twice. Where they are not finite training goes on without."""
    config = experiment.config
    if classifies(config):
        return lambda params, step: None  # there is nothing to draw; `evaluate` measures it
    sampler = sample_sampler(experiment)
    draw = drawing(sampler)

    def picture(params: Any, step: int) -> None:
        path = Folder(run).picture(step)
        if not processes.everywhere(path.exists()):
            drawn = draw(experiment.network(params), config.sample.seed, min(config.sample.n, 64), sampler.config.n)
            if why := unsound(drawn, sampler.grid()):
                say(f"warning: no picture of step {step}: {why}")
            else:
                save_images(drawn, experiment, path)

    return picture


def _end(experiment: Experiment, data: Dataset, state: State, checkpoints: Checkpoints, workdir: Path) -> None:
    """Ends a run whose steps are not finite any more: NumericsError, after a report on the last of them.

    The state is saved as before that step, so that `replay` finds it, and so that the same command ends here again.
    """
    last = int(state.step) - 1
    before = state._replace(
        step=state.step - 1, tally=state.tally._replace(streak=state.tally.streak - 1, skipped=state.tally.skipped - 1)
    )
    found = autopsy(experiment, data, before, last)
    path = Folder(workdir).nan_report
    if processes.first():
        write_json(path, found)
    checkpoints.save(last, before, wait=True)
    bad = experiment.config.train.bad_steps
    raise NumericsError(
        [
            f"{bad} steps on end were not finite and changed nothing; {sentence(found)}",
            f"the whole story is in {path}; to see where: python -m experiments replay {workdir} --step={last}",
            f"to go on: python -m experiments ckpt rollback {workdir} --step=N, then --allow-change=train.learning_rate",
        ]
    )
