"""sample: draw images from a trained run, by the sampler that `sample.sampler` names."""

from __future__ import annotations

from experiments.build.sampler import sample_sampler
from experiments.commands.arguments import Call, compile_cache, config, distributed, workdir
from experiments.commands.opening import Needs, open_run
from experiments.runs.folder import Folder
from experiments.runs.resume import trained_state
from experiments.runtime.progress import say
from experiments.sampling.draw import drawing, save_images

HELP = "draw images from a trained run"
ARGUMENTS = (config, workdir, distributed, compile_cache)


def run(call: Call) -> None:
    """Writes samples/SAMPLER_seedN.png; nothing of the run changes."""
    opened = open_run(call, Needs(data=False))
    experiment, folder = opened.experiment, opened.workdir
    opened.refuse_changes(folder, experiment)
    sample, sampler = experiment.config.sample, sample_sampler(experiment)
    params = experiment.network(trained_state(experiment, folder).ema)
    samples = drawing(sampler)(params, sample.seed, sample.n, sampler.config.n)
    path = Folder(folder).samples / f"{sample.sampler}_seed{sample.seed}.png"
    save_images(samples, experiment, path)
    say(f"{path}: {sample.n} samples, NFE {samples.nfe.mean():.0f}, {samples.seconds:.1f} s")
