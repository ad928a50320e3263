"""A codec against a discriminator: each player's own gradient, its weight, its start, and what a run of it survives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import seal
from slow import one_in

import losses
from experiments.build.build import build
from experiments.build.discriminator import last_kernel
from experiments.build.optimizer import for_each, make_optimizer, optimizer_of
from experiments.build.state import init_state
from experiments.config.reading import read_config
from experiments.config.schema import Config, Train
from experiments.data.dataset import Batch
from experiments.main import main
from experiments.randomness import Purpose, stream
from experiments.training.adversarial import adversarial_gradient
from experiments.training.step import make_call

pytestmark = pytest.mark.usefixtures("in_root")

VAE, START = "configs/digits/vae.py", 3
ADVERSARIAL = f"{{'net': {{'name': 'PatchGAN', 'width': 4, 'layers': 1}}, 'start': {START}, 'weight': 0.7}}"
PERCEPTRONS = (
    "--config.codec.encoder={'name': 'Perceptron', 'emitted': (8,), 'width': 8, 'depth': 1}",
    "--config.codec.decoder={'name': 'Perceptron', 'width': 8, 'depth': 1}",
)
SMALL = ("--config.train.batch=16", "--config.train.warm_up=0", "--config.train.clip=0.1", "--config.evaluate.likelihood=0")
X = np.random.default_rng(0).integers(0, 17, (16, 8, 8, 1), np.uint8)
KEYS = jax.random.split(jax.random.key(1), 16)


def small(*overrides, adversarial=ADVERSARIAL):
    """A narrow VAE of digits, which is trained against a discriminator if one is given."""
    tree = read_config(VAE, [*PERCEPTRONS, *SMALL, f"--config.codec.adversarial={adversarial}", *overrides])
    return build(Config.model_validate(tree), (8, 8, 1))


@pytest.fixture(scope="module")
def played():
    """The experiment, its parameters, and both gradients, before the start and after it."""
    with pytest.MonkeyPatch.context() as patch:
        from source_files import ROOT

        patch.chdir(ROOT)
        experiment = small()
    params = experiment.initial(jax.random.key(0))
    gradient = jax.jit(lambda params, step: adversarial_gradient(experiment, params, step, KEYS, Batch(X)))
    return experiment, params, {step: gradient(params, jnp.int32(step)) for step in (START - 1, START)}


def close(a, b, rtol=1e-4):
    """Asserts that two trees are the same to rounding, by the largest number of each array."""
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * max(np.abs(other).max(), 1e-12))


@pytest.mark.slow
def test_each_player_descends_its_own_loss(played):
    """By automatic differentiation of mean l + w g, and of h, each with the other player constant."""
    experiment, params, gradients = played

    def one(codec, key, k):
        data_key, noise_key, flip_key, _ = jax.random.split(key, 4)
        x = experiment.event(data_key, flip_key, k)
        return *experiment.reconstruct(params | {"codec": codec}, noise_key, x), x

    every = lambda codec: jax.vmap(one, (None, 0, 0))(codec, KEYS, X)
    logits = lambda discriminator, x: experiment.discriminator.apply(discriminator, x, jnp.zeros(16), None, None)

    @jax.jit
    def by_hand(codec, discriminator):
        at = lambda kernel: codec | {"decoder": codec["decoder"] | {"last": codec["decoder"]["last"] | {"kernel": kernel}}}
        l = lambda codec: every(codec)[0].mean()
        g = lambda codec: losses.hinge_generator(logits(discriminator, every(codec)[1]))
        w = losses.adaptive_weight(lambda kernel: l(at(kernel)), lambda kernel: g(at(kernel)), last_kernel(codec), 0.7)
        loss, x_hat, x = every(codec)
        h = lambda discriminator: losses.hinge_discriminator(logits(discriminator, x), logits(discriminator, x_hat))
        return jax.grad(lambda codec: l(codec) + w * g(codec))(codec), jax.grad(h)(discriminator), loss

    of_codec, of_discriminator, loss = by_hand(params["codec"], params["discriminator"])
    gradient, (mean, by_example) = gradients[START]
    close(gradient["codec"], of_codec)
    close(gradient["discriminator"], of_discriminator)
    close(by_example, loss)
    assert float(mean) == pytest.approx(float(loss.mean()), rel=1e-5)


def test_the_slope_at_the_last_kernel_is_a_share_of_the_other(played):
    """The gradient of w g there is 0.7 times as long as that of l."""
    _, _, gradients = played
    before, after = (last_kernel(gradients[step][0]["codec"]) for step in (START - 1, START))
    assert float(jnp.linalg.norm(after - before)) == pytest.approx(0.7 * float(jnp.linalg.norm(before)), rel=0.02)


def test_before_the_start_a_codec_is_alone(played):
    """Its gradient is that of the same config without the term, and the discriminator has none."""
    _, params, gradients = played
    alone = small(adversarial=None)
    of_adversarial, _ = gradients[START - 1]
    assert not any(leaf.any() for leaf in jax.tree.leaves(of_adversarial["discriminator"]))

    def loss(codec):
        def one(key, k):
            data_key, noise_key, flip_key, _ = jax.random.split(key, 4)
            return alone.loss(codec, None)(noise_key, alone.event(data_key, flip_key, k), 0.5).score

        return jax.vmap(one)(KEYS, X).mean()

    close(of_adversarial["codec"], jax.jit(jax.grad(loss))(params["codec"]))


def test_a_discriminator_is_taken_for_no_part_of_the_codec(played):
    experiment, params, _ = played
    assert experiment.network(params).codec == (params["codec"],)
    assert not experiment.codec.density


def test_each_player_has_an_optimiser_of_its_own():
    """Its updates, clipped by its own norm, are those that it would have alone."""
    optimizer = make_optimizer(Train(steps=10, batch=1, warm_up=0, clip=0.1))
    params = {"codec": {"a": jnp.ones(3)}, "discriminator": {"a": jnp.ones(2)}}
    gradients = {"codec": {"a": jnp.array([1.0, 2.0, 3.0])}, "discriminator": {"a": jnp.array([1e6, -1e3])}}
    both = for_each(optimizer)
    update, _ = both.update(gradients, both.init(params), params)
    for name in params:
        alone, _ = optimizer.update(gradients[name], optimizer.init(params[name]), params[name])
        close(update[name], alone, rtol=0)


@pytest.mark.slow
def test_it_learns_to_tell_examples_from_reconstructions():
    """By the compiled step, after its start and not before; a step that is not finite changes neither player."""
    experiment = small("--config.train.steps_per_call=2")
    optimizer = optimizer_of(experiment.config)
    state = init_state(experiment, optimizer, stream(0, Purpose.INIT))
    advance = jax.jit(partial(make_call(experiment, optimizer, stream(0, Purpose.STEP)), frozen=experiment.frozen))
    batch = Batch(jnp.stack([X] * 2))
    moved = lambda a, b: any((x != y).any() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    second = advance(state, batch)
    assert moved(second.params["codec"], state.params["codec"])
    assert not moved(second.params["discriminator"], state.params["discriminator"])
    fourth = advance(second, batch)
    assert moved(fourth.params["discriminator"], state.params["discriminator"])
    nan = jax.tree.map(lambda a: a * jnp.nan, fourth.params["discriminator"])
    broken = fourth._replace(params=fourth.params | {"discriminator": nan})
    after = advance(broken, batch)
    assert int(after.tally.skipped) == 2
    assert not moved(after.params["codec"], fourth.params["codec"])


COMMAND = [*PERCEPTRONS, *SMALL, f"--config.codec.adversarial={ADVERSARIAL}", "--config.train.decay=constant"]
COMMAND += ["--config.train.log_every=2", "--config.train.steps_per_call=2", "--config.sample.sampler=ancestral"]
COMMAND += ["--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 2}}"]
KINDS = {"whole": (), "shares": ("--config.train.shard=True",), "half": ("--config.compute=bfloat16",)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_resumes_is_the_run_that_did_not(kind, tmp_path):
    """To the last bit of both players, of their averages and of both optimisers."""
    for folder, steps in (("whole", (8,)), ("parts", (4, 8))):
        for n in steps:
            options = (*COMMAND, *KINDS[kind], f"--config.train.steps={n}")
            assert main(["train", f"--config={VAE}", f"--workdir={tmp_path / folder}", *options]) == 0
    assert seal(tmp_path / "whole", 8) == seal(tmp_path / "parts", 8)
    assert any("discriminator" in name for name in seal(tmp_path / "whole", 8))


REFUSED = {
    "--config.train.accumulate=2": "the discriminator and its weight are of a whole batch; take 1",
    f"--config.train.steps={START}": "codec.adversarial.start = 3: training ends at train.steps = 3 before it",
    "--config.codec.adversarial.net=PatchGan": "codec.adversarial.net: unknown models name 'PatchGan' (did you mean PatchGAN?",
    "--config.codec.adversarial.net.layers=3": "codec.adversarial.net PatchGAN sees no patch of 8 x 8 pixels: take fewer",
    "--config.codec.adversarial.weight=0.0": "codec.adversarial.weight = 0.0",
    "--config.objective=dsm": "codec.adversarial is of the loss of a codec alone, and objective dsm trains none alone",
    "--config.evaluate.likelihood=8": "the codec vae with codec.adversarial has no density p(x | z)",
    "--config.codec.perceptual.weight=1.0": "codec.perceptual.run and file name none",
}


@one_in(4)
@pytest.mark.parametrize("override", REFUSED)
def test_what_cannot_play_is_refused_before_anything_compiles(override, tmp_path, capsys):
    line = ["train", f"--config={VAE}", f"--workdir={tmp_path / 'run'}", *PERCEPTRONS, *SMALL, "--config.train.steps=10"]
    assert main([*line, f"--config.codec.adversarial={ADVERSARIAL}", override]) == 2
    error = capsys.readouterr().err
    assert REFUSED[override] in error
    assert len(error.splitlines()) <= 5
