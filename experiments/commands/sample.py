"""sample: draw images from a trained run, by the sampler that `sample.sampler` names."""

from __future__ import annotations

from experiments.build.held_out import with_held_out
from experiments.build.sampler import sample_sampler
from experiments.commands.arguments import Call, compile_cache, distributed, run_or_workdir
from experiments.commands.opening import Needs, open_run
from experiments.runs.folder import Folder
from experiments.runs.resume import trained_state
from experiments.runtime import processes
from experiments.runtime.files import write_json
from experiments.runtime.progress import say
from experiments.sampling.draw import SHOWN, drawing, in_parts
from experiments.sampling.sample_files import write_samples
from experiments.sampling.settings import picture_path, provenance, sampler_settings

HELP = "draw images from a trained run"
ARGUMENTS = (run_or_workdir, distributed, compile_cache)


def run(call: Call) -> None:
    """Writes samples/SAMPLER_seedN_SETTING.png, .npz and .json; nothing of the run changes."""
    opened = open_run(call, Needs(data=False))
    experiment, folder = with_held_out(opened.experiment), opened.workdir
    opened.refuse_changes(folder, experiment)
    sample, state = experiment.config.sample, trained_state(experiment, folder)
    sampler = sample_sampler(experiment.at(state.ema))
    params = experiment.network(state.ema)
    parts = in_parts(sampler, drawing(sampler), params, sample.seed, sample.n, sampler.config.n)
    settings = sampler_settings(sampler, int(state.step)) | {"n": sample.n}
    path = picture_path(Folder(folder).samples, f"{sample.sampler}_seed{sample.seed}", sample.file, settings)
    samples = write_samples(parts, sampler, path)
    if processes.first():
        results = {"nfe": float(samples.nfe.mean()), "seconds": samples.seconds}
        write_json(path.with_suffix(".json"), settings | results | provenance(experiment, opened.facts))
    first = f" (the first {SHOWN} in the picture)" if len(samples.on_sheet) < sample.n else ""
    say(f"{path} and .npz: {sample.n} samples{first}, NFE {samples.nfe.mean():.0f}, {samples.seconds:.1f} s")
