"""What strangers send: nothing in it is run, it is refused in a few lines, and neither memory nor time is lost to it."""

import ast
import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from hashlib import sha256
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from attacks import CONFIGS, ESCAPES, SENTENCES, TEXTS, WEIGHTS, configured, edited
from safetensors.numpy import save_file
from test_architecture import FILES

from experiments import fid, inception, report
from experiments.bridge import diffusers, files, native, torch_reader
from experiments.errors import ConfigError
from experiments.main import main

ROOT = Path(__file__).parent.parent
SECONDS, ROOM = 10, 2**30
"""What an answer may take, a first import of torch included, and the memory beyond what the tests have already."""
SMALL = """
from configs.toy2d import moons

def get_config():
    config = moons.get_config()
    config.net.width, config.net.depth = 16, 1
    config.train.update(dict(steps=2, batch=64, steps_per_call=1, warm_up=0, decay="constant"))
    config.samplers = {"ancestral": {**config.samplers.ancestral, "n": 4, "sweep": {}}}
    config.sample.n = 16
    config.evaluate.update(dict(n=64, seeds=1, batch=64, likelihood=0, bound_times=0, noise_levels=2))
    return config
"""
NCSN = """
from configs.digits import vp

def get_config():
    config = vp.get_config()
    config.samplers, config.sample.sampler = {"fast": config.samplers.fast}, "fast"
    config.net = {"name": "NCSN", "width": 8}
    return config
"""
CONNECTIONS, WATCHING = [], []


def _watch(event, arguments):
    if WATCHING and event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        CONNECTIONS.append((event, arguments))
        raise OSError(f"{event} in a test of what is done without a network")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run of ours, evaluated, its weights as a stranger would send them, and a run of those: made without a network."""
    here = tmp_path_factory.mktemp("good")
    (here / "small.py").write_text(SMALL)
    line = [f"--config={here / 'small.py'}", f"--workdir={here / 'run'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        WATCHING.append(True)
        for command in (
            ["train", *line],
            ["sample", *line],
            ["evaluate", *line],
            ["export", str(here / "run"), str(here / "sent")],
            ["import", str(here / "sent"), str(here / "imported")],
        ):
            assert main(command) == 0
        WATCHING.clear()
    return here


def test_nobody_is_called(good):
    """Training, sampling, evaluation, export and import of a toy ask for no connection and no address."""
    assert not CONNECTIONS
    assert (good / "run" / "report.html").is_file()


def test_the_watch_sees_a_connection():
    import socket

    WATCHING.append(True)
    try:
        with pytest.raises(OSError, match="without a network"):
            socket.create_connection(("localhost", 9))
    finally:
        WATCHING.clear()
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
def bounded():
    """Memory and time run out here."""
    before, start = resource.getrlimit(resource.RLIMIT_AS), time.monotonic()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, before[1]))
    stop = signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, stop)
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.monotonic() - start < SECONDS


def refused(capfd, mark, *line, codes=(2, 3, 5)):
    """The few lines that a command answers with: no trace of a program, nothing that a terminal obeys, and no mark."""
    capfd.readouterr()
    with bounded():
        code = main([str(word) for word in line])
    said = capfd.readouterr()
    assert code in codes, said.err
    assert len(said.err.splitlines()) <= 5, said.err
    assert "Traceback" not in said.err
    assert all(c.isprintable() for c in (said.out + said.err).replace("\n", "")), ascii(said.out + said.err)
    assert not mark.exists()
    return said.err


def there(run):
    return f"--config={run}/config.json", f"--workdir={run}"


# Weights

SLOW = {name for name in WEIGHTS if name.startswith(("torch", "pickle", "npz", "zip"))} - {
    "torch_zip",
    "torch_bomb",
    "npz_bomb",
}
"""Those that torch reads, seconds each."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in WEIGHTS])
def test_no_file_of_weights_harms(name, sent, tmp_path, mark, capfd):
    """By itself, as what FID's network is read from, and where a run has its weights."""
    (tmp_path / "x.bin").write_bytes(WEIGHTS[name](mark))
    shutil.copy(tmp_path / "x.bin", sent / native.FILE)
    out = tmp_path / "out"
    refused(capfd, mark, "import", tmp_path / "x.bin", out)
    for line in (["import", sent, out], ["export", sent, out], ["sample", *there(sent)]):
        refused(capfd, mark, *line, codes=(5,))
    with bounded(), pytest.raises(ConfigError) as error:
        inception.load(str(tmp_path / "x.bin"))
    assert len(str(error.value).splitlines()) <= 5
    assert not out.exists()
    assert not mark.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTS)
def test_no_file_of_weights_harms_by_a_layout(name, tmp_path, mark, capfd):
    (tmp_path / "x.bin").write_bytes(WEIGHTS[name](mark))
    (tmp_path / "config.py").write_text(NCSN)
    layout = "--layout=ncsn", f"--config={tmp_path / 'config.py'}"
    refused(capfd, mark, "import", tmp_path / "x.bin", tmp_path / "out", *layout, codes=(5,))
    assert not (tmp_path / "out").exists()


def test_a_pipe_is_no_source(tmp_path, mark, capfd):
    import os

    os.mkfifo(tmp_path / "pipe")
    assert "no file or folder" in refused(capfd, mark, "import", tmp_path / "pipe", tmp_path / "out", codes=(5,))


@pytest.mark.parametrize(
    ("does", "event"),
    [
        ("import os; os.system('touch {mark}')", "os.system"),
        ("import subprocess; subprocess.run(['touch', '{mark}'])", "subprocess.Popen"),
        ("open('{mark}', 'w')", "open"),
        ("import os; os.open('{mark}', os.O_CREAT)", "open"),
        ("import os; os.rename('{source}', '{mark}')", "os.rename"),
        ("import os; os.remove('{source}')", "os.remove"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "socket."),
        ("bytearray(2**34)", "MemoryError"),
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


# Folders


@pytest.mark.parametrize("where", ["config.json", "scheduler_config.json"])
@pytest.mark.parametrize("name", TEXTS)
def test_no_folder_of_diffusers_harms(name, where, tmp_path, mark, capfd):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    unet = diffusers.UNET_DEFAULTS | {"_class_name": "UNet2DModel", "sample_size": 8}
    for file, tree in (("config.json", unet), ("scheduler_config.json", {"_class_name": "DDPMScheduler"})):
        (theirs / file).write_text(json.dumps(tree))
    (theirs / diffusers.WEIGHTS[0]).write_bytes(WEIGHTS["safetensors_empty"](mark))
    (theirs / where).write_bytes(TEXTS[name]())
    refused(capfd, mark, "import", theirs, tmp_path / "out", "--config.data.name=digits", codes=(5,))
    assert not (tmp_path / "out").exists()


def forged(sent, **changes):
    """The sent weights with other metadata."""
    tensors, metadata = files.read_safetensors(sent / native.FILE)
    save_file(tensors, sent / native.FILE, metadata | changes)


@pytest.mark.parametrize("key", ["config", "shape", "step", "data", "format"])
@pytest.mark.parametrize("name", [name for name in TEXTS if name not in ("bytes", "pickle")])
def test_no_metadata_harms(name, key, sent, tmp_path, mark, capfd):
    text = TEXTS[name]().decode()
    forged(sent, **{key: text})
    if (key, name) not in (("data", "null"), ("data", "text")):  # which it may be
        refused(capfd, mark, "import", sent, tmp_path / "out", codes=(2, 5))
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", CONFIGS)
def test_no_config_among_weights_harms(name, sent, tmp_path, mark, capfd):
    """Harmless ones are none of these but by their title, which is shown as what it is."""
    tree = json.loads((sent / "config.json").read_text())
    configured(name, mark)(tree)
    forged(sent, config=json.dumps(tree))
    refused(capfd, mark, "import", sent, tmp_path / "out", codes=(0,) if name in ("title", "draws", "steps") else (2, 5))


def test_the_name_of_a_tensor_is_only_a_name(sent, tmp_path, mark, capfd):
    tensors, metadata = files.read_safetensors(sent / native.FILE)
    save_file(tensors | {ESCAPES: np.ones(1)}, sent / native.FILE, metadata)
    refused(capfd, mark, "import", sent, tmp_path / "out", codes=(5,))


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in ("title", "draws", "steps")])
def test_no_config_of_a_run_harms(name, sent, tmp_path, mark, capfd):
    edited(sent / "config.json", configured(name, mark))
    for line in (["sample", *there(sent)], ["train", *there(sent)], ["export", sent, tmp_path / "out"]):
        refused(capfd, mark, *line)


@pytest.mark.parametrize("name", TEXTS)
def test_no_json_of_a_run_harms(name, sent, good, tmp_path, mark, capfd):
    """Given as the config, and as what a run says of itself."""
    (sent / "config.json").write_bytes(TEXTS[name]())
    lines = (["sample", *there(sent)], ["export", sent, tmp_path / "out"])
    for line in (*lines, ["sample", f"--config={good}/small.py", f"--workdir={sent}"]):
        refused(capfd, mark, *line)


@pytest.mark.parametrize("key", ["data.data_dir", "evaluate.statistics", "evaluate.inception"])
def test_no_file_is_opened_on_a_config_s_word(key, sent, tmp_path, mark, capfd):
    """Unless the command line names it too."""
    (tmp_path / "private").mkdir()
    section, leaf = key.split(".")
    edited(sent / "config.json", lambda tree: tree[section].update({leaf: str(tmp_path / "private")}))
    for line in (["train", *there(sent)], ["export", sent, tmp_path / "out"]):
        assert f"--config.{key}" in refused(capfd, mark, *line, codes=(2,))


ROWS = [
    json.dumps({"step": 1, "loss": "<script>x</script>"}),
    '{"step": "<b>", "loss": 1}',
    "[" * 10**5,
    '{"step": ' + "9" * 10**5 + "}",
]


@pytest.mark.parametrize("row", [*ROWS, "null", "[1]", "\ud800", ESCAPES], ids=range(8))
def test_no_row_of_metrics_harms(row, run, good, mark, capfd):
    (run / "metrics.jsonl").write_bytes(row.encode("utf-8", "surrogatepass") + b"\n")
    refused(capfd, mark, "train", f"--config={good}/small.py", f"--workdir={run}", "--config.train.steps=3", codes=(0, 5))


STEP = "checkpoints/2"
METADATA = [f"{STEP}/_CHECKPOINT_METADATA", *(f"{STEP}/*/{name}" for name in ("_METADATA", "_sharding", "manifest.ocdbt"))]


@pytest.mark.parametrize("where", METADATA)
@pytest.mark.parametrize("name", ["pickle", "deep_table", "list", "bytes"])
def test_no_checkpoint_harms(name, where, run, good, mark, capfd):
    content = WEIGHTS["pickle"](mark) if name == "pickle" else TEXTS[name]()
    for path in run.glob(where):
        path.write_bytes(content)
    refused(capfd, mark, "sample", f"--config={good}/small.py", f"--workdir={run}", codes=(0, 5))


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.json", "report.html", "report.json", "run.json", "quality.png"])
def test_no_link_leads_out_of_a_run(name, run, good, tmp_path, mark):
    """What is written into a folder from elsewhere stays there."""
    outside = tmp_path / "outside"
    content = (run / name).read_bytes() if (run / name).is_file() else b"{}"
    outside.write_bytes(content)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(outside)
    stood = outside.stat().st_mtime_ns
    for command in ("train", "evaluate") if name in ("report.html", "report.json", "quality.png") else ("train",):
        main([command, f"--config={good}/small.py", f"--workdir={run}", "--config.train.steps=3"])
    assert (outside.read_bytes(), outside.stat().st_mtime_ns) == (content, stood)


# Statistics

PROTOCOL = fid.Protocol("inception-2015-12-05 0123", "uint8", (2, 2, 1), 17, "abcd", "test")


def packed(**arrays):
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def shaped(mu=(4,), cov=(4, 4), features=(30, 4), fill=1.0):
    return lambda mark: packed(mu=np.full(mu, fill), cov=np.full(cov, fill), features=np.full(features, fill))


STATISTICS = {
    **{
        name: WEIGHTS[name]
        for name in ("npz_objects", "npz_shape", "npz_bomb", "pickle", "npy_objects", "torch_zip", "nothing")
    },
    **{"mu": shaped(mu=(3,)), "cov": shaped(cov=(4,)), "features": shaped(features=(30, 5)), "nan": shaped(fill=np.nan)},
    "few": shaped(features=(2, 4)),
    "scalar": shaped((), (), ()),
}


@pytest.mark.parametrize("name", [*STATISTICS, *TEXTS])
def test_no_kept_statistics_harm(name, tmp_path, mark):
    """They are made anew, whatever stands in their place under a right hash."""
    images = np.arange(120, dtype=np.uint8).reshape(30, 2, 2, 1)
    make = lambda: fid.statistics(images.reshape(30, 4).astype(float), PROTOCOL)
    whole = fid.kept(tmp_path, images, PROTOCOL, make)
    (path,) = tmp_path.glob("*.npz")
    if name in STATISTICS:
        content = STATISTICS[name](mark)
        path.write_bytes(content)
        path.with_suffix(".json").write_text(json.dumps({"n": 30, "sha256": sha256(content).hexdigest()}))
    else:
        path.with_suffix(".json").write_bytes(TEXTS[name]())
    made = []
    with bounded():
        again = fid.kept(tmp_path, images, PROTOCOL, lambda: made.append(1) or make())
    assert made
    np.testing.assert_array_equal(again.mu, whole.mu)
    assert not mark.exists()


# Texts


class Page(HTMLParser):
    """The tags of a page with the names of their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, *(name for name, _ in attributes)))


def poisoned(tree, text):
    """The tree with the text in place of every string of a person's, the names of arms and samplers apart."""
    if isinstance(tree, dict):
        return {k: v if k in ("name", "changes") else poisoned(v, text) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [poisoned(each, text) for each in tree]
    return text if isinstance(tree, str) else tree


@pytest.mark.parametrize("text", SENTENCES.values(), ids=SENTENCES)
def test_no_text_becomes_a_part_of_the_report(text, good, tmp_path):
    """The page has the tags that it has without the text, which it shows; the pictures can be drawn."""
    results = json.loads((good / "run" / "report.json").read_text())
    events = np.zeros((16, 2), np.float32)
    pictures = {"run": {"grids": {"ancestral": events}, "process": np.zeros((3, 16, 2), np.float32)}}
    page = report.write(tmp_path, poisoned(results, "x"), pictures, events).read_text()
    hostile = report.write(tmp_path, poisoned(results, text), pictures, events).read_text()
    assert Page(hostile).tags == Page(page).tags
    assert "<script" not in hostile


@pytest.mark.parametrize("text", SENTENCES.values(), ids=SENTENCES)
def test_no_text_is_obeyed_by_the_terminal(text, capfd):
    from experiments.errors import UserError
    from experiments.progress import say

    say(text)
    sys.stderr.write(str(UserError([text])))
    said = capfd.readouterr()
    for shown in (said.out, said.err):
        assert all(c.isprintable() for c in shown.rstrip("\n")), ascii(shown)
    assert "[red]" not in text or "[red]" in said.out


# The code

READS = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_can_run_what_it_reads(path):
    """No reader that executes; arrays without objects, torch's tensors alone; code from a config file and by name only."""
    name = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found = {module.partition(".")[0] for module in modules}
            assert not found & READS
            assert not found & {"runpy"} or name == "experiments/config.py"
            assert (
                not found & {"importlib"}
                or name in ("experiments/parts.py", "experiments/bridge/native.py")
                or (modules == ["importlib.metadata"])
            )
            assert not found & {"urllib", "requests", "http", "aiohttp", "httpx"}
        elif isinstance(node, ast.Call):
            call, options = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert call not in ("eval", "exec", "compile", "__import__", "os.system", "os.popen")
            assert options.get("shell", "False") == "False"
            if call in ("np.load", "numpy.load"):
                assert options["allow_pickle"] == "False"
            if call == "torch.load":
                assert options["weights_only"] == "True"
