"""The table of measures: one more entry is a column, a line of the protocol, a key of report.json and a row of the plots."""

import json

import numpy as np
import pytest
from runs import MOONS, in_root  # noqa: F401
from slow import one_in

from experiments.config.arms import TAKEN
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import ExampleStream, load
from experiments.data.sources import open_sources
from experiments.evaluation import measures, plots, report
from experiments.evaluation.features import feature_space
from experiments.evaluation.formats import mean_std, number
from experiments.evaluation.measures import MEASURES, Measure, computable, measure_images
from experiments.evaluation.protocol import protocol_lines
from experiments.evaluation.ranking import verdict
from experiments.evaluation.reference import Reference
from experiments.evaluation.report import write_report
from experiments.evaluation.report_data import report_data
from experiments.evaluation.results import baseline, say_cost
from experiments.evaluation.spreads import spread
from experiments.evaluation.training_seeds import arm_of_runs
from experiments.runtime.errors import ConfigError

SHIFT = Measure(
    "shift",
    "shift of the mean × 10",
    "lower",
    of=lambda comparison: float(np.linalg.norm(comparison.fake.mu - comparison.reference.real.mu)),
    protocol=lambda config, reference: ("shift", f"|mean of samples - mean of {reference.real.n} real ones|"),
    times=10,
)


@pytest.fixture
def moons(tmp_path):
    """Config, data, and the held-out moons as the reference."""
    overrides = ["--config.evaluate.n=64", "--config.evaluate.seeds=2", "--config.evaluate.features=pixels"]
    config = Config.model_validate(read_config(MOONS, overrides))
    data = load(open_sources(config.data), config.data, config.seed)
    return config, data, Reference.of(config, data, feature_space(config, data), tmp_path)


def arm(reference, data):
    """An arm with one sampler, whose samples at 4 and at 8 evaluations are real points moved by 0.3 and 0.1."""

    def setting(nfe, shift):
        sets = [data.train_examples()[64 * seed :][:64] + np.float32([shift, 0]) for seed in range(2)]
        names = [measure.name for measure in computable(reference, 64)]
        by_seed = [measure_images(reference, points, 0) for points in sets]
        return {"nfe": nfe, "seconds": 1.0, "non_finite": 0, "unsound": [], **spread(by_seed, names)}

    row = {"name": "flow", "label": "flow", "step": "deis, order = 4", "n": 8, **setting(8.0, 0.1)}
    row["sweep"] = [{"setting": {"n": 4}} | setting(4.0, 0.3), {"w": 2.0, "setting": {"w": 2.0}} | setting(8.0, 0.1)]
    size = {"parameters": 3, "train_seconds": 1.0, "evaluate_seconds": 1.0, "steps_per_second": 1.0, "final_loss": 1.0}
    curves = {
        "curve": {"step": [1, 2], "loss": [1.0, 0.5]},
        "loss_by_log_snr": {"log_snr": [0.0, 1.0], "loss": [1.0, 1.0], "std_error": [0.1, 0.1]},
    }
    rest = {"name": "run", "label": "run", "changes": {}, "bits_per_dim": None}
    return {"samplers": [row], **size, **curves, **rest, "process_non_finite": 0, "between_non_finite": 0}


def test_the_report_says_which_label_is_which_class(moons):
    config, data, reference = moons
    assert "labels" not in dict(protocol_lines(config, data, reference))
    named = data._replace(classes=("cat", "dog"))
    assert dict(protocol_lines(config, named, reference))["labels"] == "0 is cat, 1 is dog"


def test_a_sampler_that_an_arm_leaves_out_is_none_of_its_choices(moons):
    """Each arm has one sampler, so that none is chosen."""
    config, data, reference = moons
    first, other, *rest = config.samplers
    arms = {"a": {"samplers": dict.fromkeys((other, *rest))}, "b": {"samplers": dict.fromkeys((first, *rest))}}
    assert "choices" in dict(protocol_lines(config, data, reference))
    assert "choices" not in dict(protocol_lines(config.model_copy(update={"arms": arms}), data, reference))


def results(moons):
    config, data, reference = moons
    return report_data(config, [arm(reference, data)], data, reference, baseline(config, data, reference), "")


@pytest.mark.slow
def test_one_more_measure_is_everywhere(moons, monkeypatch, tmp_path):
    """It is appended to the table, and nothing else of the product changes."""
    monkeypatch.setattr(measures, "MEASURES", (*MEASURES, SHIFT))
    content, data = results(moons), moons[1]
    events = data.test[:16]
    pictures = {"run": {"grids": {"flow": events}, "process": np.stack([events] * 3)}}
    page = write_report(tmp_path, content, pictures, events).read_text()

    written = json.loads((tmp_path / "report.json").read_text())
    row, real = written["arms"][0]["samplers"][0], written["reference"]
    assert row["shift"]["mean"] == pytest.approx(0.1, abs=0.1)
    assert len(row["shift"]["values"]) == 2
    assert real["shift"]["mean"] < row["sweep"][0]["shift"]["mean"]
    assert ["shift", f"|mean of samples - mean of {len(data.test)} real ones|"] in written["protocol"]
    assert "shift of the mean × 10 ↓" in page
    assert mean_std(row["shift"], times=10) in page
    assert f"<td>|mean of samples - mean of {len(data.test)} real ones|</td>" in page

    figure = plots.quality_against_nfe(content)
    energy, *_, shift = figure.axes
    assert [energy.get_yscale(), shift.get_yscale()] == ["symlog", "log"]  # real moons are as far below 0 as above
    labels = ["energy distance × 10³", "Fréchet distance", "shift of the mean × 10"]
    assert [panel.get_ylabel() for panel in figure.axes] == labels
    curve, line = shift.containers[0].lines[0], shift.lines[-1]
    assert list(curve.get_xdata()) == [4, 8]
    assert list(curve.get_ydata()) == pytest.approx([10 * p["shift"]["mean"] for p in (row["sweep"][0], row)])
    assert list(line.get_ydata()) == pytest.approx(2 * [10 * real["shift"]["mean"]])
    guided = plots.quality_against_w(content).axes
    assert [panel.get_ylabel() for panel in guided] == ["precision", "recall", "shift of the mean × 10"]
    assert list(guided[-1].containers[0].lines[0].get_ydata()) == pytest.approx([10 * row["shift"]["mean"]])


def over_seeds(*values):
    return spread([{"shift": value} for value in values], ["shift"])["shift"]


@one_in(2)
@pytest.mark.parametrize(("better", "chosen"), [("lower", "near"), ("higher", "far")])
def test_the_first_measure_ranks_the_samplers(moons, monkeypatch, tmp_path, better, chosen):
    """The best of an arm is the lowest or the highest, as the measure says, and is marked in its column."""
    monkeypatch.setattr(measures, "MEASURES", (SHIFT._replace(better=better), *MEASURES))
    content, events = results(moons), moons[1].test[:16]
    (only,) = content["arms"]
    row, content["reference"]["shift"] = only["samplers"][0], over_seeds({"lower": 0.1, "higher": 5.0}[better])
    spreads = {"near": 0.5, "far": 2.0}
    only["samplers"] = [row | {"name": n, "label": n, "shift": over_seeds(m - 0.01, m + 0.01)} for n, m in spreads.items()]
    pictures = {"run": {"grids": dict.fromkeys(spreads, events), "process": np.stack([events] * 3)}}
    page = write_report(tmp_path, content, pictures, events).read_text()
    best = f"run is best with {chosen} (deis, order = 4, n = 8), at shift of the mean × 10 = "
    assert best + number(10 * spreads[chosen]) in page
    assert page.count('class="n best"') == 1
    assert f'class="n best">{number(10 * spreads[chosen])}' in page


@pytest.mark.parametrize(
    ("near", "far", "real", "best", "equals", "as_real"),
    [
        ((1.0, 1.1, 1.2), (2.0, 2.1, 2.2), (0.1, 0.2, 0.3), "near", (), False),
        ((1.0, 1.1, 1.2), (1.1, 1.2, 1.3), (0.1, 0.2, 0.3), None, ("near", "far"), False),
        ((0.1, 0.2, 0.3), (2.0, 2.1, 2.2), (0.1, 0.2, 0.3), None, ("near",), True),
        ((0.0, 0.01, 0.02), (0.1, 0.2, 0.3), (0.2, 0.3, 0.4), None, ("near", "far"), True),  # below real data is not above it
        ((1.0, 1.1), (2.0, 2.1), (0.1,), "near", (), False),  # all real examples, measured once
        ((1.0,), (2.0,), (0.1,), None, ("near", "far"), True),  # one seed has no spread
        ((), (2.0, 2.1, 2.2), (0.1, 0.2, 0.3), "far", (), False),
        ((), (), (0.1, 0.2, 0.3), None, (), False),
    ],
)
def test_what_cannot_be_told_apart_is_not_ranked(near, far, real, best, equals, as_real):
    rows = [{"label": label, "shift": over_seeds(*values)} for label, values in (("near", near), ("far", far))]
    found = verdict(SHIFT, rows, {"shift": over_seeds(*real)})
    assert (found.best and found.best["label"], found.equals, found.real) == (best, equals, as_real)


@pytest.mark.slow
def test_a_report_without_a_best_sampler_says_why(moons, tmp_path):
    """Moons of the training data are moons: no cell is marked."""
    content, events = results(moons), moons[1].test[:16]
    row = content["arms"][0]["samplers"][0]
    row["energy"] = content["reference"]["energy"]
    pictures = {"run": {"grids": {"flow": events}, "process": np.stack([events] * 3)}}
    page = write_report(tmp_path, content, pictures, events).read_text()
    assert "Of run, flow cannot be told from real training points by 64 samples a seed, and might be by more." in page
    assert "Real training points, 64 of them, stand at energy distance" in page
    assert 'class="n best"' not in page


@one_in(3)
@pytest.mark.parametrize(
    ("ddpm", "ncsn", "says"),
    [
        ((1.0, 1.1, 1.2), (2.0, 2.1, 2.2), "this run of DDPM is better than that of NCSN: DDPM has 11.0 ± 1.0 with flow"),
        ((2.0, 2.1, 2.2), (1.0, 1.1, 1.2), "this run of NCSN is better than that of DDPM: DDPM has 21.0 ± 1.0 with flow"),
        ((1.0, 1.1, 1.2), (1.1, 1.2, 1.3), "DDPM and NCSN cannot be told apart: DDPM has 11.0 ± 1.0 with flow"),
        (
            (0.1, 0.2, 0.3),
            (1.1, 1.2, 1.3),
            "DDPM cannot be told from real training points by 64 samples a seed, and might be by more: DDPM has 2.00 ± 1.00",
        ),
        ((1.0,), (2.0,), "DDPM and NCSN cannot be told from real training points by 64 samples of one seed, and might be"),
        ((1.1, 1.2, 1.3), (), "this run of DDPM is better than that of NCSN, which has no finite value"),
    ],
)
def test_the_report_answers_which_arm_is_better(moons, monkeypatch, tmp_path, ddpm, ncsn, says):
    """By the best sampler of each, over its seeds; a worse one of either takes no part."""
    monkeypatch.setattr(measures, "MEASURES", (SHIFT, *MEASURES))
    monkeypatch.setattr(report, "_drawings", lambda *of: {})
    content, events = results(moons), moons[1].test[:16]
    (only,) = content["arms"]
    few = ddpm == (1.0,)  # one sampling seed, of the real examples too
    row, content["reference"]["shift"] = only["samplers"][0] | {"sweep": []}, over_seeds(*(0.1,) if few else (0.1, 0.2, 0.3))
    slow = row | {"name": "slow", "label": "slow", "shift": over_seeds(9, 9.1)}
    rows = lambda *values: [row | {"shift": over_seeds(*values)}, slow]
    content["arms"] = [
        only | {"name": name, "label": label, "samplers": rows(*values)[: 2 if values else 1]}
        for name, label, values in (("ddpm", "DDPM", ddpm), ("ncsn", "NCSN", ncsn))
    ]
    pictures = {name: {"grids": {"flow": events}, "process": np.stack([events] * 3)} for name in ("ddpm", "ncsn")}
    page = " ".join(write_report(tmp_path, content, pictures, events).read_text().split())
    assert f"By shift of the mean × 10, each arm with its best sampler, {says}" in page
    assert "± is the spread over sampling seeds of one training run an arm" in page
    assert "no winner can be claimed over them: train.seeds = (0, 1, 2), say, trains every arm from three." in page


@one_in(2)
@pytest.mark.parametrize(
    ("gaps", "says", "marked"),
    [
        ((0.4, 0.5, 0.6), "DDPM is better than NCSN, over training seeds 0, 1 and 2:", "DDPM"),
        (
            (-0.4, 0.5, 0.6),
            "no winner can be claimed over training seeds 0, 1 and 2, which cannot tell DDPM and NCSN apart:",
            "",
        ),
    ],
)
def test_the_report_claims_a_winner_only_over_training_seeds(moons, monkeypatch, tmp_path, gaps, says, marked):
    """Paired, though each arm varies by more than the arms differ. Page, JSON, CSV and LaTeX have the interval."""
    monkeypatch.setattr(measures, "MEASURES", (SHIFT, *MEASURES))
    monkeypatch.setattr(report, "_drawings", lambda *of: {})
    config, data, reference = moons
    config = config.model_copy(update={"train": config.train.model_copy(update={"seeds": (0, 1, 2)})})
    run = arm(reference, data) | {"evaluate_seconds": 1.0}
    row = run["samplers"][0] | {"sweep": []}
    of = lambda *values: [run | {"samplers": [row | {"shift": over_seeds(value, value + 0.2)}]} for value in values]
    each = {"DDPM": of(5, 6, 7), "NCSN": of(*(5 + i + gap for i, gap in enumerate(gaps)))}
    arms = [arm_of_runs(label.lower(), label, dict(enumerate(runs))) for label, runs in each.items()]
    content = report_data(config, arms, data, reference, baseline(config, data, reference), "")
    content["reference"]["shift"] = over_seeds(0.1, 0.2, 0.3)
    events = data.test[:16]
    pictures = {name: {"grids": {"flow": events}, "process": np.stack([events] * 3)} for name in ("ddpm", "ncsn")}
    page = " ".join(write_report(tmp_path, content, pictures, events).read_text().split())
    assert says in page
    assert "DDPM has 61.0 ± 10.0 with flow" in page
    assert "± is the spread over training seeds" in page
    assert "trains every arm from three" not in page
    first = json.loads((tmp_path / "report.json").read_text())["differences"][0]
    assert (first["name"], first["winner"]) == ("shift", marked or None)
    assert first["mean"] == pytest.approx(-np.mean(gaps))
    low, high = (float(each) for each in read_csv(tmp_path / "tables" / "differences.csv")[0].split(",")[4:6])
    assert (low, high) == pytest.approx((10 * first["low"], 10 * first["high"]))
    assert (tmp_path / "tables" / "differences.tex").read_text().count(r"\\") > 1
    assert "<h2>Spread over sampling seeds</h2>" in page
    protocol = dict(content["protocol"])
    assert protocol["training seeds"].startswith("0, 1, 2: a training run of every arm from each")
    assert "training seed" not in protocol


def read_csv(path):
    """The lines of a file after the first."""
    return path.read_text().splitlines()[1:]


def test_too_few_samples_have_no_distance_at_infinity_and_the_report_says_so(moons):
    """64 points are below the 100 that a fit takes; 128 have a column of it."""
    config, data, reference = moons
    assert not any("frechet_infinity" in row for row in results(moons)["arms"][0]["samplers"])
    no_value = "no value: a fit takes 100 samples for 2 features, and evaluate.n = 64"
    assert dict(protocol_lines(config, data, reference))["Fréchet distance, n → ∞"] == no_value
    more = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"n": 128})})
    assert "Chong & Forsyth 2020" in dict(protocol_lines(more, data, reference))["Fréchet distance, n → ∞"]
    points = measure_images(reference, data.train_examples()[:128], 0)
    assert points["frechet_infinity"] < points["frechet"]
    assert list(baseline(more, data, reference)["frechet_infinity"]["values"]) != []


@pytest.mark.slow
def test_no_number_is_lost_to_a_picture(moons, monkeypatch, tmp_path, capsys):
    """A plot that fails is said, an earlier report's is gone, and the rest of the report stands."""

    def failing(results):
        raise ValueError("no curve")

    monkeypatch.setattr(plots, "training_curves", failing)
    (tmp_path / "curves.png").write_bytes(b"of an earlier report")
    content, events = results(moons), moons[1].test[:16]
    pictures = {"run": {"grids": {"flow": events}, "process": np.stack([events] * 3)}}
    page = write_report(tmp_path, content, pictures, events).read_text()
    assert "curves.png could not be drawn (ValueError: no curve)" in page
    assert "warning: curves.png could not be drawn" in capsys.readouterr().out
    assert not (tmp_path / "curves.png").exists()
    assert {"quality.png", "samples.png", "report.json"} <= {path.name for path in tmp_path.iterdir()}
    assert {path.name for path in (tmp_path / "tables").iterdir()} >= {"samplers.csv", "settings.tex"}


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made and not drawn, which takes most of the time of a report."""
    monkeypatch.setattr(report, "save", lambda figure, path: path.touch())


def test_nothing_of_an_earlier_report_stays_and_all_that_is_a_user_s_does(moons, tmp_path, undrawn):
    """Its tables and sheets that this one does not have; a user's tables, and the samples that the run drew."""
    gone = ["tables/likelihood.csv", "tables/likelihood.tex", "sheets/run/ancestral.png", "sheets/old/flow.png", "guidance.png"]
    kept = ["tables/mine.csv", "samples/run_flow.png"]
    for path in (tmp_path / name for name in gone + kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"of an earlier report")
    content, events = results(moons), moons[1].test[:16]
    content["arms"][0]["samplers"][0]["sweep"] = []
    write_report(tmp_path, content, {"run": {"grids": {"flow": events}, "process": np.stack([events] * 3)}}, events)
    assert not [name for name in gone if (tmp_path / name).exists()]
    assert [(tmp_path / name).read_bytes() for name in kept] == [b"of an earlier report"] * 2
    assert {path.name for path in (tmp_path / "tables").iterdir()} >= {"samplers.csv", "training.tex"}


def test_every_arm_and_sampler_has_its_sheet(moons, tmp_path, undrawn):
    """`a` with `b_flow` and `a_b` with `flow` had one; and no arm may have the name of a file that is written."""
    content, events = results(moons), moons[1].test[:16]
    (only,) = content["arms"]
    rows = [only["samplers"][0] | {"name": name, "label": name, "sweep": []} for name in ("flow", "b_flow")]
    content["arms"] = [only | {"name": name, "label": name, "samplers": rows} for name in ("a", "a_b")]
    grids = {"flow": events, "b_flow": events}
    write_report(tmp_path, content, {n: {"grids": grids, "process": np.stack([events] * 3)} for n in ("a", "a_b")}, events)
    assert len([*(tmp_path / "sheets").rglob("*.png")]) == 4
    assert all(TAKEN.fullmatch(path.name) for path in tmp_path.iterdir())


def test_the_cost_is_said_before_it_starts(moons, capsys):
    """Five samplers at three settings each, with two seeds; a set of real examples took two seconds."""
    say_cost([moons[0]], {"seconds": 2.0})
    assert "30 sets of samples to draw; measuring them takes about 60 s beside that" in " ".join(
        capsys.readouterr().out.split()
    )


def test_few_samples_for_their_features_are_warned_of(moons):
    """With as many features as samples, or real examples, no covariance has full rank; two numbers of a point need three."""
    reference = moons[2]
    wide = reference._replace(real=reference.real._replace(mu=np.zeros(3072), n=500))
    assert reference.doubts(8) == []
    assert wide.doubts(64) == [
        f"Fréchet distance {of}, too few for 3,072 features, is biased up: {remedy}"
        for of, remedy in (
            ("of 64 samples", "raise evaluate.n, or take other evaluate.features"),
            ("against 500 real points", "evaluate.real = 'train' has more"),
        )
    ]
    assert len(wide.doubts(3073)) == 1


SORTED = np.repeat(np.float32([[-1, -1], [1, 1]]), 50_000, axis=0)
"""More points than were once read, of two places, one after the other."""


class Sorted:
    """SORTED, decoded."""

    origin, nbytes, cut_anew = "sorted", SORTED.nbytes, False
    everything = lambda self: (SORTED, None, np.arange(len(SORTED)))
    read = lambda self, rows, at=None: (SORTED[rows], [None] * len(rows))
    __len__ = lambda self: len(SORTED)


@pytest.mark.parametrize("resident_mib", [4096, 0])
def test_real_examples_are_drawn_from_all(moons, tmp_path, resident_mib):
    """Against as many of both places as are held out; the first 50,000 of the training data are of one."""
    config, data, _ = moons
    data = data._replace(train=ExampleStream(Sorted(), 0, resident_mib), test=SORTED[::1000], test_labels=None)
    reference = Reference.of(config, data, feature_space(config, data), tmp_path)
    assert max(baseline(config, data, reference)["frechet"]["values"]) < 0.5  # between one place and both it is 4


@pytest.mark.parametrize(("n", "held_out", "says"), [(64, 64, "of 64"), (64, 2, "of 2 "), (20_000, 12_000, "of 10000 ")])
def test_neighbours_are_fewer_than_the_points_of_every_set(moons, tmp_path, n, held_out, says):
    """Held are 10,000 at most, whatever is compared."""
    config, data, _ = moons
    k = min(n, held_out, 10_000)
    config = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"n": n, "neighbours": k})})
    data = data._replace(test=np.resize(data.test, (held_out, 2)))
    with pytest.raises(ConfigError, match=f"evaluate.neighbours = {k} {says}.*take fewer"):
        Reference.of(config, data, feature_space(config, data), tmp_path)


def test_training_examples_are_the_reference_in_memory_or_not(moons, tmp_path):
    """The same statistics, of all of them."""
    config, _, _ = moons
    config = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"real": "train"})})
    load_with = lambda mib: load(open_sources(config.data), config.data.model_copy(update={"resident_mib": mib}), 0)
    there, read = (Reference.of(config, data, feature_space(config, data), tmp_path).real for data in map(load_with, (1, 0)))
    assert there.n == read.n == 20_000
    for name in ("mu", "root", "features"):
        np.testing.assert_array_equal(getattr(there, name), getattr(read, name), strict=True)


def test_names_are_unique():
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
