"""Configs of an SDE with an alpha for each frequency: what does not fit is refused with a reason."""

import pytest
from slow import one_in

from experiments.build.build import build
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.tiny import tiny
from experiments.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("in_root")


@one_in(3)
@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("sde.sides=(28, 28)", r"sde: .* must broadcast to events of shape \(8, 8, 1\), and together .* \(28, 28, 1\)"),
        ("codec=None", r"in_space = True takes cosine codes back to images: set codec.by = 'cosine', or take False"),
        ("samplers.fast.sde.name=VPSDE", r"samplers.fast.sde: a score under another SDE needs one log-SNR .* BlurringSDE"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(word, says):
    tree = read_config("configs/digits/blurring.py:tiny", [f"--config.{word}"], {"tiny": tiny})
    with pytest.raises(ConfigError, match=says):
        build(Config.model_validate(tree), (8, 8, 1))
