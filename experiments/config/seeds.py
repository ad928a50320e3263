"""The training runs of an arm, one from each of its seeds."""

from __future__ import annotations

from experiments.config.arms import run_name
from experiments.config.schema import Config


def runs_of_arm(name: str, config: Config) -> dict[str, Config]:
    """Returns the config of each run of an arm, by the name of its folder: that of an experiment which is trained alone.

    The run from the config's own `seed` has the name of the arm, so that a comparison of one seed goes on with others.
    """
    train = config.train.model_copy(update={"seeds": (), "seeds_at_once": 1})

    def run(seed: int) -> tuple[str, Config]:
        if seed == config.seed:
            return name, config.model_copy(update={"train": train})
        title = f"{config.title}, seed {seed}"
        return run_name(name, seed), config.model_copy(update={"train": train, "seed": seed, "title": title})

    return dict(map(run, config.train.seeds or (config.seed,)))
