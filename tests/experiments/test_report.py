"""Reports in Python."""

import csv
import io

import pytest
from runs import MOONS, TINY
from small_experiments import ONE_SAMPLER
from source_files import ROOT

import experiments
from experiments.data import sources
from experiments.runtime.errors import ConfigError, StorageError

pytestmark = pytest.mark.slow  # docs/python.md, which is run too, has a short one

WORDS = [word.removeprefix("--config.") for word in (*TINY, ONE_SAMPLER, "--config.train.steps=4")]
ARMS = "arms={'a': {'title': 'A'}, 'b': {'title': 'B', 'parameterization': 'eps'}}"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a comparison of two arms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return experiments.compare(MOONS, tmp_path_factory.mktemp("runs") / "of [two]", *WORDS, ARMS)


def test_a_comparison_is_a_report_and_its_arms_are_runs(report):
    assert [arm["name"] for arm in report.results["arms"]] == ["a", "b"]
    runs = {arm: report.run(arm) for arm in ("a", "b")}
    assert {arm: run.config.parameterization for arm, run in runs.items()} == {"a": "v", "b": "eps"}
    assert all(run.step == 4 for run in runs.values())
    with pytest.raises(ConfigError, match="no arm 'c'"):
        report.run("c")


def test_its_tables_are_those_of_the_files(report):
    """Read again from the folder, nan and all, without data; and the page holds the same cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "open_sources", None)
        again = experiments.open_report(report.folder)
    for name, table in again.tables.items():
        assert table.csv() == (report.folder / "tables" / f"{name}.csv").read_text()
        assert table.latex() == (report.folder / "tables" / f"{name}.tex").read_text()
    shown = again.tables["samplers"]._repr_html_()
    assert shown.strip() in (report.folder / "report.html").read_text()
    rows = list(csv.reader(io.StringIO(again.tables["samplers"].csv())))
    assert [row[0] for row in rows[1:]] == ["A", "B", "real"]


def test_a_notebook_shows_the_answer_and_the_tables(report):
    html = report._repr_html_()
    assert "no winner can be claimed" in html
    assert html.count("<table>") >= 1
    assert report.picture("curves").size[0] > 100
    assert report.picture()._repr_png_()
    with pytest.raises(ConfigError, match="did you mean curves"):
        report.picture("curve")


def test_an_evaluation_is_the_report_of_its_run(report, tmp_path):
    run = report.run("a")
    own = experiments.evaluate(run, "evaluate.seeds=3")
    assert own.folder == run.folder
    assert [*own.results["arms"][0]["samplers"][0]["energy"]["values"]][:2] == (
        report.results["arms"][0]["samplers"][0]["energy"]["values"]
    )
    assert own.run().params.keys() == run.params.keys()
    with pytest.raises(StorageError, match="holds no report"):
        experiments.open_report(tmp_path)
