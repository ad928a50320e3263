"""sample: draw images from a trained run."""

from __future__ import annotations

from pathlib import Path

from experiments.build.experiment import Experiment
from experiments.build.sampler import sample_sampler
from experiments.build.state import State
from experiments.runtime.progress import say
from experiments.sampling.draw import drawing, save_images


def sample(experiment: Experiment, state: State, workdir: Path) -> None:
    """Draws a picture by the config's sampler."""
    config = experiment.config
    sampler = sample_sampler(experiment)
    drawn = drawing(sampler)(experiment.network(state.ema), config.sample.seed, config.sample.n, sampler.config.n)
    path = workdir / "samples" / f"{config.sample.sampler}_seed{config.sample.seed}.png"
    save_images(drawn, experiment, path)
    say(f"{path}: {config.sample.n} samples, NFE {drawn.nfe.mean():.0f}, {drawn.seconds:.1f} s")
