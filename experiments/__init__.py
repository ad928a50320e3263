"""Config files in, results out: the only folder that reads configs, touches files or prints.

From Python, `experiments.open_run(folder)` is a trained run, with its score, samples and likelihood. `train`, `evaluate` and
`compare` do what the commands of these names do, and return a run or a report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.report import Report, compare, evaluate, open_report
    from experiments.run import Run, open_run, train

__all__ = ["Report", "Run", "compare", "evaluate", "open_report", "open_run", "train"]


def __getattr__(name: str) -> Any:
    """Imports what Python users call when they ask for it: a command sets its process up before it imports JAX."""
    if name not in __all__:
        raise AttributeError(f"module 'experiments' has no attribute {name!r}")
    from experiments import report, run

    return getattr(report if hasattr(report, name) else run, name)
