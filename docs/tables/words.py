"""Words about parts that no signature can say: an entry for each name, for the tables of docs/parts."""

SDES = {
    "VPSDE": "variance preserving: DDPM's limit (Song et al. 2021)",
    "VESDE": "variance exploding: NCSN's limit (Song et al. 2021)",
    "EDMSDE": "VE on EDM's clock, sigma = t (Karras et al. 2022)",
    "SubVPSDE": "sub-VP (Song et al. 2021)",
    "CosineVPSDE": "VP with the cosine schedule (Nichol & Dhariwal 2021)",
    "GeometricVPSDE": "VP with sigma² geometric in t: LSGM's (Vahdat et al. 2021)",
    "LogLinearVPSDE": "VP with log-SNR linear in t: VDM's (Kingma et al. 2021)",
    "RectifiedFlowSDE": "the straight path of flow matching (Lipman et al. 2023; Liu et al. 2023)",
    "ddpm_table": "the discrete DDPM, exact at t = i/N (Ho et al. 2020)",
    "BlurringSDE": "heat dissipation beside noise, on cosine codes: an alpha for each frequency (Hoogeboom & Salimans 2023)",
    "PolynomialVPSDE": "VP with a log-SNR for each channel, or coordinate: MuLAN's (Sahoo et al. 2024)",
    "LearnedVPSDE": "VP with log-SNR on a clock of its knots, for training to find: VDM's (Kingma et al. 2021)",
    "CLD": "critically damped Langevin diffusion: a velocity beside each number, which noise enters (Dockhorn et al. 2022)",
    "LogisticSDE": "not linear: Langevin dynamics towards a logistic prior, of exponential tails ([the page](../nonlinear.md))",
}
NETWORKS = {
    "DDPM": ('Ho et al. (2020); `attention_up="level"` is score_sde\'s', "35,746,307; 35,218,947"),
    "NCSNpp": ('NCSN++; DDPM++ with `fir=False`, `progressive_input="none"`', "62,758,915 (VE); 61,804,419"),
    "NCSN": ("RefineNet with InstanceNorm++, Song & Ermon (2019)", "30,117,635"),
    "NCSNv2": ("RefineNet with InstanceNorm++, Song & Ermon (2020)", "29,694,083"),
    "ADM": ("improved DDPM and ADM, Nichol & Dhariwal (2021)", "52,546,438; 295,904,454 (ImageNet-64)"),
    "EDMUNet": ("EDM's DDPM++ and NCSN++, Karras et al. (2022), with `augment=9`", "55,733,891; 56,397,955"),
    "LDMUNet": (
        "latent diffusion and Stable Diffusion, Rombach et al. (2022)",
        "859,520,964 (1.x); 865,910,724 (2.x); 872,300,484 (text-to-image)",
    ),
    "DiT": ("transformer, Peebles & Xie (2023)", "674,834,720 (XL/2)"),
    "UViT": ("transformer, Bao et al. (2023)", "44,255,328 (S/2)"),
    "MLP": ("points and small events of any shape", ""),
    "Classifier": ("log p(y \\| x_t), to guide by", ""),
}
CONDITIONINGS = {
    "log_noise": "a function of log(sigma/alpha)",
    "time": "t",
    "index": "DDPM's labels",
    "rung": "NCSN's rung of the ladder",
}
PARAMETERIZATIONS = {
    "eps": "the noise",
    "x0": "the sample",
    "v": "the velocity along the circle of VP (Salimans & Ho 2022)",
    "velocity": "dx_t/dt, the velocity of flow matching; on RectifiedFlowSDE the noise without the sample",
    "score": "the score",
    "sigma_score": "sigma times the score (NCSNv2, NCSN++)",
    "residual_eps": "the noise, beside x itself (VDM)",
    "edm": "EDM's preconditioned residual",
}
OBJECTIVES = {
    "dsm": "denoising score matching, on `CLD` the hybrid one; DDPM's and NCSN's losses are its `discrete` draws of t",
    "vlb": "the variational bound L_0, ..., L_T, term by term; with `times.name=discrete`",
    "continuous_vlb": "the variational bound in continuous time, which also trains what `sde.learned` names",
    "hybrid": "L_simple + 0.001 L_vlb with a learned variance, which `ancestral` then uses; with `times.name=discrete`",
    "ism": "implicit score matching by the exact trace, for SDEs without p(x_t \\| x_0) too",
    "ssm": "sliced score matching, for SDEs without p(x_t \\| x_0) too",
    "ssm_vr": "sliced score matching of less variance, for SDEs without p(x_t \\| x_0) too",
    "diffflow": "a bound by whole paths, without p(x_t \\| x_0) too; it also trains `sde.learned` (Zhang & Chen 2021)",
    "reflow": "flow matching of the pairs that the flow of another run, `teacher.run`, joins: straighter paths, and no score",
    "bridge": "DDBM's: from a degraded image, `conditions.image`, in the place of noise, by `ancestral`",
    "cross_entropy": "a classifier of noisy examples, to guide by",
}
WEIGHTS = {
    "sigma2": "DDPM's L_simple, NCSN's sigma²; on an SDE without alpha ∫g²",
    "likelihood": "g²: the likelihood weight",
    "min_snr": "Min-SNR (Hang et al. 2023)",
    "p2": "P2 (Choi et al. 2022)",
    "edm": "EDM's (Karras et al. 2022)",
    "velocity": "g⁴/4: flow matching's, of the velocity's error; JiT's with `sigma_min` = 0.05",
    "soft_truncation": "the likelihood weight under a random end (Kim et al. 2022)",
}
TIMES = {
    "uniform": "uniform in t",
    "importance": "uniform in log-SNR, or in log(1 + `prior_variance` SNR), on every linear SDE",
    "discrete": "uniform on n times: DDPM's and NCSN's",
    "log_normal": "log(sigma/alpha) is normal: EDM's",
    "logit_normal": "log(t/(1 - t)) is normal: Stable Diffusion 3's, whose `shift` is for larger images",
    "loss_aware": "learns at which t losses are worth most; its memory is in the checkpoint",
}
STEPS = {
    "deis": ("the fast one, on `arctan_grid`: exponential Adams-Bashforth of order 1 to 5 on eps; its noise is `eta`", "1"),
    "dpmpp_2m": ("DPM-Solver++ multistep of order 2; `eta` = 1 is SDE-DPM-Solver++", "1"),
    "dpmpp_3m": ("DPM-Solver++ multistep of order 3; `eta` = 1 is SDE-DPM-Solver++", "1"),
    "unipc": ("UniPC: the same, corrected by its own next value", "1"),
    "dpmpp_2s": ("DPM-Solver++ single step, order 2", "2"),
    "edm_heun": ("Karras et al.'s Heun, with churn", "2"),
    "ancestral": ("the posterior q(x_s \\| x_t, x_0): DDPM's on VP, SMLD's on VE, and on every other", "1"),
    "ddim": ("the same family at noise eta; eta = 0 is deterministic", "1"),
    "euler_maruyama": ("the reverse SDE of any SDE", "1"),
    "reverse_diffusion": ("the reverse of the exact forward transition", "1"),
    "sscs": ("of `CLD`: the exact motion towards the prior, and a kick by the rest of the score (Dockhorn et al. 2022)", "1"),
    "langevin": ("a corrector; before a predictor it is predictor-corrector", "n_steps"),
    "annealed_langevin": ("Langevin alone down the grid: NCSN's", "n_steps"),
    "heun": ("the probability flow at order 2", "2"),
    "probability_flow": ("the probability flow, adaptive, each sample at its own steps", "as needed, counted"),
    "adaptive_sde": ("the reverse SDE, adaptive, on one Brownian path", "as needed, counted"),
    "ddim_inversion": ("the inverse of `ddim`: data to noise, on a reversed grid", "iterations"),
}
GRIDS = {
    "uniform_grid": "even in t",
    "quadratic_grid": "even in the root of t",
    "shifted_grid": "odds t/(1 - t) `shift` times as high as even ones: Stable Diffusion 3's, for larger images",
    "log_snr_grid": "even in log-SNR: DPM-Solver's",
    "karras_grid": "EDM's, rho = 7",
    "arctan_grid": "that of the fast solver: even in log-SNR, sparser at both ends",
}
GUIDANCE = {
    "classifier_free": "s_u + w (s_c - s_u), by one network (Ho & Salimans 2022); w = 1 is the law of the class",
    "autoguidance": "s' + w (s - s'), s' of a weaker `run` (Karras et al. 2024); no labels are needed",
    "classifier": "s + w grad log p(y \\| x_t), by the `run` of a classifier of noisy images (Dhariwal & Nichol 2021)",
}
EDITS = {
    "sdedit": ("examples noised to time `strength` and brought back (Meng et al.)", "distance from the example"),
    "progressive": ("the expected x_0 at each time along a sample (Ho et al., fig. 6)", "distance from the last"),
    "shared": (
        "samples that begin at one x_t (fig. 7)",
        "two of them are as far apart as from the example, if the sampler is exact",
    ),
    "between": ("two examples mixed at several t (figs. 8, 9)", "distance of neighbours, and of the ends"),
    "round_trip": (
        "an example, its latent, and its image under the flow; or that of a class `label`",
        "error at `evaluate.tolerance`, moments of the latent",
    ),
    "manipulate": (
        "an example whose code is moved by `strengths` to a class `label`, of a [diffusion autoencoder](codecs.md)",
        "distance from the example",
    ),
    "inpaint": (
        "the part of an example that is `hidden`, filled in; with `repeats` RePaint's way",
        "errors of the seen and of the hidden part",
    ),
    "colorize": ("colours for the mean over channels", "the same"),
    "superresolve": ("detail for the means over `factor` x `factor` pixels", "the same"),
    "pi_gdm": ("draws of p(x_0 \\| y), of a noisy measurement of an example (Song et al. 2023)", "the same"),
    "dps": ("draws of p(x_0 \\| y), of a noisy measurement of an example (Chung et al. 2023)", "the same"),
}
