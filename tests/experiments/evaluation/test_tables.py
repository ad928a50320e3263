"""The tables of a report, as text, CSV and LaTeX."""

import csv
import re

import pytest

from experiments.evaluation.tables import tables, tex

MEAN, STD = 1.23456789, 0.0123456


def results():
    """Two arms of one sampler; the second has no bits and no finite loss."""
    of = lambda mean: {"frechet": {"mean": mean, "std": STD, "values": [mean] * 3}}
    row = lambda mean: {"label": "fast", "step": "deis, order = 4", "n": 25, "nfe": 25.0, "seconds": 0.5} | of(mean)
    point = {"n": 12.0, "setting": {"n": 12.0, "rtol": 0.1}, "nfe": 12.0, "seconds": 0.2} | of(2.0)
    bits = {"mean": 2.5, "std_error": 0.01, "non_finite": 0, "bound": None, "n": 16, "draws": 1, "probes": 0}
    bits |= {"dequantizer": "uniform", "tolerance": 1e-5, "nfe": 80.0}
    size = {"parameters": 1234, "train_seconds": 2.0, "steps_per_second": 10.0}
    arms = [
        {"label": "DDPM & 50 %", "samplers": [row(MEAN) | {"sweep": [point]}], "bits_per_dim": bits, "final_loss": 0.1, **size},
        {"label": "NCSN", "samplers": [row(3.0) | {"sweep": []}], "bits_per_dim": None, "final_loss": None, **size},
    ]
    return {"n": 100, "arms": arms, "distance": "FID", "reference": {"n": 1000, "of": "held-out", "seconds": 9.0, **of(0.5)}}


def read(table):
    return list(csv.DictReader(table.csv().splitlines()))


def test_csv_has_every_number_with_all_its_digits():
    """Those of the sweep too, which stood in the picture alone."""
    content = results()
    by_name = tables(content, best=[])
    first, second, real = read(by_name["samplers"])
    assert (float(first["FID ↓"]), float(first["± FID ↓"])) == (MEAN, STD)
    assert (first["arm"], first["sampler"], first["step"], first["n"]) == ("DDPM & 50 %", "fast", "deis, order = 4", "25")
    assert (second["arm"], real["arm"], real["NFE"], real["wall time, s"], real["n"]) == ("NCSN", "real", "", "", "")
    assert (float(first["s/sample"]), real["s/sample"]) == (0.005, "")
    (point,) = read(by_name["settings"])
    assert (point["setting"], point["NFE"], float(point["FID ↓"])) == ("n = 12, rtol = 0.1", "12.0", 2.0)
    (bits,) = read(by_name["likelihood"])
    assert (bits["bits/dim ↓"], bits["± bits/dim ↓"], bits["variational bound ↓"]) == ("2.5", "0.01", "")
    assert [row["final loss"] for row in read(by_name["training"])] == ["0.1", ""]


@pytest.mark.parametrize("name", ["samplers", "settings", "likelihood", "training"])
def test_latex_has_the_page_s_cells(name):
    """As many in each row as the tabular has columns, none with a bare special character."""
    content = results()
    table = tables(content, best=[content["arms"][0]["samplers"][0]])[name]
    begin, _, head, _, *body, _, _ = table.latex().splitlines()
    width = len(re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", begin)[1])
    assert all(len(re.split(r"(?<!\\)&", line)) == width for line in (head, *body))
    assert len(body) == len(table.texts())
    assert not re.search(r"(?<!\\)[%#_]", table.latex())
    assert table.latex().count(r"\textbf") == (name == "samplers")


def test_a_table_of_nothing_is_left_out():
    content = results()
    for arm in content["arms"]:
        arm["bits_per_dim"] = None
    assert "likelihood" not in tables(content, best=[])


def test_tex_shows_a_text_literally():
    assert tex(r"50 % of a_b & {c} \ ± 10³") == r"50 \% of a\_b \& \{c\} \textbackslash{} $\pm$ 10$^3$"
    assert tex("FID, n → ∞") == r"FID, n $\to$ $\infty$"
    assert tex("p(x | σ, λ, Σ)") == r"p(x \textbar{} $\sigma$, $\lambda$, $\Sigma$)"


@pytest.mark.parametrize("label", ["[a] slow", "*", "*quick*"])
def test_no_row_is_an_option_of_the_command_before_it(label):
    r"""Behind \\\\ and \\midrule TeX skips the end of the line, and takes [ ] or * for its own."""
    content = results()
    content["arms"][0]["label"] = label
    for table in tables(content, best=[]).values():
        assert not re.search(r"(\\\\|rule)\s*[\[*]", table.latex())
