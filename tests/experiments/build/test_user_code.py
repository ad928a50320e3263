"""Whatever a user's own code raises is one line, with the part and the place in that code; our own faults stay tracebacks."""

import re
import sys

import jax
import pytest
from runs import MOONS
from small_experiments import small_experiment

from experiments.config.problems import attempt, part_problems
from experiments.config.reading import read_config
from experiments.runtime.errors import ConfigError, StorageError

pytestmark = pytest.mark.usefixtures("in_root")

PARTS = """
import sys
import flax.struct
import numpy as np
from flax import linen, nnx
from losses import sigma2
from sde_lib import LinearSDE

@flax.struct.dataclass
class NoImport(LinearSDE):
    def alpha(self, t): return 1 - 0.99 * jnp.asarray(t)
    def sigma(self, t): return t

class Asserts(nnx.Module):
    def __init__(self, shape, *, rngs): assert shape[0] % 16 == 0, "too small"

class Undone(nnx.Module):
    def __init__(self, shape, *, rngs): pass
    def __call__(self, x, c_noise, y=None, key=None): raise NotImplementedError("later")

class Linen(linen.Module):
    def __call__(self, x, c_noise, y=None, key=None): return linen.Dense(2)(x)

class Misfit(nnx.Module):
    def __init__(self, shape, *, rngs): self.kernel = nnx.Param(np.ones((3, 2)))
    def __call__(self, x, c_noise, y=None, key=None): return x @ self.kernel[...]

class InTraining(nnx.Module):
    def __init__(self, shape, *, rngs): self.kernel = nnx.Param(np.ones((2, 2)))
    def __call__(self, x, c_noise, y=None, key=None):
        return x @ self.kernel[...] if key is None else x @ nnx.Dropout(0.1)(x)

class ByLabel(nnx.Module):
    def __init__(self, shape, classes=0, *, rngs): self.table = nnx.Param(np.ones((classes, 3)))
    def __call__(self, x, c_noise, y=None, key=None): return x if y is None else x + self.table[y]

def raises(sde, t): raise type("Odd", (Exception,), {})("of\\nmine")

def taps(sde, t, k: tuple[np.ndarray, ...] = (), _scale=1.0, rest: "a b" = None): return sigma2(sde, t)
"""


@pytest.fixture(autouse=True)
def my_parts(tmp_path, monkeypatch):
    (tmp_path / "my_parts.py").write_text(PARTS)
    (tmp_path / "half.py").write_text("import numpy\nnumpy.pie\n")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit('no GPU here')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_parts", None)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("--config.sde=my_parts:NoImport", r"sde: NameError: name 'jnp' is not defined \(my_parts\.py:11\)"),
        ("--config.net=my_parts:Asserts", r"net: AssertionError: too small \(my_parts\.py:15\)"),
        ("--config.net=my_parts:Undone", r"net: NotImplementedError: later \(my_parts\.py:19\)"),
        ("--config.net=my_parts:Linen", r"net: AssignSubModuleError: .* \(my_parts\.py:22\)"),
        ("--config.net=my_parts:Misfit", r"net: TypeError: .* \(my_parts\.py:26\)"),
        ("--config.net=my_parts:InTraining", r"train: \w+: .* \(my_parts\.py:31\)"),
        ("--config.net={'name': 'my_parts:ByLabel', 'classes': 2}", r"net: \w+: .* \(my_parts\.py:35\)"),
        ("--config.weight=my_parts:raises", r"weight: Odd: of mine \(my_parts\.py:37\)"),
    ],
)
def test_an_error_of_a_user_s_part_is_a_line_with_its_place(override, says):
    with pytest.raises(ConfigError, match=says) as caught:
        small_experiment(override)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("--config.sde=half:SDE", r"sde: cannot import 'half:SDE': AttributeError: module 'numpy' has no .*\(half\.py:2\)"),
        ("--config.sde=exits:SDE", r"sde: cannot import 'exits:SDE': SystemExit: no GPU here \(exits\.py:2\)"),
        ("--config.sde=my_parts:Other", r"sde: cannot import 'my_parts:Other': module 'my_parts' has no attribute 'Other'$"),
        ("--config.sde=my_prats:NoImport", r"sde: cannot import .*No module named 'my_prats'; is its folder on PYTHONPATH\?$"),
    ],
)
def test_a_module_that_cannot_be_imported_says_where(override, says):
    (problem,) = part_problems(read_config(MOONS, [override]))
    assert re.match(says, problem)


def test_options_that_no_config_can_write_are_left_alone():
    """An array in a tuple, a private name, and an annotation that is no code."""
    assert small_experiment("--config.weight=my_parts:taps").config.weight is not None


def test_our_own_faults_and_those_of_the_machine_are_not_the_config_s():
    for error in (AssertionError(), RuntimeError(), MemoryError(), jax.errors.JaxRuntimeError("INTERNAL"), StorageError("x")):
        ours = {"error": error}
        exec(compile("def fail(): raise error", "<ours>", "exec"), ours)
        with pytest.raises(type(error)):
            attempt([], "net", ours["fail"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("c.train.stesp", r"AttributeError: .*stesp.* \(mine\.py:4\)"),
        ("c.trian.steps = 5", r"AttributeError: .*trian.* \(mine\.py:4\)"),
        ("{}['MY_DATA']", r"KeyError: 'MY_DATA' \(mine\.py:4\)"),
        ("__import__('sys').exit('no GPU here')", r"SystemExit: no GPU here \(mine\.py:4\)"),
        ("1 +", r"SyntaxError: .*\(mine\.py, line 4\)"),
    ],
)
def test_a_config_file_that_fails_says_where(tmp_path, text, says):
    """And is not said to define no get_config()."""
    file = tmp_path / "mine.py"
    file.write_text(f"from configs.digits import vp\ndef get_config():\n    c = vp.get_config()\n    {text}\n    return c\n")
    with pytest.raises(ConfigError, match=rf"mine\.py cannot be run: {says}"):
        read_config(str(file), [])
    for other in ("get_config = 3", "def get_config(): return {}", "x = 1"):
        file.write_text(other)
        with pytest.raises(ConfigError, match=r"must define get_config|cannot be run: TypeError: 'int' object is not callable"):
            read_config(str(file), [])
