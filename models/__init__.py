"""Networks as scores. `__all__` is the registry that configs name from."""

from models.ddpm import DDPM
from models.mlp import MLP
from models.score import Coefs, ScoreModel, edm, eps, score, score_model, v, x0

__all__ = ["DDPM", "MLP", "Coefs", "ScoreModel", "edm", "eps", "score", "score_model", "v", "x0"]
