"""`:tiny` after a config's path: a miniature of the experiment that exercises every part in under a minute on a CPU."""

from __future__ import annotations

from typing import Any

from experiments.config.arms import names_part, resolve_arms
from experiments.config.options import parameters
from experiments.config.parts import CONDITIONS, DECODER, DISCRIMINATOR, ENCODER, LADDER, NET, Kind
from experiments.config.schema import resolve_samplers

DATA = {"name": "digits", "data_dir": "", "train": "train", "test": "test", "validation": "", "levels": 17, "only": ()}
DATA |= {"size": None, "crop": "centre"}
NETWORK = {
    "width": lambda width: 16,
    "multipliers": lambda multipliers: tuple(multipliers[:2]),
    "dilations": lambda dilations: tuple(dilations[:1]),
    "blocks": lambda blocks: max(1, blocks // 4),
    "depth": lambda depth: 3,
    "heads": lambda heads: 2,
    "head_channels": lambda channels: 8 if channels else channels,
}
# fmt: off
TRAIN = {
    "steps": 10, "batch": 16, "steps_per_call": 1, "accumulate": 1, "warm_up": 2,
    "log_every": 5, "sample_every": 10, "checkpoint_every": 10,
}
STEP = {"n_steps": 2, "rtol": 0.1, "atol": 0.1}
EVALUATE = {
    "n": 16, "seeds": 1, "batch": 16, "features": "pixels", "inception": "", "statistics": "", "neighbours": 3,
    "likelihood": 8, "tolerance": 1e-2, "bound_times": 4, "noise_levels": 4,
}
# fmt: on


def tiny(tree: dict[str, Any]) -> dict[str, Any]:
    """Returns a config's tree with the same parts but a narrow network, 8x8 digits and few steps, as in each of its arms."""
    shrunk = {key: SECTIONS[key](section) if key in SECTIONS else section for key, section in tree.items()}
    if tree.get("data", {}).get("levels") == 0:
        shrunk["net"] = _network(tree["net"], digits=False)
    arms = {name: _changes(tree["arms"][name], tiny(arm)) for name, arm in resolve_arms(tree).items()}
    return shrunk | {"arms": arms} if arms else shrunk


def _changes(changes: Any, shrunk: Any) -> Any:
    """An arm's changes with the values of the shrunk arm. A section with a name replaces the whole, and stays whole."""
    if not isinstance(changes, dict) or names_part(changes):
        return shrunk
    return {key: _changes(below, shrunk[key]) for key, below in changes.items() if key in shrunk}


def _network(section: dict[str, Any] | str, digits: bool = True, kind: Kind = NET) -> dict[str, Any]:
    """A narrow network, of the `digits` or of data that stay as they are."""
    net, values, small = _narrow(kind, section)
    if values.get("attention") and "attention" in parameters(kind.find(net["name"])):
        # The heights of the digits are 8 and 4; those of other data are twice as high for each resolution that is left out.
        fewer = len(values["multipliers"]) - len(small["multipliers"]) if "multipliers" in small else 0
        small["attention"] = (4,) if digits else tuple(2**fewer * height for height in values["attention"])
    return net | small


def _narrow(kind: Kind, section: dict[str, Any] | str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A network as a section with a name, the values of its options, and those that a narrow one has instead."""
    net = {"name": section} if isinstance(section, str) else section
    options = parameters(kind.find(net["name"]))
    values = {name: option.default for name, option in options.items() if option.default is not option.empty} | net
    return net, values, {name: make(values[name]) for name, make in NETWORK.items() if name in options and name in values}


def _codec(section: dict[str, Any] | None) -> dict[str, Any] | None:
    """A codec with narrow networks, and a discriminator that plays from the second step on and sees patches of the digits."""
    small = dict(section or {})
    for key, kind in {"encoder": ENCODER, "decoder": DECODER, "net": LADDER}.items():
        if small.get(key):
            net, values, fewer = _narrow(kind, small[key])
            small[key] = net | fewer | ({"attention": ()} if values.get("attention") else {})
    if small.get("cache") == "codec":
        small["cache"] = "run"  # a miniature writes to no other folder
    if isinstance(small.get("adversarial"), dict):
        net, _, fewer = _narrow(DISCRIMINATOR, small["adversarial"].get("net", "PatchGAN"))
        fewer |= {"layers": 1} if "layers" in parameters(DISCRIMINATOR.find(net["name"])) else {}
        small["adversarial"] = small["adversarial"] | {"net": net | fewer, "start": 1}
    return section and small


def _train(section: dict[str, Any]) -> dict[str, Any]:
    of_schedule = {"warm_up"} if section.get("schedule") and "warm_up" not in section else set()  # which may have none
    return section | {key: value for key, value in TRAIN.items() if key not in of_schedule}


def _samplers(section: dict[str, Any]) -> dict[str, Any]:
    whole = resolve_samplers(section)

    def small(sampler: dict[str, Any]) -> dict[str, Any]:
        step = sampler["step"]
        step = step if isinstance(step, str) else step | {key: value for key, value in STEP.items() if key in step}
        return sampler | {"step": step, "n": min(sampler["n"], 8), "sweep": {}}

    # One that an arm leaves out stays None: the arm takes the others from the base.
    return {label: small(whole[label]) if label in whole else None for label in section}


def _evaluate(section: dict[str, Any]) -> dict[str, Any]:
    fitted = section.get("dequantizer") == "variational"
    unlikely = {"likelihood": 0} if section.get("likelihood") == 0 else {}  # of a codec without a density, say
    between = {"pairs": 1} if section.get("pairs") else {}
    wanted = {key: value for key, value in EVALUATE.items() if section.get(key) != 0}  # 0 of what an objective does not have
    return section | wanted | ({"dequantizer_steps": 5} if fitted else {}) | unlikely | between


def _sample(section: dict[str, Any]) -> dict[str, Any]:
    named = isinstance(section.get("label"), str)  # as a class of data that the digits take the place of
    return section | {"n": 16, "like": ()} | ({"label": "each"} if named else {})


def _conditions(section: dict[str, Any]) -> dict[str, Any]:
    def small(kind: Kind, part: Any) -> Any:
        if isinstance(part, dict) and kind.takes(part["name"], "rngs"):
            return _network(part, kind=kind)
        return part | {"factor": 2} if isinstance(part, dict) and "factor" in part else part

    return {key: small(CONDITIONS[key], part) for key, part in section.items()}


SECTIONS = {
    "codec": _codec,
    "conditions": _conditions,
    "data": lambda section: section if section.get("levels") == 0 else section | DATA,
    "net": _network,
    "train": _train,
    "samplers": _samplers,
    "sample": _sample,
    "evaluate": _evaluate,
}
