"""Checkpoints under faults of the disk: files are flipped, cut, removed, swapped; the newest sound step is what is used."""

import json
import os
import resource
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from slow import one_in

from experiments.runs.checkpoint import Checkpoints
from experiments.runs.seal import FORMAT
from experiments.runtime import devices
from experiments.runtime.errors import NumericsError, StorageError
from experiments.runtime.signals import stop

RUN = "this run"


def state(step: int) -> dict:
    """Weights of noise, which no compression shortens, and a count; other values at every step."""
    noise = jax.random.normal(jax.random.key(step), (64, 257))
    return jax.device_put(
        {"params": {"w": noise, "b": jnp.ones(3, jnp.bfloat16) * step}, "step": jnp.int32(step)}, devices.replicated()
    )


def saved(folder: Path, *steps: int, run: str = RUN, keep: int = 9) -> Path:
    with Checkpoints(folder, run, keep) as checkpoints:
        for step in steps:
            checkpoints.save(step, state(step))
    return folder


def restored(folder: Path, **options) -> int | None:
    """The step whose values are restored, to the last bit."""
    with Checkpoints(folder, RUN, **options) as checkpoints:
        found = checkpoints.restore(state(0))
    if found is None:
        return None
    step = int(found["step"])
    jax.tree.map(np.testing.assert_array_equal, found, state(step))
    return step


@pytest.mark.parametrize(
    ("stored", "read"), [(2.5, 2.5), (None, 0.0), ("1", 0.0), (float("nan"), 0.0), (-1.0, 0.0), (10**400, 0.0)]
)
def test_the_seal_says_the_time_since_the_last_row(tmp_path, stored, read):
    """What is no time is none, as in the seals of an earlier OneSDE."""
    with Checkpoints(tmp_path, RUN) as checkpoints:
        checkpoints.save(1, state(1), wait=True, unlogged=2.5)
        seal = tmp_path / "1" / "seal" / "metadata"
        assert json.loads(seal.read_text())["unlogged"] == 2.5
        seal.write_text(json.dumps(json.loads(seal.read_text()) | {"unlogged": stored}))
        assert [checkpoints.unlogged(step) for step in (1, 2)] == [read, 0.0]


def data_files(step: Path) -> list[Path]:
    """Where the numbers are: TensorStore's files of a size that is not a table's."""
    return sorted((path for path in (step / "state").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip(path: Path, seed: int = 0) -> None:
    content = bytearray(path.read_bytes())
    at = np.random.default_rng(seed).integers(len(content) // 4, len(content))
    content[at] ^= 1 << (seed % 8)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def seal(step: Path) -> Path:
    return step / "seal" / "metadata"


def reseal(step: Path, **facts: object) -> None:
    seal(step).write_text(json.dumps(json.loads(seal(step).read_text()) | facts))


DAMAGE = {
    "flipped": lambda step: flip(data_files(step)[-1]),
    "cut": lambda step: cut(data_files(step)[-1]),
    "emptied": lambda step: data_files(step)[-1].write_bytes(b""),
    "lost": lambda step: data_files(step)[-1].unlink(),
    "manifest cut": lambda step: cut(step / "state" / "manifest.ocdbt"),
    "metadata cut": lambda step: cut(step / "state" / "_METADATA"),
    "metadata of objects": lambda step: (step / "state" / "_METADATA").write_text('{"tree_metadata": 3}'),
    "half deleted": lambda step: shutil.rmtree(step / "state"),
    "all but the folder deleted": lambda step: [shutil.rmtree(step), step.mkdir()],
    "seal lost": lambda step: seal(step).unlink(),
    "seal cut": lambda step: cut(seal(step)),
    "seal a list": lambda step: seal(step).write_text("[]"),
    "seal of nothing": lambda step: reseal(step, leaves=None),
    "another step's": lambda step: [shutil.rmtree(step), shutil.copytree(step.parent / "2", step)],
}


@pytest.mark.parametrize("act", ["verify", "restore"])
def test_a_step_that_a_run_in_training_removes_is_none(act, tmp_path, monkeypatch, capsys):
    """Neither unsound nor passed over: each is gone as soon as it is read, but for the newest, which came meanwhile."""
    folder, later = saved(tmp_path / "run", 1, 2), saved(tmp_path / "later", 3) / "3"
    read = Checkpoints._read

    def retiring(self, step, target):
        if step < 3:
            shutil.rmtree(folder / str(step))
        if step == 1:
            shutil.copytree(later, folder / "3")
        return read(self, step, target)

    monkeypatch.setattr(Checkpoints, "_read", retiring)
    with Checkpoints(folder, RUN, writing=False) as checkpoints:
        if act == "verify":
            assert list(checkpoints.verify()) == [(3, "")]
            assert list(checkpoints.verify(9)) == []
        else:
            assert int(checkpoints.restore(state(0))["step"]) == 3
    assert "passed over" not in capsys.readouterr().out


NAMES = ["r[1]", "[!a]/*", "[/a?/{x,y}/#1/100%41/ a b /é雪/-r/~/$HOME/a:b/file:/x\ny/'\""]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_never_a_pattern(tmp_path, name):
    """Nor a URL, nor anything else but a path."""
    assert restored(saved(tmp_path / name, 1, 2)) == 2


def test_a_link_and_a_slash_at_the_end_are_the_folder(tmp_path):
    (tmp_path / "[r]").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "[r]")
    saved(tmp_path / "link", 1)
    assert restored(Path(f"{tmp_path}/[r]/")) == 1


@pytest.mark.parametrize("name", ["a\\b", "\udcff"])
def test_what_tensorstore_refuses_is_refused_before_training(tmp_path, name):
    with pytest.raises(StorageError, match="no checkpoint can be written"):
        saved(tmp_path / name, 1)


def test_a_save_that_cannot_be_opened_is_none(tmp_path, monkeypatch):
    """It fails, its step gets no name, and the last sound one stays though only one is kept."""
    folder = saved(tmp_path, 1)
    monkeypatch.setattr(ocp.StandardCheckpointHandler, "finalize", lambda self, folder: None)  # nothing is merged
    with Checkpoints(folder, RUN, keep=1) as checkpoints, pytest.raises(StorageError, match="checkpoint 2 cannot be written"):
        checkpoints.save(2, state(2), wait=True)
    with pytest.raises(StorageError, match=r"last checkpoint in .* was not written"), Checkpoints(folder, RUN) as checkpoints:
        checkpoints.save(2, state(2))
    assert restored(folder) == 1
    assert not (folder / "2").exists()


@one_in(4)
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_set_aside_and_the_step_before_is_used(tmp_path, capsys, damage):
    folder = saved(tmp_path, 1, 2, 3)
    damage(folder / "3")
    assert restored(folder) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2", "3.corrupt"]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line]
    assert line.startswith("warning: checkpoint 3 ")
    assert str(folder / "3.corrupt") in line
    assert restored(saved(folder, 3)) == 3  # its place is free again


@one_in(5)
@pytest.mark.parametrize("seed", range(20))
def test_no_flipped_bit_is_restored(tmp_path, seed):
    """In any file that holds numbers or says where they are; Orbax alone restores most of these as they are."""
    folder = saved(tmp_path, 1, 2)
    files = data_files(folder / "2")
    flip(files[-1 - seed % 2], seed)
    assert restored(folder) in (1, 2)  # `restored` compares every bit


def test_a_step_of_another_run_is_foreign(tmp_path, capsys):
    folder, other = saved(tmp_path / "ours", 1), saved(tmp_path / "theirs", 5, run="another")
    shutil.copytree(other / "5", folder / "5")
    assert restored(folder) == 1
    assert (folder / "5.foreign").is_dir()
    assert "checkpoint 5 is of another run" in capsys.readouterr().out


def test_an_empty_folder_with_a_number_is_no_step(tmp_path):
    folder = saved(tmp_path, 1)
    (folder / "999").mkdir()
    assert restored(folder) == 1
    assert restored(saved(folder, 2)) == 2


def test_where_nothing_is_sound_nothing_begins_anew(tmp_path):
    """Not at the first start, nor at the second, when all has been set aside."""
    folder = saved(tmp_path, 1, 2)
    for step in ("1", "2"):
        flip(data_files(folder / step)[-1])
    for _ in range(2):
        with pytest.raises(StorageError, match=r"none of the checkpoints in .* is sound"):
            restored(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["1.corrupt", "2.corrupt"]


def test_where_there_never_was_a_step_there_is_none(tmp_path):
    assert restored(tmp_path) is None


@pytest.mark.parametrize(
    ("like", "name"),
    [
        (lambda s: s | {"step": jnp.float32(0)}, "step"),
        (lambda s: s | {"params": s["params"] | {"w": jnp.zeros((64, 256))}}, "params/w"),
        (lambda s: s | {"params": s["params"] | {"b": jnp.zeros(3)}}, "params/b"),
        (lambda s: s | {"more": jnp.zeros(1)}, "more"),
        (lambda s: {"params": s["params"]}, "step"),
    ],
    ids=["type", "shape", "precision", "missing", "extra"],
)
def test_nothing_is_cast_nor_reshaped(tmp_path, like, name):
    """The reason is the config, so the checkpoint stays where it is."""
    folder = saved(tmp_path, 1)
    with Checkpoints(folder, RUN) as checkpoints, pytest.raises(StorageError, match=f"holds other arrays .* {name}: "):
        checkpoints.restore(like(state(0)))
    assert restored(folder) == 1


def test_a_later_format_is_left_to_a_later_version(tmp_path):
    folder = saved(tmp_path, 1)
    reseal(folder / "1", format=FORMAT + 1, onesde="9.9")
    with pytest.raises(StorageError, match=r"made by OneSDE 9\.9; you have "):
        restored(folder)
    assert (folder / "1").is_dir()


def test_a_later_format_may_be_of_any_form(tmp_path):
    folder = saved(tmp_path, 1)
    reseal(folder / "1", format=FORMAT + 1, leaves=None, run=7)
    with pytest.raises(StorageError, match="upgrade"):
        restored(folder)
    assert (folder / "1").is_dir()


def test_what_the_machine_refuses_for_now_is_no_damage(tmp_path, monkeypatch):
    """As many files are open as the system allows: nothing can be read, and nothing is set aside."""
    monkeypatch.setattr(sys, "unraisablehook", lambda report: None)  # pytest's own would open a file
    folder = saved(tmp_path, 1, 2)
    held = []
    with Checkpoints(folder, RUN) as checkpoints:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            with suppress(OSError):
                while True:
                    held.append(os.open(os.devnull, os.O_RDONLY))
            with pytest.raises(StorageError, match=r"cannot be read now .*; nothing was set aside"):
                checkpoints.restore(state(0))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in held:
                os.close(descriptor)
    assert restored(folder) == 2


def test_a_save_in_progress_is_nothing_set_aside(tmp_path):
    """For who looks at a run that is at its first."""
    (tmp_path / "10.orbax-checkpoint-tmp").mkdir()
    assert restored(tmp_path, writing=False) is None


def test_the_save_of_any_run_keeps_the_process(tmp_path, monkeypatch):
    """Of several that are open, whichever was opened first."""
    with Checkpoints(tmp_path / "a", RUN) as first, Checkpoints(tmp_path / "b", RUN) as second:
        for one in (first, second):
            assert not any(writing() for writing in stop.writing)
            with monkeypatch.context() as patch:
                patch.setattr(one._manager, "is_saving_in_progress", lambda: True)
                assert any(writing() for writing in stop.writing)
    assert not stop.writing


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
    with Checkpoints(tmp_path, RUN) as checkpoints:
        checkpoints.save(1, state(1))
        with pytest.raises(NumericsError, match="1 arrays of the state are not finite, as params/w"):
            checkpoints.save(2, state(2) | {"params": {"w": jnp.array([1.0, jnp.inf])}})
    assert restored(tmp_path) == 1


def test_a_save_that_orbax_declines_is_an_error(tmp_path):
    """It returns False, and nothing else, for a step before its newest."""
    with Checkpoints(tmp_path, RUN) as checkpoints:
        checkpoints.save(5, state(5))
        with pytest.raises(StorageError, match="refused step 3: its newest is 5"):
            checkpoints.save(3, state(3))


def test_the_newest_are_kept_and_the_half_written_removed(tmp_path):
    folder = saved(tmp_path, 1, 2, 3, keep=2)
    (folder / "4.orbax-checkpoint-tmp").mkdir()
    with Checkpoints(folder, RUN, keep=2, writing=False) as checkpoints:
        assert checkpoints.steps() == [3, 2]
    assert (folder / "4.orbax-checkpoint-tmp").exists()  # who only looks leaves a save in progress alone
    assert restored(folder) == 3
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3"]


def test_what_a_death_left_beyond_the_newest_goes(tmp_path):
    """Once the newest is known to be sound, and not before."""
    folder = saved(tmp_path, 1, 2, 3)
    flip(data_files(folder / "3")[-1])
    assert restored(folder, keep=1) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3.corrupt"]


def test_who_only_looks_sets_nothing_aside(tmp_path, capsys):
    folder = saved(tmp_path, 1, 2)
    flip(data_files(folder / "2")[-1])
    assert restored(folder, writing=False) == 1
    assert "checkpoint 2 is not as it was saved: params/w differs; passed over" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_verify_names_the_leaf(tmp_path):
    folder = saved(tmp_path, 1, 2)
    flip(data_files(folder / "2")[-1])
    with Checkpoints(folder, RUN, writing=False) as checkpoints:
        assert dict(checkpoints.verify()) == {2: "is not as it was saved: params/w differs", 1: ""}


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 400 kB: four or five of our states."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk takes the right to mount one: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_keeps_the_last_good_state(small_disk):
    """It makes room by policy first; where that is not enough it says how much is missing, and leaves no half-written step."""
    folder = saved(small_disk / "run", 1, 2)
    used = shutil.disk_usage(small_disk)
    (small_disk / "other").write_bytes(b"x" * (used.free - 30_000))
    with Checkpoints(folder, RUN) as checkpoints:
        checkpoints.save(3, state(3), wait=True)  # at the cost of 1
    assert restored(folder) == 3
    assert not (folder / "1").exists()
    shutil.rmtree(folder / "2")
    (small_disk / "more").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 20_000))
    too_full = r"a checkpoint needs 0\.1 MB, 0\.0 MB are free; step 3 is kept"
    with Checkpoints(folder, RUN) as checkpoints, pytest.raises(StorageError, match=too_full):
        checkpoints.save(4, state(4), wait=True)
    assert sorted(path.name for path in folder.iterdir()) == ["3"]
    assert restored(folder) == 3


def test_a_disk_without_room_is_refused_before_training(small_disk):
    with Checkpoints(small_disk / "run", RUN, keep=9) as checkpoints, pytest.raises(StorageError, match="10 checkpoints need"):
        checkpoints.room_for(state(0), saves=99)
