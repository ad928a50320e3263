"""What cannot be computed on is refused in a line, before anything asks for a device."""

import os
import subprocess
import sys

import jax
import pytest
from small_experiments import small_experiment
from source_files import ROOT

from experiments.build.checks import device_problems
from experiments.main import main

pytestmark = pytest.mark.usefixtures("in_root")

FIND = """
from experiments.runtime import devices, errors
try:
    devices.find()
except errors.ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize("platform", ["cuda", "cdu"])
def test_a_platform_that_is_not_there_is_named(platform):
    """JAX has another kind of error for each of the two."""
    if platform == "cuda" and os.path.exists("/dev/nvidiactl"):
        pytest.skip("it is there")
    env = os.environ | {"JAX_PLATFORMS": platform}
    ended = subprocess.run([sys.executable, "-c", FIND], env=env, cwd=ROOT, capture_output=True, text=True)
    words = "jax finds no such device; unset it to compute on what there is, or install jax for that device"
    assert ended.stdout == f"JAX_PLATFORMS={platform}: {words}\n", ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "why"),
    [
        ("JAX_PLATFORMS=cdu", "JAX_PLATFORMS=cdu: jax finds no such device"),
        ("JAX_ENABLE_X64=1", "JAX_ENABLE_X64 is set"),
        ("JAX_ENABLE_X64=maybe", "invalid truth value 'maybe' for environment 'JAX_ENABLE_X64'"),
    ],
)
def test_a_command_ends_with_one_line_for_it(variable, why):
    name, _, value = variable.partition("=")
    argv = [sys.executable, "-m", "experiments", "matrix"]
    ended = subprocess.run(argv, env=os.environ | {name: value}, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert why in ended.stderr


def test_float64_is_refused(capsys):
    with jax.enable_x64(True):
        assert main(["matrix"]) == 2
    assert capsys.readouterr().err == "matrix: JAX_ENABLE_X64 is set, and the arrays of a run are float32: unset it\n"


@pytest.mark.parametrize(
    "place", ["localhost,1,0", "localhost:a,1,0", "localhost:99999,1,0", ":1,1,0", "a:1,0,0", "a:1,2,2", "a:1"]
)
def test_a_place_among_processes_is_whole(place, capsys):
    """Before jax reads it."""
    assert main(["train", "--config=none.py", "--workdir=none", f"--distributed={place}"]) == 2
    assert f"--distributed={place}: write auto or HOST:PORT,N,I" in capsys.readouterr().err


def test_a_batch_that_the_devices_do_not_divide_is_refused_where_one_draws():
    """And not in the config of a guide, or of a run that is exported."""
    experiment = small_experiment("--config.evaluate.batch=13")
    assert device_problems(experiment.config) == ["evaluate.batch = 13 does not divide over 2 devices: take 12 or 14"]
