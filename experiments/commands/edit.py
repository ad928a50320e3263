"""edit: make other versions of held-out examples, by a trained run."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.build.experiment import Experiment
from experiments.build.sampler import sample_sampler
from experiments.build.state import State
from experiments.commands.arguments import Call, compile_cache, distributed, run_or_workdir
from experiments.commands.opening import Needs, open_run
from experiments.config.options import parameters
from experiments.config.parts import EDIT, learns_sde
from experiments.data.canvas import save
from experiments.data.pictures import held_out_shown
from experiments.runs.folder import Folder
from experiments.runs.resume import trained_state
from experiments.runtime import processes
from experiments.runtime.files import replacing, write_json
from experiments.runtime.progress import say
from experiments.sampling import figures
from experiments.sampling.direction import class_direction
from experiments.sampling.editing import configured_edit, edit_examples, edited_examples
from experiments.sampling.settings import picture_path, provenance, sampler_settings

HELP = "make other versions of held-out examples, by a trained run"
ARGUMENTS = (run_or_workdir, distributed, compile_cache)


def run(call: Call) -> None:
    """Writes edits/NAME_SETTING.png and .json in the run's folder; nothing else of the run changes.

    Raises ConfigError before anything is computed if the edit does not apply to the run.
    """
    opened = open_run(call, Needs())
    opened.refuse_changes(opened.workdir, opened.experiment)
    data, edit = opened.dataset, configured_edit(opened.experiment, opened.dataset.test)
    state = trained_state(opened.experiment, opened.workdir)
    experiment = opened.experiment.at(state.ema)
    config, scaler = experiment.config, experiment.scaler
    edit = configured_edit(experiment, data.test) if learns_sde(config) else edit
    examples = edited_examples(experiment, edit, data)
    params = experiment.network(state.ema)
    towards = None if edit.towards is None else class_direction(experiment, params, data, edit.towards)
    result = edit_examples(experiment, params, edit, examples, towards)
    settings = edit_settings(experiment, state)
    path = picture_path(Folder(opened.workdir).edits, config.edit.by.name.rpartition(":")[2], config.edit.file, settings)
    if processes.first():
        levels = scaler.display(np.asarray(scaler.decode(jnp.asarray(result.x))))
        figure = figures.edits(levels, edit.columns, edit.lines, held_out_shown(scaler, data))
        with replacing(path) as part:
            save(figure, part)
        x_0 = np.asarray(scaler.place(jnp.asarray(examples.levels[: config.edit.rows]), 0.5))
        chosen = f"the first {config.edit.rows} of {len(data.test)} held out, in one random order"
        words = {"examples": f"{chosen}, and then the others of pairs"}
        words |= {} if edit.sampled else {"sampler": None}
        results = {"lines": list(edit.lines), "columns": list(edit.columns), "nfe": result.nfe.mean(0).tolist()}
        results |= {"seconds": result.seconds, "numbers": edit.measure(result.x, x_0)}
        write_json(path.with_suffix(".json"), settings | words | results | provenance(experiment, opened.facts))
    say(f"{path}: {config.edit.rows} rows, at most {result.nfe.max()} evaluations a frame, {result.seconds:.1f} s")


def edit_settings(experiment: Experiment, state: State) -> dict[str, Any]:
    """Returns what the frames depend on, as JSON values."""
    config, by = experiment.config, experiment.config.edit.by
    options = parameters(EDIT.find(by.name)).values()
    defaults = {p.name: p.default for p in options if p.name not in EDIT.context and p.default is not p.empty}
    flow = {"tolerance": config.evaluate.tolerance, "t_min": config.evaluate.t_min}
    edit = {"edit": {"name": by.name} | defaults | by.options, "rows": config.edit.rows}
    return edit | flow | sampler_settings(sample_sampler(experiment), int(state.step))
