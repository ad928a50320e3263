"""Networks as scores. The tuples at the end are the registries that configs name from."""

from models.class_model import ClassModel, class_model
from models.conditioning import conditioned, index, log_noise, rung, time
from models.functional import functional
from models.lora import adapters, lora, merged
from models.networks.adm import ADM
from models.networks.classifier import Classifier
from models.networks.ddpm import DDPM
from models.networks.dit import DiT
from models.networks.edm_unet import EDMUNet
from models.networks.mlp import MLP
from models.networks.ncsn import NCSN
from models.networks.ncsnpp import NCSNpp
from models.networks.ncsnv2 import NCSNv2
from models.networks.uvit import UViT
from models.parameterization import Coefs, edm, eps, residual_eps, score, sigma_score, v, x0
from models.score_network import ScoreModel, score_model

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

NETWORKS = (ADM, Classifier, DDPM, DiT, EDMUNet, MLP, NCSN, NCSNpp, NCSNv2, UViT)
PARAMETERIZATIONS = (edm, eps, residual_eps, score, sigma_score, v, x0)
"""The predictions that a network can make."""
CONDITIONINGS = (index, log_noise, rung, time)
"""The forms in which a network gets its noise level."""
