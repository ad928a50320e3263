"""The contents of the site, as they stand beside every page. A page that is not among them is an error of the build."""

from docs.site.reference import pages

CONTENTS = {
    "Learn": [
        "tutorial",
        "notebooks/tutorial/1_a_score",
        "notebooks/tutorial/2_denoising",
        "notebooks/tutorial/3_langevin",
        "notebooks/tutorial/4_ddpm",
        "notebooks/tutorial/5_one_sde",
        "notebooks/tutorial/6_likelihood",
        "notebooks/tutorial/7_codes_and_conditions",
        "notebooks/index",
        "notebooks/ddpm_against_ncsn",
        "notebooks/your_own_sde",
        "notebooks/your_own_data",
        "notebooks/a_trained_score",
        "mathematics",
        "denoising",
        "gallery",
    ],
    "How to": [
        "how_to/index",
        "how_to/own_sde",
        "how_to/own_data",
        "how_to/own_network",
        "how_to/own_sampler",
        "how_to/own_codec",
        "how_to/own_metric",
        "how_to/sweep",
        "how_to/cluster",
        "how_to/published_weights",
    ],
    "Use": [
        "experiments",
        "python",
        "data",
        "training",
        "runs",
        "evaluation",
        "edits",
        "codecs",
        "flows",
        "augmented",
        "learned",
        "nonlinear",
        "lora",
        "weights",
        "recipes",
        "performance",
        "scale",
    ],
    "Parts": [
        "parts/sdes",
        "parts/networks",
        "parts/objectives",
        "parts/samplers",
        "parts/conditions",
        "parts/guidance",
        "parts/codecs",
    ],
    "Reference": ["keys", *pages()],
    "Measured": ["results", "solvers", "studies", "public_implementations", "growth", "benchmarks/index"],
    "Project": ["contributing", "changelog", "release", "security"],
}
"""Captions, and the names of pages under each."""


def toctrees() -> str:
    """Returns the contents in Markdown, for the end of the home page, where they are not shown."""
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
        for caption, pages in CONTENTS.items()
    )
