"""The yardstick of benchmarks.public: its laws are exact, and it tells a right sampler from a wrong one."""

import json
import re
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from benchmarks.public import yardstick
from benchmarks.public.__main__ import ADAPTERS, command, requirement
from benchmarks.public.laws import GAUSSIAN, LAWS, MIXTURE
from benchmarks.public.page import failure, findings, order, page
from benchmarks.public.yardstick import Draws, Likelihood, Sampler, report

LEVELS = [(1.0, 0.0), (0.8, 0.6), (1.0, 50.0), (0.0, 1.0)]
X = np.linspace(-0.9, 0.9, 7)
TOP, END = (0.0, 1.0), (0.98, 0.02)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("level", LEVELS)
def test_score_and_quantiles_are_those_of_the_density(law, level):
    there, h = law.at(level), 1e-5 * max(level[1], 0.1)
    x = there.mean() + there.std() * X
    slope = (there.log_prob(x + h) - there.log_prob(x - h)) / (2 * h)
    np.testing.assert_allclose(law.score(x, *level, np), slope, rtol=1e-5, atol=1e-7 / there.std())
    density = (there.cdf(x + h) - there.cdf(x - h)) / (2 * h)
    np.testing.assert_allclose(density, np.exp(there.log_prob(x)), rtol=1e-5)
    np.testing.assert_allclose(there.quantile(there.cdf(x)), x, atol=1e-9 * max(level[1], 1))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_denoised_is_by_tweedie_and_noise_is_the_rest(law):
    alpha, sigma = 0.8, 0.6
    denoised = law.denoised(X, alpha, sigma, np)
    np.testing.assert_allclose(alpha * denoised, X + sigma**2 * law.score(X, alpha, sigma, np))
    np.testing.assert_allclose(alpha * denoised + sigma * law.noise(X, alpha, sigma, np), X, atol=1e-12)


def velocity(law, t, x):
    """dx/dt of x_t = (1 - t) x_0 + t z."""
    return law.noise(x, 1 - t, t, np) - law.denoised(x, 1 - t, t, np)


def test_the_flow_that_keeps_quantiles_solves_the_ode():
    x = np.array([-2.0, -0.4, 0.1, 1.5])
    solution = solve_ivp(lambda t, x: velocity(MIXTURE, t, x), (1.0, 0.02), x, rtol=1e-9, atol=1e-9, method="DOP853")
    np.testing.assert_allclose(MIXTURE.flow(x, TOP, END), solution.y[:, -1], atol=1e-7)


def solver(name, step, claimed, spoil=lambda x: x):
    def draw(law, n, steps, seed):
        start = x = np.random.default_rng(seed).standard_normal(n)
        times = np.linspace(1.0, 0.02, steps + 1)
        for t, s in pairwise(times):
            x = step(law, x, t, s)
        return Draws(spoil(x), END, start, TOP)

    return Sampler(name, draw, (64, 256), claimed, "bug: on purpose")


def euler(law, x, t, s):
    return x + (s - t) * velocity(law, t, x)


def heun(law, x, t, s):
    return x + (s - t) / 2 * (velocity(law, t, x) + velocity(law, s, euler(law, x, t, s)))


def refuse(law, n, steps, seed):
    raise TypeError("no such argument")


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """What `report` writes of right and wrong rows, at a smaller number of draws."""
    monkeypatch.setattr(yardstick, "N", 8192)
    monkeypatch.setattr(yardstick, "version", lambda package: "1.0")
    monkeypatch.setattr(sys, "argv", ["adapter", str(tmp_path / "figures.json")])
    exact = lambda law, x, seed: law.log_prob(x).sum(axis=1)
    report(
        "package",
        [
            solver("Euler", euler, 1),
            solver("Heun", heun, 2),
            solver("Euler as Heun", euler, 2),
            solver("wider", heun, None, spoil=lambda x: 1.2 * x),
            Sampler("refuses", refuse),
        ],
        [Likelihood("right", exact), Likelihood("shifted", lambda *of: exact(*of) + 1)],
    )
    return {"package": json.loads((tmp_path / "figures.json").read_text())}


def test_rows_that_are_off_are_told_from_those_that_are_not(figures):
    of = figures["package"]["samplers"]
    assert order(of["Euler"]["errors"]) == pytest.approx(1, abs=0.1)
    assert order(of["Heun"]["errors"]) == pytest.approx(2, abs=0.2)
    numbers = {finding.row: finding.number for finding in findings(figures)}
    assert numbers.keys() == {"Euler as Heun", "wider", "refuses", "shifted"}
    assert re.search(r"^order [01]\.\d, not 2$", numbers["Euler as Heun"])
    assert "mixture 0.2" in numbers["wider"]
    assert numbers["refuses"] == "raises TypeError: no such argument"
    assert "+0.250" in numbers["shifted"]
    text = page(figures, date(2026, 1, 2), ["other 2.0"])
    assert "Not measured yet, with an adapter in `benchmarks/public/packages`: other 2.0." in text
    assert "| package 1.0 | 2 of 5 | 1 of 2 |" in text
    assert re.search(r"\*\*package\*\*, wider: W₂ .*\. \*bug\*: on purpose\.", text)


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [([2, 3, 3.4, 3.9], 3.9), ([3, 4, 1.2], 1.2), ([], np.nan)],
    ids=["still rising", "a dip", "nothing"],
)
def test_the_order_is_of_the_last_doubling_above_the_rounding(slopes, expected):
    errors = {str(8 * 2**i): 2.0 ** -sum(slopes[:i]) for i in range(len(slopes) + 1)}
    np.testing.assert_allclose(order({**errors, str(16 * 2 ** len(slopes)): 5e-6}), expected)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("TypeError: not <function f.<locals>.g at 0x7f2fa7>, an array", "raises TypeError: not <...>"),
        ("AttributeError: 'a.b' object has no attribute 'sqrt'", "raises AttributeError: 'a.b' object has no attribute 'sqrt'"),
        ("ValueError: one, but two: three", "raises ValueError: one"),
        ("FloatingPointError: 100% of the draws are not finite", "100% of the draws are not finite"),
    ],
)
def test_a_failure_is_one_clause(error, text):
    assert failure(error) == text


def test_exact_draws_are_at_the_floor():
    draw = lambda law, n, steps, seed: Draws(law.sample(np.random.default_rng(seed + 9), (n,)))
    of = yardstick.law_of(Sampler("exact", draw), GAUSSIAN, 1)
    assert abs(of["mean"]) < 4 * of["mean_se"]
    assert abs(of["std"]) < 4 * of["std_se"]
    assert of["distance"] < 2 * of["floor"]


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_names_its_package_its_version_and_its_python(name):
    text = ADAPTERS[name].read_text()
    if name == "onesde":
        assert requirement(name) == name
        assert command(name, Path("figures.json"))[0] == sys.executable
        return
    assert re.search(r"^# requires-python = \"[<>=.,\d]+\"$", text, re.MULTILINE)
    assert re.search(r'^# dependencies = \["[\w-]+==[\w.]+"', text, re.MULTILINE)
    assert re.fullmatch(r"[\w-]+ [\w.]+", requirement(name))
    assert command(name, Path("figures.json"))[:2] == ["uv", "run"]
