"""`:tiny` after a config's path: the same experiment, small enough to be seen through in under a minute on a CPU."""

from __future__ import annotations

from typing import Any

from experiments.config.options import parameters
from experiments.config.parts import NET

DATA = {"name": "digits", "data_dir": "", "train": "train", "test": "test", "levels": 17}
NETWORK = {
    "width": lambda width: 16,
    "multipliers": lambda multipliers: tuple(multipliers[:2]),
    "dilations": lambda dilations: tuple(dilations[:1]),
    "blocks": lambda blocks: max(1, blocks // 4),
    "attention": lambda heights: (4,) if heights else (),
    "depth": lambda depth: 3,
    "heads": lambda heads: 2,
    "head_channels": lambda channels: 8 if channels else channels,
}
TRAIN = {
    **{"steps": 10, "batch": 16, "steps_per_call": 1, "accumulate": 1, "warm_up": 2},
    **{"log_every": 5, "sample_every": 10, "checkpoint_every": 10},
}
STEP = {"n_steps": 2, "rtol": 0.1, "atol": 0.1}
EVALUATE = {
    **{"n": 16, "seeds": 1, "batch": 16, "features": "pixels", "likelihood": 8, "tolerance": 1e-2, "bound_times": 4},
    **{"dequantizer_steps": 5, "noise_levels": 4},
}


def tiny(tree: dict[str, Any]) -> dict[str, Any]:
    """The config's tree, or an arm's overrides, with the same parts: a narrow network on 8x8 digits, a few steps of all."""
    shrunk = {key: SECTIONS[key](section) if key in SECTIONS else section for key, section in tree.items()}
    return shrunk | {"arms": {name: tiny(arm) for name, arm in tree["arms"].items()}} if "arms" in tree else shrunk


def _network(section: dict[str, Any] | str) -> dict[str, Any]:
    net = {"name": section} if isinstance(section, str) else section
    taken = parameters(NET.find(net["name"]))
    known = {name: p.default for name, p in taken.items() if p.default is not p.empty} | net
    return net | {name: small(known[name]) for name, small in NETWORK.items() if name in taken and name in known}


def _train(section: dict[str, Any]) -> dict[str, Any]:
    return section | TRAIN


def _samplers(section: dict[str, Any]) -> dict[str, Any]:
    def small(sampler: dict[str, Any]) -> dict[str, Any]:
        step = sampler["step"]
        step = step if isinstance(step, str) else step | {key: value for key, value in STEP.items() if key in step}
        return sampler | {"step": step, "n": min(sampler["n"], 8), "sweep": {}}

    return {label: small(sampler) for label, sampler in section.items()}


SECTIONS = {
    "data": lambda section: section if section.get("levels") == 0 else section | DATA,
    "net": _network,
    "train": _train,
    "samplers": _samplers,
    "sample": lambda section: section | {"n": 16},
    "evaluate": lambda section: section | EVALUATE,
}
