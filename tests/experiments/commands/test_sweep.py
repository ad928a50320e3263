"""Sweeps from end to end: runs, ranking, what is added later, and scripts for a cluster."""

import json
import os
import shlex
import subprocess

import pytest
from runs import MOONS, TINY, content, metrics
from small_experiments import ONE_SAMPLER

from experiments.main import main

pytestmark = pytest.mark.usefixtures("in_root")

WORDS = (*TINY, ONE_SAMPLER, "--config.train.steps=4", "--config.evaluate.likelihood=0")
RATES = "--config.train.learning_rate=1e-4,2e-3"
LABELS = ["learning_rate-0.0001", "learning_rate-0.002"]


def sweep(folder, *words):
    """The exit code of a sweep on the moons."""
    return main(["sweep", f"--config={MOONS}", f"--workdir={folder}", *WORDS, *words])


@pytest.mark.slow
def test_a_sweep_is_ranked_and_grows(tmp_path, capsys):
    """One run for each value; a value that is added later trains and measures its own run alone."""
    assert sweep(tmp_path, RATES) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["swept"] == {label: {"learning_rate": label.rpartition("-")[2]} for label in LABELS}
    ranked = (tmp_path / "tables" / "ranking.csv").read_text().splitlines()
    assert ranked[0].startswith("rank,learning_rate,sampler,")
    energy = {arm["name"]: arm["samplers"][0]["energy"]["mean"] for arm in report["arms"]}
    assert [line.split(",")[1] for line in ranked[1:]] == [name.rpartition("-")[2] for name in sorted(energy, key=energy.get)]
    assert (tmp_path / "sweep.png").exists()
    assert "<h2>Ranking</h2>" in (tmp_path / "report.html").read_text()
    before = {label: content(tmp_path / label / "checkpoints") for label in LABELS}
    capsys.readouterr()
    assert sweep(tmp_path, f"{RATES},4e-3") == 0
    assert capsys.readouterr().out.count("sampler_ancestral: as it was measured before") == 2
    assert {label: content(tmp_path / label / "checkpoints") for label in LABELS} == before
    assert len(json.loads((tmp_path / "report.json").read_text())["arms"]) == 3


@pytest.mark.slow
def test_runs_apart_are_the_sweep(tmp_path, capsys):
    """Each by `--only`, in any order, and then the report, which measures nothing again."""
    together, apart = tmp_path / "together", tmp_path / "apart"
    assert sweep(together, RATES) == 0
    for label in reversed(LABELS):
        assert sweep(apart, RATES, f"--only={label}") == 0
        assert not (apart / "report.json").exists()
    capsys.readouterr()
    assert sweep(apart, RATES) == 0
    assert capsys.readouterr().out.count("sampler_ancestral: as it was measured before") == 2
    for label in LABELS:
        assert [row["loss"] for row in metrics(apart / label)] == [row["loss"] for row in metrics(together / label)]
    energies = [
        [arm["samplers"][0]["energy"] for arm in json.loads((folder / "report.json").read_text())["arms"]]
        for folder in (together, apart)
    ]
    assert energies[0] == energies[1]


def test_a_sweep_that_cannot_be_is_refused(tmp_path, capsys):
    assert sweep(tmp_path) == 2
    assert "nothing to sweep" in capsys.readouterr().err
    assert sweep(tmp_path, RATES, "--only=learning_rate-3") == 2
    assert "did you mean learning_rate-" in capsys.readouterr().err
    assert sweep(tmp_path, "--config.evaluate.n=64,128") == 2
    assert "must be the same in all arms" in capsys.readouterr().err
    assert not (tmp_path / "report.json").exists()


def test_a_script_for_slurm_names_each_run(tmp_path, capsys):
    """It is a shell script, whose task I computes run I; `bash` runs it with a program in the place of Python."""
    folder = tmp_path / "a b"
    assert sweep(folder, RATES, "--slurm") == 0
    script = capsys.readouterr().out
    script = script[script.index("#!/bin/bash") :]
    assert "#SBATCH --array=0-1\n" in script
    python = next(line for line in script.splitlines() if line.startswith("exec ")).split()[1]
    runs = []
    for task in ("0", "1"):
        said = subprocess.run(
            ["bash"],
            input=script.replace(f"exec {python}", "exec printf '%s\\n'"),
            env=os.environ | {"SLURM_ARRAY_TASK_ID": task},
            capture_output=True,
            text=True,
            check=True,
        )
        words = said.stdout.splitlines()
        assert RATES in words
        assert f"--workdir={folder}" in words
        runs += [word for word in words if word.startswith("--only=")]
    assert runs == [f"--only={label}" for label in LABELS]


def test_it_is_submitted_with_the_report_after_it(tmp_path, monkeypatch, capsys):
    """A stand-in for `sbatch` writes down its arguments."""
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f'#!/bin/bash\necho "$@" >> {shlex.quote(str(tmp_path / "said"))}\ncat > /dev/null\necho 17\n')
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(sbatch.parent), prepend=os.pathsep)
    assert sweep(tmp_path / "run", RATES, "--submit") == 0
    first, after = (tmp_path / "said").read_text().splitlines()
    assert first == "--parsable"
    assert after.startswith("--parsable --dependency=afterany:17 --job-name=report --wrap=")
    assert "--only" not in after
    assert "2 runs are job 17" in capsys.readouterr().out
    sbatch.write_text("#!/bin/bash\necho 'no such partition' >&2\nexit 1\n")
    assert sweep(tmp_path / "run", RATES, "--submit") == 2
    assert "sbatch failed: no such partition" in capsys.readouterr().err
