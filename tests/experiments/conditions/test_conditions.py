"""Conditions as functions of an example: masks, coarse and grey images, captions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import one_in

from experiments.conditions import captions, channel_means, grey, low_resolution, mask
from experiments.conditions.text import CHARACTERS, characters, text_of

KEY = jax.random.key(0)
DIGITS = tuple(map(str, range(10)))
image = jax.random.normal(KEY, (8, 6, 3))


@one_in(3)
@pytest.mark.parametrize("shape", [(8, 1), (8, 6, 3), (4, 6, 5, 2)], ids=str)
def test_a_mask_shows_the_example_where_it_is_seen(shape):
    """[m, m x], of some that is seen and some that is not, over any number of axes of space; another key, another mask."""
    x = jax.random.normal(KEY, shape)
    first, again, other = (mask(jax.random.key(k), x) for k in (1, 1, 2))
    m, seen = first[..., :1], first[..., 1:]
    assert set(np.unique(m)) == {0.0, 1.0}
    np.testing.assert_array_equal(seen, m * x)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_hole_is_a_box_of_the_sides_asked_for():
    """The hidden rows and columns are each in a row; of many, the mean share hidden is E[share]^2 = 0.4^2 of the image."""
    x = jnp.ones((40, 30, 1))
    draw = jax.jit(jax.vmap(lambda key: 1 - mask(key, x, holes=1, smallest=0.2, largest=0.6)[..., 0]))
    hidden = np.asarray(draw(jax.random.split(KEY, 2000))) > 0
    for axis, side in ((2, 40), (1, 30)):
        lines = hidden.any(axis)
        count = lines.sum(1)
        assert (lines.argmax(1) + count == side - lines[:, ::-1].argmax(1)).all()  # no gap in it
        assert 0.2 * side - 1 <= count.min() < 0.25 * side
        assert 0.55 * side < count.max() <= 0.6 * side + 1
        np.testing.assert_array_equal(hidden.sum((1, 2)), hidden.any(1).sum(1) * hidden.any(2).sum(1))
    assert hidden.mean() == pytest.approx(0.16, abs=0.01)


def test_a_mask_of_everything_is_no_condition():
    np.testing.assert_array_equal(mask(KEY, image, holes=1, smallest=1.0, largest=1.0), 0.0)


def test_a_coarse_image_has_the_means_of_its_blocks():
    coarse = low_resolution(image, factor=2)
    np.testing.assert_allclose(coarse[2:4, 4:6], jnp.broadcast_to(image[2:4, 4:6].mean((0, 1)), (2, 2, 3)), rtol=1e-5)
    assert coarse.shape == image.shape


def test_means_over_channels_and_over_space():
    np.testing.assert_allclose(grey(image)[..., 0], image.mean(-1))
    np.testing.assert_allclose(channel_means(image), image.mean((0, 1)), rtol=1e-5)


def test_a_caption_spells_the_name_of_the_class():
    texts = [text_of(np.asarray(captions(jnp.array(label), DIGITS))) for label in range(10)]
    assert texts[3] == "a handwritten three"
    assert len({*texts}) == 10
    assert text_of(np.asarray(jax.jit(lambda label: captions(label, ("Katze", "Hund"), "{} im Bild"))(1))) == "Hund im Bild"


@pytest.mark.parametrize("text", ["", "three", "œuvre, 三"])
def test_characters_are_the_bytes_of_the_text(text):
    numbers = characters(text, 16)
    assert text_of(numbers) == text
    assert 0 <= numbers.min() <= numbers.max() < CHARACTERS
    assert (numbers > 0).sum() == len(text.encode())


REFUSED = {
    "a point with a hole": (lambda: mask(KEY, jnp.ones(2)), "axes of space"),
    "sides the wrong way round": (lambda: mask(KEY, image, smallest=0.5, largest=0.2), "smallest = 0.5 is above largest = 0.2"),
    "blocks that do not fit": (lambda: low_resolution(image, factor=4), "coarse\\(4\\)"),
    "a grey point": (lambda: grey(jnp.ones(2)), "axes of space"),
    "classes without names": (lambda: captions(0, ()), "have none"),
    "a long caption": (lambda: captions(0, DIGITS, length=8), "'a handwritten zero' has 18 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_such_condition_is_refused(case):
    make, says = REFUSED[case]
    with pytest.raises(ValueError, match=says):
        make()
