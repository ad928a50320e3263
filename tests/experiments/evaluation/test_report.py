"""What the report says, and what its pictures show."""

import json
import re

import numpy as np
import pytest
from source_files import ROOT

from experiments.data.pictures import picture
from experiments.evaluation.formats import mean_error, mean_std, number
from experiments.runtime.files import write_json


def test_each_image_is_in_its_place():
    """Image i of a sheet of four columns lies at row i // 4, column i % 4, pixel for pixel."""
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 5, 1), np.uint8)
    sheet = np.asarray(picture(images, columns=4, scale=2))[::2, ::2]
    for i, image in enumerate(images):
        top, left = i // 4 * 4, i % 4 * 6
        np.testing.assert_array_equal(sheet[top : top + 3, left : left + 5], image[..., 0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((1234.5, "1,234"), (12.345, "12.3"), (0.98765, "0.988"), (0.0, "0"), (float("nan"), "—"), (None, "—")),
        *((1.234e-3, "0.00123"), (4.4e-5, "4.40e-5"), (-5.6e-12, "-5.60e-12"), (0.9999, "1.00"), (999.9, "1,000")),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_a_spread_has_the_precision_of_its_mean():
    assert mean_std({"mean": 2.345, "std": 0.4567, "values": [1, 2]}) == "2.35 ± 0.46"
    assert mean_std({"mean": 4.4e-5, "std": 1e-6, "values": [1, 2]}) == "(4.40 ± 0.10)e-5"
    assert mean_std({"mean": -4e-5, "std": 0.3, "values": [1, 2]}) == "0.000 ± 0.300"  # a larger spread has its own
    assert mean_std({"mean": 0.0, "std": 0.0, "values": [1, 2]}) == "0 ± 0"
    assert mean_std({"mean": float("nan"), "std": float("nan"), "values": []}) == "— (not finite)"


def test_a_mean_comes_with_its_standard_error_or_with_what_failed():
    nan = float("nan")
    assert mean_error({"mean": 2.34567, "std_error": 0.0123, "non_finite": 0}) == "2.346 ± 0.012"
    assert mean_error({"mean": 2.34567, "std_error": nan, "non_finite": 0}) == "2.346"
    assert mean_error({"mean": nan, "std_error": nan, "non_finite": 3}) == "— (3 not finite)"


def test_json_has_null_for_nan(tmp_path):
    write_json(tmp_path / "it.json", {"a": [1.0, float("nan")], "b": float("inf")})
    assert json.loads((tmp_path / "it.json").read_text()) == {"a": [1.0, None], "b": None}


def test_nothing_is_cut_or_overlaps_on_a_narrow_screen():
    """Nothing asks for more than 320 pixels of it, words break, and below 500 each cell has its own line."""
    folder = ROOT / "experiments" / "evaluation"
    style, body = (folder / "report.html.jinja").read_text().split("</style>")
    body += "".join((folder / f"{part}.html.jinja").read_text() for part in ("answer", "table"))
    wide, narrow = style.split("@media (max-width: 500px)")
    widths = re.findall(r"(?<!max-)width: (\d+)px|minmax\((\d+)px", wide)
    assert all(int(one or other) <= 320 for one, other in widths)
    assert "minmax(min(380px, 100%), 1fr)" in wide  # beside each other where two have room, else below
    assert "overflow-wrap: anywhere" in wide
    assert re.search(r"table, tbody, tr, td \{ display: block; \}", narrow)
    assert "td[data-heading]::before { content: attr(data-heading)" in narrow
    assert 'data-heading="{{ column.heading }}"' in body
    assert "nowrap" not in narrow + body
