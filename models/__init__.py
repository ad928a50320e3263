"""Networks as scores. `__all__` is the registry that configs name from."""

from models.adm import ADM
from models.classifier import Classifier, ClassModel, class_model
from models.conditioning import conditioned, index, log_noise, rung, time
from models.ddpm import DDPM
from models.dit import DiT
from models.edm_unet import EDMUNet
from models.functional import functional
from models.lora import adapters, lora, merged
from models.mlp import MLP
from models.ncsn import NCSN
from models.ncsnpp import NCSNpp
from models.ncsnv2 import NCSNv2
from models.score import Coefs, ScoreModel, edm, eps, residual_eps, score, score_model, sigma_score, v, x0
from models.uvit import UViT

__all__ = [
    "ADM",
    "Classifier",
    "DDPM",
    "DiT",
    "EDMUNet",
    "MLP",
    "NCSN",
    "NCSNpp",
    "NCSNv2",
    "UViT",
    "ClassModel",
    "Coefs",
    "ScoreModel",
    "adapters",
    "class_model",
    "conditioned",
    "edm",
    "eps",
    "functional",
    "index",
    "log_noise",
    "lora",
    "merged",
    "residual_eps",
    "rung",
    "score",
    "score_model",
    "sigma_score",
    "time",
    "v",
    "x0",
]
