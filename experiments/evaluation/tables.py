"""The tables of a report, each stated once: as text in the page and in LaTeX, and with all digits as CSV."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any, NamedTuple

from experiments.evaluation import sweeps
from experiments.evaluation.formats import mean_error, mean_std, number
from experiments.evaluation.measures import CHOICE, Measure, measured
from experiments.evaluation.templates import render

Row = dict[str, Any]
TABLES = "ranking", "samplers", "differences", "sampling", "settings", "likelihood", "training"
"""The names of the tables, and of their files."""


class Column(NamedTuple):
    """A column: its heading, the `value` of a row, None if the row has none, and the `text` of a value.

    `error`: the key of the spread in a value that has a mean; CSV has both. `words`: it is text, and stands at the left.
    """

    heading: str
    value: Callable[[Row], Any]
    text: Callable[[Any], str] = number
    error: str = ""
    words: bool = False
    times: float = 1


class Table(NamedTuple):
    """A table; `best` are the rows whose cell is marked in the column of that heading."""

    columns: list[Column]
    rows: list[Row]
    best: tuple[str, list[Row]] = ("", [])

    def texts(self) -> list[list[str]]:
        """The cells as text, row by row; nothing where a row has no value."""
        return [["" if (v := c.value(row)) is None else c.text(v) for c in self.columns] for row in self.rows]

    def is_best(self, row: int, column: int) -> bool:
        """Says if the cell is marked."""
        heading, rows = self.best
        return self.columns[column].heading == heading and any(self.rows[row] is best for best in rows)

    def csv(self) -> str:
        """The numbers with all their digits; a mean and its spread are two columns."""
        file = StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(h for c in self.columns for h in ((c.heading, f"± {c.heading}") if c.error else (c.heading,)))
        writer.writerows([cell for c in self.columns for cell in _cells(c, row)] for row in self.rows)
        return file.getvalue()

    def latex(self) -> str:
        """A tabular of booktabs, with the text of the page."""
        line = lambda cells: " & ".join(cells) + r" \\"
        body = [
            line([rf"\textbf{{{tex(text)}}}" if self.is_best(i, j) else tex(text) for j, text in enumerate(texts)])
            for i, texts in enumerate(self.texts())
        ]
        head = line([tex(c.heading) for c in self.columns])
        align = "".join("l" if c.words else "r" for c in self.columns)
        rules = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
        return "\n".join(rules) + "\n"

    def _repr_html_(self) -> str:
        """Returns the table for a notebook."""
        return render("table", table=self)


def _cells(column: Column, row: Row) -> Iterator[Any]:
    value = column.value(row)
    for key in ("mean", column.error) if column.error else (None,):
        cell = value if key is None or value is None else value[key]
        yield column.times * cell if key and cell is not None else cell


GREEK = {c: unicodedata.name(c).split()[-1].replace("LAMDA", "LAMBDA") for c in "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"}
TEX = str.maketrans(
    {c: rf"\{c}" for c in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "|": r"\textbar{}",
    }
    | {"±": r"$\pm$", "×": r"$\times$", "³": "$^3$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "—": "---"}
    | {"→": r"$\to$", "∞": r"$\infty$"}
    | {"[": "{[}", "*": "{*}"}  # which the end of the row above would take for its option or its star
    | {c: rf"$\{word.lower() if c.islower() else word.title()}$" for c, word in GREEK.items()}
)


def tex(text: str) -> str:
    """The text as LaTeX shows it literally, at the beginning of a row too."""
    return text.translate(TEX)


def tables(results: dict[str, Any], best: list[Row]) -> dict[str, Table]:
    """The tables of a report by their names, without those that would be empty. `best`: the rows of the best samplers.

    If the arms were trained from several seeds, ± is the spread over these, and the spread over sampling seeds has a table.
    """
    arms, real, several = results["arms"], results["reference"], bool(results.get("training_seeds"))
    label = _words("arm", lambda row: row["arm"])
    of = [_measure(m, results["distance"]) for m in measured(results)]
    cost = [
        Column("NFE", lambda row: row.get("nfe")),
        Column("wall time, s", lambda row: row.get("seconds")),
        Column("s/sample", lambda row: row["seconds"] / results["n"] if "seconds" in row else None),
    ]
    rows = [row | {"arm": arm["label"], "row": row} for arm in arms for row in arm["samplers"]]
    others = {"arm": "real", "label": f"{real['n']:,} {real['of']}", **{k: v for k, v in real.items() if k != "seconds"}}
    named = [_words("sampler", lambda row: row["label"]), _words("step", lambda row: row.get("step"))]
    steps = Column("n", lambda row: row.get("n") if "row" in row else None, str)
    seeds = [_seeds(measured(results)[0])] if several else []
    points = [row | point | {"of": point} for row in rows for point in row["sweep"]]
    bits = [arm["bits_per_dim"] | {"arm": arm["label"]} for arm in arms if arm["bits_per_dim"]]
    chosen = [row for row in rows if any(row["row"] is each for each in best)]
    if any(CHOICE in row for row in rows):
        of.append(_choice(measured(results)[0], results["distance"]))
    sampling = [_sampling(m, results["distance"]) for m in measured(results)]
    every = (
        _ranking(results, [*cost, *of]) if results.get("swept") else Table([], []),
        Table([label, *named, steps, *seeds, *cost, *of], [*rows, others], (of[0].heading, chosen)),
        Table(DIFFERENCES, results.get("differences", [])),
        Table([label, named[0], *sampling], rows if several else []),
        Table([label, named[0], _words("setting", _setting), *cost, *of], points),
        Table([label, *_likelihood(several)], bits),
        Table([label, *TRAINING, *([LOSS_SPREAD] if several else [])], [arm | {"arm": arm["label"]} for arm in arms]),
    )
    return {name: table for name, table in zip(TABLES, every, strict=True) if table.rows}


def _ranking(results: dict[str, Any], numbers: list[Column]) -> Table:
    """The arms of a sweep, the best first, each with its values and its best sampler."""
    values = [_words(key, lambda row, key=key: row["values"].get(key)) for key in sweeps.keys(results)]
    sampler = _words("sampler", lambda row: row["sampler"])
    return Table([Column("rank", lambda row: row["rank"], str), *values, sampler, *numbers], sweeps.ranking(results))


def _words(heading: str, value: Callable[[Row], Any]) -> Column:
    return Column(heading, value, str, words=True)


def _measure(measure: Measure, distance: str) -> Column:
    arrow = {"lower": "↓", "higher": "↑"}[measure.better]
    text = lambda value: mean_std(value, measure.times)
    return Column(
        f"{measure.heading(distance)} {arrow}", lambda row: row.get(measure.name), text, error="std", times=measure.times
    )


def _choice(measure: Measure, distance: str) -> Column:
    """The measure against the validation split, by which samplers are chosen."""
    column = _measure(measure, distance)
    return column._replace(heading=f"{column.heading} validation", value=lambda row: row.get(CHOICE))


def _sampling(measure: Measure, distance: str) -> Column:
    """The spread over sampling seeds alone; nothing for a row without the measure."""
    spread = lambda row: measure.times * row[measure.name]["sampling_std"] if measure.name in row else None
    return Column(f"± {measure.heading(distance)}", spread)


def _seeds(measure: Measure) -> Column:
    """The number of training seeds that have a value; nothing for real examples."""
    return Column("seeds", lambda row: len(row[measure.name]["training_seeds"]) if "row" in row else None, str)


def _setting(row: Row) -> str:
    """The swept options of a point, as the config writes them."""
    return ", ".join(f"{key} = {value:g}" for key, value in row["of"]["setting"].items())


def _likelihood(several: bool) -> list[Column]:
    """The columns of likelihood: ± is over examples, or over several training seeds, with the error over examples apart."""
    error = "std" if several else "std_error"
    text = lambda bits: mean_error(bits, error)
    apart = [Column("± over examples", lambda bits: bits["std_error"], "{:.3f}".format)] if several else []
    return [
        Column("bits/dim ↓", lambda bits: bits, text, error=error),
        *apart,
        Column("variational bound ↓", lambda bits: bits["bound"] or None, text, error=error),
        *LIKELIHOOD,
    ]


LIKELIHOOD = [
    Column("held-out examples", lambda bits: bits["n"], "{:,}".format),
    _words("dequantiser", lambda bits: bits["dequantizer"]),
    Column("draws", lambda bits: bits["draws"], str),
    _words("divergence", lambda bits: f"{bits['probes']} probe{'s' * (bits['probes'] > 1)}" if bits["probes"] else "exact"),
    Column("tolerance", lambda bits: bits["tolerance"], "{:g}".format),
    Column("NFE", lambda bits: bits["nfe"]),
]
TRAINING = [
    Column("parameters", lambda arm: arm["parameters"], "{:,}".format),
    Column("final loss", lambda arm: arm["final_loss"]),
    Column("training, s", lambda arm: arm["train_seconds"]),
    Column("steps/s", lambda arm: arm["steps_per_second"]),
]
LOSS_SPREAD = Column("± final loss", lambda arm: arm["final_loss_std"])
DIFFERENCES = [
    _words("arm", lambda row: row["arms"][0]),
    _words("minus", lambda row: row["arms"][1]),
    _words("in", lambda row: row["heading"]),
    Column("difference", lambda row: row["times"] * row["mean"]),
    Column("95 % from", lambda row: row["times"] * row["low"]),
    Column("to", lambda row: row["times"] * row["high"]),
    _words("better", lambda row: row["winner"]),
    Column("seeds", lambda row: len(row["values"]), str),
    Column("seeds to see it", lambda row: row["seeds_to_see"], "{:,}".format),
    _words("samplers", lambda row: " and ".join(dict.fromkeys(row["samplers"]))),
]
