"""Config files in, results out: the only folder that reads configs, touches files or prints.

From Python, `experiments.open_run(folder)` is a trained run, with its score, samples and likelihood, and
`experiments.train(config, folder)` trains one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.run import Run, open_run, train

__all__ = ["Run", "open_run", "train"]


def __getattr__(name: str) -> Any:
    """Imports what Python users call when they ask for it: a command sets its process up before it imports JAX."""
    if name not in __all__:
        raise AttributeError(f"module 'experiments' has no attribute {name!r}")
    from experiments import run

    return getattr(run, name)
