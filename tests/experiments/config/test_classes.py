"""Classes by number and by name: which one a label asks for, and what is said of one that there is not."""

import pytest

from experiments.config.classes import class_name, class_number, class_numbers, numbered


@pytest.mark.parametrize(
    ("label", "classes", "names", "number"),
    [
        (3, 10, (), 3),
        ("3", 10, (), 3),
        (1, 2, ("cat", "dog"), 1),
        ("dog", 2, ("cat", "dog"), 1),
        (10, 3, ("2", "4", "10"), 2),
        ("10", 3, ("2", "4", "10"), 2),
        (7, 2, ("006", "007"), 1),
        (10, 11, tuple(map(str, range(11))), 10),
        (3, 4, ("cat", "dog"), 3),
        ("New\xa0York", 2, ("Paris", "New\\xa0York"), 1),
        ("New\\xa0York", 2, ("Paris", "New\xa0York"), 1),
        ("می\u200cخواهم", 1, ("می\u200cخواهم",), 0),
    ],
)
def test_a_label_is_a_name_or_a_number(label, classes, names, number):
    """Names that are numbers count as numbers; invisible letters may be written as they are printed."""
    assert class_number(label, classes, names) == number


@pytest.mark.parametrize(
    ("label", "classes", "names", "says"),
    [
        (10, 10, (), r"there is no class 10 \(there are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\)"),
        (1, 3, ("2", "4", "10"), r"there is no class 1 \(there are 2, 4, 10\)"),
        (0, 2, ("10", "cat"), r"there is no class 0 \(there are 10, cat\)"),
        ("dgo", 2, ("cat", "dog"), r"there is no class 'dgo' \(did you mean dog\?\)"),
        ("dog", 1, ("cat", "dog"), r"there is no class 'dog' \(there are cat\)"),
        (2, 2, ("cat", "dog"), r"there is no class 2 \(there are cat, dog\)"),
    ],
)
def test_a_class_that_there_is_not(label, classes, names, says):
    with pytest.raises(ValueError, match=says):
        class_number(label, classes, names)


def test_every_number_is_the_class_of_its_own_name():
    names = ("cat", "10", "dog")
    for y in range(5):
        assert class_number(class_name(y, names), 5, names) == y
    assert numbered(names) == "0 is cat, 1 is 10, 2 is dog"
    assert class_numbers(("dog", 10), names) == (2, 1)
    assert class_numbers((7, 1), ()) == (7, 1)
