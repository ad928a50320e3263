"""The page in a real browser: what it shows is what the library computes, what is painted is filled in, and it ends well."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from browser import browser as browser
from PIL import Image

import samplers
from experiments.build.build import build
from experiments.build.sampler import BoundSampler
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.tiny import tiny
from experiments.data.dataset import load
from experiments.data.sources import open_sources
from experiments.main import main
from experiments.page.process import LiveProcess
from experiments.page.program import Inputs, make_program
from experiments.page.request import Request
from experiments.page.sheet import GAP
from experiments.randomness import Purpose, stream
from experiments.runs.resume import trained_state
from experiments.runtime.errors import ConfigError, NumericsError
from experiments.runtime.files import write_json
from experiments.sampling.draw import drawing

ROOT = Path(__file__).parents[3]
DIGITS = ROOT / "configs/digits/vp.py"
SIZE, N, STEPS = 8, 4, 8


class Served:
    """A `demo` of a run in a process of its own."""

    def __init__(self, run: Path, *more: str):
        argv = [sys.executable, "-m", "experiments", "demo", str(run), "--port=0", *more]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        self.address = re.findall(r"http://\S+", line)[0]

    def end(self, number: int) -> tuple[int, str, float]:
        """Exit code, what was said on standard error, and the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            _, error = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.process.returncode, error, time.monotonic() - began


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps on digits, by a network that compiles in no time, with two of the config's samplers."""
    folder = tmp_path_factory.mktemp("page") / "run"
    tree = read_config(f"{DIGITS}:tiny", [], {"tiny": tiny})
    two = {name: tree["samplers"][name] for name in ("ancestral", "fast")}
    argv = ["train", f"--config={DIGITS}:tiny", f"--workdir={folder}", "--config.train.steps=2", "--config.train.warm_up=1"]
    argv += ["--config.train.checkpoint_every=2", "--config.train.sample_every=100", f"--config.samplers={two}"]
    assert main([*argv, "--config.net={'name': 'MLP', 'width': 32, 'depth': 1}"]) == 0
    return folder


@pytest.fixture(scope="module")
def experiment(run):
    return build(Config.model_validate(read_config(str(run / "config.json"), [])), (SIZE, SIZE, 1))


@pytest.fixture(scope="module")
def params(run, experiment):
    return trained_state(experiment, run).ema


@pytest.fixture(scope="module")
def served(run):
    served = Served(run)
    yield served
    if served.process.poll() is None:
        served.end(signal.SIGKILL)


class Tab:
    """One tab of the browser, and all that it asked for."""

    def __init__(self, browser, address):
        self.asked, self.wrong = [], []
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("pageerror", lambda error: self.wrong.append(error))
        self.page.goto(address)
        self.button("sample").wait_for()
        self.choose_n(N)

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def choose_n(self, n):
        self.page.get_by_role("button", name=str(n), exact=True).click()

    def choose(self, **numbers):
        for label, value in numbers.items():
            self.page.get_by_label(label, exact=True).fill(str(value))
            self.page.get_by_label(label, exact=True).press("Tab")

    def sampler(self, name):
        self.page.get_by_label("sampler", exact=True).click()
        self.page.get_by_role("option", name=name, exact=True).click()

    def says(self, words):
        self.page.wait_for_function("words => document.querySelector('.status').innerText.includes(words)", arg=words)

    def press(self, name, says):
        self.button(name).click()
        self.says(says)
        self.button("stop").and_(self.page.locator("[disabled]")).wait_for()

    def picture(self, selector=".noisy"):
        """What the browser itself decodes of an <img>."""
        url = self.page.evaluate(
            """async selector => {
                const image = document.querySelector(selector), canvas = document.createElement('canvas');
                await image.decode();
                [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
                canvas.getContext('2d').drawImage(image, 0, 0);
                return canvas.toDataURL();
            }""",
            selector,
        )
        return np.asarray(Image.open(urllib.request.urlopen(url)).convert("L"))

    def samples(self, selector=".noisy"):
        """Levels [N, 8, 8] of a sheet of two by two, at the centres of their pixels."""
        whole = self.picture(selector)
        side = (len(whole) - GAP) // 2
        zoom, starts = side // SIZE, (0, side + GAP)
        parts = [whole[top : top + side, left : left + side] for top in starts for left in starts]
        centres = np.stack([part[zoom // 2 :: zoom, zoom // 2 :: zoom] for part in parts])
        return np.round(centres * (16 / 255)).astype(int)

    def painted(self):
        """Which pixels the brush shows as painted over: those that are orange."""
        canvas = self.page.locator("canvas.brush")
        url = canvas.evaluate("canvas => canvas.toDataURL()")
        colours = np.asarray(Image.open(urllib.request.urlopen(url)).convert("RGB"), int)
        zoom = len(colours) // SIZE
        centres = colours[zoom // 3 :: zoom, zoom // 3 :: zoom]
        return centres[..., 0] > centres[..., 2] + 50

    def drag(self, *places):
        """Draws with the mouse held from place to place, each (row, column) in pixels of the image."""
        box = self.page.locator("canvas.brush").bounding_box()
        at = lambda row, column: (box["x"] + box["width"] * column / SIZE, box["y"] + box["height"] * row / SIZE)
        self.page.mouse.move(*at(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*at(*place))
        self.page.mouse.up()


def drawn(experiment, params, label, seed):
    """What `sample` would draw: levels [N, 8, 8]."""
    bound = BoundSampler(experiment, experiment.config.samplers[label])
    return drawing(bound)(params, bound.rows(seed, N), STEPS).levels[..., 0].astype(int)


def inpainted(experiment, params, label, seed, levels, mask):
    """The library's own loop with `samplers.inpaint`, from the same noise, and what is known laid over it."""
    sampler, sde = experiment.config.samplers[label], experiment.sde
    known = experiment.scaler.place(jnp.asarray(levels), 0.5)

    def one(i):
        prior_key, step_key = jax.random.split(jax.random.fold_in(stream(seed, Purpose.SAMPLE), i))
        step = samplers.inpaint(BoundSampler(experiment, sampler).step(params), sde, known, jnp.asarray(mask))
        x_1 = sde.prior_sample(prior_key, experiment.shape)
        return experiment.scaler.decode(samplers.solve(step_key, step, x_1, BoundSampler(experiment, sampler).grid(STEPS)).x)

    return np.where(mask, levels, jax.jit(jax.vmap(one))(jnp.arange(N)))[..., 0].astype(int)


def alike(found, wanted):
    """The same levels, but for a few at the edge of rounding: other programs add in another order."""
    different = found != wanted
    return np.abs(found - wanted).max() <= 1 and different.mean() < 0.01


STOP_SOON = """() => {
    const stop = [...document.querySelectorAll('button')].find(button => button.innerText.includes('stop'));
    new MutationObserver((_, watch) => {
        if (!document.querySelector('.numerals').innerText.includes('step 64/1024')) return;
        watch.disconnect();
        stop.click();
    }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
WATCH = """() => {
    window.seen = [];
    const look = () => {
        const numbers = document.querySelector('.numerals').innerText, image = document.querySelector('.noisy').src;
        const last = window.seen[window.seen.length - 1];
        if (numbers && (!last || last[0] !== numbers)) window.seen.push([numbers, image]);
    };
    new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true});
}"""


@pytest.mark.slow
def test_the_page_shows_what_the_library_draws(served, browser, experiment, params):
    """Live, frame by frame; by another sampler another picture; painted over, the rest stays; and nobody else is asked."""
    tab = Tab(browser, served.address)
    tab.choose(seed=3)
    tab.page.evaluate(WATCH)
    before = tab.picture()
    tab.press("sample", "sampled")
    seen = tab.page.evaluate("window.seen")
    assert [int(re.search(r"step (\d+)/8", numbers)[1]) for numbers, _ in seen] == list(range(STEPS + 1))
    assert len({image for _, image in seen}) == STEPS + 1
    assert [int(re.search(r"NFE (\d+)", numbers)[1]) for numbers, _ in seen] == list(range(STEPS + 1))
    ancestral = tab.samples()
    assert before.shape != tab.picture().shape
    assert alike(ancestral, drawn(experiment, params, "ancestral", 3))
    assert not alike(ancestral, drawn(experiment, params, "ancestral", 4))

    tab.drag((5.5, 0.5), (5.5, 7.5), (6.5, 7.5), (6.5, 0.5))
    unknown = tab.painted()
    assert unknown[5:7].all()
    assert not unknown[:4].any()
    tab.press("inpaint", "inpainted")
    found = tab.samples()
    held_out = load(open_sources(experiment.config.data), experiment.config.data, 0).held_out(1).levels[0]
    assert (found == held_out[..., 0])[:, ~unknown].all()
    assert (found != held_out[..., 0])[:, unknown].any()
    assert alike(found, inpainted(experiment, params, "ancestral", 3, held_out, ~unknown[..., None]))

    tab.button("clear").click()
    assert not tab.painted().any()
    tab.button("inpaint").click()
    tab.says("nothing is painted over")

    tab.sampler("fast")
    assert tab.page.get_by_label("steps", exact=True).input_value() == str(experiment.config.samplers["fast"].n)
    tab.press("sample", "sampled")
    assert alike(tab.samples(), drawn(experiment, params, "fast", 3))
    assert not tab.wrong
    assert {urlsplit(url).netloc for url in tab.asked if not url.startswith("data:")} == {urlsplit(served.address).netloc}
    assert any(url.startswith("ws:") for url in tab.asked)
    with tab.page.expect_download() as download:
        tab.page.locator("button:has-text('download')").click()
    np.testing.assert_array_equal(np.asarray(Image.open(download.value.path())), tab.picture())
    tab.page.close()


@pytest.mark.slow
def test_two_tabs_do_not_mix(served, browser, experiment, params):
    """Both at once, taking turns: each has its own samples, and the one that stops leaves the other going."""
    one, other = Tab(browser, served.address), Tab(browser, served.address)
    one.choose(seed=11)
    other.choose(seed=12)
    one.button("sample").click()
    other.button("sample").click()
    one.says("sampled")
    other.says("sampled")
    assert alike(one.samples(), drawn(experiment, params, "ancestral", 11))
    assert alike(other.samples(), drawn(experiment, params, "ancestral", 12))

    one.choose(steps=1024)
    one.page.evaluate(STOP_SOON)
    one.button("sample").click()
    other.press("sample", "sampled")
    one.says("stopped")
    step = int(re.search(r"step (\d+)/1024", one.page.locator(".numerals").inner_text())[1])
    assert 64 <= step < 1024
    assert alike(other.samples(), drawn(experiment, params, "ancestral", 12))
    one.choose(steps=STEPS)
    one.press("sample", "sampled")
    assert alike(one.samples(), drawn(experiment, params, "ancestral", 11))
    one.page.close()
    other.page.close()


@pytest.mark.slow
def test_what_is_no_number_or_pixel_is_refused(served, browser):
    """An empty field in a sentence, one out of range by the nearest in it; of a stroke, what is no pixel is left out."""
    tab = Tab(browser, served.address)
    tab.choose(seed="")
    tab.button("sample").click()
    tab.says("seed = None: input should be a valid integer")
    tab.choose(seed=-3, steps=100_000)
    assert [tab.page.get_by_label(label, exact=True).input_value() for label in ("seed", "steps")] == ["0", "1024"]
    tab.choose(steps=STEPS)
    tab.press("sample", "sampled")
    forged = "getElement(Number(document.querySelector('canvas.brush').id.slice(1))).$emit('stroke', %s)"
    tab.page.evaluate(forged % "'all'")
    tab.page.evaluate(forged % "{'0': 1}")
    tab.button("inpaint").click()
    tab.says("nothing is painted over")
    tab.page.evaluate(forged % "[-1, 64, 1e9, '../x', null, true, 5.5, 9]")
    tab.press("inpaint", "inpainted")
    known = np.arange(64).reshape(SIZE, SIZE) != 9
    assert (tab.samples() == tab.samples()[0])[:, known].all()
    assert not (tab.samples() == tab.samples()[0])[:, ~known].all()
    assert served.process.poll() is None
    tab.page.close()


@pytest.mark.slow
def test_other_sites_are_kept_out(served):
    """A name that another site has pointed here, and a page of another site that asks by ours."""

    def asked(**headers):
        try:
            return urllib.request.urlopen(urllib.request.Request(served.address, headers=headers)).status
        except urllib.error.HTTPError as error:
            return error.code

    own = urlsplit(served.address).netloc
    assert asked() == asked(Host=own.replace("127.0.0.1", "localhost")) == asked(Origin=served.address) == 200
    assert asked(Host="evil.example") == asked(Host="evil.example:80") == 403
    assert asked(Origin="http://evil.example") == asked(Origin="null") == 403


@pytest.mark.slow
def test_a_comparison_has_a_page_for_each_arm(run, tmp_path):
    """Each with the way to the other."""
    for arm in ("ddpm", "ncsn"):
        shutil.copytree(run, tmp_path / arm)
        config = json.loads((tmp_path / arm / "config.json").read_text())
        (tmp_path / arm / "config.json").write_text(json.dumps(config | {"title": f"the arm {arm}"}))
    served = Served(tmp_path)
    for path, here, there, way in (("", "ddpm", "ncsn", "/1"), ("/1", "ncsn", "ddpm", "/")):
        page = urllib.request.urlopen(served.address + path).read().decode()
        assert f"<title>the arm {here}</title>" in page
        assert str(tmp_path / here) in page
        assert f"the arm {there}" in page
        assert f'"href":"{way}"' in page
    assert served.end(signal.SIGINT)[:2] == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_the_middle_of_sampling(run, browser, number):
    served = Served(run)
    tab = Tab(browser, served.address)
    tab.choose(steps=1024)
    tab.button("sample").click()
    tab.says("sampling")
    code, error, seconds = served.end(number)
    assert (code, error) == (0, "")
    assert seconds < 7
    tab.page.close()


def labelled(*more):
    """An untrained network of points with three classes."""
    tree = read_config(str(ROOT / "configs/toy2d/moons.py"), ["--config.net.classes=3", "--config.net.depth=1", *more])
    tree["net"]["width"], tree["evaluate"]["batch"] = 16, 8
    experiment = build(Config.model_validate(tree), (2,))
    zeros = experiment.model.init(jax.random.key(0), jnp.zeros(2))  # in its last layer
    leaves, tree = jax.tree.flatten(zeros)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return experiment, tree.unflatten(
        leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)
    )


@pytest.mark.slow
def test_a_label_is_classifier_free_guidance():
    """The same points as the library's loop draws under the guided score, for more than one label and weight."""
    experiment, params = labelled("--config.train.label_dropout=0.1")
    name, sampler = "ancestral", experiment.config.samplers["ancestral"]
    process = LiveProcess(experiment, params)
    score = lambda y: lambda x, t: experiment.model.apply(params, x, t, y)

    @jax.jit
    def one(i, label, w):
        prior_key, step_key = jax.random.split(jax.random.fold_in(stream(5, Purpose.SAMPLE), i))
        guided = samplers.classifier_free(score(label), score(None), w)
        step, grid = samplers.ancestral(experiment.sde, guided), BoundSampler(experiment, sampler).grid(10)
        return samplers.solve(step_key, step, experiment.sde.prior_sample(prior_key, (2,)), grid).x

    ended = {}
    for label, w in ((None, 1.0), (0, 2.0), (2, 2.0), (2, 3.0)):
        *_, last = process.frames(Request(sampler=name, steps=10, n=8, seed=5, label=label, w=w))
        wanted = jax.vmap(one, (0, None, None))(jnp.arange(8), label or 0, w if label is not None else 0.0)  # w = 0: no label
        ended[label, w] = last.samples
        assert last.nfe == (10 if label is None else 20)  # two networks
        np.testing.assert_allclose(last.samples, wanted, rtol=2e-4, atol=2e-4)
    assert all(np.abs(a - b).max() > 1e-2 for k, a in ended.items() for j, b in ended.items() if k != j)
    with pytest.raises(ConfigError, match="the network has 3 classes"):
        next(process.frames(Request(sampler=name, steps=10, n=8, seed=5, label=3)))
    with pytest.raises(ConfigError, match="there is no sampler"):
        next(process.frames(Request(sampler="../x", steps=10, n=8, seed=5)))


@pytest.mark.slow
def test_a_network_that_was_always_told_the_label_is():
    """It samples by the label alone, whatever the weight, and is refused without one."""
    experiment, params = labelled()
    of = lambda w: Request(sampler="ancestral", steps=10, n=8, seed=5, label=2, w=w)
    last = [list(LiveProcess(experiment, params).frames(of(w)))[-1] for w in (1.0, 3.0)]
    np.testing.assert_array_equal(*(frame.samples for frame in last))
    assert [frame.nfe for frame in last] == [10, 10]
    with pytest.raises(ConfigError, match="no score without a label"):
        next(LiveProcess(experiment, params).frames(Request(sampler="ancestral", steps=10, n=8, seed=5)))


def test_a_sampler_that_weighs_a_label_samples_without_one():
    """No label is chosen on the page, whatever the config's guidance is."""
    guided = "--config.samplers.ancestral.guidance={'name': 'classifier_free', 'w': 3.0}"
    experiment, params = labelled("--config.train.label_dropout=0.1", guided)
    begin = make_program(experiment, "ancestral", 1).begin
    (x, _), _ = jax.eval_shape(begin, params, jax.random.split(jax.random.key(0), 8), Inputs({}, None, None, None, None))
    assert x.shape == (8, 2)


def test_what_is_not_finite_is_said_with_its_step():
    experiment, params = labelled("--config.train.label_dropout=0.1")
    broken = jax.tree.map(lambda leaf: leaf * jnp.inf, params)
    frames = LiveProcess(experiment, broken).frames(Request(sampler="ancestral", steps=10, n=8, seed=5))
    assert next(frames).step == 0
    with pytest.raises(NumericsError, match=r"non-finite at step 1/10, t=.*8 of 8 samples; try more steps"):
        next(frames)


@pytest.mark.slow
def test_commands_that_cannot_be_served_are_refused(tmp_path, capsys, monkeypatch):
    """Each in a sentence with the remedy, by its exit code."""
    run = tmp_path / "runs" / "untrained"
    run.mkdir(parents=True)
    write_json(run / "config.json", Config.model_validate(read_config(str(DIGITS), [])).model_dump())

    def refused(*argv):
        code = main(["demo", *map(str, argv)])
        return code, capsys.readouterr().err

    code, error = refused(tmp_path)
    assert (code, error) == (5, f"demo: {tmp_path} holds no run\n")
    code, error = refused(run.parent, "--port=0")
    assert code == 5
    assert f"{run} holds no checkpoint" in error
    assert main(["replay", str(run.parent), "--step=1"]) == 5
    assert f"below it is {run}" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, error = refused(run, f"--port={port}")
        assert code == 2
        free = int(re.search(r"(\d+) is free", error)[1])
        assert port < free < port + 100
    code, error = refused(run, "--port=70000")
    assert code == 2
    assert "ports are" in error
    for host in ("0.0.0.0", "::"):
        code, error = refused(run, f"--host={host}")
        assert code == 2
        assert "--anyone" in error
    assert refused(run, "--host=no.such.host.invalid")[0] == 2
    code, error = refused(run, "--port=0")
    assert code == 5
    assert "holds no checkpoint" in error
    monkeypatch.setitem(sys.modules, "nicegui", None)  # as where it is not installed
    code, error = refused(run, "--port=0")
    assert code == 2
    assert "pip install -e .[page]" in error


@pytest.mark.slow
def test_a_signal_ends_it_well(served):
    """Without a word, when nothing is under way."""
    code, error, seconds = served.end(signal.SIGINT)
    assert (code, error) == (0, "")
    assert seconds < 7
