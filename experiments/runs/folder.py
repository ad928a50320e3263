"""The files in the folder of a run: the only place where they get their names."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from experiments.weights import native


class Folder(NamedTuple):
    """The folder of a run."""

    path: Path

    @property
    def record(self) -> Path:
        """run.json: the run's id and its sessions."""
        return self.path / "run.json"

    @property
    def config(self) -> Path:
        """config.json: the config of the last session that trained."""
        return self.path / "config.json"

    @property
    def weights(self) -> Path:
        """The weights that the run starts from, if it was imported."""
        return self.path / native.FILE

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints, one folder for each step."""
        return self.path / "checkpoints"

    @property
    def codes(self) -> Path:
        """The folder of codes of training examples: one for each codec and each form of the data."""
        return self.path / "codes"

    @property
    def metrics(self) -> Path:
        """metrics.jsonl: the log of training, one line of JSON for each interval."""
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """The folder of TensorBoard's event files, which repeat the log."""
        return self.path / "tensorboard"

    @property
    def samples(self) -> Path:
        """The folder of samples, and of their pictures."""
        return self.path / "samples"

    @property
    def edits(self) -> Path:
        """The folder of edits."""
        return self.path / "edits"

    @property
    def interpolations(self) -> Path:
        """The folder of interpolations."""
        return self.path / "interpolations"

    @property
    def measured(self) -> Path:
        """The folder of what was measured by an evaluation that is not done."""
        return self.path / "measured"

    @property
    def abandoned(self) -> Path:
        """The folder of what a rollback moved aside."""
        return self.path / "abandoned"

    @property
    def nan_report(self) -> Path:
        """The report on a run that stopped because it was not finite."""
        return self.path / "nan_report.json"

    def replay(self, step: int) -> Path:
        """Returns the path of the report on a step that was repeated."""
        return self.path / f"replay_{step}.json"

    def picture(self, step: int) -> Path:
        """Returns the path of the picture that training draws at a step."""
        return self.samples / f"step_{step:07d}.png"

    def pictures_after(self, step: int) -> list[Path]:
        """Returns the existing pictures of later steps; files of other names are the user's."""
        numbers = {path: path.stem.removeprefix("step_") for path in self.samples.glob("step_*.png")}
        return [path for path, number in numbers.items() if number.isdecimal() and int(number) > step]
