"""Samples and their files, by what a run knows of its data: classes by name, a file for each setting, samples to train on."""

import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import MOONS, TINY, drawn
from small_experiments import small_experiment
from source_files import ROOT

from experiments.build.sampler import sample_sampler
from experiments.config.messages import schema_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config, Data
from experiments.data.dataset import load
from experiments.data.examples import example
from experiments.data.scaler import Scaler
from experiments.data.sources import open_sources
from experiments.main import main
from experiments.runs.record import data_facts
from experiments.runtime import lazy_arrays
from experiments.sampling.draw import SHOWN, Samples, save_images
from experiments.sampling.sample_files import _folder, write_samples
from experiments.sampling.settings import picture_path, sampler_settings

pytestmark = pytest.mark.usefixtures("in_root")

LEVELS, CLASSES = 9, ("cat", "dog")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two steps on images of two classes with names, and the folder of its data."""
    folder = tmp_path_factory.mktemp("named")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        image, label = rng.integers(0, 256, (32, 4, 6, 3), np.uint8), np.arange(32) % 2
        np.savez(folder / f"{split}.npz", image=image, label=label, classes=np.array(CLASSES))
    config = [
        f"--config.data={{'name': 'npz', 'data_dir': '{folder}', 'levels': {LEVELS}}}",
        "--config.net={'name': 'MLP', 'width': 8, 'depth': 1, 'classes': 2}",
        *("--config.train.batch=8", "--config.train.steps=2", "--config.train.warm_up=1", "--config.train.label_dropout=0.1"),
        *("--config.evaluate.batch=8", "--config.sample.n=8", "--config.train.sample_every=1000"),
        "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 3}}",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main(["train", "--config=configs/digits/vp.py", f"--workdir={folder / 'run'}", *config]) == 0
    return folder


@pytest.fixture
def without_data(trained, tmp_path):
    """A copy of the run, whose data are nowhere."""
    run = Path(shutil.copytree(trained / "run", tmp_path / "run"))
    config = run / "config.json"
    config.write_text(config.read_text().replace(str(trained), str(tmp_path / "nowhere")))
    return run


def command(name, run, *overrides):
    return main([name, f"--config={run}/config.json", f"--workdir={run}", *overrides])


@pytest.mark.slow
def test_a_run_knows_its_data(trained, without_data, tmp_path, capsys):
    """Its record and its weights say the shape, the classes and the digest, by which it is sampled and exported."""
    data = Data(name="npz", data_dir=str(trained), levels=LEVELS)
    facts = load(open_sources(data), data, 0).facts
    assert (facts.shape, facts.classes) == ((4, 6, 3), CLASSES)
    assert data_facts(without_data) == facts
    assert command("sample", without_data, "--config.sample.label=dog") == 0
    assert main(["export", str(without_data), str(tmp_path / "sent")]) == 0
    assert main(["import", str(tmp_path / "sent"), str(tmp_path / "got")]) == 0
    assert data_facts(tmp_path / "got") == facts._replace(part="")  # weights have the one hash
    assert command("sample", tmp_path / "got", "--config.sample.label=dgo") == 2
    assert "sample.label: there is no class 'dgo' (did you mean dog?)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_without_that_record_reads_its_data(trained, without_data, capsys):
    content = json.loads((without_data / "run.json").read_text())
    for key in ("shape", "classes"):
        del content[key]
    (without_data / "run.json").write_text(json.dumps(content))
    assert command("sample", without_data) == 3
    assert "nowhere" in capsys.readouterr().err
    assert command("sample", without_data, f"--config.data.data_dir={trained}", "--config.sample.label=dog") == 0


def test_labels_under_other_names_are_other_data(trained, without_data, capsys):
    """The digest is of images alone: where classes changed places, it would not tell."""
    content = json.loads((without_data / "run.json").read_text())
    (without_data / "run.json").write_text(json.dumps(content | {"classes": ["dog", "cat"]}))
    there = f"--config.data.data_dir={trained}"
    assert command("train", without_data, there, "--config.train.steps=3") == 2
    error = capsys.readouterr().err
    assert "data: label 0 was dog then, and is cat now" in error
    assert "--allow-change=data" in error


def test_each_setting_has_its_own_files(without_data):
    """Under a name that says which, with all else beside it; the same setting has the same, to the byte."""
    stems = []
    for overrides in ((), ("--config.sample.label=cat",), ("--config.sample.seed=1",)):
        assert command("sample", without_data, *overrides) == 0
        stems.append(drawn(without_data / "samples", "ancestral_seed?").stem)
    files = {f"{stem}{suffix}" for stem in stems for suffix in (".png", ".npz", ".json")}
    assert {path.name for path in (without_data / "samples").glob("ancestral*")} == files
    assert len(files) == 9
    told = json.loads((without_data / "samples" / f"{stems[1]}.json").read_text())
    assert (told["label"], told["class"], told["n"], told["step"]) == (0, "cat", 8, 2)
    before = (without_data / "samples" / f"{stems[1]}.npz").read_bytes()
    assert command("sample", without_data, "--config.sample.label=0") == 0
    assert drawn(without_data / "samples", "ancestral_seed?").stem == stems[1]
    assert (without_data / "samples" / f"{stems[1]}.npz").read_bytes() == before


def test_settings_are_all_that_samples_depend_on(tmp_path):
    """Whatever differs: sampler, label, seed, n of the grid, its end, guidance and its weight, SDE, denoising, step."""
    ancestral = "--config.samplers.ancestral"
    guided = f"{ancestral}.guidance={{'name': 'classifier_free', 'w': %s}}"
    changes = ["--config.sample.seed=3", "--config.sample.label=1", "--config.sample.label=None", f"{ancestral}.n=7"]
    changes += [
        f"{ancestral}.grid.t_min=0.01",
        f"{ancestral}.denoise=True",
        f"{ancestral}.step.clip=1.0",
        guided % 2,
        guided % 3,
    ]
    changes += [f"{ancestral}.sde={{'name': 'VPSDE', 'beta_max': 9.0}}", "--config.sample.sampler=fast", "--config.title=plain"]
    labelled = "--config.net.classes=2", "--config.train.label_dropout=0.1"
    experiment, paths = small_experiment(*labelled), []
    for change in changes:
        config = Config.model_validate(read_config(MOONS, [*labelled, change]))
        settings = sampler_settings(sample_sampler(experiment._replace(config=config)), 5)
        paths.append(picture_path(tmp_path, "it", "", settings))
    later = sampler_settings(sample_sampler(experiment._replace(config=config)), 6)
    assert len({*paths, picture_path(tmp_path, "it", "", later)}) == len(changes) + 1


def test_samples_are_data(without_data):
    """The arrays beside the sheet, and single images, are read back as what was drawn, with labels and their names."""
    assert command("sample", without_data, "--config.sample.pngs=True", "--config.sample.file=all") == 0
    here = {"data_dir": str(without_data / "samples"), "train": "all", "test": "all"}
    config = Data(name="npz", levels=LEVELS, **here)
    arrays, data = np.load(without_data / "samples" / "all.npz"), load(open_sources(config), config, 0)
    assert (arrays["image"].dtype, arrays["image"].shape) == (np.uint8, (8, 4, 6, 3))
    assert data.classes == CLASSES
    np.testing.assert_array_equal(data.test_labels, np.arange(8) % 2)
    np.testing.assert_array_equal(Scaler(LEVELS, False).display(data.test), arrays["image"])
    for i, image in enumerate(arrays["image"]):
        single = Image.open(without_data / "samples" / "all" / CLASSES[i % 2] / f"{i:06d}.png")
        np.testing.assert_array_equal(np.asarray(single), image)
    fewer = "--config.sample.pngs=True", "--config.sample.file=all", "--config.sample.n=3", "--config.sample.label=None"
    assert command("sample", without_data, *fewer) == 0
    singles = (without_data / "samples" / "all").rglob("*.png")
    assert sorted(path.name for path in singles) == ["000000.png", "000001.png", "000002.png"]


def test_a_class_is_no_way_out_of_the_folder(without_data):
    """Its name may come from a stranger's file."""
    content = json.loads((without_data / "run.json").read_text())
    (without_data / "run.json").write_text(json.dumps(content | {"classes": ["../../out", "a.b c"]}))
    assert command("sample", without_data, "--config.sample.pngs=True", "--config.sample.file=all") == 0
    assert {path.parent.name for path in (without_data / "samples" / "all").rglob("*.png")} == {"0", "a.b c"}
    assert not list(without_data.parent.rglob("out"))


@pytest.mark.parametrize("names", [(), ("0", "2", "don't know"), ("class 3", "3", "a/b", "..", "3"), ("x", "X", "x", "1")])
def test_each_class_has_a_folder_of_its_own(names):
    """Though others be called by its number."""
    folders = [_folder(y, names) for y in range(5)]
    assert len({*folders}) == 5
    assert all(Path(folder).name == folder for folder in folders)
    assert folders[0] == (names[0] if names and names.count(names[0]) == 1 else "0")


@pytest.mark.parametrize(("name", "taken"), [("step_0001000", True), ("step_3", True), ("run_fast", True), ("steps", False)])
def test_a_file_is_not_named_as_those_of_training(name, taken):
    """Which removes its own, and draws none that is there."""
    problems = schema_problems(read_config(MOONS, [*TINY, f"--config.sample.file={name}"]))
    assert [line for line in problems if "sample.file" in line and "take another name" in line] == problems
    assert bool(problems) == taken


@pytest.mark.parametrize("levels", [2, 9, 17, 100, 255, 256])
def test_every_level_comes_back_from_its_picture(levels):
    k = np.arange(levels, dtype=np.uint8).reshape(-1, 1, 1)
    found, _ = example([{"image": Scaler(levels, False).display(k)}], 0, "levels", levels)
    np.testing.assert_array_equal(found, k)


def made(levels):
    """Samples that are said to be finite."""
    n, scaler = len(levels), Scaler(256 if levels.dtype == np.uint8 else 0, False)
    return Samples(levels, np.ones(n, bool), np.full(n, 2), 1.0, np.full(n, 2), np.zeros(n, bool), scaler)


def test_points_stay_floats(tmp_path):
    """And npz reads them back."""
    sampler, points = sample_sampler(small_experiment()), np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    write_samples([made(points)], sampler, tmp_path / "points.png")
    config = Data(name="npz", data_dir=str(tmp_path), train="points", test="points", levels=0)
    np.testing.assert_array_equal(load(open_sources(config), config, 0).test, points)


def in_turn(n, size):
    """So many images of noise in parts of that size."""
    images = np.random.default_rng(0).integers(0, 256, (100, 16, 16, 3)).astype(np.uint8)
    return (made(images[np.arange(start, min(start + size, n)) % 100]) for start in range(0, n, size))


def test_files_do_not_depend_on_the_parts(tmp_path):
    """To the byte; the events that are returned are those of the sheet."""
    experiment = small_experiment()
    sampler = sample_sampler(experiment._replace(scaler=Scaler(256, False)))
    for name, size in (("one", 1000), ("several", 130)):
        samples = write_samples(in_turn(1000, size), sampler, tmp_path / f"{name}.png")
        assert (len(samples.levels), len(samples.finite)) == (SHOWN, 1000)
    for suffix in (".png", ".npz"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"several{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_files_take_memory_for_a_part(tmp_path, monkeypatch):
    """An image of 768 bytes adds 18, the count of its evaluations and moves, and whether it is sound."""
    monkeypatch.setattr(lazy_arrays, "BLOCK", 2**18)
    sampler, peaks = sample_sampler(small_experiment()._replace(scaler=Scaler(256, False))), []
    for n in (2000, 2000, 10_000):  # the first one imports
        tracemalloc.start()
        write_samples(in_turn(n, 200), sampler, tmp_path / "it.png")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 60 * 8000


def test_a_sheet_is_of_as_many_as_can_be_seen(tmp_path):
    """Of 50,000 samples no picture of 6,250 rows."""
    experiment = small_experiment()
    for n, rows, columns in ((20, 3, 8), (100, 10, 10), (50_000, 20, 20)):
        save_images(made(np.zeros((n, 8, 8, 1), np.uint8)), experiment._replace(scaler=Scaler(256, False)), tmp_path / "it.png")
        assert Image.open(tmp_path / "it.png").size == (4 * (9 * columns - 1), 4 * (9 * rows - 1))
    assert SHOWN == 400


def test_a_name_that_is_given_is_kept(tmp_path):
    assert picture_path(tmp_path, "fast.v2", "", {"n": 1}) != picture_path(tmp_path, "fast.v2", "", {"n": 2})
    assert picture_path(tmp_path, "fast.v2", "", {"n": 1}).with_suffix(".npz").name.startswith("fast.v2_")
    assert picture_path(tmp_path, "fast", "mine.1", {"n": 1}) == tmp_path / "mine.1.png"


@pytest.fixture
def shown(monkeypatch):
    """The runs that `demo` would serve."""
    serve, runs = pytest.importorskip("experiments.page.serve"), []
    monkeypatch.setattr(serve, "serve", lambda live, listener, anyone: (runs.extend(live), listener.close()))
    return runs


def test_demo_offers_every_arm(without_data, tmp_path, shown, capsys):
    """Without the data of training; a folder that holds no trained run is named and left out."""
    arms = tmp_path / "comparison"
    for name in ("ddpm", "ncsn"):
        shutil.copytree(without_data, arms / name)
    (arms / "begun").mkdir()
    shutil.copy(without_data / "config.json", arms / "begun")
    assert main(["demo", str(arms), "--port=0"]) == 0
    assert [live.folder for live in shown] == [arms / "ddpm", arms / "ncsn"]
    assert [live.held_out.shape for live in shown] == [(0, 4, 6, 3)] * 2
    said = capsys.readouterr().out
    assert f"{arms / 'begun'} is not shown" in said
    assert "no held-out image" in said


def test_demo_paints_on_held_out_images_where_they_are(trained, shown):
    assert main(["demo", str(trained / "run"), "--port=0"]) == 0
    (live,) = shown
    config = Data(name="npz", data_dir=str(trained), levels=LEVELS)
    np.testing.assert_array_equal(live.held_out, load(open_sources(config), config, 0).held_out(256).levels)
