"""Arrays that a function or a file has the rows of: the same as NumPy's, and never in memory at once."""

import tracemalloc

import numpy as np
import pytest

from experiments.runtime import lazy_arrays
from experiments.runtime.lazy_arrays import FileArray, FunctionArray, blocks, save_npz

ROWS = np.random.default_rng(0).standard_normal((37, 3, 5))


def in_file(folder, rows, size):
    array = FileArray(folder)
    for start in range(0, len(rows), size):
        array.append(rows[start : start + size])
    return array


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 10, 37])
def test_rows_are_read_as_from_an_array(tmp_path, dtype, size):
    """By slices and by numbers in any order, also between two appends; nothing of the file is named."""
    rows = (10 * ROWS).astype(dtype)
    array, numbers = in_file(tmp_path, rows, size), np.array([30, 2, 2, 36])
    for lazy in (array, FunctionArray(rows.shape, lambda i: rows[i])):
        assert (lazy.shape, len(lazy)) == (rows.shape, 37)
        for some in (slice(None), slice(5, 9), slice(30, 99), numbers):
            np.testing.assert_array_equal(lazy[some], rows[some], strict=True)
    array.append(rows[:4])
    np.testing.assert_array_equal(array[:], np.concatenate([rows, rows[:4]]), strict=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 10, 37, 100])
@pytest.mark.parametrize("numbers", [None, np.arange(36, -1, -3)])
def test_blocks_are_the_rows_in_their_order(monkeypatch, size, numbers):
    """Of as many rows as are asked for, or as have the bytes of a block in float64; of one, if it has more."""
    monkeypatch.setattr(lazy_arrays, "BLOCK", 8 * 15 * 4)
    every = [*blocks(ROWS, numbers, size)]
    np.testing.assert_array_equal(np.concatenate(every), ROWS if numbers is None else ROWS[numbers])
    assert {len(some) for some in every[:-1]} <= {size or 4}
    monkeypatch.setattr(lazy_arrays, "BLOCK", 1)
    assert {len(some) for some in blocks(ROWS)} == {1}


def test_a_file_is_numpy_s_npz_to_the_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy_arrays, "BLOCK", 1000)
    arrays = {"image": ROWS.astype(np.float32), "label": np.arange(37), "classes": np.array(["cat", "été"])}
    np.savez(tmp_path / "theirs.npz", **arrays)
    save_npz(tmp_path / "ours.npz", arrays | {"image": in_file(tmp_path, arrays["image"], 10)})
    assert (tmp_path / "ours.npz").read_bytes() == (tmp_path / "theirs.npz").read_bytes()


def test_a_block_of_a_file_is_in_memory_at_a_time(tmp_path, monkeypatch):
    """Of 16 MB, in blocks of 64 kB, when it is read, and when it is written as a file of NumPy."""
    monkeypatch.setattr(lazy_arrays, "BLOCK", 2**16)
    tracemalloc.start()
    try:
        array = FileArray(tmp_path)
        for i in range(256):
            array.append(np.full((64, 128), i, float))
        assert sum(some[0, 0] for some in blocks(array)) == 255 * 256 / 2
        save_npz(tmp_path / "all.npz", {"rows": array})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**19
    assert len(array) * 128 * 8 == 2**24
