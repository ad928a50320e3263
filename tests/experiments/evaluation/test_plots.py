"""Plots: whatever they draw may be missing, what they show is true to its ends, and nothing covers it."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from experiments.data import canvas
from experiments.evaluation import plots, sample_sheets

NAN = float("nan")


def laid_out(figure):
    """The figure with its layout done."""
    FigureCanvasAgg(figure).draw()
    return figure


def curves(*losses):
    arms = [{"label": str(i), "curve": {"step": list(range(1, len(x) + 1)), "loss": list(x)}} for i, x in enumerate(losses)]
    return {"arms": arms}


def quality(*means, nfe=(6, 25, 100, 106)):
    """A report of one sampler, at the last of its evaluations, with the others as its sweep."""
    of = lambda mean, nfe: {"nfe": float(nfe), "frechet": {"mean": mean, "std": 0.1, "values": [mean]}}
    *sweep, row = [of(*pair) for pair in zip(means, nfe, strict=False)]
    arm = {"label": "DDPM", "samplers": [row | {"label": "fast", "sweep": sweep}]}
    return {"arms": [arm, arm], "distance": "Fréchet distance", "reference": {"of": "held-out", **of(9.0, 1)}}


@pytest.mark.parametrize("n", [1, 2, 5, 9, 10, 40])
def test_a_running_median_of_what_only_falls_is_itself(n):
    """A window cut at the ends made nine rows from 0.96 to 0.13 a flat 0.29."""
    x = np.geomspace(0.96, 0.13, n)
    np.testing.assert_array_equal(plots.running_median(x), x)


def test_a_running_median_has_no_outlier_and_the_gaps_of_its_rows():
    x = np.ones(20)
    x[7], x[12] = 100, NAN
    smooth = plots.running_median(x)
    assert np.isnan(smooth[12])
    assert set(np.delete(smooth, 12)) == {1.0}


@pytest.mark.parametrize("losses", [[(0.9, None, 0.3)], [(None, None)], [()], [(0.5,)], [(0.9, 0.3), (None, -2.0)]])
def test_a_row_of_the_log_without_a_finite_loss_is_a_gap(losses):
    """All skipped steps of an interval were a traceback, and took the reports of other arms with it."""
    (panel,) = laid_out(plots.training_curves(curves(*losses))).axes
    low, high = panel.get_ylim()
    for dots, line, rows in zip(panel.lines[::2], panel.lines[1::2], losses, strict=True):
        finite = [x is not None for x in rows]
        np.testing.assert_array_equal(np.isfinite(np.asarray(line.get_ydata(), float)), finite)
        assert all(low < y < high for y in np.asarray(dots.get_ydata(), float)[finite])  # a log axis has no place for -2


@pytest.mark.parametrize(
    "values", [[6, 25, 100, 106], [1000, 999], [8], [1, 1000, *range(2, 900, 7)], [50, 51, 52, 53, 54, 55]]
)
def test_the_first_and_the_last_evaluation_have_their_numbers(values):
    ticks = plots.spaced(values)
    assert {min(values), max(values)} <= {*ticks} <= {*values}
    assert len(ticks) <= plots.TICKS + 1
    assert all(b >= 1.3 * a for a, b in pairwise(ticks)) or len(ticks) == 2


@pytest.mark.parametrize(
    "means", [(40, 30, 25, 22), (3000, 200, 12, 9.5), (3.0, 0.2, -0.01, -0.02), (NAN, NAN, 12.0, NAN), (NAN,)]
)
def test_the_quality_plot_can_be_read(means):
    """Every value is in view, at least two numbers stand on the axis if there is a range, and the legend covers no panel."""
    figure = laid_out(plots.quality_against_nfe(quality(*means)))
    panel, *_ = figure.axes
    low, high = panel.get_ylim()
    assert all(low < mean < high for mean in means if np.isfinite(mean))
    labels = [t.get_text() for t, y in zip(panel.get_yticklabels(), panel.get_yticks(), strict=True) if low <= y <= high]
    assert len(list(filter(None, labels))) >= 2
    (legend,) = figure.legends
    assert not any(legend.get_window_extent().overlaps(panel.get_window_extent()) for panel in figure.axes)


def test_every_name_is_in_the_legend():
    """One that begins with _ was left out, as matplotlib leaves out what it names itself; and $ is no TeX."""
    arms = curves((1.0, 0.5), (1.0, 0.6))
    for arm, label in zip(arms["arms"], ("_slow", "$x_$"), strict=True):
        arm["label"] = label
    (legend,) = plots.training_curves(arms).legends
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_slow", r"\$x_\$"]


def test_letters_without_a_font_are_said_once_and_in_our_words(tmp_path, capsys, recwarn):
    arms = curves((1.0, 0.5))
    arms["arms"][0]["label"] = "模型 🙂"
    for name in ("a.png", "b.png"):
        canvas.save(plots.training_curves(arms), tmp_path / name)
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    assert " ".join(capsys.readouterr().out.split()).count("letters that the font of pictures lacks are boxes") == 1


def test_arms_may_have_other_samplers_than_the_first():
    """Each is below its own heading; an arm with more of them than the first was a traceback."""
    points = np.random.default_rng(0).normal(size=(3, 5, 2))
    grids = {"a": {"fast": points[0]}, "b": {"ancestral": points[1], "fast": points[2]}}
    figure = sample_sheets.first_samples(grids, points[0], {"a": "A", "b": "B"})
    counts = np.reshape([len(panel.collections) for panel in figure.axes], (2, 3))
    assert [panel.get_title() for panel in figure.axes[:3]] == ["fast", "ancestral", "real, held out"]
    assert counts.tolist() == [[1, 0, 1], [1, 1, 1]]


def test_samples_beside_what_they_are_made_of_are_as_large_as_the_real_ones():
    """Pairs of images are twice as wide as an image, and were shown at half its size."""
    images = np.random.default_rng(0).integers(0, 17, (36, 8, 16, 1), np.uint8)
    figure = sample_sheets.first_samples({"a": {"fast": images}}, images[:, :, 8:], {"a": "A"})
    figure.draw_without_rendering()
    sheets = [(panel.get_window_extent(), panel.images[0].get_array().shape) for panel in figure.axes]
    rows, real = [place.height / shape[0] for place, shape in sheets]
    assert rows == pytest.approx(real, rel=0.1)


def test_the_reverse_process_of_points_shows_each_of_them():
    """Eight dots of less than a pixel were an empty frame."""
    points = np.random.default_rng(0).normal(size=(3, 50, 2))
    for panel, frame in zip(sample_sheets.process_strip({"run": points}, {"run": "run"}).axes, points, strict=True):
        np.testing.assert_allclose(panel.collections[0].get_offsets(), frame)
