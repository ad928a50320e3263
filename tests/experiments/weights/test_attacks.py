"""What strangers send: nothing in it is run, it is refused in a few lines, and neither memory nor time is lost to it."""

import ast
import itertools
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from hashlib import sha256
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from attacks import CONFIGS, ESCAPES, SENTENCES, TEXTS, WEIGHTS, configured, edited, named
from runs import MOONS, TINY
from safetensors.numpy import save_file
from slow import one_in
from source_files import FILES

from experiments.config.schema import Data
from experiments.data.sources import open_sources
from experiments.evaluation import inception_weights
from experiments.evaluation.report import write_report
from experiments.evaluation.statistics import Protocol, statistics
from experiments.evaluation.statistics_files import stored_statistics
from experiments.main import main
from experiments.runtime.errors import ConfigError, DataError, StorageError, UserError
from experiments.runtime.failures import lines
from experiments.runtime.progress import say
from experiments.weights import native, torch_reader
from experiments.weights.published import diffusers, diffusers_unet
from experiments.weights.tensors import read_safetensors, read_tensors

ROOT = Path(__file__).parents[3]
SECONDS, ROOM = 20, 2**30
"""What an answer may take of the processor, and the memory beyond what the tests have already."""
SAMPLERS = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"
SMALL = [f"--config={MOONS}", *TINY, "--config.train.steps=2", SAMPLERS]
WATCHING, CONNECTIONS = [], []


def _watch(event, arguments):
    if WATCHING and event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        CONNECTIONS.append(event)
        raise OSError(f"{event} in a test of what is done without a network")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run of ours, and its weights as a stranger would send them: made without a network."""
    here = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        WATCHING.append(True)
        for command in (
            ["train", *SMALL, f"--workdir={here / 'run'}"],
            ["export", str(here / "run"), str(here / "sent")],
        ):
            assert main(command) == 0
        WATCHING.clear()
    return here


def test_nobody_is_called(good, monkeypatch):
    """Training and export ask for no connection and no address; one that is asked for would be seen."""
    assert not CONNECTIONS
    monkeypatch.setattr(sys.modules[__name__], "WATCHING", [True])
    with pytest.raises(OSError, match="without a network"):
        socket.create_connection(("localhost", 9))
    assert CONNECTIONS
    CONNECTIONS.clear()


@pytest.fixture
def sent(good, tmp_path):
    return Path(shutil.copytree(good / "sent", tmp_path / "sent"))


@pytest.fixture
def run(good, tmp_path):
    return Path(shutil.copytree(good / "run", tmp_path / "run"))


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "fired"


def _late(*_):
    pytest.fail(f"no answer in {SECONDS} s", pytrace=False)


@contextmanager
def bounded(mark):
    """Memory and time run out here, and no payload has run."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, before[1]))
    stop = signal.signal(signal.SIGPROF, _late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, stop)
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert not mark.exists()


def calm(text):
    """Whether a terminal shows these lines, and obeys none of them."""
    return all(c.isprintable() for c in text.replace("\n", ""))


def refused(capfd, mark, *line, codes=(2, 3, 5)):
    """The few lines that a command answers with."""
    capfd.readouterr()
    with bounded(mark):
        code = main([str(word) for word in line])
    said = capfd.readouterr()
    assert code in codes, said.err
    assert len(said.err.splitlines()) <= 5, said.err
    assert "Traceback" not in said.err
    assert calm(said.out + said.err), ascii(said.out + said.err)
    return said.err


def there(run):
    return f"--config={run}/config.json", f"--workdir={run}"


def some(table, *fast):
    """The table's names, all but `fast` for the long test suite."""
    return [pytest.param(name, marks=[] if name in fast else [pytest.mark.slow]) for name in table]


# Weights

TORCH = [name for name in WEIGHTS if name.startswith(("torch", "pickle", "zip"))]
"""Those that go to torch, in a process of its own."""


@one_in(2)
@pytest.mark.parametrize("name", some(WEIGHTS, *(set(WEIGHTS) - set(TORCH)), "torch_zip", "torch_bomb"))
def test_no_file_of_weights_harms(name, tmp_path, mark):
    """Read as tensors, and as what FID's network is read from."""
    path = tmp_path / "x.bin"
    path.write_bytes(WEIGHTS[name](mark))
    whole = (
        "safetensors_many",
        "safetensors_empty",
        "safetensors_twice",
        "safetensors_nan",
        "safetensors_escapes",
        "msgpack_names",
    )
    with bounded(mark):
        if name not in whole:
            with pytest.raises(StorageError) as error:
                read_tensors(path)
            assert calm(lines(error.value))
        if name not in TORCH:
            with pytest.raises(ConfigError) as error:
                inception_weights.load(str(path))
            assert len(str(error.value).splitlines()) <= 5


@pytest.mark.parametrize("name", some(WEIGHTS, "safetensors_nan", "safetensors_escapes", "npz_bomb"))
def test_no_file_of_weights_harms_a_run(name, sent, tmp_path, mark, capfd):
    """In the place of a run's own weights, to each command that reads them."""
    (sent / native.FILE).write_bytes(WEIGHTS[name](mark))
    out = tmp_path / "out"
    for line in (["import", sent, out], ["export", sent, out], ["sample", *there(sent)]):
        refused(capfd, mark, *line, codes=(5,))
    assert not out.exists()


def test_a_pipe_is_no_source(tmp_path, mark, capfd):
    os.mkfifo(tmp_path / "pipe")
    assert "no file or folder" in refused(capfd, mark, "import", tmp_path / "pipe", tmp_path / "out", codes=(5,))


@pytest.mark.parametrize(
    ("does", "event"),
    [
        ("import os; os.system('touch {mark}')", "os.system"),
        ("open('{mark}', 'w')", "open"),
        pytest.param("import subprocess; subprocess.run(['touch', '{mark}'])", "subprocess.Popen", marks=pytest.mark.slow),
        pytest.param("import os; os.rename('{source}', '{mark}')", "os.rename", marks=pytest.mark.slow),
        pytest.param("import os; os.remove('{source}')", "os.remove", marks=pytest.mark.slow),
        pytest.param("import socket; socket.create_connection(('127.0.0.1', 9))", "socket.", marks=pytest.mark.slow),
        pytest.param("bytearray(2**34)", "MemoryError", marks=pytest.mark.slow),
    ],
)
def test_what_torch_let_through_would_end_there(tmp_path, mark, does, event):
    """The process that reads torch's files does nothing of this, whoever asks: here, the code itself."""
    source = tmp_path / "x.pth"
    source.write_bytes(b"")
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import torch_reader; torch_reader.confine({str(source)!r}); "
    code += does.format(mark=mark, source=source)
    folder = str(Path(torch_reader.__file__).parent)
    done = subprocess.run([sys.executable, "-I", "-c", code, folder], capture_output=True, text=True)
    assert done.returncode == 1
    assert event in done.stderr.splitlines()[-1]
    assert source.exists()
    assert not mark.exists()


# What weights and folders say of themselves


@pytest.mark.parametrize("where", ["config.json", "scheduler_config.json"])
@pytest.mark.parametrize("name", some(TEXTS, "digits", "escapes"))
def test_no_folder_of_diffusers_harms(name, where, tmp_path, mark, capfd):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    unet = diffusers_unet.UNET_DEFAULTS | {"_class_name": "UNet2DModel", "sample_size": 8}
    for file, tree in (("config.json", unet), ("scheduler_config.json", {"_class_name": "DDPMScheduler"})):
        (theirs / file).write_text(json.dumps(tree))
    (theirs / diffusers.WEIGHTS[0]).write_bytes(WEIGHTS["safetensors_empty"](mark))
    (theirs / where).write_bytes(TEXTS[name]())
    refused(capfd, mark, "import", theirs, tmp_path / "out", "--config.data.name=digits", codes=(5,))


def forged(sent, **changes):
    """The sent weights with other metadata."""
    tensors, metadata = read_safetensors(sent / native.FILE)
    save_file(tensors, sent / native.FILE, metadata | changes)


@pytest.mark.parametrize("key", some(("config", "shape", "step"), "config"))
@pytest.mark.parametrize("name", some([n for n in TEXTS if n not in ("bytes", "pickle")], "deep", "escapes"))
def test_no_metadata_harms(name, key, sent, tmp_path, mark, capfd):
    forged(sent, **{key: TEXTS[name]().decode()})
    refused(capfd, mark, "import", sent, tmp_path / "out", codes=(5,))
    assert not (tmp_path / "out").exists()


def test_the_name_of_a_tensor_is_only_a_name(sent, tmp_path, mark, capfd):
    tensors, metadata = read_safetensors(sent / native.FILE)
    save_file(tensors | {ESCAPES: np.ones(1)}, sent / native.FILE, metadata)
    refused(capfd, mark, "import", sent, tmp_path / "out", codes=(5,))


@pytest.mark.parametrize("name", some(CONFIGS, "sde", "step", "data", "backtracking", "unknown_keys"))
def test_no_config_harms(name, sent, tmp_path, mark, capfd):
    """Of a run, to each command that reads it; and among weights, where the folder to write to is not read."""
    edited(sent / "config.json", configured(name, mark))
    for line in (["sample", *there(sent)], ["train", *there(sent)], ["export", sent, tmp_path / "out"]):
        refused(capfd, mark, *line, codes=(2,))
    if name != "written":
        forged(sent, config=(sent / "config.json").read_text())
        refused(capfd, mark, "import", sent, tmp_path / "out")


def test_a_folder_that_would_be_written_to_is_named_again(sent, tmp_path, mark, capfd):
    """By whoever starts the command; what is only read may stand in the file."""
    theirs = tmp_path / "theirs"
    edited(sent / "config.json", named("evaluate.statistics", str(theirs)))
    edited(sent / "config.json", named("evaluate.features", "inception"))
    edited(sent / "config.json", named("evaluate.inception", str(tmp_path)))
    again = f"--config.evaluate.statistics={theirs}"
    assert again in refused(capfd, mark, "evaluate", *there(sent), codes=(2,))
    assert not theirs.exists()
    assert main(["sample", *there(sent), again]) == 0


OPENED = """
from pathlib import Path

from experiments.data.sources import Sources
import numpy as np

Path(__file__).with_name("fired").touch()
points = lambda n, seed: [{"image": x} for x in np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32)]
source = lambda config: Sources(points(100, 0), points(80, 1))
"""


def test_a_source_that_a_file_names_runs_for_nobody_else(sent, tmp_path, mark, capfd, monkeypatch):
    """Whoever starts the command names it again; and it is not even imported until then."""
    (tmp_path / "theirs.py").write_text(OPENED)
    monkeypatch.syspath_prepend(tmp_path)
    for key in ("data.name", "arms.a.data.name"):
        edited(sent / "config.json", named(key, "theirs:source"))
        data = ["data", "check", f"--config={sent}/config.json"]
        for line in (["train", *there(sent)], ["sample", *there(sent)], ["export", sent, tmp_path / "out"], data):
            assert f"--config.{key}=theirs:source" in refused(capfd, mark, *line, codes=(2,))
        forged(sent, config=(sent / "config.json").read_text())
        refused(capfd, mark, "import", sent, tmp_path / "out")
        if key == "data.name":
            own = "--config.data.name=theirs:source"
            shutil.copytree(sent, tmp_path / "again")
    assert main(["data", "check", f"--config={tmp_path}/again/config.json", own]) == 0
    assert mark.exists()


# Files of a run


@pytest.mark.parametrize("name", some(TEXTS, "deep_within_limits", "digits", "escapes"))
@pytest.mark.parametrize("where", ["config.json", "run.json"])
def test_no_json_of_a_run_harms(where, name, run, mark, capfd):
    (run / where).write_bytes(TEXTS[name]())
    commands = [["train", *SMALL, f"--workdir={run}", "--config.train.steps=3"], ["export", run, mark.with_name("out")]]
    for line in [*commands, ["sample", *there(run)]] if where == "config.json" else [*commands[:1], ["ckpt", "verify", run]]:
        refused(capfd, mark, *line, codes=(2, 5))


def test_no_record_of_something_else_harms(run, mark, capfd):
    """JSON that is a record but for one thing."""
    whole = json.loads((run / "run.json").read_text())
    for key, value in {"sessions": [1], "configs": [], "id": 3, "saved": "x", "format": True}.items():
        (run / "run.json").write_text(json.dumps(whole | {key: value}))
        assert "mend it" in refused(capfd, mark, "ckpt", "verify", run, codes=(5,))
    (run / "run.json").write_text(json.dumps(whole | {"format": 99}))
    assert "format 99" in refused(capfd, mark, "ckpt", "verify", run, codes=(5,))


ROWS = ['{"step": "<b>", "loss": 1, "seconds": 0}', "[" * 10**5, '{"step": ' + "9" * 10**5 + "}", "null", "\ud800", ESCAPES]


def test_rows_of_metrics_that_are_none_are_passed_over(run, mark, capfd):
    whole = (run / "metrics.jsonl").read_bytes()
    (run / "metrics.jsonl").write_bytes(b"".join(row.encode("utf-8", "surrogatepass") + b"\n" for row in ROWS) + whole)
    refused(capfd, mark, "train", *SMALL, f"--workdir={run}", codes=(0,))
    assert json.loads((run / "metrics.jsonl").read_text()) == json.loads(whole)


def test_no_link_leads_out_of_a_run(run, tmp_path):
    """What is written into a folder from elsewhere stays there."""
    written = {}
    for name in ("metrics.jsonl", "config.json", "run.json"):
        outside = tmp_path / name
        (run / name).rename(outside)
        (run / name).symlink_to(outside)
        written[name] = outside.read_bytes(), outside.stat().st_mtime_ns
    assert main(["train", *SMALL, f"--workdir={run}"]) == 0
    for name, before in written.items():
        assert ((tmp_path / name).read_bytes(), (tmp_path / name).stat().st_mtime_ns) == before
        assert not (run / name).is_symlink()


STEP = "checkpoints/2"
METADATA = [
    "_CHECKPOINT_METADATA",
    *(f"*/{name}" for name in ("_METADATA", "_sharding", "manifest.ocdbt", "array_metadatas/*")),
]
GARBAGE = {"pickle": WEIGHTS["pickle"], **{name: lambda _, n=name: TEXTS[n]() for name in ("deep_table", "list", "bytes")}}
FAST = [("pickle", "*/_METADATA"), ("deep_table", "*/manifest.ocdbt")]
CHECKPOINTS = [
    pytest.param(*case, marks=[] if case in FAST else [pytest.mark.slow]) for case in itertools.product(GARBAGE, METADATA)
]


@pytest.mark.parametrize(("name", "where"), CHECKPOINTS)
def test_no_checkpoint_harms(name, where, run, mark, capfd):
    """To read it, to draw from it, and to train on, which sets it aside or does without what was replaced."""
    replaced = [path for path in (run / STEP).glob(where) if path.is_file()]
    for path in replaced:
        path.write_bytes(GARBAGE[name](mark))
    assert replaced
    line = [*SMALL, f"--workdir={run}"]
    for command in (["ckpt", "verify", run], ["sample", *line], ["train", *line]):
        refused(capfd, mark, *command, codes=(0, 5))


def test_no_stray_step_harms(run, mark, capfd):
    for stray in ("99/state", "-3", "1e3", "...", "7"):
        (run / "checkpoints" / stray).mkdir(parents=True)
    refused(capfd, mark, "ckpt", "verify", run, codes=(5,))
    assert main(["train", *SMALL, f"--workdir={run}"]) == 0
    assert (run / "checkpoints" / "99.corrupt").is_dir()


# Data


def test_no_module_is_imported_at_a_dataset_s_word(tmp_path, monkeypatch, mark):
    """TFDS imports what features.json names; ours is in a folder on the path, as the working folder is."""
    open_sources(Data(name="digits", data_dir=str(tmp_path)))
    folder = (tmp_path / "digits").rename(tmp_path / "theirs") / "1.0.0"
    edited(folder / "dataset_info.json", named("name", "theirs"))
    for path in folder.glob("digits-*"):
        path.rename(path.with_name(path.name.replace("digits-", "theirs-")))
    theirs = Data(name="theirs", data_dir=str(tmp_path))
    assert len(open_sources(theirs).train) == 1297
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_a_stranger.py").write_text(f"open({str(mark)!r}, 'w')")
    edited(
        folder / "features.json",
        lambda tree: tree["featuresDict"]["features"]["label"].update(pythonClassName="of_a_stranger.X"),
    )
    with bounded(mark), pytest.raises(DataError, match=r"names of_a_stranger\.X, which would run"):
        open_sources(theirs)


# Statistics

PROTOCOL = Protocol("inception-2015-12-05 0123", "uint8", (2, 2, 1), 17, "abcd", "test")


def packed(mu=(4,), root=(4, 4), features=(30, 4), fill=1.0):
    file = BytesIO()
    np.savez(file, mu=np.full(mu, fill), root=np.full(root, fill), features=np.full(features, fill))
    return file.getvalue()


STATISTICS = {
    **{name: WEIGHTS[name] for name in ("npz_objects", "npz_shape", "npz_bomb", "pickle", "torch_zip", "nothing")},
    "mu": lambda _: packed(mu=(3,)),
    "root": lambda _: packed(root=(4,)),
    "features": lambda _: packed(features=(30, 5)),
    "nan": lambda _: packed(fill=np.nan),
    "few": lambda _: packed(features=(2, 4)),
    "scalar": lambda _: packed((), (), ()),
}


@pytest.mark.parametrize(
    "name", some([*STATISTICS, *TEXTS], "npz_objects", "npz_shape", "mu", "nan", "scalar", "digits", "list")
)
def test_no_kept_statistics_harm(name, tmp_path, mark):
    """They are made anew, whatever stands in their place under a right hash."""
    images = np.arange(120, dtype=np.uint8).reshape(30, 2, 2, 1)
    make = lambda: statistics(images.reshape(30, 4).astype(float), PROTOCOL)
    whole = stored_statistics(tmp_path, images, PROTOCOL, make)
    (path,) = tmp_path.glob("*.npz")
    if name in STATISTICS:
        content = STATISTICS[name](mark)
        path.write_bytes(content)
        path.with_suffix(".json").write_text(json.dumps({"n": 30, "sha256": sha256(content).hexdigest()}))
    else:
        path.with_suffix(".json").write_bytes(TEXTS[name]())
    made = []
    with bounded(mark):
        again = stored_statistics(tmp_path, images, PROTOCOL, lambda: made.append(1) or make())
    assert made
    np.testing.assert_array_equal(again.mu, whole.mu)


# Texts


class Page(HTMLParser):
    """The tags of a page with the names of their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, *(name for name, _ in attributes)))


def results(text):
    """Those of an evaluation, with the text in place of every string of a person's."""
    spread = {"mean": 1.0, "std": 0.1, "values": [1.0]}
    measured = {"nfe": 4.0, "seconds": 0.1, "non_finite": 0, "frechet": spread, "precision": spread, "recall": spread}
    bits = {"mean": 1.0, "std_error": 0.1, "n": 4, "nfe": 4.0, "non_finite": 0, "probes": 1, "draws": 1, "tolerance": 0.1}
    bits |= {"dequantizer": text, "bound": {"mean": 1.0, "std_error": 0.1, "non_finite": 0}}
    arm = {
        **{
            "name": "run",
            "label": text,
            "changes": {"title": text, "net": {text: text}},
            "parameters": 3,
            "train_seconds": 1.0,
            "evaluate_seconds": 1.0,
        },
        **{"steps_per_second": 1.0, "final_loss": 1.0, "curve": {"step": [1, 2], "loss": [1.0, 0.5]}},
        **{
            "samplers": [{"name": "ancestral", "label": text, "step": text, "n": 4, **measured, "sweep": []}],
            "bits_per_dim": bits,
        },
        **{"loss_by_log_snr": {"log_snr": [0.0, 1.0], "loss": [1.0, 1.0], "std_error": [0.1, 0.1]}},
        **{"process_non_finite": 0, "between_non_finite": 0},
    }
    said = {"title": text, "command": text, "created": text, "distance": text, "config": text, "digest": text}
    real = {"of": text, "against": text, "n": 4, **measured}
    listed = {
        "doubts": [text],
        "visible_part": text,
        "protocol": [[text, text]],
        "measures": ["frechet", "precision", "recall"],
    }
    return {**said, "n": 4, "arms": [arm], "reference": real, **listed}


def page(folder, text):
    """The report of these results, whose pictures are drawn too."""
    events = np.zeros((16, 2), np.float32)
    pictures = {"run": {"grids": {"ancestral": events}, "process": np.zeros((3, 16, 2), np.float32)}}
    return write_report(folder, results(text), pictures, events).read_text()


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    return page(tmp_path_factory.mktemp("harmless"), "x")


@pytest.mark.parametrize(
    "text", [pytest.param(SENTENCES[p.values[0]], marks=p.marks, id=p.values[0]) for p in some(SENTENCES, "title", "mathtext")]
)
def test_no_text_becomes_a_part_of_the_report(text, harmless, tmp_path):
    """The page has the tags that it has without the text, and the pictures can be drawn."""
    hostile = page(tmp_path, text)
    assert Page(hostile).tags == Page(harmless).tags
    assert "<script" not in hostile


@pytest.mark.parametrize("text", SENTENCES.values(), ids=SENTENCES)
def test_no_text_is_obeyed_by_the_terminal(text, capfd):
    say(text)
    said = capfd.readouterr().out
    assert calm(said + lines(UserError([text])))
    assert "[red]" not in text or "[red]" in said


# The code

READS = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml"}
CALLS = {"urllib", "requests", "http", "aiohttp", "httpx"}
LOADS = {
    "runpy": {"onesde.py", "experiments/config/reading.py"},
    "importlib": {"onesde.py", "experiments/config/parts.py", "experiments/build/training_checks.py"},
}
"""Where modules are run: our packages, a config file, and code that it names; the last asks only if a package is there."""


def wrong(source, name):
    """What in a module's source reads by running, or calls somebody."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found = {module.partition(".")[0] for module in modules if module != "importlib.metadata"}
            yield from found & (READS | CALLS)
            yield from (module for module in found & LOADS.keys() if name not in LOADS[module])
        elif isinstance(node, ast.Call):
            call, options = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            if (
                call in ("eval", "exec", "compile", "__import__", "os.system", "os.popen")
                or options.get("shell", "False") != "False"
            ):
                yield call
            if call in ("np.load", "numpy.load") and options.get("allow_pickle") != "False":
                yield call
            if call == "torch.load" and options.get("weights_only") != "True":
                yield call


def test_no_module_can_run_what_it_reads():
    """No reader that executes; arrays without objects, torch's tensors alone; code from a config file and by name only."""
    names = {path.relative_to(ROOT).as_posix(): path for path in FILES}
    assert {name: found for name, path in names.items() if (found := [*wrong(path.read_text(), name)])} == {}
    for source in (
        "import pickle",
        "import yaml",
        "from urllib import request",
        "eval('1')",
        "np.load(x)",
        "torch.load(x)",
        "import runpy",
    ):
        assert [*wrong(source, "experiments/x.py")]
