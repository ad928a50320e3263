"""Codes on disk: a step by them is the step that computes them, whatever killed their writing, and of no other codec."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filelock import FileLock
from runs import metrics, seal
from small_experiments import identity_codec

import models
from experiments.build.build import Trained, build
from experiments.build.optimizer import optimizer_of
from experiments.build.state import init_state
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import load
from experiments.data.feed import stacked
from experiments.data.sources import open_sources
from experiments.main import main
from experiments.randomness import Purpose, stream
from experiments.runs import code_cache
from experiments.runs.code_cache import with_codes
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.signals import Interrupted
from experiments.training.step import make_call

pytestmark = pytest.mark.usefixtures("in_root")

VAE, LATENT = "configs/digits/vae.py", "configs/digits/latent.py"
ENCODER = partial(models.Perceptron, emitted=(2, 2, 4), width=8, depth=1)
DECODER = partial(models.Perceptron, emitted=(8, 8, 1), width=8, depth=1)
AUTOENCODER = models.autoencoder(partial(ENCODER, emitted=(2, 2, 2)), DECODER)
CODECS = {"vae": models.vae(ENCODER, DECODER, models.gaussian()), "autoencoder": AUTOENCODER}
NET = "--config.net={'name': 'MLP', 'width': 8, 'depth': 1}"
SMALL = (NET, "--config.train.batch=32", "--config.train.warm_up=0", "--config.data.dequantize=False")
SMALL += ("--config.evaluate.likelihood=0", "--config.evaluate.batch=256")


def scored(codec, workdir, *overrides, cache="run", seed=0):
    """An experiment that scores the codes of that codec, which is fixed, and its data, without codes."""
    section = {"run": str(workdir), "cache": cache, "digest": f"of {codec}"}
    options = [*SMALL, f"--config.codec={section}", f"--config.seed={seed}", *overrides]
    config = Config.model_validate(read_config(LATENT, options))
    params = CODECS[codec].init(jax.random.key(5), jnp.zeros((8, 8, 1)))
    data = load(open_sources(config.data), config.data, config.seed)
    return build(config, (8, 8, 1), trained=Trained(CODECS[codec], params)), data


def steps(experiment, data, n=3):
    """The parameters after some steps."""
    optimizer, config = optimizer_of(experiment.config), experiment.config
    state = init_state(experiment, optimizer, stream(0, Purpose.INIT))
    advance = jax.jit(make_call(experiment, optimizer, stream(0, Purpose.STEP)))
    for i in range(n):
        state = advance(state, stacked([data.batches.batch(i, config.train.batch)]), experiment.frozen)
    return jax.tree.map(np.array, state.params)


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "overrides"), [("autoencoder", ()), ("vae", ("--config.data.flip=True",))])
def test_a_step_by_codes_on_disk_is_the_step_that_computes_them(codec, overrides, tmp_path):
    """To rounding: by the same draws of posteriors, and of flips, of the same examples."""
    with_cache = scored(codec, tmp_path, *overrides)
    without = scored(codec, tmp_path, *overrides, cache="none")
    data = with_codes(*with_cache, tmp_path)
    ours, theirs = steps(with_cache[0], data), steps(*without)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)
    first = init_state(without[0], optimizer_of(without[0].config), stream(0, Purpose.INIT)).params
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(ours), strict=True)
    assert max(np.abs(a - b).max() for a, b in pairs) > 1e-3


@pytest.mark.slow
def test_the_codes_of_a_batch_are_those_of_its_examples(tmp_path):
    """In the order of any seed, with their labels, whether they stay in memory or not."""
    experiment, data = scored("vae", tmp_path, "--config.data.flip=True", seed=3)
    for resident_mib in (0, 4096):
        section = experiment.config.data.model_copy(update={"resident_mib": resident_mib})
        one = experiment._replace(config=experiment.config.model_copy(update={"data": section}))
        codes = with_codes(one, data, tmp_path).batches.batch(7, 32, classes=10)
        examples = data.train.batch(7, 32, classes=10)
        posterior = jax.vmap(lambda k: experiment.posteriors(None, k))(examples.levels)
        assert codes.levels.shape == (32, 2, 2, 2, 4)
        np.testing.assert_allclose(codes.levels, posterior, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(codes.y, examples.y)


@pytest.mark.slow
def test_writing_goes_on_after_a_kill(tmp_path, monkeypatch):
    """The folder has its name when it is whole; what was written is not computed again."""
    monkeypatch.setattr(code_cache, "BLOCK", 2**14)
    experiment, data = scored("vae", tmp_path)
    rows, in_batches = [], code_cache.devices.in_batches

    def until(most, function, params, k, *rest):
        if len(rows) == most:
            raise Interrupted("stop")
        rows.append(len(k))
        return in_batches(function, params, k, *rest)

    monkeypatch.setattr(code_cache.devices, "in_batches", partial(until, 2))
    with pytest.raises(Interrupted):
        with_codes(experiment, data, tmp_path)
    assert [path.suffix for path in (tmp_path / "codes").iterdir() if path.is_dir()] == [".part"]
    monkeypatch.setattr(code_cache.devices, "in_batches", partial(until, -1))
    codes = with_codes(experiment, data, tmp_path).batches
    assert sum(rows) == len(data.train)
    everything = data.train.everything()
    posterior = jax.vmap(lambda k: experiment.posteriors(None, k))(everything)
    np.testing.assert_allclose(codes.everything(), posterior, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_another_run_reads_the_same_codes(tmp_path, monkeypatch):
    """Nothing is computed again for another seed; of another codec, or of images that are flipped, there are others."""
    with_codes(*scored("vae", tmp_path, cache="codec"), tmp_path / "one")
    assert len([path for path in (tmp_path / "codes").iterdir() if path.is_dir()]) == 1
    monkeypatch.setattr(code_cache, "_write", None)
    with_codes(*scored("vae", tmp_path, cache="codec", seed=1), tmp_path / "other")
    for codec, overrides in (("autoencoder", ()), ("vae", ("--config.data.flip=True",))):
        with pytest.raises(TypeError):  # it would write them
            with_codes(*scored(codec, tmp_path, *overrides, cache="codec"), tmp_path / "other")


@pytest.mark.slow
def test_one_run_writes_and_another_waits(tmp_path, monkeypatch, capsys):
    experiment, data = scored("vae", tmp_path)
    (tmp_path / "codes").mkdir()
    lock = FileLock(tmp_path / "codes" / ".lock")
    lock.acquire()
    monkeypatch.setattr(code_cache, "sleep", lambda seconds: lock.release())
    assert with_codes(experiment, data, tmp_path).codes is not None
    assert "waiting for codes" in capsys.readouterr().out


@pytest.mark.slow
def test_codes_of_another_codec_are_refused(tmp_path):
    """A folder that says of its codes that they are of something else."""
    experiment, data = scored("vae", tmp_path)
    with_codes(experiment, data, tmp_path)
    (words,) = (tmp_path / "codes").glob("*/codes.json")
    facts = json.loads(words.read_text())
    words.write_text(json.dumps(facts | {"codec": facts["codec"] | {"digest": "another"}}))
    with pytest.raises(StorageError, match="no whole codes of this codec"):
        with_codes(experiment, data, tmp_path)


@pytest.mark.slow
def test_random_codes_without_a_posterior_are_refused(tmp_path):
    """Their draws would be the same in every step."""
    experiment, data = scored("vae", tmp_path)
    hidden = experiment._replace(codec=experiment.codec._replace(posterior=None, draw=None))
    with pytest.raises(ConfigError, match="are random, and no draws of its posterior"):
        with_codes(hidden, data, tmp_path)


@pytest.mark.slow
def test_a_step_evaluates_the_encoder_once_and_with_the_cache_never(tmp_path):
    """A codec adds the operations of its encoder to a step, and nothing else: the decoder is in no program."""
    calls = {"encoder": 0, "decoder": 0}

    class Counted(models.Perceptron):
        kind = "encoder"

        def __call__(self, *arguments):
            calls[self.kind] += 1
            return super().__call__(*arguments)

    class CountedDecoder(Counted):
        kind = "decoder"

    wide = models.vae(
        partial(Counted, emitted=(2, 2, 4), width=512, depth=2),
        partial(CountedDecoder, emitted=(8, 8, 1), width=512, depth=2),
        models.gaussian(),
    )
    params = wide.init(jax.random.key(5), jnp.zeros((8, 8, 1)))
    posterior = lambda experiment: jax.jit(jax.vmap(lambda k: experiment.posteriors(None, k)))

    def operations(cache):
        """Those of a step, and of the encoder on its batch."""
        experiment, data = scored("vae", tmp_path, cache=cache)
        codec, frozen = models.chain(wide._replace(loss=None)), experiment.frozen._replace(codec=(params,))
        experiment = experiment._replace(codec=codec, frozen=frozen)
        k = data.train.batch(0, 32)
        batch = k._replace(levels=posterior(experiment)(k.levels)) if experiment.reads_codes else k
        optimizer = optimizer_of(experiment.config)
        state = init_state(experiment, optimizer, jax.random.key(0))
        step = jax.jit(make_call(experiment, optimizer, jax.random.key(0)))
        calls.update(encoder=0, decoder=0)
        lowered = step.lower(state, stacked([batch]), experiment.frozen)
        assert calls == {"encoder": int(cache == "none"), "decoder": 0}
        return [each.compile().cost_analysis()["flops"] for each in (lowered, posterior(experiment).lower(k.levels))]

    (without, of_encoder), (by_cache, _) = operations("none"), operations("run")
    assert without - by_cache == pytest.approx(of_encoder, rel=0.01)
    assert by_cache < 0.2 * of_encoder


REFUSED = {
    "--config.data.dequantize=True": "data.dequantize = True makes another x of an example in each step; take False",
    "--config.codec={'by': 'cosine', 'cache': 'run'}": "is of the codes of a fixed codec, and codec.run names none",
    "--config.codec.cache=disk": "codec.cache = 'disk'",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_changes_codes_is_refused(override, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("experiments.runs.codecs._trained", identity_codec)
    line = ["train", f"--config={LATENT}", f"--workdir={tmp_path / 'run'}", "--config.codec.cache=run"]
    assert main([*line, "--config.data.dequantize=False", override]) == 2
    error = capsys.readouterr().err
    assert REFUSED[override] in error
    assert len(error.splitlines()) <= 5


@pytest.mark.slow
def test_a_run_by_codes_on_disk(tmp_path, capsys):
    """It is trained, resumed to the last bit, seeds at once too, evaluated; and what would change its codes is refused."""
    short = ["--config.train.steps=4", "--config.train.batch=16", "--config.train.log_every=2", "--config.train.decay=constant"]
    short += ["--config.evaluate.likelihood=8", "--config.sample.sampler=ancestral"]
    short += ["--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"]
    assert main(["train", f"--config={VAE}:tiny", f"--workdir={tmp_path / 'vae'}", *short]) == 0
    of = [f"--config.codec.run={tmp_path / 'vae'}", "--config.codec.cache=codec", "--config.data.dequantize=False"]
    command = lambda name, folder, *more: main([name, f"--config={LATENT}:tiny", f"--workdir={folder}", *short, *of, *more])
    assert command("train", tmp_path / "whole") == 0
    assert "codes of" in capsys.readouterr().out
    for n in (2, 4):
        assert command("train", tmp_path / "parts", f"--config.train.steps={n}") == 0
    assert "codes of" not in capsys.readouterr().out
    assert seal(tmp_path / "whole", 4) == seal(tmp_path / "parts", 4)
    assert command("evaluate", tmp_path / "whole") == 0
    arms = "--config.arms={'a': {}}"
    assert command("compare", tmp_path / "seeds", arms, "--config.train.seeds=(0, 1)", "--config.train.seeds_at_once=2") == 0
    alone = [row["loss"] for row in metrics(tmp_path / "whole")]
    np.testing.assert_allclose([row["loss"] for row in metrics(tmp_path / "seeds" / "a")], alone, rtol=1e-3)
    assert command("train", tmp_path / "other", "--config.data.dequantize=True") == 2
    assert "makes another x of an example in each step" in capsys.readouterr().err
