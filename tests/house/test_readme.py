"""The README's code runs, and does what it says."""

import jax
import numpy as np
import pytest
from pages import ROOT, python_blocks

EXAMPLE, OWN_SDE = python_blocks(ROOT / "README.md")


def test_it_is_short():
    """A newcomer reads it at one sitting; the reference is under docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110


@pytest.mark.slow
def test_the_library_example_trains_and_samples(capsys):
    """Eight points within 0.5 of (1, 1) or (-1, -1), some of each; it prints such a point."""
    names = {}
    exec(EXAMPLE, names)
    draw = lambda key: names["samplers"].draw(key, names["sde"], names["step"], names["grid"], shape=(2,)).x
    points = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(2), 8)))
    printed = np.array(capsys.readouterr().out.strip("[]\n ").split(), float)
    for point in [*points, printed]:
        assert np.abs(np.abs(point) - 1).max() < 0.5
        assert point[0] * point[1] > 0
    assert len(set(np.sign(points[:, 0]))) == 2


def test_the_sde_example_keeps_its_promises():
    names = {}
    exec(OWN_SDE, names)
    import sde_lib

    sde_lib.check(names["MySDE"]())
