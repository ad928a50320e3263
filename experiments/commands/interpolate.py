"""interpolate: show what lies between held-out examples, by a trained run."""

from __future__ import annotations

from experiments.build.sampler import sample_sampler
from experiments.commands.arguments import Call, compile_cache, distributed, run_or_workdir
from experiments.commands.opening import Needs, open_run
from experiments.data.canvas import save
from experiments.data.pictures import held_out_shown
from experiments.runs.folder import Folder
from experiments.runs.resume import trained_state
from experiments.runtime import processes
from experiments.runtime.files import replacing, write_json
from experiments.runtime.progress import say
from experiments.sampling import figures
from experiments.sampling.interpolation import interpolate_examples
from experiments.sampling.settings import picture_path, provenance, sampler_settings

HELP = "show what lies between held-out examples, by a trained run"
ARGUMENTS = (run_or_workdir, distributed, compile_cache)


def run(call: Call) -> None:
    """Writes interpolations/SAMPLER_SETTING.png and .json: a row for each pair, between its two examples.

    Nothing of the run changes.
    """
    opened = open_run(call, Needs())
    experiment = opened.experiment
    opened.refuse_changes(opened.workdir, experiment)
    config, state = experiment.config, trained_state(experiment, opened.workdir)
    test = opened.dataset.held_out(2 * config.interpolate.pairs).levels
    frames = interpolate_examples(experiment, experiment.network(state.ema), test)
    settings = sampler_settings(sample_sampler(experiment), int(state.step)) | config.interpolate.model_dump(exclude={"file"})
    settings |= {"tolerance": config.evaluate.tolerance, "t_min": config.evaluate.t_min, "seed": config.seed}
    folder, pairs = Folder(opened.workdir).interpolations, config.interpolate.pairs
    path = picture_path(folder, config.sample.sampler, config.interpolate.file, settings)
    if processes.first():
        display = experiment.scaler.display
        ends = display(test[:pairs]), display(test[pairs : 2 * pairs])
        pictures = {kind: display(levels) for kind, levels in frames.items()}
        figure = figures.interpolation(pictures, ends, held_out_shown(experiment.scaler, opened.dataset))
        with replacing(path) as part:
            save(figure, part)
        write_json(path.with_suffix(".json"), settings | provenance(experiment, opened.facts))
    say(f"{path}: {pairs} pairs of held-out examples")
