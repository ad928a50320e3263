"""An experiment: the objects that a config names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

import losses
import models
import sde_lib
from experiments.build.conditions import Condition, classes, conditions, is_captions, shapes
from experiments.build.family import Family
from experiments.conditions.text import characters
from experiments.config.guidance import Guide, Params
from experiments.config.parts import (
    OBJECTIVE,
    TIMES,
    bridges,
    classifies,
    learns_flow,
    learns_sde,
    learns_variance,
    trains_codec,
)
from experiments.config.schema import Config, LearnedSDE
from experiments.data.dataset import Batch
from experiments.data.scaler import Scaler
from models.conditions import simplest
from models.functional import Functional
from models.side_by_side import folded


class Frozen(NamedTuple):
    """The parameters that training leaves as they are: of a `base` of adapters, each fixed part of a `codec`, and a `teacher`.

    `features`: those that a perceptual term compares. `which`: the number of the SDE in its family. All are () if there are
    none.
    """

    base: Any = ()
    codec: tuple[Any, ...] = ()
    features: Any = ()
    teacher: Any = ()
    which: Any = ()


class Experiment(NamedTuple):
    """The objects that a config names, built for examples of `shape`, whose codes have `code_shape`.

    `model`: a ScoreModel, or a ClassModel if the objective trains a classifier. `guides`: the runs that guide samplers, by
    their folders. `names`: those of the labels, if they have names. `codec`: a chain of codecs, the last of them that of an
    augmented SDE; without one x is its own code.
    `weight`: the objective's, weight(sde, t). `held_out`: the examples that conditions of samples come from, if they are read.
    `discriminator`: that of `codec.adversarial`. `distance`: that of `codec.perceptual`, distance(features)(x, x_hat) of the
    frozen parameters of its features; both only if the config asks for them, and the distance only to train by.
    `teacher`: flow(params, y) -> (x_1 -> x_0), that of the run that a flow is learned from, only to train by.
    `model_on`: model_on(sde) is the `model` on another SDE. `family`: that of a run among others which call the same programs.
    """

    config: Config
    shape: tuple[int, ...]
    code_shape: tuple[int, ...]
    sde: sde_lib.SDE
    model: Any
    times: losses.TimeSampler
    objective: Callable[..., losses.Loss]
    scaler: Scaler
    guides: Mapping[str, Guide] = MappingProxyType({})
    frozen: Frozen = Frozen()
    names: tuple[str, ...] = ()
    codec: models.Codec | None = None
    weight: Callable[..., Any] = losses.likelihood
    held_out: Batch | None = None
    discriminator: Functional | None = None
    distance: Callable[[Any], Callable[[Any, Any], Any]] | None = None
    teacher: Callable[[Any, Any], Callable[[jax.Array], jax.Array]] | None = None
    model_on: Callable[[sde_lib.SDE], Any] | None = None
    family: Family | None = None

    @property
    def net_shape(self) -> tuple[int, ...]:
        """The shape that the network sees of a code: its own, or that of `models.side_by_side`."""
        return folded(self.code_shape) if isinstance(self.sde, sde_lib.AugmentedSDE) else self.code_shape

    @property
    def trains(self) -> Literal["net", "codec", "both"]:
        """The part that is trained: the network, the last one of the codec, or both together."""
        if trains_codec(self.config):
            return "codec"
        return "both" if self.codec and self.codec.loss else "net"

    def initial(self, key: Any) -> Any:
        """Returns the parameters that training begins with: the network's, adapters to it, or the codec's.

        Those of several are a dictionary: {"net", "codec", "sde"} or two of them, or {"codec", "discriminator"}.
        """
        z, parts = jnp.zeros(self.code_shape), {}
        if self.codec and self.trains != "net":
            parts["codec"] = self.codec.init(jax.random.fold_in(key, 0), jnp.zeros(self.shape))[-1]
        if self.discriminator:
            parts["discriminator"] = self.discriminator.init(jax.random.fold_in(key, 1), jnp.zeros(self.shape))
        if self.trains != "codec":
            base = jax.eval_shape(self.model.init, key, z) if self.config.lora else ()
            parts["net"] = self.adapted(self.frozen._replace(base=base)).model.init(key, z)
        if learns_sde(self.config):
            parts["sde"] = self.learned
        return parts if len(parts) > 1 else next(iter(parts.values()))

    def part(self, params: Any, name: str) -> Any:
        """Returns the parameters of a part, "net" or "codec", from the trained ones: all of them if it is trained alone."""
        several = self.trains == "both" or self.discriminator is not None or learns_sde(self.config)
        return params[name] if several else params

    @property
    def learned(self) -> dict[str, jax.Array]:
        """The options of the SDE that `sde.learned` names, by name."""
        return {name: jnp.asarray(getattr(self.sde, name), float) for name in self.config.sde.learned}

    @property
    def fixed_sde(self) -> LearnedSDE:
        """The section `sde` by which a config has this SDE as it is, and learns nothing of it."""
        values = {name: tuple(leaf.tolist()) if leaf.ndim else float(leaf) for name, leaf in self.learned.items()}
        return LearnedSDE.model_validate({"name": self.config.sde.name, **self.config.sde.options, **values})

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        """Returns the program of a name: the family's, if there is one, which the first call of any of its runs makes."""
        return self.family.once(name, make) if self.family else make()

    def on(self, sde: sde_lib.SDE) -> Experiment:
        """Returns the experiment on another SDE, which its network is of."""
        assert self.model_on
        return self._replace(sde=sde, model=self.model_on(sde))

    def at(self, params: Any) -> Experiment:
        """Returns the experiment on the SDE of these parameters, the trained ones or those of `network`.

        It is this one if nothing of its SDE is learned and the family has no other, or if there are no parameters.
        """
        if self.family and self.family.sdes and isinstance(params, Params):
            return self.on(self.family.sde(params.sde))
        if params is None or not learns_sde(self.config):
            return self
        sde: Any = self.sde
        return self.on(sde.replace(**(params.sde if isinstance(params, Params) else params["sde"])))

    def adapted(self, frozen: Frozen) -> Experiment:
        """Returns the experiment as it is trained beside `frozen` parameters: with `lora` its model is one of adapters to them.

        They are an argument here, although the experiment holds them, so that they are one of a compiled program too. Its SDE,
        if it is one of several, and the draw of t go by that argument as well.
        """
        if self.family and self.family.sdes:
            sde, times = self.family.sde(frozen.which), self.config.times
            own = self.on(sde)._replace(times=TIMES.build(times.name, sde, **times.options), family=None)
            return own.adapted(frozen)
        lora = self.config.lora
        if lora is None or not frozen.base:
            return self._replace(frozen=frozen)
        model = models.lora(self.model, frozen.base, lora.rank, lora.alpha, lora.on, lora.scale)
        return self._replace(model=model, frozen=frozen)

    def merged(self, params: Any) -> Any:
        """Returns the trained parameters; if they are adapters, merged with their base."""
        lora = self.config.lora
        return models.merged(self.frozen.base, params, lora.scale * lora.alpha / lora.rank) if lora else params

    def network(self, params: Any) -> Any:
        """Returns the parameters to sample and evaluate with, from the trained ones: `merged`, beside those of other parts."""
        guides = {run: guide.params for run, guide in self.guides.items()}
        of_codec = self.frozen.codec if self.trains == "net" else self.whole_codec(params)
        if self.trains == "codec":
            return Params({}, guides, of_codec)
        own = self.merged(params)
        if self.trains == "both" or learns_sde(self.config):
            return Params(own["net"], guides, of_codec, own.get("sde", self.frozen.which))
        by_number = self.family is not None and bool(self.family.sdes)
        return Params(own, guides, of_codec, self.frozen.which) if guides or self.codec or by_number else own

    def without_discriminator(self, params: Any) -> Any:
        """Returns the trained parameters without those of a discriminator, which is of no use to a run."""
        return params["codec"] if self.discriminator else params

    def whole_codec(self, params: Any) -> tuple[Any, ...]:
        """Returns the parameters of each part of the codec, fixed and trained, from the trained ones."""
        return (*self.frozen.codec, self.part(params, "codec"))

    @property
    def reads_codes(self) -> bool:
        """True if training reads posteriors of codes, which are on disk, in the place of examples."""
        return self.config.codec is not None and self.config.codec.cache != "none"

    def posteriors(self, params: Any, k: Any) -> Any:
        """Returns the posteriors [n, *q] of the codes of an example k as training may see it: as it is, and mirrored."""
        (posterior, _), x = self._halves, self.scaler.place(k, 0.5)
        views = (x, mirrored(x)) if self.config.data.flip else (x,)
        return jnp.stack([posterior(self._of_codec(params), view) for view in views])

    def row(self, dtype: Any) -> jax.ShapeDtypeStruct:
        """Returns the shape of what a batch has of an example of that dtype: of the event itself, or of its posteriors."""
        k = jax.ShapeDtypeStruct(self.shape, dtype)
        return jax.eval_shape(lambda k: self.posteriors(None, k), k) if self.reads_codes else k

    def draw(self, params: Any, key: Any, q: Any) -> Any:
        """Returns a code z [*code_shape] of a posterior: that of `encode`, by the same key."""
        _, draw = self._halves
        return draw(self._of_codec(params), key, q)

    @property
    def _halves(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """The two halves of `encode` (see `models.codec`)."""
        return models.halves(self.codec or models.chain())

    def encode(self, params: Any, key: Any, x: Any) -> tuple[Any, Any]:
        """Returns a code z [*code_shape] of an example x as a network sees it, and its cost in nats (see `models.codec`)."""
        return (x, 0.0) if self.codec is None else self.codec.encode(self._of_codec(params), key, x)

    def decode(self, params: Any, z: Any, key: Any = None) -> Any:
        """Returns the x [*shape] of a code z: a draw from p(x | z), or its mean if the key is None."""
        return z if self.codec is None else self.codec.decode(self._of_codec(params), key, z)

    def event(self, key: Any, flip_key: Any, k: Any) -> Any:
        """Returns the x of an example k as a network sees it in training: dequantised and flipped, as the config says.

        Of the posteriors of a code, which are read in its place, that is one of them.
        """
        flips = self.config.data.flip and jax.random.bernoulli(flip_key)
        if self.reads_codes:
            return jnp.where(flips, k[-1], k[0])
        x = self.scaler.encode(key, k)
        return jnp.where(flips, mirrored(x), x) if self.config.data.flip else x

    def code(self, params: Any, key: Any, k: Any) -> Any:
        """Returns a code z of an example k, levels in the middle of their cells, or floats in the units of the data."""
        posterior, _ = self._halves
        return self.draw(params, key, posterior(self._of_codec(params), self.scaler.place(k, 0.5)))

    def levels(self, params: Any, z: Any, key: Any = None) -> Any:
        """Returns the example of a code z as levels, or as floats in the units of the data."""
        return self.scaler.decode(self.decode(params, z, key))

    def _net(self, params: Any) -> Any:
        """The network's parameters, of the trained ones or of those of `network`; None of None."""
        if isinstance(params, Params):
            return params.own
        return params if params is None or self.trains == "codec" else self.part(params, "net")

    def _of_codec(self, params: Any) -> Any:
        """The codec's parameters: those beside the network's, or the frozen ones if `params` are those that are trained."""
        return params.codec if isinstance(params, Params) else self.frozen.codec

    @property
    def _labels(self) -> int:
        """The number of labels that the network takes; 0 if it takes none."""
        return self.config.net.options.get("classes", 0)

    @property
    def conditions(self) -> dict[str, Condition]:
        """The conditions beside the label that the network hears, by kind."""
        return conditions(self.config, self.names)

    @property
    def classes(self) -> int:
        """The number of classes that the network learns from, by number or in captions; 0 if it learns from none."""
        return classes(self.config, self.names)

    @property
    def dropouts(self) -> dict[str, float]:
        """The share of training examples that are without each condition that the network hears, by name."""
        label = {"label": self.config.train.label_dropout} if self._labels else {}
        return label | {name: condition.dropout for name, condition in self.conditions.items()}

    @property
    def has_unconditional(self) -> bool:
        """True if the network has learned a score without any condition."""
        return all(self.dropouts.values())

    def conditions_of(self, params: Any, key: Any, x: Any = None, label: Any = None) -> dict[str, Any]:
        """Returns the conditions of an example by name: of its event x [*event] as the network sees it, and of its class.

        A condition that needs one that is None is absent. `params`: for the network's encoder, if it has one.
        """
        there = {name for name, value in (("x", x), ("label", label)) if value is not None} | {"key", "names"}
        y = {"label": label} if self._labels and label is not None else {}
        own = {name: each for name, each in self.conditions.items() if each.needs <= there}
        return y | {name: each.of(self._net(params), key, x, label) for name, each in own.items()}

    @property
    def condition_shapes(self) -> dict[str, Any]:
        """The shape of each of the `conditions`, with its dtype."""
        return shapes(self.config, self.shape, self.names)

    def tokens(self, caption: str) -> Any:
        """Returns the tokens [L] of a text. Raises ValueError if the network hears no captions, or no longer ones."""
        if not is_captions(self.config):
            raise ValueError("the network hears no captions: give it conditions.tokens = captions")
        return characters(caption, *self.condition_shapes["tokens"].shape)

    def named(self, y: Any) -> Mapping[str, Any]:
        """Returns conditions by name: of a number y those of that class, of None none, and others as they are."""
        return y if isinstance(y, Mapping) else self.conditions_of(None, jax.random.key(0), label=y)

    def start(self, key: Any, sde: sde_lib.SDE, y: Mapping[str, Any]) -> Any:
        """Returns x_1, at which a sample on `sde` begins: a draw of the prior, or a bridge's image of the conditions y."""
        return y["image"] if bridges(self.config) else sde.prior_sample(key, self.code_shape)

    def score(self, params: Any, key: Any = None, y: Any = None) -> sde_lib.Score:
        """Returns the network's score at `params`, given the conditions `y` (None: none); `key` is for dropout."""
        model = self.at(params).model
        return lambda x, t: model.apply(self._net(params), x, t, simplest(y), key)

    def unconditional(self, params: Any) -> sde_lib.Score:
        """Returns the score without any condition. Raises ValueError if the network has not learned it."""
        return self.conditional(params, None)

    def conditional(self, params: Any, y: Any) -> sde_lib.Score:
        """Returns the score given the conditions y and no others: by name, or those of the class of the number y.

        Raises ValueError if the network has not learned it without the others.
        """
        y = self.named(y)
        for name, dropout in self.dropouts.items():
            if not dropout and y.get(name) is None:
                key, what = ("train.label_dropout", "a label") if name == "label" else (f"conditions.{name}.dropout", _A[name])
                raise ValueError(f"the network has learned no score without {what}: train with {key} = 0.1")
        return self.score(params, y=y)

    def log_prob(self, params: Any, x: Any, t: Any, key: Any = None) -> jax.Array:
        """Returns a classifier's log p(. | x_t = x) [classes]."""
        return self.model.apply(params, x, t, key)

    def loss(self, params: Any, key: Any, y: Any = None) -> Callable[..., losses.Joint]:
        """Returns loss(key, x, t) of an example x at `params`; `y`: its label, or its conditions by name; `key` is for dropout.

        With codes on disk x is the posterior of one.
        The objective is the `score` of the result, and the `cost` is of the codec, if it is trained too. An adversarial term is
        of a whole batch, and no part of it (see `experiments.training.adversarial`).
        """
        y = simplest(y)
        if self.trains == "both" and self.codec:
            here = self.at(params)
            score = lambda z, t: here.model.apply(params["net"], z, t, y, key)
            encode = partial(self.codec.encode, self.whole_codec(params))
            objective = self.objective(here.sde, score)
            if OBJECTIVE.find(self.config.objective.name) is losses.continuous_vlb:
                return losses.latent_vlb(encode, objective)
            return losses.latent(self.sde, encode, objective, self.weight)
        objective = self._objective(params, key, y)

        def loss(key: Any, x: Any, t: Any) -> losses.Joint:
            if self.trains == "net" and self.codec:
                q = x if self.reads_codes else self._halves[0](self.frozen.codec, x)
                x = self.draw(params, jax.random.fold_in(key, 0), q)
            return losses.Joint(jnp.zeros(()), objective(key, x, t))

        return loss

    def _objective(self, params: Any, key: Any, y: Any) -> losses.Loss:
        """The objective of the network alone, on codes, or of the codec alone."""
        if self.trains == "codec":
            return lambda key, x, t: self.reconstruct(params, key, x, t)[0]
        if classifies(self.config):
            return self.objective(self.sde, lambda x, t: self.log_prob(params, x, t, key)[y])
        here, own = self.at(params), self._net(params)
        evaluate = here.model.with_variance if learns_variance(self.config) else here.model.apply
        ends: dict[str, Any] = {}
        if learns_flow(self.config) and self.teacher:
            ends = {"flow": self.teacher(self.frozen.teacher, y)}
        if bridges(self.config):
            ends = {"x_1": self.named(y)["image"]}
        return self.objective(here.sde, lambda x, t: evaluate(own, x, t, y, key), **ends)

    def reconstruct(self, params: Any, key: Any, x: Any, t: Any = 0.0) -> tuple[Any, Any]:
        """Returns the objective of an example x by which its codec is trained, and x_hat; that is x if z determines x.

        The codec's loss gains D weight d(x, x_hat) nats by a perceptual distance d, if the config asks for it.
        """
        assert self.codec
        codec, of_codec, section = self.codec, self.whole_codec(params), self.config.codec and self.config.codec.perceptual
        x_hats = [x]  # an objective returns a number alone

        def codec_loss(key: Any, x: Any, beta: Any) -> Any:
            if codec.reconstruct is None:
                assert codec.loss
                return codec.loss(of_codec, key, x, beta)
            nats, x_hats[0] = codec.reconstruct(of_codec, key, x, beta)
            if section is None:
                return nats
            assert self.distance, "the features were not opened"
            return nats + x.size * section.weight * self.distance(self.frozen.features)(x, x_hats[0])

        return self.objective(self.sde, codec_loss)(key, x, t), x_hats[0]

    def variance(self, params: Any, y: Any = None) -> dict[str, Any]:
        """Returns {"v": the learned variance v(x, t) at `params`}, or nothing if none is learned: options of a step."""
        model = self.at(params).model
        v = lambda x, t: model.with_variance(self._net(params), x, t, simplest(y))[1]
        return {"v": v} if learns_variance(self.config) else {}


def mirrored(x: Any) -> Any:
    """Returns an image along the other direction of its width."""
    return x[..., ::-1, :]


_A = {"vector": "a vector", "image": "an image", "tokens": "tokens"}
