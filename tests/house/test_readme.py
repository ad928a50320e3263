"""The README's code runs, and does what it says."""

import re
from pathlib import Path

import numpy as np

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "README.md").read_text(), re.DOTALL)


def test_the_library_example_trains_and_samples(capsys):
    """Eight points within 0.5 of (1, 1) or (-1, -1), some of each."""
    exec(BLOCKS[0], {})
    points = np.array(re.findall(r"-?\d+\.\d*(?:e[+-]\d+)?", capsys.readouterr().out), float).reshape(8, 2)
    assert np.abs(np.abs(points) - 1).max() < 0.5
    assert (points[:, 0] * points[:, 1] > 0).all()
    assert len(set(np.sign(points[:, 0]))) == 2


def test_the_sde_example_keeps_its_promises():
    names = {}
    exec(BLOCKS[1], names)
    import sde_lib

    sde_lib.check(names["MySDE"]())
