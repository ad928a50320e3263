"""interpolate: show what lies between held-out examples, by a trained run."""

from __future__ import annotations

from experiments.commands.arguments import Call, compile_cache, config, distributed, workdir
from experiments.commands.opening import Needs, open_run
from experiments.data.pictures import first_shown
from experiments.runs.folder import Folder
from experiments.runs.resume import trained_state
from experiments.runtime import processes
from experiments.runtime.files import replacing
from experiments.runtime.progress import say
from experiments.sampling import figures
from experiments.sampling.interpolation import interpolate_examples

HELP = "show what lies between held-out examples, by a trained run"
ARGUMENTS = (config, workdir, distributed, compile_cache)


def run(call: Call) -> None:
    """Writes interpolation.png: a row for each pair, between its two examples. Nothing of the run changes."""
    opened = open_run(call, Needs())
    experiment, test = opened.experiment, opened.dataset.test
    opened.refuse_changes(opened.workdir, experiment)
    frames = interpolate_examples(experiment, experiment.network(trained_state(experiment, opened.workdir).ema), test)
    path, pairs = Folder(opened.workdir).interpolation, experiment.config.interpolate.pairs
    if processes.first():
        display = experiment.scaler.display
        ends = display(test[:pairs]), display(test[pairs : 2 * pairs])
        pictures = {kind: display(levels) for kind, levels in frames.items()}
        figure = figures.interpolation(pictures, ends, first_shown(experiment.scaler, test))
        with replacing(path) as part:
            figure.savefig(part, bbox_inches="tight", pad_inches=0.1)
    say(f"{path}: {pairs} pairs of held-out examples")
