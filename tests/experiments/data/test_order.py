"""The order of examples is a permutation of each epoch, the same for whoever asks."""

import json
from hashlib import sha256

import numpy as np
import pytest

from experiments.config.reading import read_config
from experiments.config.schema import Config, Data
from experiments.data import dataset, order
from experiments.data.dataset import first_held_out, load
from experiments.data.order import cuts, ordered
from experiments.data.sources import Sources, open_sources
from experiments.runs.record import differences


@pytest.mark.parametrize("n", [1, 5, 1437, 70_000])
def test_an_epoch_is_a_permutation_and_another_each_time(n):
    epochs = ordered(np.arange(3 * n), n, 3).reshape(3, n)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(n), (3, 1)))
    others = epochs[1], epochs[2], ordered(np.arange(n), n, 4)
    assert n == 1 or all((epochs[0] != other).any() for other in others)


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_any_places_are_those_of_the_whole_order(seed):
    """Across epochs, in any order, one or many at a time."""
    n, whole = 37, ordered(np.arange(5 * 37), 37, seed)
    places = np.random.default_rng(0).permutation(5 * n)[:60]
    np.testing.assert_array_equal(ordered(places, n, seed), whole[places])
    np.testing.assert_array_equal([ordered(np.array([place]), n, seed)[0] for place in places], whole[places])


def test_orders_that_are_read_in_turn_are_drawn_once_an_epoch(monkeypatch):
    """As those of several seeds that are trained at once."""
    drawn = []
    monkeypatch.setattr(order, "_permutation", lambda n, *which: drawn.append(which) or np.arange(n))
    for places in np.arange(24).reshape(8, 3):
        for seed in range(5):
            ordered(places, 12, seed)
    assert sorted(drawn) == [(seed, epoch) for seed in range(5) for epoch in range(2)]


def test_the_order_stays_what_it_was():
    """Under every numpy: a run goes on in the order that it began in."""
    np.testing.assert_array_equal(ordered(np.arange(6), 6, 0), [3, 5, 4, 0, 2, 1])


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_the_cuts_at_any_places_are_those_of_the_whole_order(seed):
    n, whole = 37, cuts(np.arange(5 * 37), 37, seed)
    assert len(set(whole)) == 5 * n
    places = np.random.default_rng(0).permutation(5 * n)[:60]
    np.testing.assert_array_equal(cuts(places, n, seed), whole[places])


def test_cuts_are_uniform_and_independent_of_the_order():
    """By chi-square with 19 degrees of freedom; and one example's are not those of its neighbour, epoch or seed."""
    n, epochs = 40, 500
    places = np.arange(n * epochs)
    u = cuts(places, n, 1)
    assert ((u >= 0) & (u < 1)).all()
    counts = np.bincount((20 * u).astype(int), minlength=20)
    assert ((counts - u.size / 20) ** 2 / (u.size / 20)).sum() < 43.8  # one in a thousand is above
    of = u.reshape(epochs, n)
    others = of.ravel(), of[1:].ravel(), of[:, 1:].ravel(), cuts(places, n, 2), ordered(places, n, 1)
    firsts = of.ravel()[::-1], of[:-1].ravel(), of[:, :-1].ravel(), of.ravel(), of.ravel()
    for a, b in zip(firsts, others, strict=True):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(a.size)


def test_the_cuts_stay_what_they_were():
    """As the order does."""
    np.testing.assert_array_equal(cuts(np.arange(2), 6, 0), [0.9776462743838505, 0.3711105964481608])


SPLITS = [[{"image": np.full((2, 2), y, np.uint8), "label": y} for y in range(10) for _ in range(n)] for n in (30, 20)]
"""Training and held-out examples in the order of their classes, each of the grey level of its class."""


def sorted_data(train=SPLITS[0], **options):
    return load(Sources(train, SPLITS[1]), Data(name="sorted", **options), 0)


@pytest.mark.parametrize("resident_mib", [4096, 0])
def test_a_few_of_sorted_examples_are_of_all_classes(resident_mib):
    """Each with its label, and the first of more of them. The first 30 in the source's order are of two classes."""
    data = sorted_data(resident_mib=resident_mib)
    few, more = data.held_out(30, 10), data.held_out(200, 10)
    assert len(set(few.y)) >= 8
    np.testing.assert_array_equal(few.y, more.y[:30])
    np.testing.assert_array_equal(np.bincount(more.y), [20] * 10)
    np.testing.assert_array_equal(more.levels[:, 0, 0, 0], more.y)
    some = data.some_training(30)
    assert len(set(some.y)) >= 8
    np.testing.assert_array_equal(some.levels[:, 0, 0, 0], some.y)


def test_the_page_shows_the_same_held_out_examples(monkeypatch):
    """It decodes no others than these."""
    monkeypatch.setattr(dataset, "open_sources", lambda config: Sources(*SPLITS))
    few = first_held_out(Data(name="sorted"), (2, 2, 1), 30).levels
    np.testing.assert_array_equal(few, sorted_data().held_out(30).levels)


def test_the_data_themselves_keep_their_order():
    """And so the digest that a run recorded before."""
    data = sorted_data()
    events = [np.stack([example["image"][..., None] for example in split]) for split in SPLITS]
    np.testing.assert_array_equal(data.test, events[1])
    assert data.digest == sha256(events[0].tobytes() + events[1].tobytes()).hexdigest()[:16]


MIB = pytest.mark.parametrize(("then", "now"), [(4096, 0), (0, 4096), (0, 0), (4096, 4096)])


def recorded(folder, data):
    """The folder of a run on these data, as its record and its config say."""
    config = read_config("configs/toy2d/moons.py", [])
    content = {"format": 1, "id": "a", "configs": {}, "sessions": [], "saved": 4, "data": data.digest, "data_part": data.part}
    (folder / "run.json").write_text(json.dumps(content))
    config = Config.model_validate(config)
    (folder / "config.json").write_text(config.model_dump_json())
    return config


@MIB
def test_a_run_goes_on_with_more_or_less_memory(tmp_path, in_root, then, now):
    config = recorded(tmp_path, sorted_data(resident_mib=then))
    assert differences(tmp_path, config, sorted_data(resident_mib=now).facts, []) == []


@MIB
def test_other_data_are_told_whatever_the_memory(tmp_path, in_root, then, now):
    config = recorded(tmp_path, sorted_data(resident_mib=then))
    (line,) = differences(tmp_path, config, sorted_data(resident_mib=now, levels=128).facts, [])
    assert line.startswith("data: examples with the digest ")
    assert ("a higher data.resident_mib has all of them read" in line) == (now == 0)


def test_one_of_many_training_examples_is_told_if_all_are_in_memory(tmp_path, in_root):
    """The part alone, which is the same, would not tell it."""
    config, data = recorded(tmp_path, sorted_data()), sorted_data()
    train, unseen = [*SPLITS[0]], ordered(np.arange(200, 300), 300, 0)
    train[min(unseen)] = train[-1]
    other = sorted_data(train)
    assert other.part == data.part
    assert len(differences(tmp_path, config, other.facts, [])) == 1


STREAMED = {"resident_mib": 0}


@pytest.mark.parametrize("more", [{}, STREAMED, STREAMED | {"on_bad": "skip"}], ids=["resident", "streamed", "skip"])
def test_data_in_the_order_of_another_seed_are_those_that_it_loads(more):
    """Every batch and the hash of a run by that seed alone."""
    settings = Data(name="swiss_roll", levels=0, **more)
    first, alone = (load(open_sources(settings), settings, seed) for seed in (0, 5))
    again = first.by(5)
    assert (first.digest == again.digest) == (not more)
    assert again.facts == alone.facts
    for step in (0, 200):
        np.testing.assert_array_equal(again.train.batch(step, 128).levels, alone.train.batch(step, 128).levels)
        assert (again.train.batch(step, 128).levels != first.train.batch(step, 128).levels).any()
