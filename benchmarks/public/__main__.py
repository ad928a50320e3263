"""Public implementations of diffusion, run as their users run them on laws whose score is exact: what is right, what is off.

python -m benchmarks.public --out runs/public [--only azula diffusers] [--write docs/public_implementations.md]

Each package has an adapter in `benchmarks/public/packages`, whose head names the package, its version and its Python; uv
installs them into an environment of their own and runs the adapter there. Its figures are DIR/figures/NAME.json, beside what it
printed; DIR/public.md and DIR/public.json are made of all figures in the folder, so packages may be measured one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

from benchmarks.public.page import page

ROOT = Path(__file__).parents[2]
ADAPTERS = {path.stem: path for path in sorted((ROOT / "benchmarks" / "public" / "packages").glob("*.py"))}


def command(name: str, figures: Path) -> list[str]:
    """Returns how an adapter runs: by uv in its own environment, ours in this one."""
    line = [str(ADAPTERS[name]), str(figures)]
    if "# /// script" in ADAPTERS[name].read_text():
        return ["uv", "run", "--no-project", "--script", *line]
    return [sys.executable, *line]


def measure(name: str, folder: Path) -> bool:
    """Runs an adapter, whose output becomes DIR/figures/NAME.txt; returns whether it ended well."""
    figures = folder / "figures" / f"{name}.json"
    figures.parent.mkdir(parents=True, exist_ok=True)
    # The folder of the script is not on the path, where an adapter would hide the package of its name. One thread is
    # the fastest for small arrays.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    with figures.with_suffix(".txt").open("w") as text:
        done = subprocess.run(command(name, figures.resolve()), env=environment, stdout=text, stderr=subprocess.STDOUT)
    return done.returncode == 0


def requirement(name: str) -> str:
    """Returns the package and its version that an adapter asks for."""
    head = re.search(r'^# dependencies = \["([\w-]+)==([\w.]+)"', ADAPTERS[name].read_text(), re.MULTILINE)
    return " ".join(head.groups()) if head else name


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.public", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", nargs="*", choices=ADAPTERS, metavar="NAME", help=", ".join(ADAPTERS))
    parser.add_argument("--write", type=Path, metavar="FILE", help="a second place for the page")
    arguments = parser.parse_args()
    for name in ADAPTERS if arguments.only is None else arguments.only:
        print(f"{name} ...", flush=True)
        if not measure(name, arguments.out):
            print(f"{name} failed: see {arguments.out}/figures/{name}.txt", file=sys.stderr)
    files = sorted((arguments.out / "figures").glob("*.json"))
    figures = {path.stem: json.loads(path.read_text()) for path in files}
    text = page(figures, date.today(), [requirement(name) for name in ADAPTERS if name not in figures])
    (arguments.out / "public.json").write_text(json.dumps(figures, indent=1))
    for path in (arguments.out / "public.md", arguments.write):
        if path:
            path.write_text(text)


if __name__ == "__main__":
    main()
