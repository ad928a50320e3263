"""An arm over several training seeds: what is averaged over what, and what is claimed of arms."""

import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from experiments.evaluation import plots
from experiments.evaluation.differences import differences
from experiments.evaluation.formats import mean_std
from experiments.evaluation.measures import MEASURES
from experiments.evaluation.ranking import best_sampler, contenders, verdict
from experiments.evaluation.spreads import over_training_seeds, paired, spread_of
from experiments.evaluation.tables import tables
from experiments.evaluation.training_seeds import arm_of_runs, common_curve, runs_of

NAN = float("nan")
FRECHET = next(measure for measure in MEASURES if measure.name == "frechet")


def run(*values, bits=2.0, loss=(1.0, 0.5), slow=9.0):
    """A run with two samplers; the Fréchet distances of `fast` over sampling seeds are these values."""
    row = {"step": "deis", "n": 8, "nfe": 8.0, "seconds": 1.0, "non_finite": 0, "unsound": [], "sweep": []}
    point = {"setting": {"n": 4.0}, "n": 4.0, "nfe": 4.0, "seconds": 0.5, "non_finite": 1, "unsound": ["why"]}
    rows = [
        row
        | {
            "name": "fast",
            "label": "fast",
            "frechet": spread_of(list(values)),
            "sweep": [point | {"frechet": spread_of([7.0])}],
        },
        row | {"name": "slow", "label": "slow", "frechet": spread_of([slow, slow + 0.1])},
    ]
    of_bits = {"mean": bits, "std_error": 0.3, "non_finite": 0, "n": 16, "nfe": 80.0, "dequantizer_fit": None, "bound": None}
    of_bits |= {"draws": 1, "probes": 0, "dequantizer": "uniform", "tolerance": 1e-5}
    return {
        **{"name": "run", "label": "run", "changes": {}, "parameters": 3, "train_seconds": 2.0, "evaluate_seconds": 1.0},
        **{"steps_per_second": 1.0, "final_loss": loss[-1], "curve": {"step": [1, 2], "loss": list(loss)}, "samplers": rows},
        **{"bits_per_dim": of_bits, "process_non_finite": 0, "between_non_finite": 0},
        "loss_by_log_snr": {"log_snr": [0.0, 1.0], "loss": [loss[0], 1.0], "std_error": [0.3, 0.4]},
    }


def arm(label, runs):
    return arm_of_runs(label.lower(), label, runs)


def test_means_over_training_seeds_and_both_spreads():
    """Two runs with the distances (1, 3) and (4, 8) have 2 and 6, whose spread is 8^(1/2); within, the root of (2 + 8)/2."""
    of = arm("A", {0: run(1.0, 3.0, bits=2.0, loss=(1.0, 0.5)), 5: run(4.0, 8.0, bits=3.0, loss=(2.0, 0.7))})
    fast, slow = of["samplers"]
    assert (fast["frechet"]["values"], fast["frechet"]["training_seeds"]) == ([2, 6], [0, 5])
    assert [fast["frechet"][key] for key in ("mean", "std", "sampling_std")] == pytest.approx([4, math.sqrt(8), math.sqrt(5)])
    assert slow["frechet"]["std"] == 0
    (point,) = fast["sweep"]
    assert (point["frechet"]["values"], point["non_finite"], point["unsound"]) == ([7, 7], 2, ["why", "why"])
    assert math.isnan(point["frechet"]["sampling_std"])  # one sampling seed has no spread
    assert of["bits_per_dim"]["values"] == [2, 3]
    assert of["bits_per_dim"]["std_error"] == pytest.approx(0.3)
    assert of["loss_by_log_snr"]["loss"] == [1.5, 1]
    assert of["loss_by_log_snr"]["std"] == pytest.approx([math.sqrt(0.5), 0])
    assert of["final_loss"] == pytest.approx(0.6)
    assert of["final_loss_std"] == pytest.approx(math.sqrt(0.02))
    assert (of["train_seconds"], of["evaluate_seconds"], of["name"], of["label"]) == (4, 2, "a", "A")
    assert [(each["seed"], each["label"]) for each in of["runs"]] == [(0, "A, seed 0"), (5, "A, seed 5")]


def test_a_run_without_a_finite_value_is_left_out_of_the_mean():
    (fast, _) = arm("A", {0: run(1.0, 3.0), 1: run()})["samplers"]
    assert (fast["frechet"]["values"], fast["frechet"]["training_seeds"]) == ([2], [0])
    assert math.isnan(fast["frechet"]["std"])  # one training seed has no spread
    assert mean_std(fast["frechet"]) == "2.00"


def test_curves_are_taken_at_the_steps_of_every_log():
    whole, cut = run(1.0), run(1.0)
    whole["curve"] = {"step": [1, 2, 3], "loss": [3.0, None, 1.0]}
    cut["curve"] = {"step": [2, 3, 4], "loss": [2.0, 5.0, 4.0]}
    step, losses = common_curve([whole, cut])
    assert step == [2, 3]
    np.testing.assert_array_equal(losses, [[NAN, 1], [2, 5]])
    assert runs_of(whole) == [whole]


def test_pairs_are_of_the_seeds_that_both_have():
    a = over_training_seeds({0: spread_of([1.0]), 1: spread_of([2.0]), 2: spread_of([4.0])})
    b = over_training_seeds({1: spread_of([1.5]), 2: spread_of([3.0]), 3: spread_of([9.0])})
    assert paired(a, b) == {1: 0.5, 2: 1.0}
    assert paired(a, spread_of([1.0, 2.0])) == {}


def test_a_difference_is_the_paired_one():
    """Each arm varies by far more than the arms differ: pairs show the difference, and means with their spread do not."""
    gaps, slow = (0.4, 0.5, 0.6), 99.0
    a = arm("A", {seed: run(10.0 * seed, slow=slow, bits=2.0) for seed in range(3)})
    b = arm("B", {seed: run(10.0 * seed + gaps[seed], slow=slow, bits=2.0 + (-1) ** seed) for seed in range(3)})
    distance, bits = differences([a, b], [FRECHET], "FID")
    assert (distance["arms"], distance["samplers"], distance["heading"]) == (["A", "B"], ["fast", "fast"], "FID")
    half = 4.3026527 * 0.1 / math.sqrt(3)
    assert [distance[key] for key in ("mean", "low", "high")] == pytest.approx([-0.5, -0.5 - half, -0.5 + half])
    assert (distance["winner"], distance["training_seeds"], distance["seeds_to_see"]) == ("A", [0, 1, 2], 3)
    assert (bits["name"], bits["winner"]) == ("bits_per_dim", None)
    (row,) = (row for row in tables(report(a, b), best=[])["differences"].texts() if row[2] == "FID")
    assert row[:2] + row[3:7] == ["A", "B", "-0.500", "-0.748", "-0.252", "A"]


def test_one_seed_or_one_run_has_no_interval():
    one = differences([arm("A", {0: run(1.0)}), arm("B", {0: run(2.0), 1: run(3.0)})], [FRECHET], "FID")
    (distance, _) = one
    assert (distance["mean"], distance["winner"], distance["seeds_to_see"]) == (-1, None, None)
    assert math.isnan(distance["low"])
    assert list(differences([run(1.0, 2.0), run(5.0, 6.0) | {"label": "other"}], [FRECHET], "FID")) == []


@pytest.mark.parametrize(
    ("b", "best"),
    [((0.4, 0.5, 0.6), "A"), ((-0.4, -0.5, -0.6), "B"), ((-0.4, 0.5, 0.6), None), ((0.5, NAN, NAN), None)],
)
def test_an_arm_wins_only_if_the_interval_excludes_zero(b, best):
    """Whichever has the better mean; one seed that both have tells nothing."""
    arms = [
        arm("A", {seed: run(5.0 + seed, slow=99.0) for seed in range(3)}),
        arm("B", {seed: run(*[5.0 + seed + gap] * math.isfinite(gap), slow=99.0) for seed, gap in enumerate(b)}),
    ]
    rivals = contenders(FRECHET, arms)
    assert [row["sampler"] for row in rivals] == ["fast", "fast"]
    of = verdict(FRECHET, rivals)
    assert (of.best and of.best["label"], of.equals) == (best, () if best else ("A", "B"))


def test_samplers_are_chosen_by_the_validation_split_and_arms_judged_by_the_other():
    """`fast` is best against the table's split, and `slow` against the one for choices, over training seeds and of one run."""
    runs = {seed: run(1.0 + seed, 1.1 + seed, slow=5.0 + seed) for seed in range(3)}
    for each in runs.values():
        fast, slow = each["samplers"]
        fast["validation"], slow["validation"] = spread_of([8.0, 8.1]), spread_of([3.0, 3.1])
    pooled = arm("A", runs)
    real = spread_of([0.1, 0.2])
    for one in (pooled, runs[0]):
        best = best_sampler(FRECHET, one["samplers"], {"frechet": real}).best
        assert best is not None
        assert best["label"] == "slow"
        assert [row["sampler"] for row in contenders(FRECHET, [one])] == ["slow"]
    others = arm("B", {seed: run(4.0 + seed, slow=99.0) for seed in range(3)})
    distance, *_ = differences([pooled, others], [FRECHET], "FID")
    assert distance["samplers"] == ["slow", "fast"]
    assert distance["mean"] == pytest.approx(5.05 - 4)
    (header, *_) = tables(report(pooled), best=[])["samplers"].csv().splitlines()
    assert "FID ↓ validation" in header


def report(*arms):
    real = {"n": 100, "of": "training images", "seconds": 1.0, "frechet": spread_of([0.1, 0.2])}
    return {
        **{"arms": list(arms), "distance": "FID", "n": 320, "reference": real, "training_seeds": [0, 1, 2]},
        "differences": list(differences(arms, [FRECHET], "FID")),
    }


def test_tables_have_both_spreads_apart():
    """The spread over training seeds stands under ±, with their number; that over sampling seeds, and of bits, apart."""
    content = report(arm("A", {0: run(1.0, 3.0), 5: run(4.0, 8.0)}), arm("B", {0: run(1.0, 2.0), 5: run(3.0, 4.0)}))
    by_name = tables(content, best=[])
    cells = lambda name: [
        dict(zip((c.heading for c in by_name[name].columns), row, strict=True)) for row in by_name[name].texts()
    ]
    first, *_, real = cells("samplers")
    assert (first["FID ↓"], first["seeds"]) == ("4.00 ± 2.83", "2")
    assert (real["FID ↓"], real["seeds"]) == ("0.150 ± 0.071", "")
    assert cells("sampling")[0] == {"arm": "A", "sampler": "fast", "± FID": "2.24"}
    assert cells("likelihood")[0]["bits/dim ↓"] == "2.000 ± 0.000"
    assert cells("likelihood")[0]["± over examples"] == "0.300"
    assert cells("training")[0]["± final loss"] == "0"
    for name, table in by_name.items():
        header, *lines = table.csv().splitlines()
        assert len(lines) == len(table.rows), name
        assert "nan" not in header


def test_curves_have_bands_over_training_seeds():
    """One standard deviation on either side of the mean, in every plot of curves; one run has none but two standard errors."""
    runs = {0: run(1.0, 3.0, loss=(1.0, 0.5)), 5: run(4.0, 8.0, loss=(2.0, 0.5))}
    content = report(arm("A", runs))
    for draw, middle, half in (
        (plots.training_curves, 1.5, math.sqrt(0.5)),
        (plots.loss_against_log_snr, 1.5, math.sqrt(0.5)),
        (plots.quality_against_nfe, 4.0, math.sqrt(8)),
    ):
        figure = draw(content)
        FigureCanvasAgg(figure).draw()
        band = next(each for each in figure.axes[0].collections if type(each).__name__ == "FillBetweenPolyCollection")
        heights = {round(float(y), 6) for _, y in band.get_paths()[0].vertices}
        assert {round(middle - half, 6), round(middle + half, 6)} <= heights, draw.__name__
    (panel,) = plots.training_curves({"arms": [runs[0]]}).axes
    assert not panel.collections
