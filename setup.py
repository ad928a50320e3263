"""OneSDE: score-based diffusion in JAX."""

from pathlib import Path

from setuptools import find_packages, setup

DOCS = ["furo>=2025.12", "myst-nb>=1.4", "sphinx>=9", "sphinx-copybutton>=0.5.2", "sphinx-mathjax-offline>=0.0.2"]
PAGE = ["nicegui>=3.18,<4"]
TENSORBOARD = ["tensorboardX>=2.6.4"]

setup(
    name="onesde",
    version="1.0.0",
    description="Score-based diffusion in JAX: every SDE, loss and sampler behind one interface",
    long_description=Path(__file__).with_name("README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    # Several top-level packages: setuptools refuses to discover them without their names.
    packages=find_packages(include=["sde_lib*", "models*", "losses*", "samplers*", "configs*", "experiments*"]),
    py_modules=["onesde"],
    entry_points={"console_scripts": ["onesde = onesde:main"]},
    package_data={"": ["py.typed"], "experiments.evaluation": ["*.jinja"], "experiments.page": ["*.js", "*.css"]},
    install_requires=[
        "jax>=0.10,<0.12",
        "flax>=0.12.6,<0.13",
        "optax>=0.2.8,<0.3",
        "orbax-checkpoint>=0.12,<1",
        "ml-collections>=1.0,<2",
        "tensorflow-datasets>=4.9.9,<5",
        "importlib_resources>=6",  # tensorflow-datasets imports it and does not declare it
        "array_record>=0.8",
        "grain>=0.2.15,<0.3",
        "annotated-types>=0.6",
        "diffrax>=0.7,<0.8",
        "einops>=0.8",
        "filelock>=3",
        "jaxtyping>=0.3",
        "jinja2>=3",
        "lineax>=0.1",
        "matplotlib>=3.9",
        "ml_dtypes>=0.5",
        "msgpack>=1",
        "numpy>=2.1",
        "optimistix>=0.0.10",
        "pillow>=11",
        "pydantic>=2.10,<3",
        "rich>=13",
        "safetensors>=0.8,<1",
        "scikit-learn>=1.5",
        "scipy>=1.15",
    ],
    extras_require={
        "cuda": ["jax[cuda12]>=0.10,<0.12"],
        "tpu": ["jax[tpu]>=0.10,<0.12"],
        "torch": ["torch>=2.8"],
        "bridge-test": ["diffusers==0.42.1", "torch==2.13.0", "transformers==5.24.0"],
        # k-diffusion itself is no part of it: through clean-fid and dctorch it asks for numpy < 2. The Makefile adds it without
        # what it depends on; the last three are what its samplers import.
        "bench": ["diffusers>=0.35", "torch>=2.8", "torchdiffeq>=0.2.5", "torchsde>=0.2.6", "torchvision>=0.23"],
        "docs": DOCS,
        "page": PAGE,
        "tensorboard": TENSORBOARD,
        "shipped": ["nilearn>=0.12", "vega-datasets>=0.9"],  # for the data that they hold: experiments/data/shipped.py
        "dev": [
            *DOCS,
            *PAGE,
            *TENSORBOARD,
            "ipykernel>=7",
            "nbclient>=0.11",
            "pytest>=8",
            "pytest-xdist>=3",
            "hypothesis>=6",
            "beartype>=0.20",
            "ruff>=0.14",
            "pyright>=1.1.400",
            "playwright>=1.60",
            "uv>=0.9",
        ],
    },
)
