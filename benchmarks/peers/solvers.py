"""The ODE and SDE solvers of diffusers and k-diffusion with a set budget, on the grids that each offers, behind one call.

Coordinates are variance exploding, y = x / alpha and s = sigma / alpha, of the VP-SDE with beta from 0.1 to 20.
Diffusers' own levels are those of its 1000 training steps (its largest s is 157.4), so `start` is called above `S_MAX` too.
"""

import copy
import importlib
import inspect
import itertools
import math
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers.utils import logging
from torch import Tensor

# k_diffusion's own __init__ imports its metrics, whose packages ask for numpy < 2. Its samplers need none of them.
_package = types.ModuleType("k_diffusion")
_package.__path__ = list(find_spec("k_diffusion").submodule_search_locations)
sys.modules["k_diffusion"] = _package
sampling = importlib.import_module("k_diffusion.sampling")

logging.set_verbosity_error()

Eps = Callable[[np.ndarray, float], np.ndarray]
Start = Callable[[float], np.ndarray]
Noise = Callable[[Tensor, float], Tensor]
Options = dict[str, Any]

BETA_MIN, BETA_D = 0.1, 19.9
S_MAX = math.sqrt(math.expm1(BETA_MIN + BETA_D / 2))
SIGMA_MINS = (0.002, 0.01, 0.03)
TRAINING: Options = {"num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}


class Peer(NamedTuple):
    """A solver on a grid: `run(eps, start, nfe, seed)` gives y at s = 0 from nfe - 1 or nfe calls of eps, or a ValueError."""

    label: str
    stochastic: bool
    run: Callable[[Eps, Start, int, int], np.ndarray]


class Problem:
    """The exact noise prediction, counted, and the exact trajectory, on float64 tensors."""

    def __init__(self, eps: Eps, start: Start, nfe: int):
        self._eps, self._start, self.nfe, self.calls = eps, start, nfe, 0

    def eps(self, y: Tensor, s: float | Tensor) -> Tensor:
        self.calls += 1
        if self.calls > self.nfe:
            raise ValueError(f"more than {self.nfe} evaluations")
        return torch.from_numpy(self._eps(y.numpy(), float(s)))

    def start(self, s: float | Tensor) -> Tensor:
        return torch.from_numpy(np.array(self._start(float(s)), dtype=np.float64))


@contextmanager
def _quiet_double() -> Iterator[None]:
    """Float64 by default, without gradients or warnings."""
    default = torch.get_default_dtype()
    with torch.no_grad(), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


def _peer(label: str, stochastic: bool, solve: Callable[[Problem], Tensor]) -> Peer:
    """The peer of `solve`, in float64, off the caller's random stream, held to its evaluations."""

    def run(eps: Eps, start: Start, nfe: int, seed: int) -> np.ndarray:
        problem = Problem(eps, start, nfe)
        with _quiet_double(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            y = solve(problem)
        if problem.calls < nfe - 1:
            raise ValueError(f"{label}: {problem.calls} evaluations instead of {nfe}")
        if y.dtype != torch.float64 or not bool(torch.isfinite(y).all()):
            raise ValueError(f"{label}: the output is not finite float64")
        return y.numpy()

    return Peer(label, stochastic, run)


class Brownian:
    """Normalised Brownian increments from a to b < a, those from the same a being of one path, as torchsde's tree gives."""

    def __init__(self, like: Tensor):
        self.like, self.a, self.b, self.w = like, math.nan, math.nan, torch.zeros_like(like)

    def __call__(self, a: float | Tensor, b: float | Tensor) -> Tensor:
        a, b = float(a), float(b)
        if a != self.a or b > self.b:
            self.a, self.b, self.w = a, a, torch.zeros_like(self.like)
        self.w = self.w + math.sqrt(self.b - b) * torch.randn_like(self.like)
        self.b = b
        return self.w / math.sqrt(a - b)


# k-diffusion


def _uniform(n: int) -> Tensor:
    t = 1 - torch.arange(n + 1) / n
    return torch.sqrt(torch.expm1(BETA_D * t**2 / 2 + BETA_MIN * t))


GRIDS: dict[str, Callable[[int], Tensor]] = {
    **{f"karras {s:g}": partial(sampling.get_sigmas_karras, sigma_min=s, sigma_max=S_MAX) for s in SIGMA_MINS},
    **{f"exponential {s:g}": partial(sampling.get_sigmas_exponential, sigma_min=s, sigma_max=S_MAX) for s in SIGMA_MINS},
    "vp": partial(sampling.get_sigmas_vp, beta_d=BETA_D, beta_min=BETA_MIN, eps_s=1e-3),
    "uniform t": _uniform,
}

CHURN: Options = {"s_tmin": 0.05, "s_tmax": 50.0}

# name, options, evaluations a step (the last step, to 0, takes one), stochastic
K_SAMPLERS: list[tuple[str, Options, int, bool]] = [
    ("euler", {}, 1, False),
    ("heun", {}, 2, False),
    ("dpm_2", {}, 2, False),
    *(("lms", {"order": order}, 1, False) for order in (2, 3, 4)),
    ("dpmpp_2s_ancestral", {"eta": 0.0}, 2, False),
    ("dpmpp_sde", {"eta": 0.0}, 2, False),
    ("dpmpp_2m", {}, 1, False),
    ("dpmpp_2m_sde", {"eta": 0.0, "solver_type": "heun"}, 1, False),
    ("dpmpp_3m_sde", {"eta": 0.0}, 1, False),
    ("euler_ancestral", {}, 1, True),
    ("dpm_2_ancestral", {}, 2, True),
    ("dpmpp_2s_ancestral", {}, 2, True),
    ("dpmpp_sde", {}, 2, True),
    ("dpmpp_2m_sde", {"solver_type": "midpoint"}, 1, True),
    ("dpmpp_2m_sde", {"solver_type": "heun"}, 1, True),
    ("dpmpp_3m_sde", {}, 1, True),
    *((name, {"s_churn": churn, **CHURN}, k, True) for name, k in (("euler", 1), ("heun", 2)) for churn in (5.0, 20.0)),
]


def _denoiser(problem: Problem) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda y, sigma: y - sigma[0] * problem.eps(y, sigma[0])


def _k_solve(sampler: Callable[..., Tensor], options: Options, grid: str, cost: int, problem: Problem) -> Tensor:
    sigmas = GRIDS[grid]((problem.nfe - 1) // cost + 1)
    y = problem.start(sigmas[0])
    if "noise_sampler" in inspect.signature(sampler).parameters:
        options = {**options, "noise_sampler": Brownian(y)}
    return sampler(_denoiser(problem), y, sigmas, disable=True, **options)


def _k_fast(sigma_min: float, eta: float, problem: Problem) -> Tensor:
    y = problem.start(S_MAX)
    return sampling.sample_dpm_fast(
        _denoiser(problem), y, sigma_min, S_MAX, problem.nfe, disable=True, eta=eta, noise_sampler=Brownian(y)
    )


def _k_peers() -> Iterator[Peer]:
    for (name, options, cost, stochastic), grid in itertools.product(K_SAMPLERS, GRIDS):
        sampler = getattr(sampling, f"sample_{name}")
        suffix = "".join(f" {key} {value}" for key, value in options.items() if key not in CHURN)
        yield _peer(f"k-diffusion {name}{suffix}, {grid}", stochastic, partial(_k_solve, sampler, options, grid, cost))
    for eta, sigma_min in itertools.product((0.0, 1.0), SIGMA_MINS):
        yield _peer(f"k-diffusion dpm_fast eta {eta}, exponential {sigma_min:g}", eta > 0, partial(_k_fast, sigma_min, eta))


# diffusers


class _Double:
    """A module whose float32 is its float64: diffusers' schedulers cast to float32, even their samples."""

    def __init__(self, module: types.ModuleType):
        self._module, self.float32 = module, module.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _scheduler(name: str, folder: str = "") -> Any:
    """The class of diffusers.schedulers.`folder`scheduling_`name`, computing in float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(f"diffusers.schedulers.{folder}scheduling_{name}")
    for library in {"np", "torch"} & vars(module).keys():
        setattr(module, library, _Double({"np": np, "torch": torch}[library]))
    return next(c for k, c in vars(module).items() if k.endswith("Scheduler") and c.__module__ == module.__name__)


def _planned(prototype: Any, nfe: int, idle: bool = False) -> tuple[Any, Any]:
    """A scheduler set to its most steps within nfe evaluations, and its timesteps (less a last one of no length, if `idle`)."""
    scheduler = copy.deepcopy(prototype)
    for n in range((nfe + 1) // scheduler.order + 1, 0, -1):
        try:
            scheduler.set_timesteps(n)
        except (ValueError, IndexError, ZeroDivisionError):
            continue
        timesteps = scheduler.timesteps
        sigmas = getattr(scheduler, "sigmas", None)
        if sigmas is not None and torch.isclose(sigmas[-1], sigmas[-2], rtol=1e-6, atol=0.0):
            sigmas[-1] = sigmas[-2]  # one rounding below, the step's noise would be the root of a negative variance
            timesteps = timesteps[: -1 if idle else None]
        if len(timesteps) <= nfe:
            if len(timesteps) < nfe - 1:
                break
            return scheduler, timesteps
    raise ValueError(f"{type(scheduler).__name__} has no steps of {nfe} evaluations")


def _level(scheduler: Any) -> Tensor:
    """The noise level at which the scheduler takes its next model output."""
    name, i = type(scheduler).__name__, scheduler.step_index
    if not getattr(scheduler, "state_in_first_order", True):
        if name == "KDPM2DiscreteScheduler":
            return scheduler.sigmas_interpol[i]
        if name == "KDPM2AncestralDiscreteScheduler":
            return scheduler.sigmas_interpol[i - 1]
        if name == "DPMSolverSDEScheduler":
            return scheduler.mid_point_sigma
    return scheduler.sigmas[i]


def _exploding(s: Tensor) -> Tensor:
    return torch.ones_like(s)


def _preserving(s: Tensor) -> Tensor:
    return 1 / torch.sqrt(1 + s**2)


def _edm_output(scheduler: Any, noise: Noise, y: Tensor, s: Tensor) -> Tensor:
    """The network output from which EDM's preconditioning makes the exact denoised."""
    base = scheduler.precondition_outputs(y, torch.zeros_like(y), s)
    return (y - s * noise(y, s) - base) / scheduler.precondition_outputs(torch.zeros_like(y), torch.ones_like(y), s)


def _sigma_solve(prototype: Any, alpha: Callable[[Tensor], Tensor], idle: bool, step: Options, problem: Problem) -> Tensor:
    """The loop of a scheduler with `sigmas`, whose sample is alpha(s) y."""
    scheduler, timesteps = _planned(prototype, problem.nfe, idle)
    scheduler.set_begin_index(0)
    scheduler._init_step_index(timesteps[0])
    x = alpha(scheduler.sigmas[0]) * problem.start(scheduler.sigmas[0])
    if hasattr(scheduler, "noise_sampler"):
        scheduler.noise_sampler = Brownian(x)
    for t in timesteps:
        s = _level(scheduler)
        if hasattr(scheduler, "precondition_outputs"):
            output = _edm_output(scheduler, problem.eps, x, s)
        else:
            output = problem.eps(x / alpha(s), s)
        scheduler.scale_model_input(x, t)
        x = scheduler.step(output, t, x, **step).prev_sample
    return x / alpha(scheduler.sigmas[-1])


def _alpha_solve(prototype: Any, exact_stride: bool, step: Options, problem: Problem) -> Tensor:
    """The loop of a scheduler with `alphas_cumprod` alone, whose sample is alpha y.

    DDIM and PNDM take the next level at 1000 // num_inference_steps below, which is off their linspace and trailing grids:
    with `exact_stride` that quotient is made the grid's own difference.
    """
    scheduler, timesteps = _planned(prototype, problem.nfe)
    levels, stride = [int(t) for t in timesteps], 0
    alphas = scheduler.alphas_cumprod
    x = alphas[levels[0]].sqrt() * problem.start((1 / alphas[levels[0]] - 1).sqrt())
    for t, after in itertools.pairwise([*levels, -1]):
        stride = t - after or stride
        if exact_stride:
            scheduler.num_inference_steps = Fraction(1000, stride)
        output = problem.eps(x / alphas[t].sqrt(), (1 / alphas[t] - 1).sqrt())
        x = scheduler.step(output, t, x, **step).prev_sample
    return x / getattr(scheduler, "final_alpha_cumprod", torch.ones(())).sqrt()


def _ipndm_solve(cls: Any, grid: str, problem: Problem) -> Tensor:
    """IPNDM, whose output is the velocity and whose `trained_betas` are the sigmas of the sample alpha y it steps through."""
    s = GRIDS[grid](problem.nfe)
    scheduler = cls(trained_betas=(s * _preserving(s)).tolist())
    scheduler.set_timesteps(problem.nfe)
    scheduler.set_begin_index(0)
    x = _preserving(s[0]) * problem.start(s[0])
    for i, t in enumerate(scheduler.timesteps):
        alpha, sigma = scheduler.alphas[i], scheduler.betas[i]
        eps = problem.eps(x / alpha, sigma / alpha)
        x = scheduler.step(alpha * eps - sigma * (x - sigma * eps) / alpha, t, x).prev_sample
    return x


def _sde_vp_solve(cls: Any, problem: Problem) -> Tensor:
    """Euler-Maruyama on the VP-SDE, ended on the mean."""
    scheduler = cls(beta_min=BETA_MIN, beta_max=BETA_MIN + BETA_D)
    scheduler.set_timesteps(problem.nfe)
    s = torch.sqrt(torch.expm1(BETA_D * scheduler.timesteps**2 / 2 + BETA_MIN * scheduler.timesteps))
    x = mean = _preserving(s[0]) * problem.start(s[0])
    for t, level in zip(scheduler.timesteps, s, strict=True):
        x, mean = scheduler.step_pred(problem.eps(x / _preserving(level), level), x, t)
    return mean


def _grid_options(cls: Any) -> dict[str, Options]:
    """The grids a class offers: its `use_*` flags, from its own sigma_min or one of ours, and its timestep spacings."""
    accepted = inspect.signature(cls.__init__).parameters
    flags = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}
    grids: dict[str, Options] = {}
    for name, flag in {**flags, "lu": "use_lu_lambdas"}.items():
        if flag in accepted:
            grids[name] = {flag: True}
            if "sigma_min" in accepted:
                grids.update({f"{name} {s:g}": {flag: True, "sigma_min": s} for s in SIGMA_MINS if s != 0.01})
    if "timestep_spacing" in accepted:
        grids.update({spacing: {"timestep_spacing": spacing} for spacing in ("linspace", "leading", "trailing")})
    else:
        grids["linspace"] = {}
    return grids


_WORDS: dict[str, Callable[[Any], str]] = {
    "solver_order": "order {}".format,
    "predictor_order": "predictor {}".format,
    "corrector_order": "corrector {}".format,
    "final_sigmas_type": "to {}".format,
    "lower_order_final": lambda value: "" if value else "high order to the end",
    "predict_x0": lambda value: "x0" if value else "eps",
    "skip_prk_steps": lambda value: "no prk" if value else "prk",
    "set_alpha_to_one": lambda value: "to zero" if value else "to sigma_min",
}


def _combinations(**axes: tuple[Any, ...]) -> list[Options]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _family(
    cls: Any,
    solve: Callable[..., Callable[[Problem], Tensor]],
    combinations: list[Options],
    stochastic: bool = False,
    suffix: str = "",
    grids: dict[str, Options] | None = None,
    fixed: Options | None = None,
) -> Iterator[Peer]:
    """The peers of a class, over its options and its grids, but those that it refuses."""
    title = f"diffusers {cls.__name__.removesuffix('Scheduler')}"
    accepted = inspect.signature(cls.__init__).parameters
    defaults = {"prediction_type": "epsilon", "clip_sample": False, "thresholding": False, **TRAINING, **(fixed or {})}
    defaults = {key: value for key, value in defaults.items() if key in accepted}
    for options, (grid, spaced) in itertools.product(combinations, (grids or _grid_options(cls)).items()):
        try:
            with _quiet_double():
                scheduler = cls(**{**defaults, **options, **spaced})
        except (ValueError, NotImplementedError):
            continue
        words = [_WORDS.get(key, str)(value) for key, value in options.items()]
        yield _peer(f"{' '.join(filter(None, [title, *words, suffix]))}, {grid}", stochastic, solve(scheduler))


def _sigma(alpha: Callable[[Tensor], Tensor], idle: bool = False, **step: Any) -> Callable[..., Any]:
    return lambda scheduler: partial(_sigma_solve, scheduler, alpha, idle, step)


def _alpha(exact_stride: bool, **step: Any) -> Callable[..., Any]:
    return lambda scheduler: partial(_alpha_solve, scheduler, exact_stride, step)


def _dpmsolver_options(*algorithms: str, orders: tuple[int, ...] = (1, 2, 3)) -> list[Options]:
    """Orders, variants and ends of DPM-Solver; at order 1 they are one."""
    every = _combinations(
        algorithm_type=algorithms,
        solver_order=orders,
        solver_type=("midpoint", "heun"),
        lower_order_final=(True, False),
        final_sigmas_type=("zero", "sigma_min"),
    )
    return [o for o in every if o["solver_order"] > 1 or (o["solver_type"] == "midpoint" and o["lower_order_final"])]


def _multistep_peers() -> Iterator[Peer]:
    vp, vp_idle, ends = _sigma(_preserving), _sigma(_preserving, idle=True), ("zero", "sigma_min")
    multistep, singlestep = _scheduler("dpmsolver_multistep"), _scheduler("dpmsolver_singlestep")
    yield from _family(multistep, vp_idle, _dpmsolver_options("dpmsolver++", "dpmsolver"))
    yield from _family(singlestep, vp, _dpmsolver_options("dpmsolver++", "dpmsolver"))
    yield from _family(multistep, vp_idle, _dpmsolver_options("sde-dpmsolver++"), stochastic=True)
    yield from _family(multistep, vp_idle, _dpmsolver_options("sde-dpmsolver", orders=(1, 2)), stochastic=True)
    yield from _family(singlestep, vp, _dpmsolver_options("sde-dpmsolver++", orders=(1, 2)), stochastic=True)

    unipc = _combinations(
        solver_order=(2, 3),
        solver_type=("bh1", "bh2"),
        predict_x0=(True, False),
        lower_order_final=(True, False),
        final_sigmas_type=ends,
    )
    to_zero = {"solver_type": "bh2", "predict_x0": True, "lower_order_final": True}  # the others step there by 0 * inf
    unipc = [o for o in unipc if o["final_sigmas_type"] == "sigma_min" or to_zero.items() <= o.items()]
    singular = {"solver_order": 3, "lower_order_final": False}  # at a last step of no length, by its linear system
    for solve, chosen in ((vp, False), (vp_idle, True)):
        which = [o for o in unipc if (singular.items() <= o.items()) == chosen]
        yield from _family(_scheduler("unipc_multistep"), solve, which)
    deis = _combinations(solver_order=(1, 2, 3), lower_order_final=(True, False))
    yield from _family(_scheduler("deis_multistep"), vp_idle, deis[:1] + deis[2:])

    sasolver = _scheduler("sasolver")
    orders = [{"predictor_order": p, "corrector_order": c} for p, c in ((1, 1), (2, 2), (3, 3), (3, 4))]
    sa = [o | {"algorithm_type": kind} for o, kind in itertools.product(orders, ("data_prediction", "noise_prediction"))]
    yield from _family(sasolver, vp, sa, stochastic=True)
    yield from _family(sasolver, vp, sa, stochastic=True, suffix="tau 1", fixed={"tau_func": lambda _: 1})
    yield from _family(sasolver, vp, sa, suffix="tau 0", fixed={"tau_func": lambda _: 0})

    edm_grids = {
        f"{name} {s:g}": {"sigma_schedule": name, "sigma_min": s, "sigma_max": S_MAX}
        for name, s in itertools.product(("karras", "exponential"), SIGMA_MINS)
    }
    edm, edm_solve = _scheduler("edm_dpmsolver_multistep"), _sigma(_exploding, idle=True)
    yield from _family(edm, edm_solve, _dpmsolver_options("dpmsolver++", orders=(2, 3)), grids=edm_grids)
    edm_sde = _dpmsolver_options("sde-dpmsolver++", orders=(1, 2))
    yield from _family(edm, edm_solve, edm_sde, stochastic=True, grids=edm_grids)


def _classical_peers() -> Iterator[Peer]:
    ve, ends = _sigma(_exploding), ("zero", "sigma_min")
    yield from _family(_scheduler("euler_discrete"), ve, _combinations(final_sigmas_type=ends))
    yield from _family(_scheduler("heun_discrete"), ve, [{}])
    yield from _family(_scheduler("k_dpm_2_discrete"), ve, [{}])
    for order in (2, 3, 4):
        yield from _family(_scheduler("lms_discrete"), _sigma(_exploding, order=order), [{}], suffix=f"order {order}")
    for name in ("euler_ancestral_discrete", "k_dpm_2_ancestral_discrete", "dpmsolver_sde"):
        yield from _family(_scheduler(name), ve, [{}], stochastic=True)

    ddim, pndm = _scheduler("ddim"), _scheduler("pndm")
    yield from _family(ddim, _alpha(True), [{}])
    yield from _family(ddim, _alpha(True, eta=1.0), [{}], stochastic=True, suffix="eta 1")
    yield from _family(pndm, _alpha(True), _combinations(skip_prk_steps=(True,), set_alpha_to_one=(True, False)))
    leading = {"leading": {"timestep_spacing": "leading"}}
    prk = _combinations(skip_prk_steps=(False,), set_alpha_to_one=(True, False))
    yield from _family(pndm, _alpha(False), prk, grids=leading)
    variances = _combinations(variance_type=("fixed_small", "fixed_large"))
    yield from _family(_scheduler("ddpm"), _alpha(False), variances, stochastic=True)

    ipndm = _scheduler("ipndm")
    for grid in GRIDS:
        yield _peer(f"diffusers IPNDM, {grid}", False, partial(_ipndm_solve, ipndm, grid))
    sde_vp = _scheduler("sde_vp", "deprecated.")
    yield _peer("diffusers ScoreSdeVp, uniform t", True, partial(_sde_vp_solve, sde_vp))


def peers() -> list[Peer]:
    """Every peer, the labels all different."""
    every = [*_k_peers(), *_multistep_peers(), *_classical_peers()]
    if len({peer.label for peer in every}) < len(every):
        raise AssertionError("two peers share a label")
    return every
