"""The files of the product, by their folders."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("sde_lib", "models", "losses", "samplers", "configs", "experiments")
FILES = [ROOT / "onesde.py"] + [path for folder in sorted(FOLDERS) for path in sorted((ROOT / folder).rglob("*.py"))]
