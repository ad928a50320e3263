"""run.json: which run a folder is, and every session that worked on it; config.json: the config that it was last trained by."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import jax
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from experiments.config import messages, tree
from experiments.config.changes import changed_keys
from experiments.config.schema import Config
from experiments.runs.checkpoint import saved_steps
from experiments.runs.folder import Folder
from experiments.runtime import processes
from experiments.runtime.circumstances import _now, _packages, flags
from experiments.runtime.errors import ConfigError, StorageError, UserError
from experiments.runtime.files import sweep, write_text
from experiments.runtime.signals import Interrupted, last_words

FORMAT = 1


class RunRecord:
    """The record of the run in a folder. Of several processes the first writes it."""

    def __init__(self, run: Path, content: dict[str, Any]):
        self._path, self.content = Folder(run).record, content

    @property
    def id(self) -> str:
        """The id that the run's checkpoints are sealed with."""
        return self.content["id"]

    def note(self, **facts: Any) -> None:
        """Adds facts to the session that is on."""
        self.content["sessions"][-1] |= facts
        if processes.first():
            write_text(self._path, json.dumps(self.content, indent=1))

    def moved(self) -> str:
        """The devices of the last session that saved, and of this one, in words; none where they are the same."""
        *earlier, now = self.content["sessions"]
        before = next((session for session in reversed(earlier) if "to_step" in session), now)
        then, here = (f"{s.get('devices')} in {s.get('processes')} process(es)" for s in (before, now))
        return "" if then == here else f"{then}, and now {here}"

    def refuse_if_saved(self) -> None:
        """StorageError where checkpoints were saved: who asks has found none."""
        if (saved := self.content.get("saved")) is not None:
            gone = f"{self._path.parent} was saved at step {saved}, and its checkpoints are gone"
            raise StorageError(f"{gone}: put them back, or take another --workdir")

    def config_at(self, step: int) -> Config | None:
        """The config of the last session that began at `step` or before, if one did."""
        began = [s for s in self.content["sessions"] if type(s.get("from_step")) is int and s["from_step"] <= step]
        trees = [self.content["configs"].get(str(s.get("config"))) for s in began[-1:]]
        with suppress(ValidationError, TypeError):
            return Config.model_validate(tree.from_json(trees[0])) if trees else None
        return None

    def went_back(self, step: int, aside: Path) -> None:
        """Notes a return to `step`, with what came after it in `aside`."""
        self.content.setdefault("rollbacks", []).append({"to_step": step, "aside": str(aside), "at": _now()})
        self.content["saved"] = step
        write_text(self._path, json.dumps(self.content, indent=1))

    def saved(self, step: int | None) -> None:
        """Notes the newest step of which a checkpoint is known to be whole, if there is one."""
        if step is not None:
            self.content["saved"] = step
            self.note(to_step=step)


class _Format(BaseModel):
    """What every version writes."""

    model_config = ConfigDict(extra="allow", strict=True)
    format: Annotated[int, Field(ge=1, lt=2**31)]


class _Content(_Format):
    """What is read of a record, and written again."""

    id: str
    data: str | None = None
    configs: dict[str, dict[str, Any]]
    sessions: list[dict[str, Any]]
    saved: int | None = None


def read(run: Path) -> RunRecord | None:
    """The record of a folder, if it has one. StorageError for one that cannot be read, or that a later OneSDE wrote."""
    path = Folder(run).record
    if not path.exists():
        return None
    try:
        if not path.is_file():
            raise OSError("it is no file")
        text = path.read_bytes()
        version = _Format.model_validate_json(text).format
        content = _Content.model_validate_json(text).model_dump(exclude_unset=True) if version <= FORMAT else {}
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read ({' '.join(str(error).split())[:80]}): mend it from a copy") from error
    if version > FORMAT:
        raise StorageError(f"{path} is of format {version}, and this OneSDE knows {FORMAT}: upgrade")
    return RunRecord(run, content)


def differences(run: Path, config: Config, data: str, allowed: list[str]) -> list[str]:
    """What made the run in the folder and is not the same in `config`, a line each, but for the keys `allowed` to change."""
    path = Folder(run).config
    if not path.exists():
        return []
    before = tree.stored(path)
    with suppress(ValidationError):  # what a later version added stands at its default
        before = Config.model_validate(before).model_dump()
    as_stored = lambda tree: json.loads(json.dumps(tree))
    changed = changed_keys(as_stored(before), as_stored(config.model_dump()))
    record = read(run)
    if record and not saved_steps(Folder(run).checkpoints) and "saved" not in record.content and not imported(run):
        return []  # it has made nothing yet
    digest = record.content.get("data") if record else None
    if data and digest not in (None, data):
        changed.append(f"data: examples with the digest {digest} then, {data} now")
    if imported(run):  # how it is trained further is yet to be said
        changed = [line for line in changed if not line.startswith("train.")]
    under = lambda key, section: key == section or key.startswith(f"{section}.")
    return [line for line in changed if not any(under(line.partition(":")[0], key) for key in allowed)]


def refuse_changes(run: Path, config: Config, data: str, allowed: list[str]) -> None:
    """ConfigError with the first `differences` and the ways on, if there are any; or with a key that no config has."""
    known = list(tree.flat(config.model_dump()))
    for key in allowed:
        if key != "data" and not any(f"{one}.".startswith(f"{key}.") for one in known):
            raise ConfigError(f"--allow-change={key}: no such key{messages.nearest(key, known)}")
    if changed := differences(run, config, data, allowed):
        key = changed[0].partition(":")[0]
        raise ConfigError(
            [
                f"{run} is another experiment ({len(changed)} keys); undo, take another --workdir, or",
                f"--fork=DIR (a new run from its newest state) or --allow-change={key} (this run goes on so)",
                *changed[:3],
            ]
        )


@contextmanager
def session(run: Path, config: Config, data: str, command: str, training: bool) -> Iterator[RunRecord]:
    """The run's record, with a session that ends as the block does; config.json is that of the last training."""
    if processes.first():
        run.mkdir(parents=True, exist_ok=True)
        sweep(run)
        record = read(run)
        if record is None and saved_steps(Folder(run).checkpoints):
            raise StorageError(f"{run} holds checkpoints and no run.json: put it back, or take another --workdir")
        if record is None:
            record = RunRecord(run, {"format": FORMAT, "id": uuid4().hex, "data": data, "configs": {}, "sessions": []})
        for earlier in record.content["sessions"]:
            if earlier.get("status") == "running":
                earlier["status"] = "ended without a word"
        record.content["data"] = data or record.content.get("data")
        record.content["configs"][config.digest()] = config.model_dump()
        packages = _packages()
        digest = sha256("\n".join(packages).encode()).hexdigest()[:12]
        record.content.setdefault("packages", {})[digest] = packages
        record.content["sessions"].append(_circumstances(run, config, command) | {"packages": digest})
        record.note(status="running")
        if training:
            write_text(Folder(run).config, json.dumps(config.model_dump(), indent=2))
    processes.everywhere(True)  # the others read what the first has written
    record = read(run)
    assert record is not None
    stopped = lambda why: record.note(status="stopped", ended=_now(), reason=why)
    try:
        with last_words(stopped):
            yield record
    except Interrupted as error:
        stopped(str(error))
        raise
    except UserError as error:
        with suppress(OSError):  # where the disk takes no more, that is not what is to be said
            record.note(status="failed", ended=_now(), reason=str(error)[:500], exit_code=error.exit_code)
        raise
    except BaseException as error:
        with suppress(OSError):
            record.note(status="crashed", ended=_now(), reason=f"{type(error).__name__}: {error}"[:500])
        raise
    record.note(status="done", ended=_now())


def imported(run: Path) -> bool:
    """Whether the run is weights from elsewhere, and has not been trained here."""
    return (Folder(run).weights).is_file() and not saved_steps(Folder(run).checkpoints)


def _circumstances(run: Path, config: Config, command: str) -> dict[str, Any]:
    """What a reader needs to repeat the session."""
    return {
        "command": command,
        "config": config.digest(),
        "started": _now(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "devices": f"{jax.device_count()} {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
        "platform": f"{platform.platform()}, Python {platform.python_version()}",
        **flags(),
        "git": _source(run),
    }


def _source(run: Path) -> dict[str, str]:
    """The commit of this code; what is not committed goes to a file beside, named by its digest."""

    root = Path(__file__).parents[2]

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, timeout=10, check=True).stdout

    try:
        if Path(git("rev-parse", "--show-toplevel").strip()) != root:
            return {}  # installed within a repository of another's
        commit, diff = git("rev-parse", "HEAD").strip(), git("diff", "HEAD")
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return {}
    if not diff:
        return {"commit": commit}
    name = f"uncommitted_{sha256(diff.encode()).hexdigest()[:12]}.diff"
    write_text(run / name, diff)
    return {"commit": commit, "uncommitted": name}
