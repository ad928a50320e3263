"""KL-f4 (Rombach et al. 2022), small: a first stage by L1, a weak KL and a discriminator, codes of 8 x 8 x 3.

python -m experiments train --config=configs/cifar10/kl_f4.py --workdir=runs/kl_f4

With LPIPS, as published: --config.codec.perceptual.file=FILE, of VGG16 and the heads. The published one has width 128, 2 blocks
a resolution, a PatchGAN of width 64 and 3 layers from step 50,001 on, and 177,000 steps.

Cost: minutes on two cores. 0.034 TFLOP a step.
Published: nothing of this size. KL-f4 on ImageNet reconstructs at an FID of 0.27 and a PSNR of 27.5 dB (the repository's).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "KL-f4, small"
    size = {"width": 16, "multipliers": (1, 2, 4), "blocks": 1}
    config.codec = {
        "by": {"name": "kl_autoencoder", "scale": 1.0},
        "encoder": {"name": "LDMEncoder", "channels": 6, **size},
        "decoder": {"name": "LDMDecoder", **size},
        "adversarial": {"net": {"name": "PatchGAN", "width": 16, "layers": 2}, "start": 500},
    }
    config.objective = {"name": "rate_distortion", "beta": 1e-6}
    config.weight = None
    config.net = {"name": "Zero"}
    config.parameterization = "edm"  # whose score without a network is that of N(0, I)
    config.scale_input = True
    config.train.update({"steps": 1500, "batch": 64, "learning_rate": 1e-3, "warm_up": 100, "beta1": 0.5, "beta2": 0.9})
    config.train.update({"ema": 0.995, "log_every": 50, "sample_every": 1500, "checkpoint_every": 500})
    config.samplers = {"fast": base.flow(1e-5)["fast"]}
    config.sample.sampler = "fast"
    config.evaluate = {"n": 1000, "seeds": 1, "batch": 250, "likelihood": 0}
    return config
