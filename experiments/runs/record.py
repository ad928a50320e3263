"""The record of a run, run.json: its id, and every session that worked on it. config.json holds the last training's config."""

from __future__ import annotations

import json
import math
import platform
import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import jax
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from experiments.build.conditions import classes
from experiments.config.changes import changed_keys
from experiments.config.classes import class_name
from experiments.config.schema import Config
from experiments.config.tree import read_json_tree, tree_from_json
from experiments.data.dataset import DataFacts
from experiments.data.moments import Moments
from experiments.runs.checkpoint import saved_steps
from experiments.runs.folder import Folder
from experiments.runtime import processes, supervisor
from experiments.runtime.circumstances import _now, _packages, flags
from experiments.runtime.errors import StorageError, UserError
from experiments.runtime.files import json_text, sweep, write_text
from experiments.runtime.signals import Interrupted, last_words
from experiments.weights import native

FORMAT = 1


class RunRecord:
    """The record of the run in a folder. If there are several processes, only the first one writes it."""

    def __init__(self, run: Path, content: dict[str, Any]):
        self._path, self.content = Folder(run).record, content

    @property
    def id(self) -> str:
        """The id of the run, which the seals of its checkpoints hold."""
        return self.content["id"]

    @property
    def circumstances(self) -> dict[str, Any]:
        """All that results of this session depend on beside data and parameters: config, code, packages, devices and flags."""
        session = self.content["sessions"][-1]
        return {key: session.get(key) for key in ("config", "git", "packages", "devices", "processes", "platform", *flags())}

    def note(self, **facts: Any) -> None:
        """Adds facts to the current session and writes the record."""
        self.content["sessions"][-1] |= facts
        if processes.first():
            write_text(self._path, json_text(self.content))

    def note_training(self, step: int, at_once: int, steps_per_call: int) -> None:
        """Notes, once in a session, the step that it trains from, and of its program the runs and the most steps of a call."""
        facts = {"from_step": step, "at_once": at_once, "steps_per_call": steps_per_call}
        self.note(**facts | self.content["sessions"][-1])

    def device_change(self) -> str:
        """Returns the devices of the last session that saved and of this one, in words; "" if they are the same."""
        *earlier, now = self.content["sessions"]
        before = next((session for session in reversed(earlier) if "to_step" in session), now)
        then, here = (f"{s.get('devices')} in {s.get('processes')} process(es)" for s in (before, now))
        return "" if then == here else f"{then}, and now {here}"

    def refuse_if_saved(self) -> None:
        """Raises StorageError if the run has saved a checkpoint, or is a fork. The caller has none: someone removed them."""
        run, parent = self._path.parent, self.content.get("parent")
        if (saved := self.content.get("saved")) is not None:
            loss = f"{run} was saved at step {saved}, and its checkpoints are gone"
            raise StorageError(f"{loss}: put them back, or train anew in another folder")
        if parent:
            again = f"train again by --workdir={shlex.quote(parent['folder'])} --fork={shlex.quote(str(run))}"
            raise StorageError(f"{run} was stopped before it had its first state: {again}")

    def trained(self, until: float = math.inf) -> list[dict[str, Any]]:
        """Returns the sessions that trained and began at `until` at the latest; in a fork those of its parent come first."""
        return [s for s in self.content["sessions"] if type(s.get("from_step")) is int and s["from_step"] <= until]

    @property
    def steps_per_call(self) -> int | None:
        """The most steps of a call of the program that trained the run; None if no step is saved."""
        if "saved" not in self.content:
            return None
        by_config = (self.tree_at() or {}).get("train", {}).get("steps_per_call")  # of a run of an earlier OneSDE
        return next((s["steps_per_call"] for s in reversed(self.trained()) if type(s.get("steps_per_call")) is int), by_config)

    def tree_at(self, step: float = math.inf) -> dict[str, Any] | None:
        """Returns the tree of the config that a step was trained by, the last one if none is given; None if there is none."""
        trees = [self.content["configs"].get(str(session.get("config"))) for session in self.trained(step)[-1:]]
        with suppress(ValueError, TypeError):
            return tree_from_json(trees[0]) if trees else None
        return None

    def config_at(self, step: int) -> Config | None:
        """Returns the config that a step was trained by; None if there is none, or if it is of another OneSDE."""
        with suppress(ValidationError):
            return Config.model_validate(self.tree_at(step))
        return None

    def begin_as_fork(self, parent: RunRecord, folder: Path, step: int) -> None:
        """Notes that the run begins at a step of another, with the sessions that trained that one up to there."""
        if "parent" not in self.content:
            earlier = parent.trained(until=step)
            used = {str(session.get("config")) for session in earlier}
            self.content["configs"] |= {key: tree for key, tree in parent.content["configs"].items() if key in used}
            self.content["sessions"][:0] = earlier
        self.content["parent"] = {"run": parent.id, "folder": str(folder.absolute()), "step": step}
        self.note()

    def note_rollback(self, step: int, aside: Path) -> None:
        """Notes a return to `step`; the folder `aside` holds what the run did after it."""
        self.content.setdefault("rollbacks", []).append({"to_step": step, "aside": str(aside), "at": _now()})
        self.content["saved"] = step
        write_text(self._path, json_text(self.content))

    def note_failure(self, error: BaseException) -> None:
        """Notes that the session ended with an error: failed if a user can cause it, else crashed."""
        if isinstance(error, UserError):
            self.note(status="failed", ended=_now(), reason=str(error)[:500], exit_code=error.exit_code)
        else:
            self.note(status="crashed", ended=_now(), reason=f"{type(error).__name__}: {error}"[:500])

    def note_saved(self, step: int | None) -> None:
        """Notes the newest step whose checkpoint is complete. None changes nothing."""
        if step is not None:
            self.content["saved"] = step
            self.note(to_step=step)


class _Format(BaseModel):
    """The fields that every version of a record has."""

    model_config = ConfigDict(extra="allow", strict=True)
    format: Annotated[int, Field(ge=1, lt=2**31)]


class _Moments(BaseModel):
    """The fields of `Moments`."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    mean: list[float]
    std: list[Annotated[float, Field(ge=0)]]


class _Content(_Format):
    """The fields of a record that are read, and written back."""

    id: str
    data: str | None = None
    data_part: str | None = None
    shape: list[Annotated[int, Field(ge=1, lt=2**31)]] | None = None
    classes: list[str] | None = None
    moments: _Moments | None = None
    configs: dict[str, dict[str, Any]]
    sessions: list[dict[str, Any]]
    saved: int | None = None


def read_record(run: Path) -> RunRecord | None:
    """Returns the record of a folder, or None if it has none.

    Raises StorageError if the record cannot be read, if a later OneSDE wrote it, or if it is gone and left checkpoints.
    """
    path = Folder(run).record
    if not path.exists():
        if saved_steps(Folder(run).checkpoints):
            raise StorageError(f"{run} holds checkpoints and no run.json: put that back, or train anew in another folder")
        return None
    try:
        if not path.is_file():
            raise OSError("it is not a file")
        text = path.read_bytes()
        version = _Format.model_validate_json(text).format
        content = _Content.model_validate_json(text).model_dump(exclude_unset=True) if version <= FORMAT else {}
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read ({' '.join(str(error).split())[:80]}): mend it from a copy") from error
    if version > FORMAT:
        raise StorageError(f"{path} has format {version}, and this OneSDE reads up to {FORMAT}: upgrade")
    return RunRecord(run, content)


def data_facts(run: Path) -> DataFacts | None:
    """Returns what a run knows of its data: by its record, or by the weights that it was imported as.

    None if it knows nothing, as runs of an earlier OneSDE.
    """
    record = read_record(run)
    if record and (shape := record.content.get("shape")):
        classes, digests = record.content.get("classes"), (record.content.get(key) or "" for key in ("data", "data_part"))
        moments = record.content.get("moments")
        by = Moments(tuple(moments["mean"]), tuple(moments["std"])) if moments else None
        return DataFacts(tuple(shape), tuple(classes or ()), *digests, moments=by)
    if not Folder(run).weights.is_file():
        return None
    weights = native.read_weights(run)
    by = Moments(*weights.moments) if weights.moments else None
    return DataFacts(weights.shape, weights.classes, weights.data or "", moments=by)


def trained_moments(run: Path) -> Moments | None:
    """Returns the moments that the network of a run was trained by; None if it standardises nothing, or is not trained."""
    facts = data_facts(run) if saved_steps(Folder(run).checkpoints) or imported(run) else None
    return facts.moments if facts else None


def trained_tree(run: Path) -> dict[str, Any] | None:
    """Returns the tree of the config that a run was last trained by, or imported with; None if the folder holds no run.

    It is in config.json, and if that is gone, in the record or beside the imported weights.
    """
    if Folder(run).config.exists():
        return read_json_tree(Folder(run).config)
    record = read_record(run)
    tree = record.tree_at() if record else None
    return native.read_weights(run).config if tree is None and imported(run) else tree


def differences(run: Path, config: Config, data: DataFacts | None, allowed: list[str]) -> list[str]:
    """Returns a line for each key, and for the data, that the run in the folder was trained by and that differs in `config`.

    Keys that are `allowed` to change are left out.
    """
    if (before := trained_tree(run)) is None:
        return []
    with suppress(ValidationError):  # keys that a later version added get their defaults
        before = Config.model_validate(before).model_dump()
    as_stored = lambda tree: json.loads(json.dumps(tree))
    changed = changed_keys(as_stored(before), as_stored(config.model_dump()))
    record = read_record(run)
    if record and not saved_steps(Folder(run).checkpoints) and "saved" not in record.content and not imported(run):
        return []  # nothing depends on its config yet
    if record and data:
        changed += _data_changes(record, data, bool(classes(config, data.classes)))
    if imported(run):  # it may be trained further in any way
        changed = [line for line in changed if not line.startswith("train.")]
    under = lambda key, section: key == section or key.startswith(f"{section}.")
    return [line for line in changed if not any(under(line.partition(":")[0], key) for key in allowed)]


def _data_changes(record: RunRecord, data: DataFacts, labelled: bool) -> Iterator[str]:
    """Yields a line if the examples are not those of the record, and one if a label of the network has another name."""
    digest, part, classes = (record.content.get(key) for key in ("data", "data_part", "classes"))
    # Examples that did not stay in memory, then or now, are known by a part of them.
    if digest and digest not in (data.digest, data.part) and data.digest != part:
        some = ", of a part: a higher data.resident_mib has all of them read" if data.digest == data.part else ""
        yield f"data: examples with the digest {digest} then, {data.digest} now{some}"
    if labelled and classes and data.classes:
        moved = (y for y, (a, b) in enumerate(zip_longest(classes, data.classes)) if a != b)
        if (y := next(moved, None)) is not None:
            yield f"data: label {y} was {class_name(y, classes)} then, and is {class_name(y, data.classes)} now"


@contextmanager
def session(run: Path, config: Config, data: DataFacts | None, command: str, training: bool) -> Iterator[RunRecord]:
    """Opens the run's record with a new session, whose status says how the block ended.

    A session that trains also writes config.json.
    """
    if processes.first():
        run.mkdir(parents=True, exist_ok=True)
        sweep(run)
        record = read_record(run) or RunRecord(run, {"format": FORMAT, "id": uuid4().hex, "configs": {}, "sessions": []})
        for earlier in record.content["sessions"]:
            if earlier.get("status") == "running":
                earlier["status"] = "lost"
        if data:
            record.content |= {"data": data.digest, "data_part": data.part}
            record.content |= {"shape": [*data.shape], "classes": [*data.classes]}
            record.content |= {"moments": data.moments._asdict()} if data.moments else {}
        record.content["configs"][config.digest()] = config.model_dump()
        packages = _packages()
        digest = sha256("\n".join(packages).encode()).hexdigest()[:12]
        record.content.setdefault("packages", {})[digest] = packages
        record.content["sessions"].append(_circumstances(run, config, command) | {"packages": digest})
        record.note(status="running")
        if training:
            write_text(Folder(run).config, json.dumps(config.model_dump(), indent=2))
    processes.everywhere(True)  # the others wait until the first has written it
    record = read_record(run)
    assert record is not None
    stopped = lambda why: record.note(status="stopped", ended=_now(), reason=why)
    try:
        with last_words(stopped):
            yield record
    except Interrupted as error:
        stopped(str(error))
        raise
    except BaseException as error:
        with suppress(OSError):  # a full disk must not hide the error itself
            record.note_failure(error)
        raise
    if record.content["sessions"][-1]["status"] == "running":
        record.note(status="done", ended=_now())


def imported(run: Path) -> bool:
    """Returns whether the run starts from imported weights and has not been trained since."""
    return (Folder(run).weights).is_file() and not saved_steps(Folder(run).checkpoints)


def _circumstances(run: Path, config: Config, command: str) -> dict[str, Any]:
    """Returns the facts that a reader needs to repeat the session."""
    return {
        "command": command,
        "config": config.digest(),
        "started": _now(),
        "host": socket.gethostname(),
        "pid": supervisor.started(),
        "devices": f"{jax.device_count()} {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
        "platform": f"{platform.platform()}, Python {platform.python_version()}",
        **flags(),
        "git": _source(run),
    }


def _source(run: Path) -> dict[str, str]:
    """Returns the commit of this code. Writes uncommitted changes to a file in the run, named by their digest."""
    root = Path(__file__).parents[2]

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, timeout=10, check=True).stdout

    try:
        if Path(git("rev-parse", "--show-toplevel").strip()) != root:
            return {}  # the code is installed inside another repository
        commit, diff = git("rev-parse", "HEAD").strip(), git("diff", "HEAD")
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return {}
    if not diff:
        return {"commit": commit}
    name = f"uncommitted_{sha256(diff.encode()).hexdigest()[:12]}.diff"
    write_text(run / name, diff)
    return {"commit": commit, "uncommitted": name}
