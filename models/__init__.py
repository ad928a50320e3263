"""Networks as scores, codecs, and what both are made of."""

from models.autoencoded import autoencoded
from models.class_model import ClassModel, class_model
from models.codec import Codec, chain, frozen, halves, reconstructing, without_density
from models.codecs.affine import affine
from models.codecs.autoencoder import autoencoder
from models.codecs.cosine import cosine
from models.codecs.dequantize import dequantize
from models.codecs.glow import glow
from models.codecs.hierarchical_vae import hierarchical_vae
from models.codecs.kl import kl_autoencoder
from models.codecs.laplace import laplace
from models.codecs.likelihoods import Likelihood, bernoulli, discretized_gaussian, gaussian
from models.codecs.logistics import logistic_mixture
from models.codecs.phase_space import phase_space
from models.codecs.real_nvp import real_nvp
from models.codecs.residual_flow import residual_flow
from models.codecs.vae import vae
from models.codecs.vq import vq_autoencoder
from models.conditioning import conditioned, index, log_noise, rung, time
from models.features import features
from models.functional import functional, traced_once
from models.in_space import in_space
from models.lora import adapters, lora, merged
from models.mixed import mixed
from models.networks.adm import ADM
from models.networks.autoencoder import ConvDecoder, ConvEncoder, Perceptron, PooledEncoder
from models.networks.classifier import Classifier
from models.networks.clip_text import CLIPText
from models.networks.ddpm import DDPM
from models.networks.dit import DiT
from models.networks.edm_unet import EDMUNet
from models.networks.ladder import Ladder
from models.networks.ldm_autoencoder import LDMDecoder, LDMEncoder
from models.networks.ldm_unet import LDMUNet
from models.networks.mlp import MLP
from models.networks.ncsn import NCSN
from models.networks.ncsnpp import NCSNpp
from models.networks.ncsnv2 import NCSNv2
from models.networks.patch_gan import PatchGAN
from models.networks.uvit import UViT
from models.networks.vgg import VGG
from models.networks.zero import Zero
from models.parameterization import Coefs, edm, eps, residual_eps, score, sigma_score, v, velocity, x0
from models.plain import Plain, plain
from models.score_network import ScoreModel, score_model
from models.side_by_side import side_by_side

__all__ = [
    "ADM",
    "CLIPText",
    "Classifier",
    "DDPM",
    "DiT",
    "EDMUNet",
    "LDMDecoder",
    "LDMEncoder",
    "LDMUNet",
    "Ladder",
    "MLP",
    "NCSN",
    "NCSNpp",
    "NCSNv2",
    "PatchGAN",
    "UViT",
    "VGG",
    "Zero",
    "ClassModel",
    "Codec",
    "Coefs",
    "ConvDecoder",
    "ConvEncoder",
    "Likelihood",
    "Perceptron",
    "Plain",
    "PooledEncoder",
    "ScoreModel",
    "adapters",
    "affine",
    "autoencoded",
    "autoencoder",
    "bernoulli",
    "chain",
    "class_model",
    "conditioned",
    "cosine",
    "dequantize",
    "discretized_gaussian",
    "edm",
    "eps",
    "features",
    "frozen",
    "functional",
    "gaussian",
    "glow",
    "halves",
    "hierarchical_vae",
    "in_space",
    "index",
    "kl_autoencoder",
    "laplace",
    "log_noise",
    "logistic_mixture",
    "lora",
    "merged",
    "mixed",
    "phase_space",
    "plain",
    "real_nvp",
    "reconstructing",
    "residual_eps",
    "residual_flow",
    "rung",
    "score",
    "score_model",
    "side_by_side",
    "sigma_score",
    "time",
    "traced_once",
    "v",
    "vae",
    "velocity",
    "vq_autoencoder",
    "without_density",
    "x0",
]

# Registries: configs name from these tuples.
NETWORKS = (ADM, Classifier, DDPM, DiT, EDMUNet, LDMUNet, MLP, NCSN, NCSNpp, NCSNv2, UViT, Zero)
PARAMETERIZATIONS = (edm, eps, residual_eps, score, sigma_score, v, velocity, x0)
"""The predictions that a network can make."""
CONDITIONINGS = (index, log_noise, rung, time)
"""The forms in which a network gets its noise level."""
CODECS = (
    affine,
    autoencoder,
    cosine,
    glow,
    hierarchical_vae,
    kl_autoencoder,
    real_nvp,
    residual_flow,
    vae,
    vq_autoencoder,
)
"""Maps of data to codes and back."""
LIKELIHOODS = (bernoulli, discretized_gaussian, gaussian, laplace, logistic_mixture)
"""The laws of x given its code."""
ENCODERS = (ConvEncoder, LDMEncoder, Perceptron)
DECODERS = (ConvDecoder, LDMDecoder, Perceptron)
VECTOR_ENCODERS = (Perceptron, PooledEncoder)
"""The encoders whose code is a vector, which a score may hear."""
LADDERS = (Ladder,)
"""The networks of a hierarchical VAE."""
DISCRIMINATORS = (PatchGAN,)
"""The networks that tell examples from reconstructions."""
