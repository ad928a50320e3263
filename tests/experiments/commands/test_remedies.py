"""A message advises only what its command takes, and what it advises works when it is done."""

import ast
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from runs import MOONS, TINY, run
from slow import slow_for
from source_files import ROOT

from experiments.build.optimizer import optimizer_rate, warm_up
from experiments.config.schema import Config, Train
from experiments.main import TABLE, main, make_parser

pytestmark = pytest.mark.usefixtures("in_root")

OFTEN = ("--config.train.steps=4", "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}")
WAYS = re.compile(r"((?:--allow-change=\S+ ?)+|--fork=DIR|--config=\S+config\.json|another --workdir)")
PACKAGES = ("experiments", "losses", "models", "samplers", "sde_lib")


def takes(command: str) -> set[str]:
    """Returns the options of a command."""
    (commands,) = (action for action in make_parser()._actions if action.dest == "command")
    parser = commands.choices[command]  # pyright: ignore[reportIndexIssue, reportOptionalSubscript]
    return {word for action in parser._actions for word in action.option_strings}


def messages() -> list[tuple[str, str]]:
    """Returns every string of the source but docstrings, with its file, as Python writes it: f'{PROGRAM} train'."""
    found = []
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        strings = [node for node in nodes if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in docstrings]
        found += [(path.name, ast.unparse(node)) for node in strings]
    return found


def test_every_option_that_a_message_names_is_one():
    known = {option for command in TABLE for option in takes(command)} | {"--weights", "--format"}
    xla = {"--xla_cpu_experimental_ynn_fusion_type", "--xla_cpu_enable_concurrency_optimized_scheduler"}
    sbatch = {"--array", "--dependency", "--gres", "--job-name", "--output", "--parsable", "--time", "--wrap"}
    foreign = {"--data_dir", "--file_format", "--show-toplevel"} | xla | sbatch
    named = {(file, word) for file, text in messages() for word in re.findall(r"(?<![\w-])--[a-z][\w-]*", text)}
    assert len(named) > 40
    assert {(file, word) for file, word in named if word not in known | foreign | {"--config"}} == set()


def test_what_every_command_says_names_no_option_of_some():
    """The rooms of runs and of the machine serve commands that take no --workdir, so their messages do not advise it."""
    everyone = {path.name for room in ("runs", "runtime") for path in (ROOT / "experiments" / room).glob("*.py")}
    bare = re.compile(r"--workdir(?!=)")  # with a value it is in a whole command
    assert {(file, text) for file, text in messages() if file in everyone - {"ways_on.py"} and bare.search(text)} == set()


def test_every_key_that_a_message_sets_is_one():
    """A message may say --config.evaluate.tolerance; options of a part have any name, and capital letters stand for one."""
    named = {(file, key) for file, text in messages() for key in re.findall(r"--config\.([a-z_][\w.]*\w)", text)}
    assert len(named) > 8
    free = {"key", "a", "sde", "net", "samplers", "arms"}
    for file, key in named:
        section, *below = key.split(".")
        of = Config.model_fields[section].annotation if section not in free else None
        for name in below if of else ():
            fields = {k: v for t in (of, *getattr(of, "__args__", ())) for k, v in getattr(t, "model_fields", {}).items()}
            assert name in fields, (file, key)
            of = fields[name].annotation


def test_every_command_that_a_message_names_is_one():
    named = {(file, word) for file, text in messages() for word in re.findall(r"\{PROGRAM\} (\w+)", text)}
    assert {word for _, word in named} >= {"train", "ckpt", "replay", "export", "data"}
    assert {word for _, word in named} <= set(TABLE)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run of 4 steps, to copy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        folder = tmp_path_factory.mktemp("advice") / "a run"
        assert run("train", folder, *OFTEN) == 0
    return folder


@pytest.fixture
def copy(done, tmp_path):
    return Path(shutil.copytree(done, tmp_path / "a run"))


@pytest.mark.slow
def test_a_run_is_imported_by_its_export(copy, capsys):
    """Whose weights are the trained ones: those that a run began with, if it was imported, are beside its checkpoints."""
    assert main(["import", str(copy), str(copy / "out")]) == 5
    command = capsys.readouterr().err.partition("python -m experiments ")[2].partition(", and import that")[0]
    assert main(shlex.split(command)) == 0
    assert main(["import", f"{copy}_weights", str(copy / "out")]) == 0


SEED, WIDTH = ("--config.seed=1",), ("--config.net.width=8",)
TWO = (*SEED, "--config.train.learning_rate=0.002")
SDE = ("--config.sde={'name': 'VPSDE', 'beta_max': 18.0}",)
CHANGED = [("train", SEED, 4), ("train", TWO, 4), ("train", SDE, 4), ("train", WIDTH, 2)]
CHANGED += [(command, change, 1) for command in ("sample", "evaluate") for change in (SEED, WIDTH)]


@slow_for("train")
@pytest.mark.parametrize(("command", "change", "n"), CHANGED)
def test_each_way_on_from_another_experiment_works(command, change, n, copy, capsys, tmp_path):
    """A change of the arrays has no way on in the run, and a command that does not train has its own config alone."""
    assert run(command, copy, *OFTEN, *change) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) <= 5
    ways = [way.strip() for way in WAYS.findall(said)] + re.findall(r"--config='[^']*'", said)
    assert len(ways) == n
    for i, way in enumerate(ways):
        here = Path(shutil.copytree(copy, tmp_path / f"{i}" / "a run"))
        way = way.replace(str(copy), str(here))
        words = shlex.split(way)
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= takes(command)
        if command == "evaluate":
            continue  # it takes the same road as sample, and longer
        if way == "another --workdir":
            assert run(command, tmp_path / "other", *OFTEN, *change) == 0
        elif words[0].startswith("--config="):
            assert main([command, *words, f"--workdir={here}"]) == 0
        else:
            words = [word.replace("DIR", str(tmp_path / "fork")) for word in words]
            assert run(command, here, *OFTEN, *change, *words) == 0


@pytest.mark.slow
def test_a_run_that_is_not_there_is_trained_by_the_command_that_is_named(tmp_path, capsys):
    folder = tmp_path / "a run"
    assert run("sample", folder, *OFTEN) == 5
    command = capsys.readouterr().err.partition("python -m experiments ")[2]
    assert main(shlex.split(command)) == 0
    shutil.rmtree(folder / "checkpoints")
    record = json.loads((folder / "run.json").read_text())
    record.pop("saved")
    (folder / "run.json").write_text(json.dumps(record))
    assert run("sample", folder, *OFTEN) == 5
    command = capsys.readouterr().err.partition("python -m experiments ")[2]
    assert main(shlex.split(command)) == 0
    assert run("sample", folder, *OFTEN) == 0


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 100, 1000])
def test_a_first_trial_of_few_steps_has_a_whole_schedule(steps):
    """The rate rises over a tenth of the steps and falls to 0 at their end, if the warm-up would take all of them."""
    config = Train(steps=steps, batch=8, warm_up=1000, decay="cosine", learning_rate=1.0)
    rates = [float(optimizer_rate(config)(step)) for step in (warm_up(config), steps)]
    assert warm_up(config) == steps // 10
    assert rates == pytest.approx([1.0, 0.0], abs=1e-6)
    assert warm_up(config.model_copy(update={"steps": 1001})) == 1000
    assert warm_up(config.model_copy(update={"decay": "constant"})) == 1000


@pytest.mark.slow
def test_a_warm_up_of_all_steps_is_said_and_trains(tmp_path, capsys):
    few = "--config.train.steps=2", "--config.train.decay=cosine", "--config.train.warm_up=100"
    assert main(["train", f"--config={MOONS}", f"--workdir={tmp_path}", *TINY, *few]) == 0
    assert "train.warm_up = 100 takes all of train.steps = 2: it is 0, a tenth" in " ".join(capsys.readouterr().out.split())
