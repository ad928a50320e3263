"""What went wrong below us, by errors that JAX, Python and the system really raise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.runtime.errors import ConfigError, NumericsError, StorageError
from experiments.runtime.failures import explained, lines


def raised(act) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        act()
    return caught.value


@pytest.mark.parametrize(
    "act",
    [
        lambda: jax.block_until_ready(jnp.ones(2**44)),
        lambda: jax.block_until_ready(jax.jit(lambda: jnp.ones(2**44))()),
        lambda: np.ones(2**50),
    ],
    ids=["array", "program", "host"],
)
def test_too_little_memory_says_what_to_try(act):
    found = explained(raised(act))
    assert isinstance(found, NumericsError)
    assert str(found).startswith("out of memory on 2 cpu")
    for remedy in ("train.batch", "remat=True", "compute=bfloat16", "evaluate.batch"):
        assert remedy in str(found)


def test_what_the_system_refuses_names_the_file(tmp_path):
    found = explained(raised(lambda: (tmp_path / "file").write_text("x") and (tmp_path / "file" / "below").mkdir()))
    assert isinstance(found, StorageError)
    assert f"{tmp_path}/file/below: Not a directory" in str(found)


@pytest.mark.parametrize(
    "act", [lambda: [][0], lambda: jnp.ones(2) + jnp.ones(3), lambda: 1 / 0], ids=["index", "shapes", "zero"]
)
def test_a_fault_of_ours_keeps_its_traceback(act):
    assert explained(raised(act)) is None


def test_at_most_five_lines_without_what_a_terminal_obeys():
    said = lines(ConfigError([f"problem {i} \x1b[31m\x07\u202e" for i in range(9)]))
    assert said.splitlines()[4:] == ["and 5 more"]
    assert all(character.isprintable() for character in said.replace("\n", ""))
    assert lines(ConfigError(["one", "two"])) == "one\ntwo"
