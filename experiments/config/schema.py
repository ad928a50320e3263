"""The type of a config: every key, its default and its range. The docstring of a section explains its keys.

The options of a named part are not listed here: `experiments.config.options` checks them against the part's signature.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from experiments.config.arms import overlay

Count = Annotated[int, Field(ge=1, lt=2**31)]
"""A number of steps: anything that an int32 can count."""
Positive = Annotated[float, Field(gt=0)]
Several = Annotated[int, Field(ge=1, le=1_000_000)]
"""A number of things that are in memory together."""
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Tolerance = Annotated[float, Field(ge=1e-10, le=1)]


USERS_NAME = r"[^\W\d][\w.]*:[^\W\d]\w*"
"""A name of a user's own, "my_pkg.my_module:name": what follows the colon is a Python name, as it is not in "mnist:3.0.1"."""


def _label(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ValueError("it names files: write letters, digits, _, - and ., and do not begin with - or .")
    return name


Label = Annotated[str, AfterValidator(_label)]
FileName = Annotated[str, AfterValidator(lambda name: name and _label(name))]
"""The name of a file, or nothing."""


def _beside_others(name: str) -> str:
    if re.fullmatch(r"step_\d+|run_.*", name):
        raise ValueError("training and evaluation name their own pictures so; take another name")
    return name


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if twice := [value for value in values if values.count(value) > 1]:
        raise ValueError(f"{twice[0]} is there twice: give each once")
    return values


Seeds = Annotated[tuple[Seed, ...], AfterValidator(_distinct)]
"""Seeds, each another."""


class Strict(BaseModel):
    """A section that refuses unknown keys, converts no types and takes no nan."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Named(BaseModel):
    """A part of the library with its options.

    `name`: the name of the part, or "my_pkg.my_module:Name" for a user's own. Every other key is an option of the part.
    A section may also be just the name, if every option keeps its default.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    name: str

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, part: Any) -> Any:
        return {"name": part} if isinstance(part, str) else part

    @property
    def options(self) -> dict[str, Any]:
        """The options of the part, by their names."""
        return dict(self.model_extra or {})


def _some_levels(levels: int) -> int:
    if levels == 1:
        raise ValueError("one level says nothing: give 2 to 256, or 0 for floats")
    return levels


def _sides(size: Any, info: ValidationInfo) -> Any:
    sides = size if isinstance(size, tuple) and len(size) == 2 else (size,)
    if size is not None and not all(type(side) is int and 1 <= side <= 8192 for side in sides):
        raise ValueError("give the side of a square in pixels, as in 64, or height and width, as in (64, 48), each 1 to 8192")
    if size is not None and info.data.get("levels") == 0:
        floats = f"data.levels = 0 says that {info.data.get('name')} has floats"
        raise ValueError(f"it resizes images, and {floats}: take None, and floats of one shape")
    return size


Size = Annotated[
    int | tuple[int, int] | None,
    PlainValidator(_sides),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "array"}, {"type": "null"}]}),
]
"""The side of a square in pixels, or a height and a width; nothing if images keep their own."""


class Data(Strict):
    """The section that says where examples come from, arrays of any shape; `experiments.data.sources` opens them.

    - `name`: the source of the examples: one of ours, a data set of TFDS, or my_pkg.my_module:my_source.
    - `data_dir`: the folder that the source reads, if it reads one.
    - `train`, `test`: the names of the training split and of the held-out split.
    - `validation`: the name of a second held-out split, apart from both, by which a report chooses the best samplers, so that
      its table is of a split that nothing was chosen by; "" chooses by the table's own split.
    - `levels`: the number of grey levels of integer examples, such as images, 2 to 256; 0 for floats, which have none.
    - `size`: the size that images get, antialiased: 64 for a square of pixels, or (64, 48) for a height and a width, each 1 to
      8192. None leaves them as they are, and they must have one size.
    - `crop`: the place where an image of another aspect is cut when it covers the size: the "centre", or a "random" one in each
      epoch of training, while held-out images are cut in the centre. "none" cuts nothing, and changes the aspect.
    - `standardise`: whether floats lose the mean and are divided by the standard deviation of the training examples: those of
      each "channel", the last axis, or of all numbers alike ("scalar"). Samples and likelihood stay in the units of the data.
    - `dequantize`: whether training adds uniform noise within a grey level to each pixel.
    - `range`: the range that a network sees: "symmetric" for [-1, 1], or "unit" for [0, 1], as in NCSN and NCSN++.
    - `flip`: whether training mirrors images at random, along their width, the last axis but one.
    - `resident_mib`: decoded training examples stay in memory if they fit into this many MiB; else each batch is decoded anew.
    - `on_bad`: an unreadable example is an error ("fail"), or is left out ("skip") as long as it is at most one in a thousand.
    - `only`: the labels to use, by names or numbers, for training and held-out examples alike; () uses all examples, labelled
      or not.
    """

    name: str
    data_dir: str = ""
    train: str = "train"
    test: str = "test"
    validation: str = ""
    levels: Annotated[int, Field(ge=0, le=256), AfterValidator(_some_levels)] = 256
    size: Size = None
    crop: Literal["centre", "random", "none"] = "centre"
    standardise: Literal["none", "scalar", "channel"] = "none"
    dequantize: bool = False
    range: Literal["symmetric", "unit"] = "symmetric"
    flip: bool = False
    resident_mib: Annotated[int, Field(ge=0, lt=2**31)] = 4096
    on_bad: Literal["fail", "skip"] = "fail"
    only: tuple[Annotated[int, Field(ge=0, lt=2**31)] | str, ...] = ()

    def origin(self, split: str) -> str:
        """Returns the name of a split for error messages. Their example numbers count only the examples that `only` selects."""
        return f"{self.name} {split}" + (f" of label {', '.join(map(str, self.only))}" if self.only else "")


def _decays(value: Any) -> Any:
    rates = value if isinstance(value, tuple) else (value,)
    if not rates or not all(type(rate) in (int, float) and 0 <= rate < 1 for rate in rates) or len({*rates}) < len(rates):
        raise ValueError("give a decay rate in [0, 1), or several of them, as in (0.999, 0.9999)")
    return tuple(map(float, rates)) if isinstance(value, tuple) else float(value)


_DECAY = {"type": "number", "minimum": 0, "exclusiveMaximum": 1}
Decays = Annotated[
    float | tuple[float, ...], PlainValidator(_decays), WithJsonSchema({"anyOf": [_DECAY, {"type": "array", "items": _DECAY}]})
]
"""A decay rate, or several that differ."""
Width = Annotated[float, Field(ge=1e-3, le=0.28)]
"""The relative width sigma_rel of a power-function average; a uniform average has 0.289."""


def _function(name: str) -> str:
    if not re.fullmatch(USERS_NAME, name):
        raise ValueError("write my_pkg.my_module:my_callback")
    return name


def _with_jsonl(log: tuple[str, ...]) -> tuple[str, ...]:
    if "jsonl" not in log or len({*log}) < len(log):
        raise ValueError("name each once, and 'jsonl' among them, which reports and resumed runs read")
    return log


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Train(Strict):
    """The section of training: an optimiser on clipped gradients, and how often to log, draw samples and save.

    - `steps`, `batch`: the number of steps, and of examples in each.
    - `steps_per_call`: the most steps in one compiled call, during which the host has nothing to do. None chooses by itself, so
      that a call takes about a quarter of a second; a call ends where a row, a checkpoint or a picture is due.
    - `accumulate`: the number of parts that a batch is split into. They are computed one after the other and their mean
      gradient makes one update, which saves memory and takes time.
    - `learning_rate`: the highest learning rate. `beta1`, `beta2`, `epsilon`: Adam's numbers of these names. `weight_decay`:
      AdamW's, decoupled from the gradient; constants, such as fixed frequencies, which have none, do not decay.
    - `decay`: the learning rate after the warm-up: "constant", or "cosine" down to 0 at the last step.
    - `warm_up`: the number of steps over which the learning rate rises from 0; a tenth of `steps` if a cosine would have none
      left to decay in.
    - `clip`: the largest global norm of a gradient; None clips nothing.
    - `ema`: the decay rate of the averaged parameters, which draw all samples and results; it is smaller in the first steps.
      Several rates keep as many averages: the first draws, or the one that `sample.ema` names.
    - `log_every`, `sample_every`, `checkpoint_every`: the number of steps between two rows of the log, two pictures of
      samples, and two checkpoints.
    - `keep`: the number of checkpoints to keep, the newest ones.
    - `bad_steps`: a step with a non-finite loss or gradient changes nothing; this many in a row stop the run.
    - `shard`: whether each device holds only its share of the parameters, their averages and the optimiser's moments. The
      devices gather the parameters for each step.
    - `label_dropout`: the share of examples whose label is hidden from a network with classes, so that it also learns the
      unconditional score (Ho & Salimans 2022).
    - `augment`: the probability of each kind of map in EDM's non-leaky augmentation of images (Karras et al. 2022, app. F.2),
      0.12 there for CIFAR-10; 0 augments nothing. The network hears which map it was, and samples as if there had been none.
    - `seeds`: the seeds that `compare` trains every arm from, each in a folder of its own; () is the config's `seed` alone.
    - `seeds_at_once`: the most of them that are trained together, by one program mapped over them, or fewer if the devices lack
      room. Each is then the run that it would be alone but for rounding; 1 trains them one after the other, to the same bits.
    - `optimizer`: None is AdamW by `beta1`, `beta2`, `epsilon` and `weight_decay`; else, on the learning rate of this section,
      an optimiser of Optax with options of its own.
    - `schedule`: None is `decay` after `warm_up`; else the learning rate at each step, with options that come from
      `learning_rate`, `steps` and `warm_up` if they are left out, by a schedule of Optax.
    - `sigma_rel`: the relative widths of further averages, by power functions of time (Karras et al. 2024, EDM2), as
      (0.05, 0.1). Any other width can be fitted to those in the checkpoints afterwards: `sample.sigma_rel`.
    - `callbacks`: functions to call with every row of the log, as "my_pkg.my_module:my_callback" (see
      `experiments.training.callbacks`).
    - `log`: the forms of the log: "jsonl" is always among them; "tensorboard" adds event files, "wandb" Weights & Biases.

    `steps_per_call` and `accumulate` change a step only by rounding. A resumed run must repeat that rounding to the last bit,
    so a run cannot change either; None goes on as the run was begun.
    """

    steps: Count
    batch: Several
    steps_per_call: Annotated[int, Field(ge=1, le=10_000)] | None = None
    accumulate: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(ge=1e-30, le=1)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.0
    decay: Literal["constant", "cosine"] = "constant"
    warm_up: Annotated[int, Field(ge=0, lt=2**31)] = 5000
    clip: Annotated[float, Field(ge=1e-10, le=1e10)] | None = 1.0
    ema: Decays = 0.9999
    log_every: Count = 100
    sample_every: Count = 10_000
    checkpoint_every: Count = 10_000
    keep: Count = 2
    bad_steps: Count = 10
    shard: bool = False
    label_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: Annotated[float, Field(ge=0, le=1)] = 0.0
    seeds: Seeds = ()
    seeds_at_once: Several = 1
    optimizer: Named | None = None
    schedule: Named | None = None
    sigma_rel: Annotated[tuple[Width, ...], AfterValidator(_distinct)] = ()
    callbacks: Annotated[tuple[Annotated[str, AfterValidator(_function)], ...], BeforeValidator(_one_or_several)] = ()
    log: Annotated[tuple[Literal["jsonl", "tensorboard", "wandb"], ...], AfterValidator(_with_jsonl)] = ("jsonl",)

    @property
    def decays(self) -> tuple[float, ...]:
        """The decay rates of the exponential averages."""
        return self.ema if isinstance(self.ema, tuple) else (self.ema,)


class Lora(Strict):
    """The section of low-rank adapters, which are trained while the network's own kernels stay fixed (see `models.lora`).

        W' = W + scale alpha/rank A B

    - `run`: the folder of the base: a trained run, or one that `import` or `export` wrote. W are its averaged parameters.
    - `rank`, `alpha`: the rank of A B, and the factor in the equation.
    - `on`: the kernels that get adapters: "attention", "convolution" or "all".
    - `scale`: the strength of the adapters. They are trained at 1; at 0 the network is the base.
    - `digest`: the digest of the base's parameters. A run records it when it begins, and refuses to continue on another base.
    """

    run: str = ""
    rank: Annotated[int, Field(ge=1, le=2**16)] = 4
    alpha: Annotated[float, Field(ge=1e-6, le=1e6)] = 4.0
    on: Literal["attention", "convolution", "all"] = "all"
    scale: Annotated[float, Field(ge=-1000, le=1000)] = 1.0
    digest: str = ""


class Teacher(Strict):
    """The section of the run that this one learns a flow from, by objective "reflow".

    - `run`: its folder. Its averaged parameters stay fixed.
    - `sampler`: the label of the one of its samplers that makes pairs of noise and data, which must draw no noise on the way;
      "" is the one of its `sample.sampler`.
    - `digest`: the digest of its parameters. A run records it when it begins, and refuses to train on by others.
    """

    run: str = ""
    sampler: str = ""
    digest: str = ""


class Perceptual(Strict):
    """The section of a perceptual term of a codec's loss, D weight d(x, x_hat) for x of D numbers (see `losses.perceptual`).

    - `run`: the folder of a run that trained a classifier on data of this kind, whose features are compared.
    - `file`: else, for images, a file of LPIPS: VGG16 as of torchvision or of lpips, and the heads, if they are in it.
    - `weight`: the weight of the term; 1 in the first stages of latent diffusion.
    - `digest`: the digest of the features' parameters. A run records it when it begins, and refuses to go on with others.
    """

    run: str = ""
    file: str = ""
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    digest: str = ""


class Adversarial(Strict):
    """The section of an adversarial term of a codec's loss, by a discriminator trained beside it (see `losses.adversarial`).

    - `net`: the discriminator, with its options.
    - `start`: the step from which on both play; before it the codec is trained as if it were alone.
    - `weight`: the slope of the term at the decoder's last layer, as a share of that of the rest of the loss.
    """

    net: Named = Named(name="PatchGAN")
    start: Annotated[int, Field(ge=0, lt=2**31)] = 0
    weight: Annotated[float, Field(gt=0, le=1e6)] = 0.5


class CodecConfig(Strict):
    """The section of a codec: the SDE, the network and the samplers see codes z in place of x (see `models.codec`).

    - `run`: the folder of a run that trained a codec, by objective "rate_distortion", or of a diffusion autoencoder. Its
      averaged parameters stay fixed.
    - `by`: a codec, with its options; one of the codes of `run`, if both are set.
    - `encoder`, `decoder`, `net`: the networks of `by`, if it has some. `likelihood`: its law p(x | z), if it has one.
    - `noise`: whether samples are draws from p(x | z), or its means.
    - `standardise`: whether codes lose the mean and are divided by the standard deviation of training examples: of those of
      each "channel", the last axis, or of all numbers alike ("scalar"), which is 1/0.18215 in Stable Diffusion.
    - `mean`, `std`: these moments. A run computes them when it begins, from at most 10,000 training examples, and keeps them.
    - `digest`: the digest of the parameters of `run`. A run records it when it begins, and refuses to go on with others.
    - `cache`: where the codes of the training examples are kept on disk, so that a step reads them and evaluates no encoder: in
      the folder of `run` ("codec"), for all runs that score them, in that of the run itself ("run"), or nowhere ("none"). Of
      codes that are drawn it is their posteriors, and each step draws anew.
    - `perceptual`, `adversarial`: further terms of the loss of a codec that is trained alone, which then has no density.
    """

    run: str = ""
    by: Named | None = None
    encoder: Named | None = None
    decoder: Named | None = None
    net: Named | None = None
    likelihood: Named | None = None
    noise: bool = False
    standardise: Literal["none", "scalar", "channel"] = "none"
    mean: tuple[float, ...] = ()
    std: tuple[Positive, ...] = ()
    digest: str = ""
    cache: Literal["none", "codec", "run"] = "none"
    perceptual: Perceptual | None = None
    adversarial: Adversarial | None = None


class LearnedSDE(Named):
    """An SDE with its options.

    - `learned`: the options that are trained with the network, as ("knots",). The others stay as they are.
    """

    learned: Annotated[tuple[str, ...], BeforeValidator(_one_or_several), AfterValidator(_distinct)] = ()


class Condition(Named):
    """A function of an example that makes a condition, with its options.

    - `dropout`: the share of training examples that the network sees without the condition, so that it also learns the score
      without it (Ho & Salimans 2022).
    """

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Conditions(Strict):
    """The section of the conditions that the network hears, beside the label that `net.classes` asks for.

    Each is a function of the example with its options (see `experiments.conditions`) and a `dropout`, the share of training
    examples that are without it, so that the network also learns the score without it.

    - `vector`: numbers, which are added to the embedding of the noise level; by an encoder, such as "PooledEncoder", a code of
      the example, which is trained with the score: a diffusion autoencoder.
    - `image`: an image of the same sides as the example, which enters beside it.
    - `tokens`: a text, or another sequence of vectors, to which cross-attention attends. The characters of a text become
      vectors of `net.tokens` channels, 128 if that is left out.
    """

    vector: Condition | None = None
    image: Condition | None = None
    tokens: Condition | None = None


MOST_STEPS = 100_000
"""The most steps of a sampler."""


class Sampler(Strict):
    """The section of a sampler, which solves the reverse process on a grid of times.

    It may also be the label of another sampler, or {"name": LABEL, ...}, which is that one with changes; None leaves it out.

    - `step`: the step from one time to the next.
    - `sde`: the SDE to sample on, if not the one that the network was trained on. Its noise levels on the grid must lie within
      those of training.
    - `corrector`: a step that runs before `step` at each time and stays at that time.
    - `guidance`: how guidance changes the score (see `experiments.config.guidance`).
    - `grid`: the grid of times. `n`: the number of its steps.
    - `denoise`: whether the last step is followed by Tweedie's formula, which removes the noise that is left.
    - `sweep`: further settings to evaluate, for quality against the number of network evaluations: tuples of values, all of one
      length, for "n", for options of the step, or for the guidance's "w".
    """

    step: Named
    sde: Named | None = None
    corrector: Named | None = None
    guidance: Named | None = None
    grid: Named
    n: Annotated[int, Field(ge=1, le=MOST_STEPS)]
    denoise: bool = False
    sweep: dict[str, tuple[float, ...]] = {}


def resolve_samplers(samplers: Any) -> Any:
    """Returns the samplers of a tree as sections that name no other, without those that are None.

    Raises ValueError if one is to be a copy of a sampler that is not there.
    """
    if not isinstance(samplers, dict):
        return samplers  # the schema refuses it
    labels = [label for label, section in samplers.items() if section is not None]

    def resolved(label: str, above: tuple[str, ...] = ()) -> Any:
        section = samplers[label]
        other = section.get("name") if isinstance(section, dict) else section
        if not isinstance(other, str):
            return section
        if other not in labels or other in (*above, label):
            others = ", ".join(each for each in labels if each not in (*above, label))
            raise ValueError(f"{label} is to be a copy of {other[:80]!r}, and the other samplers are {others or 'none'}")
        changes = {key: value for key, value in section.items() if key != "name"} if isinstance(section, dict) else {}
        copied = resolved(other, (*above, label))
        return overlay(copied, changes) if isinstance(copied, dict) else copied

    return {label: resolved(label) for label in labels}


def _label_of_sample(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value) or (type(value) is int and 0 <= value < 2**31):
        return value
    raise ValueError("give the name or the number of a class, each, or None for no label")


class Sample(Strict):
    """The section of drawing samples.

    - `sampler`: the sampler to use, one of the keys of `samplers`.
    - `label`: if there are classes, the name or the number of that of all samples; "each" takes the classes in turn, or each
      one's of the examples that conditions come from; None samples without a label.
    - `caption`: the text of all samples, if the network hears captions; "" is the caption of each sample's class.
    - `like`: the held-out examples that conditions come from, in turn, by their places in the one random order of held-out
      examples; () takes the first ones.
    - `n`: the number of samples. `seed`: the seed of their noise.
    - `pngs`: whether each sample is also written as an image of its own.
    - `file`: the name of the files, but for step_N and run_SAMPLER, which training and evaluation use; "" is a name of their
      own for each setting.
    - `ema`: the decay rate of the average that draws samples and results, one of `train.ema`; None is the first of them.
    - `sigma_rel`: the relative width of the average that draws instead, one of `train.sigma_rel`, or any other, which is fitted
      to those in the checkpoints.
    """

    sampler: str
    label: Annotated[int | str | None, PlainValidator(_label_of_sample)] = "each"
    caption: str = ""
    like: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = ()
    n: Several = 64
    seed: Seed = 0
    pngs: bool = False
    file: Annotated[FileName, AfterValidator(_beside_others)] = ""
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None
    sigma_rel: Width | None = None


def _examples(value: Any) -> Any:
    if value == "all" or (type(value) is int and 0 <= value < 2**31):
        return value
    raise ValueError("give a number of held-out examples, 0 for none, or all")


class Evaluate(Strict):
    """The section of evaluation: the quality of samples, and likelihood in bits per dimension.

    Quality compares samples with real examples in a space of features:

    - `n`, `seeds`: the number of samples for each seed, and of seeds. `batch`: the most samples that are drawn together.
    - `features`: the space of the Fréchet distance: "pixels" (floats are their own), the hidden layer of a "classifier" that is
      fitted to the labels, or "inception" for FID. None is the last of them that the data and `inception` allow.
    - `inception`: the weights file of the Inception network.
    - `real`: the split that samples are compared with, held-out ("test") or training ("train") examples.
    - `statistics`: the folder that caches the features of the real examples; "" is a folder of the run.
    - `neighbours`: k of the k-nearest-neighbour balls of precision and recall.

    Likelihood is that of the probability flow, with a variational bound beside it:

    - `likelihood`: the number of held-out examples; 0 computes none, "all" takes every one.
    - `tolerance`: the tolerance of the ODE solver.
    - `t_min`: the time at which the flow and the bound start, below which the network may not have been trained; None is the
      SDE's own.
    - `probes`: the number of Hutchinson's probes of the divergence; 0 computes it exactly, with D products per evaluation.
    - `draws`: the number of importance-weighted draws of the dequantizer and the code for each example.
    - `dequantizer`: the noise within a grey level: "uniform", or "variational", which is fitted. `dequantizer_steps`: the
      number of steps of the fit.
    - `bound_times`: the number of times at which the bound is estimated for each example; 0 computes no bound.

    Besides:

    - `noise_levels`: the number of log-SNRs at which the training loss, or a classifier's accuracy, is measured.
    - `pairs`: the number of pairs of held-out examples with a picture of the way between their latents, in `interpolate.frames`
      images; 0 draws none.
    """

    n: Annotated[int, Field(ge=8, le=10_000_000)] = 1000
    seeds: Several = 3
    batch: Several = 256
    features: Literal["pixels", "classifier", "inception"] | None = None
    inception: str = ""
    real: Literal["test", "train"] = "test"
    statistics: str = ""
    neighbours: Several = 3
    likelihood: Annotated[int | Literal["all"], PlainValidator(_examples)] = 256
    tolerance: Tolerance = 1e-4
    t_min: Annotated[float, Field(gt=0, lt=1)] | None = None
    probes: Annotated[int, Field(ge=0, le=10_000)] = 1
    draws: Annotated[int, Field(ge=1, le=100_000)] = 1
    dequantizer: Literal["uniform", "variational"] = "uniform"
    dequantizer_steps: Count = 1000
    bound_times: Annotated[int, Field(ge=0, le=100_000)] = 64
    noise_levels: Annotated[int, Field(ge=2, le=10_000)] = 24
    pairs: Annotated[int, Field(ge=0, le=1000)] = 0


class Interpolate(Strict):
    """The section of `interpolate`, which draws the way from one held-out example to another.

    - `pairs`: the number of pairs of examples. `frames`: the number of images in a row, from the one to the other.
    - `t`: the time that both examples are noised to before they are mixed (Ho et al. 2020). For comparison, `interpolate` also
      mixes their latents under the probability flow.
    - `file`: the name of the files; "" is a name of their own for each setting.
    """

    pairs: Several = 6
    frames: Annotated[int, Field(ge=2, le=1000)] = 9
    t: Annotated[float, Field(gt=0, le=1)] = 0.3
    file: FileName = ""


class EditConfig(Strict):
    """The section of `edit`, which edits held-out examples and writes edits/FILE.png and edits/FILE.json.

    - `by`: the edit, with its options (see `experiments.edits`).
    - `rows`: the number of held-out examples to edit, the first ones.
    - `file`: the name of the files; "" is a name of their own for each setting.
    """

    by: Named = Named(name="sdedit")
    rows: Several = 8
    file: FileName = ""


class Config(Strict):
    """A config: one experiment, or several that are compared, one for each of its arms.

    - `title`: the title of reports and pictures. `seed`: the seed of training, and of all else that has no seed of its own.
    - `sde`: the SDE, whose `learned` names the options that are trained with the network. `net`: the network.
      `parameterization`: what the network predicts, such as "eps" or "v".
    - `sigma_data`: the standard deviation of the data, for parameterizations and weights that depend on it.
    - `mixed`: whether the score is mixed with that of N(0, I), in shares that are learned, one for each channel (LSGM).
    - `in_space`: whether the network works on images although x is their codes by codec `cosine`; what it emits is coded.
    - `conditioning`: the function of the noise level that the network receives; None is the parameterization's own.
    - `scale_input`: whether x is scaled to unit variance before the network; networks older than EDM take it unscaled.
    - `compute`: the dtype inside the network. Parameters, schedules and reductions are always in float32.
    - `remat`: whether the backward pass computes the inside of each block again, which saves memory and takes time.
    - `objective`: the training loss. `weight`: the weight w(t) of the loss; None is the objective's own.
    - `times`: the distribution of the training times t.
    - `data`, `conditions`, `codec`, `lora`, `teacher`, `train`, `sample`, `evaluate`, `interpolate`, `edit`: sections of their
      own.
    - `samplers`: any number of samplers, each under a label of its own.
    - `trust`: code that the config.json of a guide or of a base may name, as "my_pkg.my_module:MyNet", several with commas.
    - `arms`: for each arm its label and the keys that it changes.
    """

    title: str
    seed: Seed = 0
    sde: LearnedSDE
    net: Named
    parameterization: str = "eps"
    sigma_data: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    mixed: bool = False
    in_space: bool = False
    conditioning: Named | None = None
    scale_input: bool = True
    compute: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    objective: Named = Named(name="dsm")
    weight: Named | None = None
    times: Named
    data: Data
    conditions: Conditions = Conditions()
    codec: CodecConfig | None = None
    lora: Lora | None = None
    teacher: Teacher | None = None
    train: Train
    samplers: Annotated[dict[Label, Sampler], Field(min_length=1), BeforeValidator(resolve_samplers)]
    sample: Sample
    evaluate: Evaluate = Evaluate()
    interpolate: Interpolate = Interpolate()
    edit: EditConfig = EditConfig()
    trust: str = ""
    arms: dict[Label, dict[str, Any]] = {}

    def digest(self) -> str:
        """Returns the hash of the config as canonical JSON, which every result records; `trust` has no part in a result."""
        return sha256(json.dumps(self.model_dump(exclude={"trust"}), sort_keys=True).encode()).hexdigest()[:12]
