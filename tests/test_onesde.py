"""A user's models/, losses.py and the like, which most research code has, beside ours of the same names."""

import os
import shutil
import subprocess
import sys

import pytest
from source_files import FOLDERS, ROOT

import onesde


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """A folder that has everything that we have, as packages and as files, and nothing in it that we need."""
    folder = tmp_path_factory.mktemp("[lab]")
    for name in FOLDERS:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"mine = {name!r}")
    (folder / "configs" / "common.py").write_text("TITLE = 7")
    (folder / "configs" / "mine.py").write_text(
        "from configs import common\n"
        "from configs.digits import vp\n"
        "def get_config():\n"
        "    config = vp.get_config().to_dict() | {'title': common.TITLE, 'sde': 'parts:Missing'}\n"
        "    return __import__('ml_collections').ConfigDict(config)\n"
    )
    (folder / "parts.py").write_text("import losses\nassert losses.dsm")
    (folder / "losses").rename(folder / "losses_")
    (folder / "losses.py").write_text("mine = 'losses'")
    (folder / "bin").mkdir()  # a console script has its own folder first on its path, and not the working folder
    (folder / "bin" / "onesde").write_text("import onesde; onesde.main()")
    return folder


def ended(folder, *arguments, path=""):
    """A process of Python in the folder, with `path` before ours."""
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join([*filter(None, [path]), str(ROOT)])}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True)


def test_our_names_are_those_of_our_folders():
    assert sorted(onesde.__all__) == sorted(FOLDERS)
    assert all(getattr(onesde, name) is sys.modules[name] for name in FOLDERS)
    with pytest.raises(AttributeError, match="no attribute 'model'"):
        _ = onesde.model


@pytest.mark.slow
def test_the_command_finds_ours(beside):
    """Whatever PYTHONPATH says. The config imports the user's configs, behind them ours, and of our other names ours."""
    process = ended(beside, "bin/onesde", "train", "--no-restart", "--config=configs/mine.py", "--workdir=run", path=".")
    assert process.returncode == 2, process.stderr
    assert "title = 7: input should be a valid string" in process.stderr
    assert "module 'parts' has no attribute 'Missing'" in process.stderr


@pytest.mark.slow
def test_it_names_itself(beside):
    assert ended(beside, "bin/onesde", "--help").stdout.startswith("usage: onesde [-h]")


@pytest.mark.slow
def test_python_m_experiments_finds_the_rest_of_ours(beside, tmp_path):
    """Only the user's experiments/ Python itself would take."""
    folder = shutil.copytree(beside, tmp_path / "x")
    shutil.rmtree(folder / "experiments")
    process = ended(folder, "-m", "experiments", "train", "--no-restart", "--config=mine.py", "--workdir=run")
    assert (process.returncode, process.stderr) == (2, "train: no config file mine.py (did you mean configs/mine.py?)\n")


def test_ours_by_one_name_and_the_user_s_by_theirs(beside):
    """Those that both have are one or the other; the line about the one that came too late names the file of the first."""
    code = """
import losses
from onesde import models, samplers, sde_lib
import models as again, configs
print(losses.mine, configs.mine, again is models, samplers.ancestral(sde_lib.VPSDE(), None).nfe)
from onesde import losses
"""
    process = ended(beside, "-c", code)
    assert process.stdout == "losses configs True 1\n", process.stderr
    line = f"ImportError: {beside}/losses.py is imported as losses, so that OneSDE's cannot be: import one of them"
    assert line in process.stderr.splitlines()[-1]
