"""A signal where there is no run to save: before Python listens, and in work that only looks."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from source_files import ROOT

from experiments.commands.matrix import refusal
from experiments.config.schema import Data
from experiments.data.check import check
from experiments.data.sources import Sources
from experiments.runtime.signals import Interrupted, stop

AT_ONCE = """
import os, runpy, signal, sys
from experiments.runtime import startup
startup.make_fast = lambda restart: os.kill(os.getpid(), signal.SIGINT)
runpy.run_module("experiments", run_name="__main__")
"""


def test_a_signal_in_the_first_moments_is_no_traceback():
    ended = subprocess.run([sys.executable, "-c", AT_ONCE, "matrix"], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def test_work_without_a_run_stops_at_its_next_step(monkeypatch):
    """And not after the grace, as if it were in the middle of a computation."""
    monkeypatch.setattr(stop, "asked", True)
    examples = [{"image": np.zeros((2, 2, 1), np.uint8)}] * 2
    for act in (
        lambda: refusal.__wrapped__("times", "uniform", "VPSDE"),
        lambda: check(Sources(examples, examples), Data(name="npz", levels=256)),
    ):
        with pytest.raises(Interrupted):
            act()
