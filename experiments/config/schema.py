"""The whole config as one frozen, strict type. The options of a named part are `build`'s to check, by its signature."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, model_validator

Count = Annotated[int, Field(ge=1, lt=2**31)]
"""Of steps, which float32 and int32 count: as many as wanted."""
Positive = Annotated[float, Field(gt=0)]
Several = Annotated[int, Field(ge=1, le=1_000_000)]
"""Of what is held at once."""
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Tolerance = Annotated[float, Field(ge=1e-10, le=1)]


def _label(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ValueError("it names files: write letters, digits, _, - and ., and begin with none of the last two")
    return name


Label = Annotated[str, AfterValidator(_label)]


class Strict(BaseModel):
    """No unknown key, no coerced type, no nan."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Named(BaseModel):
    """A part of the library, or a user's as "my_pkg.my_module:Name", with its options: the rest of the section.

    A bare name is a part without options.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    name: str

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, part: Any) -> Any:
        return {"name": part} if isinstance(part, str) else part

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


def _some_levels(levels: int) -> int:
    if levels == 1:
        raise ValueError("one level says nothing: give 2 to 256, or 0 for points")
    return levels


class Data(Strict):
    """Where images or points come from; see `experiments.data.dataset`.

    `range`: of the numbers that a network sees, "symmetric" for [-1, 1] or "unit" for [0, 1], as NCSN's and NCSN++'s were.
    `on_bad`: whether an example that cannot be read is an error, or left out, up to one in a thousand. `only`: the labels of
    the examples that are used, of training and held-out ones alike; (): all, with a label or without.
    """

    name: str
    data_dir: str = ""
    train: str = "train"
    test: str = "test"
    levels: Annotated[int, Field(ge=0, le=256), AfterValidator(_some_levels)] = 256
    dequantize: bool = False
    range: Literal["symmetric", "unit"] = "symmetric"
    flip: bool = False
    resident_mib: Annotated[int, Field(ge=0, lt=2**31)] = 4096
    on_bad: Literal["fail", "skip"] = "fail"
    only: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = ()

    def origin(self, split: str) -> str:
        """What errors call the examples of a split, which are numbered as they are after the choice of `only`."""
        return f"{self.name} {split}" + (f" of label {', '.join(map(str, self.only))}" if self.only else "")


class Train(Strict):
    """Adam, with decoupled weight decay where there is any, after clipping of the gradient's global norm (`clip` None: none).

    `ema`: the rate of the average of parameters that samples and results are drawn from; it warms up. A step that is not finite
    changes nothing, and `bad_steps` of them on end stop the run. The newest `keep` checkpoints are kept.

    `steps_per_call`: steps in one program, without a word to the host. `accumulate`: parts of a batch that are computed one
    after the other, for one update of their mean: it takes time and saves memory. Neither changes a step but by rounding, which
    a resumed run repeats to the last bit: so both stay as the run began. With `shard` each device keeps its share of the
    parameters, their average and Adam's moments, and gathers the parameters for a step.

    `label_dropout`: the share of labels that a network with classes is not told, so that it learns the score without one too
    (Ho & Salimans 2022).
    """

    steps: Count
    batch: Several
    steps_per_call: Annotated[int, Field(ge=1, le=10_000)] = 1
    accumulate: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(ge=1e-30, le=1)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.0
    decay: Literal["constant", "cosine"] = "constant"
    warm_up: Annotated[int, Field(ge=0, lt=2**31)] = 5000
    clip: Annotated[float, Field(ge=1e-10, le=1e10)] | None = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    log_every: Count = 100
    sample_every: Count = 10_000
    checkpoint_every: Count = 10_000
    keep: Count = 2
    bad_steps: Count = 10
    shard: bool = False
    label_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Lora(Strict):
    """Adapters of a trained network's kernels, W + scale alpha/rank A B, which are trained in its place (see `models.lora`).

    `run`: the base, of which the averaged parameters stay as they are: a run, or what `import` or `export` made. `digest` is
    theirs: a run notes it as it begins, and goes on with no other. `on`: the kernels that have adapters. They are trained at
    `scale` 1; at 0 the network is the base.
    """

    run: str = ""
    rank: Annotated[int, Field(ge=1, le=2**16)] = 4
    alpha: Annotated[float, Field(ge=1e-6, le=1e6)] = 4.0
    on: Literal["attention", "convolution", "all"] = "all"
    scale: Annotated[float, Field(ge=-1000, le=1000)] = 1.0
    digest: str = ""


MOST_STEPS = 100_000


class Sampler(Strict):
    """`step` on `grid` with `n` steps, after `corrector` at each, with a last Tweedie denoise or without; by a score that
    `guidance` changes (see `config/guidance.py`). On `sde` in the place of the one that the network was trained on: any of
    which the grid stays within the noise levels of that.

    `sweep`: further settings for quality against NFE, as values of "n", of options of the step, or of the guidance's "w", all
    of one length.
    """

    step: Named
    sde: Named | None = None
    corrector: Named | None = None
    guidance: Named | None = None
    grid: Named
    n: Annotated[int, Field(ge=1, le=MOST_STEPS)]
    denoise: bool = False
    sweep: dict[str, tuple[float, ...]] = {}


def _label_of_sample(value: Any) -> Any:
    if value is None or value == "each" or (type(value) is int and 0 <= value < 2**31):
        return value
    raise ValueError("give the number of a class, each, or None for no label")


class Sample(Strict):
    """`n` samples by `sampler`; `label`, where there are classes: one of them, "each" in turn, or None: by no label."""

    sampler: str
    label: Annotated[int | Literal["each"] | None, PlainValidator(_label_of_sample)] = "each"
    n: Several = 64
    seed: Seed = 0


def _examples(value: Any) -> Any:
    if value == "all" or (type(value) is int and 0 <= value < 2**31):
        return value
    raise ValueError("give a number of held-out examples, 0 for none, or all")


class Evaluate(Strict):
    """`n` samples for each of `seeds`, against `real` examples; bits/dim of `likelihood` held-out ones (0: none; "all").

    `inception`: the weights file for the `features` of FID; `statistics`: the folder that keeps those of the real examples
    ("": the run's own). The flow is solved to `tolerance`, its divergence by `probes` of Hutchinson's (0: exact, by D products
    an evaluation), at `draws` importance-weighted draws of `dequantizer`, which if variational is fitted in
    `dequantizer_steps`; beside it stands the variational bound, at `bound_times` times an example (0: none). Both start at
    `t_min`, below which the network may not have been trained (None: the SDE's).
    """

    n: Annotated[int, Field(ge=8, le=10_000_000)] = 1000
    seeds: Several = 3
    batch: Several = 256
    features: Literal["pixels", "classifier", "inception"] = "pixels"
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


class Interpolate(Strict):
    """`frames` between the examples of each of `pairs`: in the latents of the flow, and from time `t` on (Ho et al. 2020)."""

    pairs: Several = 6
    frames: Annotated[int, Field(ge=2, le=1000)] = 9
    t: Annotated[float, Field(gt=0, le=1)] = 0.3


class Edit(Strict):
    """`by` what the first `rows` held-out examples are edited (see `experiments.edits`), into edits/`file`.png and .json.

    `file` "": the name of `by`.
    """

    by: Named = Named(name="sdedit")
    rows: Several = 8
    file: Annotated[str, AfterValidator(lambda name: name and _label(name))] = ""


class Config(Strict):
    """One experiment; with `arms`, several that differ by what each arm overrides.

    `conditioning`: the noise level as the network hears it (None: the parameterisation's); `scale_input` False: x as it is, as
    networks from before EDM see it. `compute`: the dtype inside the network, with parameters, schedules and reductions in
    float32; `remat`: its backward pass computes again what is inside a block, which takes time and saves memory.
    """

    title: str
    seed: Seed = 0
    sde: Named
    net: Named
    parameterization: str = "eps"
    sigma_data: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    conditioning: Named | None = None
    scale_input: bool = True
    compute: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    objective: Named = Named(name="dsm")
    weight: Named | None = None
    times: Named
    data: Data
    lora: Lora | None = None
    train: Train
    samplers: Annotated[dict[Label, Sampler], Field(min_length=1)]
    sample: Sample
    evaluate: Evaluate = Evaluate()
    interpolate: Interpolate = Interpolate()
    edit: Edit = Edit()
    arms: dict[Label, dict[str, Any]] = {}

    def digest(self) -> str:
        """The hash that results are stamped with: of the resolved config, in canonical JSON."""
        return sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()[:12]
