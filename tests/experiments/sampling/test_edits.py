"""`edit`: every edit on runs of points and of digits, what it refuses, what it writes, and the numbers that have a truth."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from edited_runs import DATA, DIGITS, digits, edited, experiment_of  # noqa: F401
from oracle import Mixture
from PIL import Image
from runs import drawn, run

from experiments import edits
from experiments.commands.opening import make_plan
from experiments.config.parts import EDIT
from experiments.config.reading import read_config
from experiments.data.dataset import Batch
from experiments.edits.base import Edit, Frames, Setting
from experiments.runtime.errors import ConfigError, NumericsError
from experiments.sampling import editing, figures
from models import ScoreModel
from samplers import solve

pytestmark = pytest.mark.usefixtures("in_root")


def exact(*overrides):
    """An experiment whose score is that of DATA, and held-out draws of it."""
    experiment = experiment_of(*overrides)
    score = DATA.score(experiment.sde)
    model = ScoreModel(lambda key, x: {}, lambda params, x, t, y=None, key=None: score(x, t), lambda *a, **k: None)
    return experiment._replace(model=model), np.asarray(draws(1024))


def draws(n):
    """Examples of DATA."""
    return jax.vmap(DATA.sample)(jax.random.split(jax.random.key(0), n))


def numbers(*overrides):
    """The frames, and the edit's own numbers, under the exact score."""
    experiment, test = exact(*overrides)
    made = editing.configured_edit(experiment, test)
    result = editing.edit_examples(experiment, {}, made, Batch(test))
    return result, made.measure(result.x, test[: experiment.config.edit.rows])


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """The same of points."""
    folder = tmp_path_factory.mktemp("points")
    assert run("train", folder, "--config.train.steps=4") == 0
    return folder


FEW = {
    "progressive": ["--config.edit.by.frames=3"],
    "shared": ["--config.edit.by.draws=2"],
    "between": ["--config.edit.by.frames=2"],
}


UNFIT = {("points", "superresolve"), ("points", "colorize"), ("digits", "colorize")}
UNFIT |= {("points", "manipulate"), ("digits", "manipulate")}
"""Points have no blocks, and grey digits no colours; and neither run has semantic codes."""


@pytest.mark.slow
@pytest.mark.parametrize("name", EDIT.names)
@pytest.mark.parametrize("kind", ["digits", "points"])
def test_every_edit_writes_a_picture_and_how_it_came_about(kind, name, request):
    folder = request.getfixturevalue(kind)
    if (kind, name) in UNFIT:
        assert edited(folder, f"--config.edit.by.name={name}") == 2
        assert not list((folder / "edits").glob(f"{name}*"))
        return
    assert edited(folder, f"--config.edit.by.name={name}", *FEW.get(name, [])) == 0
    picture = drawn(folder / "edits", name)
    assert np.asarray(Image.open(picture).convert("L")).std() > 1
    told = json.loads(picture.with_suffix(".json").read_text())
    assert told["edit"]["name"] == name
    assert np.shape(told["nfe"]) == (len(told["lines"]), len(told["columns"]))
    assert (told["sampler"] is None) == (name == "round_trip")
    assert told["numbers"]
    assert np.max(told["nfe"]) > 0


@pytest.mark.slow
def test_a_label_names_the_files_and_options_stand_in_the_protocol(points):
    assert edited(points, "--config.edit.by.strength=0.3", "--config.edit.by.draws=1", "--config.edit.file=weak") == 0
    told = json.loads((points / "edits" / "weak.json").read_text())
    assert told["edit"] == {"name": "sdedit", "strength": 0.3, "draws": 1}
    assert told["columns"] == ["example", "edit 1"]
    assert told["step"] == 4


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["--config.edit.by.name=sdedt"], "edit.by: unknown experiments.edits name 'sdedt' (did you mean sdedit?)"),
        (["--config.edit.by={'name': 'sdedit', 'strenth': 0.3}"], "edit.by: unknown option strenth (did you mean strength?)"),
        (
            ["--config.edit.by={'name': 'sdedit', 'strength': 1.5}"],
            "edit.by: strength = 1.5: input should be less than or equal to 1",
        ),
        (["--config.edit.by={'name': 'sdedit', 'strength': 'half'}"], "edit.by: strength = 'half'"),
        (["--config.edit.by={'name': 'sdedit', 'setting': 3}"], "edit.by: setting is not an option: it comes from the run"),
        (
            ["--config.edit.by={'name': 'sdedit', 'strength': 1e-5}"],
            "edit.by: strength = 1e-05: the grid of samplers.ancestral ends at",
        ),
        (["--config.edit.by={'name': 'shared', 'times': (0.3, 2.0)}"], "edit.by: times = 2.0: input should be less than or"),
        (["--config.edit.by={'name': 'between', 'times': ()}"], "edit.by: times = (): "),
        (["--config.edit.by={'name': 'between', 'times': (0.5, 1e-4)}"], "edit.by: times = 0.0001: the grid of"),
        (["--config.edit.by={'name': 'progressive', 'frames': 42}"], "frames = 42: the grid of samplers.ancestral has 41"),
        (["--config.edit.by=shared", "--config.sample.sampler=ode"], "samplers.ode draws no noise, so that all samples of one"),
        (["--config.edit.by=shared", "--config.sample.sampler=ode"], "take --config.sample.sampler=ancestral"),
        (["--config.edit.by={'name': 'shared', 'draws': 1}"], "draws = 1: a comparison takes two or more"),
        (["--config.edit.rows=41"], "edit.rows = 41: 40 held-out examples make 40"),
        (["--config.edit.by=between", "--config.edit.rows=21"], "edit.rows = 21: 40 held-out examples make 20"),
        ([f"--config.edit.by={__name__}:no_edit"], "no_edit makes a int, not a Edit"),
        (["--config.edit.file=a/b"], "edit.file = 'a/b': value error, it names files"),
    ],
)
def test_what_does_not_apply_is_refused_with_what_does(overrides, says):
    with pytest.raises(ConfigError) as error:
        judged(*overrides)
    assert says in str(error.value)


def judged(*overrides):
    """All that is judged before a checkpoint is read, for 40 held-out points."""
    make_plan(read_config("configs/toy2d/moons.py", list(overrides)[:1]), opening=False)
    editing.configured_edit(experiment_of(*overrides), np.zeros((40, 2), np.float32))


def no_edit(setting) -> int:
    return 3


def test_a_refusal_comes_before_the_checkpoint_and_leaves_nothing(tmp_path, capsys):
    """Exit code 2 of a folder that has a config and nothing else; 5 once nothing is wrong but that."""
    (tmp_path / "config.json").write_text(experiment_of().config.model_dump_json())
    assert edited(tmp_path, "--config.edit.by.strength=1e-5") == 2
    assert "start above it" in capsys.readouterr().err
    assert edited(tmp_path) == 5
    assert "train it, " in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"config.json"}


def test_a_stored_config_that_names_foreign_code_as_its_edit_is_not_run(tmp_path, capsys):
    tree = experiment_of().config.model_dump()
    tree["edit"]["by"] = {"name": f"{__name__}:no_edit"}
    (tmp_path / "config.json").write_text(json.dumps(tree))
    assert edited(tmp_path) == 2
    assert "code that is not OneSDE's" in capsys.readouterr().err


def test_a_frame_that_is_not_finite_is_an_error_and_no_picture(tmp_path):
    experiment, test = exact()
    broken = experiment._replace(model=experiment.model._replace(apply=lambda params, x, t, y=None, key=None: x * jnp.nan))
    with pytest.raises(NumericsError, match=r"48 of 64 frames are not finite, first 'edit 1'(.|\n)*no picture"):
        editing.edit_examples(broken, {}, editing.configured_edit(broken, test), Batch(test))


@pytest.mark.parametrize("sde", ["VPSDE", pytest.param("VESDE", marks=pytest.mark.slow)])
def test_an_edit_of_next_to_no_strength_is_the_example(sde):
    """From where sigma/alpha = 0.06 on it stays within the noise; from t = 1 on it is another draw, as far as two are."""
    weak = {"VPSDE": 0.02, "VESDE": 0.21}[sde]
    sde = f"--config.sde={{'name': '{sde}'}}"
    _, near = numbers(sde, f"--config.edit.by={{'name': 'sdedit', 'strength': {weak}}}", "--config.edit.rows=64")
    _, far = numbers(sde, "--config.edit.by={'name': 'sdedit', 'strength': 1.0}", "--config.edit.rows=64")
    assert near["rms_from_example"] < 0.12
    mean = DATA.weights @ DATA.means
    variance = DATA.std**2 + DATA.weights @ ((DATA.means - mean) ** 2).mean(1)
    assert far["rms_from_example"] == pytest.approx(float(jnp.sqrt(2 * variance)), rel=0.15)


@pytest.mark.slow
def test_a_round_trip_ends_where_it_began():
    """To the tolerance; and its latents, at the prior's scale, are of deviation 1."""
    result, told = numbers("--config.edit.by=round_trip", "--config.evaluate.tolerance=1e-6", "--config.edit.rows=128")
    assert told["largest_error"] < 2e-3
    assert told["latent_std"] == pytest.approx(1, abs=0.15)
    assert (result.nfe[:, 0, 2] > 50).all()


@pytest.mark.slow
def test_a_round_trip_errs_by_its_tolerance():
    loose, tight = (numbers("--config.edit.by=round_trip", f"--config.evaluate.tolerance={e}")[1] for e in ("1e-1", "1e-5"))
    assert loose["rms_error"] > 10 * tight["rms_error"]


@pytest.mark.slow
def test_samples_that_share_x_t_are_as_far_from_each_other_as_from_the_example():
    """In the mean square, as the example is a draw of p(x_0 | x_t) like them; and the farther, the more noise."""
    by = "--config.edit.by={'name': 'shared', 'times': (0.1, 0.3, 0.6), 'draws': 8}"
    fine = "--config.samplers.ancestral.n=400", "--config.samplers.ancestral.denoise=False"
    _, told = numbers(by, *fine, "--config.edit.rows=512")
    np.testing.assert_allclose(told["rms_from_example"], told["rms_between_two"], rtol=0.06)
    assert (np.diff(told["rms_between_two"]) > 0.03).all()


def test_progressive_estimates_begin_at_the_mean_and_end_at_the_sample():
    result, told = numbers("--config.edit.by={'name': 'progressive', 'frames': 5}", "--config.edit.rows=256")
    np.testing.assert_allclose(result.x[:, 0, 0], np.tile(DATA.weights @ DATA.means, (256, 1)), atol=0.05)
    assert told["rms_from_last"][-1] == 0
    assert (np.diff(told["rms_from_last"]) < 0.01).all()
    assert told["rms_from_last"][3] < 0.9 * told["rms_from_last"][0]
    assert result.nfe[0, 0].tolist() == [1, 11, 21, 31, 41]


@pytest.mark.slow
def test_between_ends_at_the_two_examples_and_mixes_later_the_more_noise():
    """Near the data the ends are the examples; at much noise neighbours are alike, for their noise decides."""
    _, told = numbers("--config.edit.by={'name': 'between', 'times': (0.02, 0.9), 'frames': 3}", "--config.edit.rows=64")
    assert told["rms_from_example_at_0"][0] < 0.1
    assert told["rms_from_other_at_1"][0] < 0.1
    assert told["rms_from_other_at_1"][1] > 0.4


@pytest.mark.slow
def test_examples_are_alike_however_many_are_made_at_once():
    """Each has its own key: of 16 rows the first 3 are those of 3 rows."""
    many, few = (numbers(f"--config.edit.rows={rows}")[0] for rows in (16, 3))
    np.testing.assert_allclose(many.x[:3, :, 1:], few.x[:, :, 1:], atol=1e-5)


def test_the_registry_holds_edits_alone():
    assert set(EDIT.names) == set(edits.__all__)
    assert EDIT.makes is Edit


def test_the_picture_has_every_frame():
    """Levels in the place that their line and column say."""
    frames = np.zeros((2, 3, 4, 5, 5, 3), np.uint8)
    frames[1, 2, 3] = (255, 0, 0)
    figure = figures.edits(frames, ["a", "b$", "c", "d"], ["x", "y", "z"], frames[:, 0, 0])
    sheet = figure.axes[0].images[0].get_array()
    assert sheet.shape == (2 * (3 * 6 - 1) + 2, 4 * 6 - 1, 3)
    assert (sheet[-5:, -5:] == (255, 0, 0)).all()
    assert not sheet[:5, :5].any()


ELSEWHERE = Mixture(jnp.array([[2.0, -1.0]]), 0.3, jnp.ones(1))


def elsewhere(setting: Setting) -> Edit:
    """A user's edit: samples by another score, in the place of the run's."""

    def one(trained, row):
        reverse = trained.reverse(lambda score: ELSEWHERE.score(setting.sde))
        x_1 = setting.sde.prior_sample(row.key, setting.shape)
        solution = solve(row.key, reverse.step, x_1, jnp.asarray(setting.grid), reverse.final)
        return Frames(solution.x[None, None], solution.nfe[None, None], solution.gave_up)

    return Edit(("sample",), one, lambda frames, examples: {})


def test_a_user_s_edit_samples_by_what_it_makes_of_the_score():
    """Of mean and deviation as the other score has them, the last denoising included."""
    result, _ = numbers(f"--config.edit.by={__name__}:elsewhere", "--config.edit.rows=512")
    x = result.x[:, 0, 0]
    np.testing.assert_allclose(x.mean(0), ELSEWHERE.means[0], atol=4.5 * 0.3 / np.sqrt(512) + 0.01)
    np.testing.assert_allclose(x.std(0), 0.3, rtol=0.15)
