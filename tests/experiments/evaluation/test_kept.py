"""An evaluation that was stopped goes on with what it had measured, and with nothing that something else had."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from runs import run

from experiments.evaluation import results
from experiments.evaluation.kept import forget, keeping
from experiments.runs.folder import Folder
from experiments.runtime.signals import Interrupted

EVENTS = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
VALUES = {"a": [1.0, float("nan")], "b": None, "c": {"d": 0.1 + 0.2}}


def parts(run, config="c", split="test", bias=0.0):
    record, real = SimpleNamespace(circumstances={"config": config}), SimpleNamespace(protocol=(split, (8, 8, 1)))
    return keeping(run, record, SimpleNamespace(real=real), {"net": {"bias": np.float32([bias])}})  # pyright: ignore


def test_a_part_is_measured_once_for_the_same_state_config_and_data(tmp_path):
    calls = []
    measure = lambda: (calls.append(1), (VALUES, EVENTS))[1]
    first = parts(tmp_path)("sampler_ode", measure)
    again = parts(tmp_path)("sampler_ode", measure)
    assert len(calls) == 1
    assert repr(again.values) == repr(first.values)  # nan, too
    assert again.seconds == first.seconds
    np.testing.assert_array_equal(again.events, EVENTS, strict=True)
    for other in (parts(tmp_path, config="d"), parts(tmp_path, split="train"), parts(tmp_path, bias=-0.0)):
        other("sampler_ode", measure)
    assert len(calls) == 4
    parts(tmp_path)("sampler_ode", measure)  # which the others have replaced
    (Folder(tmp_path).measured / "sampler_ode.npz").write_bytes(b"PK\x03\x04 half")
    parts(tmp_path)("sampler_ode", measure)
    assert len(calls) == 6
    forget(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("in_root")
def test_evaluate_goes_on_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    """The whole report is that of an evaluation that was not stopped, and no sampler is measured twice."""
    four = "{'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}"
    small = f"--config.samplers={{'one': {four}, 'ancestral': {four}}}", "--config.train.steps=4"
    report = lambda: json.loads((tmp_path / "report.json").read_text())["arms"]
    assert run("train", tmp_path, *small) == 0
    assert run("evaluate", tmp_path, *small) == 0
    (whole,) = report()
    (tmp_path / "report.json").unlink()

    def stopped(*_):
        raise Interrupted("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(results, "bits_per_dim", stopped)
        assert run("evaluate", tmp_path, *small) == 75
    assert sorted(path.name for path in (tmp_path / "measured").iterdir()) == ["sampler_ancestral.npz", "sampler_one.npz"]
    with monkeypatch.context() as patch:
        patch.setattr(results, "_quality", stopped)
        assert run("evaluate", tmp_path, *small) == 0
    assert "sampler_one: as it was measured before" in capsys.readouterr().out
    (gone_on,) = report()
    clock = lambda row: {key: value for key, value in row.items() if key != "seconds"}
    assert list(map(clock, gone_on["samplers"])) == list(map(clock, whole["samplers"]))
    assert gone_on["bits_per_dim"] == whole["bits_per_dim"]
    assert gone_on["loss_by_log_snr"] == whole["loss_by_log_snr"]
    assert gone_on["evaluate_seconds"] > sum(row["seconds"] for row in gone_on["samplers"])
    page = (tmp_path / "report.html").read_text()
    assert "s of training, " in page
    assert "s of evaluation" in page
    assert not (tmp_path / "measured").exists()
