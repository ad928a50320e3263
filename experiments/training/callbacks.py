"""Callbacks: functions of a user's, called whenever a row of the log is written.

    def my_callback(moment: Moment) -> None:
        print(moment.step, moment.row["loss"])
        if moment.step % 1000 == 0:
            my_measure(moment.sample(n=256).levels)

`train.callbacks` names them, "my_pkg.my_module:my_callback", and `experiments.train(..., callbacks=[my_callback])` takes them
as they are. They look at a run, and change none of its bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from experiments.build import averages
from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler
from experiments.build.state import State
from experiments.config.messages import suggestion
from experiments.config.parts import user_function
from experiments.runtime import processes
from experiments.runtime.errors import ConfigError, blamed
from experiments.runtime.signals import Interrupted
from experiments.sampling.draw import Samples, drawing
from sde_lib import Score

Callback = Callable[["Moment"], object]


@dataclass(frozen=True)
class Moment:
    """A moment of training: the number of `step`s, the `row` of the log, and the `experiment`.

    `params`, `score` and `sample` are of the averaged parameters, and computed when they are asked for. They work while the
    callback runs: the next step takes the arrays.
    """

    step: int
    row: Mapping[str, Any]
    experiment: Experiment
    _state: State
    _drawings: dict[str, Callable[..., Samples]]

    @property
    def params(self) -> Any:
        """The averaged parameters that draw samples."""
        return self.experiment.network(averages.choose(self.experiment.config, self._state.ema))

    def score(self, y: Any = None) -> Score:
        """Returns score(x, t) of one event, for the label `y` (the number of a class) or for none."""
        return self.experiment.conditional(self.params, y)

    def sample(self, n: int = 16, sampler: str = "", seed: int = 0) -> Samples:
        """Returns n samples by `sampler`, a label of config.samplers, or by that of config.sample. It is compiled once.

        Raises ValueError if there is no such sampler, or if several processes train: all of them would have to draw.
        """
        config = self.experiment.config
        name = sampler or config.sample.sampler
        if name not in config.samplers:
            raise ValueError(f"no sampler {name!r}{suggestion(name, [*config.samplers])}")
        if jax.process_count() > 1:
            raise ValueError("one of several processes cannot draw samples alone: draw them from a checkpoint")
        bound = BoundSampler(self.experiment, config.samplers[name])
        draw = self._drawings.setdefault(name, drawing(bound))
        return draw(self.params, bound.rows(seed, n), bound.config.n)


def watching(
    experiment: Experiment, callbacks: Sequence[Callback] = ()
) -> Callable[[int, Mapping[str, Any], State], ConfigError | None] | None:
    """Returns watch(step, row, state), which calls `train.callbacks` and these in the first process; None if there are none.

    It returns the error of the callback that failed, in every process: all of them must call it.
    """
    every = (*map(user_function, experiment.config.train.callbacks), *callbacks)
    drawings: dict[str, Callable[..., Samples]] = {}

    def watch(step: int, row: Mapping[str, Any], state: State) -> ConfigError | None:
        failure, moment = None, Moment(step, row, experiment, state, drawings)
        for callback in every if processes.first() else ():
            try:
                callback(moment)
            except Interrupted:  # training sees the same signal, and saves
                break
            except Exception as error:  # it is the user's code
                failure = _failure(callback, step, blamed(error))
                break
        if processes.everywhere(failure is None):
            return None
        return failure or ConfigError(f"a callback failed at step {step} in the first process; the state is saved")

    return watch if every else None


def _failure(callback: Callback, step: int, why: str) -> ConfigError:
    name = f"{getattr(callback, '__module__', '')}:{getattr(callback, '__qualname__', callback)}"
    return ConfigError(
        [
            f"the callback {name} failed at step {step}: {why}",
            "the state is saved, and the same command goes on from there; without callbacks: --config.train.callbacks=()",
        ]
    )
