"""Networks as scores. `__all__` is the registry that configs name from."""

from models.conditioning import conditioned, index, log_noise, rung, time
from models.ddpm import DDPM
from models.functional import functional
from models.mlp import MLP
from models.score import Coefs, ScoreModel, edm, eps, score, score_model, sigma_score, v, x0

__all__ = [
    "DDPM",
    "MLP",
    "Coefs",
    "ScoreModel",
    "conditioned",
    "edm",
    "eps",
    "functional",
    "index",
    "log_noise",
    "rung",
    "score",
    "score_model",
    "sigma_score",
    "time",
    "v",
    "x0",
]
