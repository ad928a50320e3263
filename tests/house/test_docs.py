"""The pages are true: tables are fresh, links lead somewhere, commands are of this program, and they run."""

import os
import re
import socket
import subprocess
import sys

import pytest
import setuptools
from pages import PAGES, ROOT, commands, files, name, python_blocks
from slow import slow_for

from docs.generate import generated
from docs.tables import parts, words
from experiments.config.messages import schema_problems
from experiments.config.problems import part_problems
from experiments.config.reading import read_config
from experiments.config.sweep import split_overrides
from experiments.config.tiny import tiny
from experiments.evaluation import measures
from experiments.main import TABLE, main, make_parser

DOCS = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
COMMANDS = [(page, argv) for page in PAGES for argv in commands(page)]
FINITE = TABLE.keys() - {"demo"}
"""The subcommands that end by themselves."""
OF_ANY_NETWORK = [f"--config=configs/digits/{name}.py:tiny" for name in ("vp", "lora")]
"""Configs whose pages say nothing of the network."""
PERCEPTRON = "--config.net={'name': 'MLP', 'width': 16, 'depth': 1}"
CONFIG_FILE, DISTRIBUTED = re.compile(r"--config=[\w/]+\.py"), "--distributed="


def sit_down(page, folder, monkeypatch):
    """Goes to a folder that has our configs and the files of the page, and from which Python imports."""
    if not (folder / "configs").exists():
        (folder / "configs").symlink_to(ROOT / "configs")
    for file, code in files(page).items():
        (folder / file).write_text(code)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("page", DOCS, ids=name)
def test_tables_are_fresh(page):
    """`python -m docs.generate` would change nothing."""
    text = page.read_text()
    assert generated(text) == text, f"run python -m docs.generate: {name(page)} is stale"


def test_words_are_of_parts():
    """No entry outlives its part."""
    for table in (entry for entry in dir(words) if entry.isupper()):
        kind = getattr(
            parts.parts, {"SDES": "SDE", "NETWORKS": "NET", "TIMES": "TIMES", "GUIDANCE": "GUIDANCE"}.get(table, table[:-1])
        )
        assert set(getattr(words, table)) <= set(kind.names), table


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    """Links, pictures, and paths in the text."""
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in target or (page.parent / target).exists(), f"{name(page)}: {target}"
    places = r"`((?:configs|experiments|benchmarks|models|losses|samplers|sde_lib|tests|docs)/[\w./*]+)`"
    for path in re.findall(places, text):
        assert list(ROOT.glob(path.rstrip("/"))), f"{name(page)}: {path}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_extras_and_targets_and_modules_exist(page, monkeypatch):
    """`pip install .[extra]`, `make target` and `python -m benchmarks.module` are of this repository."""
    text = page.read_text()
    made = {}
    monkeypatch.setattr(setuptools, "setup", made.update)
    exec((ROOT / "setup.py").read_text(), {"__file__": str(ROOT / "setup.py")})
    assert set(re.findall(r"pip install (?:-e )?\.\[(\w[\w-]*)\]", text)) <= set(made["extras_require"])
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= set(targets)
    for module in re.findall(r"python -m ((?:benchmarks|docs)\.[\w.]+)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@slow_for("docs/python.md", "docs/training.md", "docs/how_to/own_metric.md")  # they train runs
@slow_for("docs/how_to/own_network.md", "docs/how_to/own_sampler.md")  # they compile for seconds
@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in ("README.md", "mathematics.md")], ids=name)
def test_python_runs(page, tmp_path, monkeypatch):
    """Each block runs, in a folder that it may write to; those of the README and of mathematics have tests of their own."""
    sit_down(page, tmp_path, monkeypatch)
    monkeypatch.setattr(measures, "MEASURES", measures.MEASURES)  # a page adds to them
    for code in python_blocks(page):
        exec(code, {})


@pytest.mark.parametrize(("page", "argv"), COMMANDS, ids=[f"{name(page)}: {argv[0]}" for page, argv in COMMANDS])
def test_commands_are_of_this_program(page, argv, tmp_path, monkeypatch):
    """The parser takes them, and their config opens, with nothing wrong in it."""
    sit_down(page, tmp_path, monkeypatch)
    arguments, overrides = make_parser().parse_known_args(argv)
    config = getattr(arguments, "config", None)
    if arguments.command == "sweep":
        overrides, _ = split_overrides(overrides)
    if config and CONFIG_FILE.fullmatch(f"--config={config}"):
        tree = read_config(config, overrides, {"tiny": tiny})
        assert not schema_problems(tree) + part_problems(tree)
    else:
        assert all(override.startswith("--config.") for override in overrides)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder in which runs/ is, and the commands that ran in it."""
    return tmp_path_factory.mktemp("desk"), []


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in ("gallery.md", "results.md", "studies.md")], ids=name
)
def test_commands_run(page, runs, monkeypatch):
    """Each page's, in their order, on miniatures of their configs; the runs of one page are there for the next."""
    folder, past = runs
    sit_down(page, folder, monkeypatch)
    for argv in commands(page):
        line = miniature(argv)
        if argv[0] in FINITE and line not in past and not any(word.startswith(DISTRIBUTED) for word in line):
            assert main(line) == 0, line
            past.append(line)


@pytest.mark.slow
def test_two_processes_of_one_machine_train_a_run(tmp_path, monkeypatch):
    """As the page on clusters starts them, at a port that is free."""
    page = ROOT / "docs/how_to/cluster.md"
    sit_down(page, tmp_path, monkeypatch)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    lines = [miniature(argv) for argv in commands(page) if f"{DISTRIBUTED}localhost" in " ".join(argv)]
    at = [[re.sub(r"localhost:\d+", f"localhost:{port}", word) for word in line] for line in lines]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    started = [subprocess.Popen([sys.executable, "-m", "experiments", *line], env=env) for line in at]
    try:
        assert [process.wait(timeout=240) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    assert (tmp_path / "runs/two/metrics.jsonl").read_text()


def miniature(argv):
    """The command with `:tiny` after its config and few steps, and by a perceptron on `OF_ANY_NETWORK` if it names no other.

    A U-Net takes three times as long to compile; it is in the comparisons and in all other configs.
    """
    words = [f"{word}:tiny" if CONFIG_FILE.fullmatch(word) else word for word in argv]
    few = lambda match: match[1] + str(min(int(match[2]), 6 if match[1].startswith("--config") else 5))
    words = [re.sub(r"^(--config\.train\.steps=|--step=)(\d+)$", few, word) for word in words]
    any_network = not any(word.startswith(("--config.net", "--config.remat")) for word in words)
    return words + [PERCEPTRON] * (any_network and any(word in OF_ANY_NETWORK for word in words))
