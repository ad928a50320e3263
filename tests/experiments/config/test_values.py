"""Overrides as people write them: each is read as what its key takes, or the refusal says how to write one."""

import copy
import json

import pytest
from runs import DIGITS, MOONS

from experiments.commands.opening import make_plan
from experiments.config.arms import resolve_arms
from experiments.config.problems import every_problem
from experiments.config.reading import override, read_config
from experiments.config.tree import flatten, in_order
from experiments.main import main
from experiments.runtime.errors import ConfigError
from experiments.runtime.failures import lines

pytestmark = pytest.mark.usefixtures("in_root")

READ = [
    *[("data.only", text, (3, 5)) for text in ("(3, 5)", "[3,5]", "3,5", "[3e0, 5]")],
    *[("data.only", text, (3,)) for text in ("(3,)", "(3)", "[3]", "3", "3.0")],
    *[("net.multipliers", text, (1, 2)) for text in ("(1, 2)", "[1,2]")],
    *[("train.steps", text, 1000) for text in ("1000", "1e3", "1_000", "1000.0")],
    *[("net.width", text, 64) for text in ("64", "6.4e1")],
    *[("data.flip", text, True) for text in ("True", "true", "TRUE")],
    *[("data.flip", text, False) for text in ("False", "false")],
    *[("train.clip", text, None) for text in ("None", "none", "null")],
    *[("title", text, text) for text in ("2024", "1e3", "True", "none", "(3)", "[3,5]", "...", "{1}", "a b")],
    *[("data.data_dir", text, text) for text in ("2024", "[lab] x", "~")],
    ("title", "'2024'", "2024"),
    ("sample.label", "none", None),
    ("arms.a.train.steps", "1e3", 1000),
    ("arms.a.title", "7", "7"),
]


@pytest.mark.parametrize(("key", "text", "value"), READ)
def test_a_text_is_what_its_key_takes(key, text, value):
    tree = read_config(DIGITS, [f"--config.{key}={text}"])
    result = flatten(tree)[key]
    assert (result, type(result)) == (value, type(value))
    assert not every_problem(tree)


@pytest.mark.parametrize("write", [repr, str, json.dumps])
def test_every_leaf_can_be_written_three_ways(write):
    """As Python, as text, as JSON: the config is the same."""
    for file in (DIGITS, "configs/digits/ddpm_vs_ncsn.py", "configs/cifar10/ncsn_5.py"):
        tree = read_config(file, [])
        for key, value in flatten(tree).items():
            assert override(copy.deepcopy(tree), [f"--config.{key}={write(value)}"]) == tree, (key, value)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.steps=1.5", "train.steps = 1.5: input should be a valid integer, as in 1000"),
        ("train.steps=many", "train.steps = 'many': input should be a valid integer, as in 1000"),
        ("train.learning_rate=fast", "input should be a valid number, as in 0.5 or 2e-4"),
        ("data.flip=1", "data.flip = 1: input should be a valid boolean, True or False"),
        ("data.only=a", "data.only = 'a': input should be a valid tuple, as in (3, 5), (3,) or ()"),
        ("data.only=[a,b]", "data.only = '[a,b]': input should be a valid tuple, as in (3, 5), (3,) or ()"),
        ("net.multipliers=none", "net: multipliers = None: input should be a valid tuple, as in (3, 5), (3,) or ()"),
        ("samplers.ancestral.sweep=3", "input should be a valid dictionary, as in {'n': (5, 10)}"),
    ],
)
def test_a_refusal_says_how_to_write_it(tmp_path, capsys, override, says):
    assert main(["train", f"--config={DIGITS}", f"--workdir={tmp_path}", f"--config.{override}"]) == 2
    assert says in capsys.readouterr().err


def test_a_run_s_config_is_trusted_before_it_is_read_otherwise(tmp_path, monkeypatch):
    """To find a part's options its module is imported: that of a file that is data is not, whatever else is wrong."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "foreign.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')")
    tree = read_config(DIGITS, []) | {"sde": {"name": "foreign:SDE"}}
    (tmp_path / "config.json").write_text(json.dumps(tree))
    assert main(["train", f"--config={tmp_path}/config.json", f"--workdir={tmp_path}", "--config.title=2024"]) == 2
    assert not (tmp_path / "mark").exists()


def test_keys_stand_as_in_the_file(tmp_path):
    """A ConfigDict sorts its keys, and so the arms and samplers of a report."""
    config = tmp_path / "two.py"
    config.write_text(
        "from configs.digits import vp\n"
        "def get_config():\n"
        "    config = vp.get_config()\n"
        "    config.arms = {'vp': {'title': 'VP'}, 've': {'title': 'VE', 'sde': {'name': 'VESDE', 'sigma_max': 10.0}}}\n"
        "    return config\n"
    )
    tree = read_config(str(config), [])
    assert list(tree["arms"]) == ["vp", "ve"]
    assert list(tree["arms"]["ve"]["sde"]) == ["name", "sigma_max"]
    assert list(tree["samplers"])[:2] == ["fast", "ancestral"]
    assert in_order({"a": 1, "b": (2,), "c": {"y": 3, "x": 4}}, {"c": {"x": 0, "y": 0}, "z": 1}) == {
        "c": {"x": 4, "y": 3},
        "a": 1,
        "b": (2,),
    }


def test_an_override_keeps_what_a_later_one_puts_into_it():
    """Also where the config has a problem, and the readings of the earlier one are tried."""
    for weight in ("min_snr", "{'name': 'min_snr', 'other': 1.0}"):
        tree = read_config(MOONS, [f"--config.weight={weight}", "--config.weight.gamma=-3.0"])
        assert tree["weight"]["gamma"] == -3.0


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("sde.name=CosineVPSDE", "sde.name"),
        ("sde=CosineVPSDE", "sde"),
        ("sde.beta_max=9.0", "sde.beta_max"),
        ("net.width=8", "net.width"),
        ("train.steps=9", ""),
        ("net={'name': 'MLP', 'depth': 2}", ""),
        ("net.depth=2", ""),
        ("sde.name=VPSDE", ""),
        ("title=Both", ""),
        ("arms.a.sde.name=CosineVPSDE", ""),
    ],
)
def test_what_every_arm_replaces_is_not_set_beside_them(written, key):
    """One arm that has none of its own is enough; so is another option of a section that arms change in part."""
    sde, net = {"sde": {"name": "VPSDE"}}, {"net": {"width": 16}}
    own = {"a": {"title": "A", **sde, **net, "train": {"steps": 5}}, "b": {"title": "B", **sde, **net}}
    tree = lambda: read_config(DIGITS, []) | {"arms": copy.deepcopy(own)}
    arms = resolve_arms(tree())
    if not key:
        assert override(tree(), [f"--config.{written}"])
        return
    with pytest.raises(ConfigError) as caught:
        override(tree(), [f"--config.{written}"])
    assert str(caught.value).startswith(
        f"--config.{key} would change nothing: every arm has its own; write --config.arms.NAME.{key}"
    )
    remedy = [f"--config.arms.{name}.{written}" for name in own]
    assert all(changed != arms[name] for name, changed in resolve_arms(override(tree(), remedy)).items())


@pytest.mark.parametrize("name", ["config.json", "CONFIG.JSON"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_config_in_json_is_read_whatever_editor_wrote_it(tmp_path, name, encoding):
    tree = read_config(DIGITS, []) | {"title": "Größe"}
    (tmp_path / name).write_text(json.dumps(tree, ensure_ascii=False), encoding=encoding)
    assert read_config(str(tmp_path / name), []) == tree


EDITED = {
    "train": (None, "train = None: input should be a valid dictionary"),
    "samplers": ([], "samplers = (): input should be a valid dictionary"),
    "samplers.fast.step": ({"name": "deis", "order": 3.0}, "samplers.fast.step: order = 3.0: input should be a valid integer"),
    "title": (7, "title = 7: input should be a valid string"),
    "arms": ({"a": {"\ud800": 1}}, "arms.a: "),
    "data.only": ([[1]], "data.only.0"),
    "sde": ({"name": "VPSDE", "beta_max": float("nan")}, "sde: beta_max = nan: input should be a finite number"),
    "net.multipliers": ({"0": 1}, "net: multipliers = {'0': 1}: input should be a valid tuple"),
    "train.steps": (1e3, "train.steps = 1000.0: input should be a valid integer"),
}


@pytest.mark.parametrize("key", EDITED)
def test_a_run_s_config_that_was_edited_is_answered_in_words(tmp_path, key):
    tree = json.loads(json.dumps(read_config(DIGITS, [])))
    *above, leaf = key.split(".")
    node = tree
    for part in above:
        node = node[part]
    node[leaf], says = EDITED[key]
    (tmp_path / "config.json").write_text(json.dumps(tree))
    with pytest.raises(ConfigError) as caught:
        make_plan(read_config(str(tmp_path / "config.json"), []), opening=False)
    assert says in lines(caught.value)
