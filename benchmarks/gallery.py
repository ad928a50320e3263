"""docs/gallery.md and its pictures: what can be done with a trained score, on the digits and, with --mnist, on MNIST.

python -m benchmarks.gallery --runs=runs/gallery --out=docs [--mnist=FOLDER]

Each picture is made by the command that stands beside it, on runs that are trained here first: half an hour on two cores for
the digits, and an hour more for MNIST, if FOLDER has mnist_train.npz and mnist_test.npz. What --runs already has is not made
again.
"""

from __future__ import annotations

import argparse
import colorsys
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from experiments.main import main as experiments
from experiments.runtime.files import write_text
from experiments.runtime.progress import say
from experiments.runtime.startup import make_fast

DIGITS = "configs/digits/conditional.py"
VE = "{'name': 'VESDE', 'sigma_min': 0.01, 'sigma_max': 10.0, 'prior_mean': -0.39}"
PLAIN = "--config.samplers.fast.guidance=None", "--config.samplers.fast.sweep={}"

SETTING = "?" * 8
"""The digest of a setting, which ends the name of its files."""


class Entry(NamedTuple):
    """A heading ("": the last one goes on), a sentence, the command, and where it leaves the picture, as a pattern."""

    title: str
    words: str
    command: list[str]
    picture: str


def of(command: str, run: str, *overrides: str) -> list[str]:
    """Returns a command on a trained run, by its own config."""
    return [command, run, *overrides]


def edit(title: str, words: str, run: str, by: str, *overrides: str, file: str = "", **options: object) -> Entry:
    """Returns an edit of held-out examples, without their labels unless the overrides say so."""
    by_options = [f"--config.edit.by.{key}={value}" for key, value in {"name": by, **options}.items()]
    named = [f"--config.edit.file={file}"] if file else []
    overrides = overrides or ("--config.sample.label=None", *PLAIN)
    picture = f"{run}/edits/{file or f'{by}_{SETTING}'}.png"
    return Entry(title, words, of("edit", run, *by_options, *named, "--config.edit.rows=6", *overrides), picture)


def sample(title: str, words: str, run: str, seed: int, *overrides: str, n: int = 40) -> Entry:
    """Returns samples by the fast sampler, the classes in turn; the seed names the picture."""
    options = f"--config.sample.n={n}", f"--config.sample.seed={seed}", "--config.sample.sampler=fast"
    return Entry(title, words, of("sample", run, *options, *overrides), f"{run}/samples/fast_seed{seed}_{SETTING}.png")


def guided(by: str, **options: object) -> str:
    """Returns the override that guides the fast sampler."""
    return f"--config.samplers.fast.guidance={ {'name': by, **options} }"


def training(runs: str) -> list[list[str]]:
    """Returns the commands that make the runs, in their order."""
    vp = f"--config={runs}/digits/ddpm/config.json"
    plain = "--config=configs/digits/vp.py"
    coloured = ("--config.data.name=npz", f"--config.data.data_dir={runs}/coloured_data", "--config.data.levels=256")
    classifier = ["train", "--config=configs/digits/classifier.py"]
    return [
        ["compare", f"--config={DIGITS}", f"--workdir={runs}/digits"],
        [*classifier, f"--workdir={runs}/classifier_vp"],
        [*classifier, f"--workdir={runs}/classifier_ve", f"--config.sde={VE}"],
        ["train", vp, f"--workdir={runs}/weak", "--config.net.width=8", "--config.train.steps=600", *PLAIN],
        ["train", plain, f"--workdir={runs}/vp"],
        ["train", "--config=configs/digits/lora.py", f"--workdir={runs}/threes", f"--config.lora.run={runs}/vp"],
        ["train", plain, f"--workdir={runs}/coloured", *coloured, "--config.net.width=24", "--config.train.steps=2400"],
    ]


def entries(runs: str) -> list[Entry]:
    """Returns the gallery of the digits."""
    vp, ve, subvp = (f"{runs}/digits/{arm}" for arm in ("ddpm", "ncsn", "subvp"))
    repaint = "RePaint: each step ten times, so that what is filled in learns of what is known."
    return [
        sample(
            "Classes",
            "One VP network of labels, its own law (w = 1): forty samples, the classes in turn.",
            vp,
            1,
            guided("classifier_free", w=1.0),
        ),
        sample(
            "",
            "Forty others at w = 3: classifier-free guidance overstates the class.",
            vp,
            2,
            guided("classifier_free", w=3.0),
        ),
        sample("", "The VE network at w = 3.", ve, 2, guided("classifier_free", w=3.0)),
        Entry(
            "Guidance and its weight",
            "Accuracy by an independent classifier, precision and recall against w, everywhere and on an interval of noises.",
            ["compare", f"--config={DIGITS}", f"--workdir={runs}/digits"],
            f"{runs}/digits/guidance.png",
        ),
        sample(
            "",
            "By a classifier of noisy digits instead (w = 2), of the score without labels.",
            vp,
            3,
            guided("classifier", run=f"{runs}/classifier_vp", w=2.0),
        ),
        sample(
            "",
            "The same on VE, with a classifier trained there.",
            ve,
            3,
            guided("classifier", run=f"{runs}/classifier_ve", w=2.0),
        ),
        Entry(
            "",
            "That classifier told held-out digits so well, at each noise.",
            of("evaluate", f"{runs}/classifier_vp"),
            f"{runs}/classifier_vp/classifier.png",
        ),
        sample(
            "",
            "Auto-guidance by a network of half the width and a quarter of the training (w = 2).",
            vp,
            4,
            guided("autoguidance", run=f"{runs}/weak", w=2.0),
        ),
        edit("Inpainting", "The right half, from the left: by replacement.", vp, "inpaint"),
        edit("", repaint, vp, "inpaint", file="repaint", repeats=10),
        edit("", "The middle, on VE.", ve, "inpaint", hidden="box", repeats=10),
        edit(
            "Colorization",
            "The mean over the channels is seen; the colours are drawn.",
            f"{runs}/coloured",
            "colorize",
            "--config.sample.sampler=fast",
            repeats=5,
        ),
        edit("Super-resolution", "Means over 2 x 2 pixels are seen.", vp, "superresolve", repeats=5),
        edit("Linear inverse problems", "Pi-GDM: draws of p(x_0 | y), y the left half with noise of 0.05.", vp, "pi_gdm"),
        edit("", "DPS, of the means over 2 x 2 pixels.", subvp, "dps", hidden="coarse"),
        edit("SDEdit", "Part of the way to noise and back, at a strength of 0.4.", vp, "sdedit", strength=0.4),
        edit("", "And back as a 3, with guidance.", vp, "sdedit", "--config.sample.label=3", file="sdedit_as_3", strength=0.6),
        edit("Progressive generation", "What is expected of x_0 on the way (Ho et al. 2020, figure 6).", vp, "progressive"),
        edit(
            "Samples that share x_t",
            "As figure 7: what else an x_t may become.",
            vp,
            "shared",
            "--config.sample.sampler=ancestral",
            "--config.sample.label=None",
            *PLAIN,
        ),
        edit("Interpolation", "Between two digits, mixed at three times (figures 8 and 9).", vp, "between"),
        edit("A round trip", "To the latent of the flow, and back.", ve, "round_trip"),
        edit(
            "",
            "To the latent, and back as an 8: what each would be as one.",
            vp,
            "round_trip",
            "--config.sample.label=each",
            *PLAIN,
            file="as_8",
            label=8,
        ),
        sample(
            "Another SDE",
            "The VP network, sampled on EDM's.",
            vp,
            5,
            "--config.samplers.fast.sde={'name': 'EDMSDE', 'sigma_max': 150.0, 'sigma_min': 0.01}",
        ),
        sample(
            "",
            "The VE network, sampled on a VP-SDE of as little noise.",
            ve,
            5,
            "--config.samplers.fast.sde={'name': 'VPSDE', 'beta_max': 9.0}",
        ),
        Entry(
            "LoRA",
            "All digits, before.",
            of("sample", f"{runs}/vp", "--config.sample.sampler=fast", "--config.sample.n=24"),
            f"{runs}/vp/samples/fast_seed0_{SETTING}.png",
        ),
        sample("", "The same latents with adapters of 121 kB, trained on the threes.", f"{runs}/threes", 0, n=24),
        sample("", "At half their scale.", f"{runs}/threes", 1, "--config.lora.scale=0.5", n=24),
    ]


def of_mnist(runs: str) -> list[Entry]:
    """Returns the gallery of MNIST."""
    vp, ve = f"{runs}/mnist/ddpm", f"{runs}/mnist/ncsn"
    return [
        sample("MNIST", "A small VP network at w = 2.", vp, 1, guided("classifier_free", w=2.0)),
        sample("", "The VE network at w = 2.", ve, 1, guided("classifier_free", w=2.0)),
        Entry(
            "",
            "Quality against w.",
            ["compare", "--config=configs/mnist/conditional.py", f"--workdir={runs}/mnist"],
            f"{runs}/mnist/guidance.png",
        ),
        edit("", "RePaint of the middle.", vp, "inpaint", hidden="box", repeats=5),
        edit("", "Super-resolution, four times.", vp, "superresolve", factor=4, repeats=5),
        edit("", "SDEdit at 0.5.", vp, "sdedit"),
        edit(
            "",
            "The latent of the VE flow, and back as an 8.",
            ve,
            "round_trip",
            "--config.sample.label=each",
            *PLAIN,
            file="as_8",
            label=8,
        ),
    ]


def colour(folder: Path) -> None:
    """Writes the digits, each in a colour of its own: train.npz and test.npz in `folder`."""
    values, labels = load_digits(return_X_y=True)
    hues = np.random.default_rng(0).random(len(values))
    tints = np.array([colorsys.hsv_to_rgb(hue, 0.8, 1.0) for hue in hues])
    image = np.round(values.reshape(-1, 8, 8, 1) / 16 * tints[:, None, None, :] * 255).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for split, chosen in {"train": np.s_[:1297], "test": np.s_[1297:]}.items():
        np.savez(folder / f"{split}.npz", image=image[chosen], label=labels[chosen])


def made(pattern: str) -> Path | None:
    """Returns the newest picture that was made; None if there is none."""
    there = Path(pattern).parent.glob(Path(pattern).name)
    return max(there, key=lambda path: path.stat().st_mtime_ns, default=None)


def run(command: list[str]) -> None:
    """Runs a command of `python -m experiments` in this process; exits if it fails."""
    say("python -m experiments " + " ".join(command))
    if code := experiments(command):
        sys.exit(code)


def words_of(command: list[str], runs: str) -> str:
    """Returns a command as a shell takes it, with the default folder of runs."""
    quoted = [word if all(c not in word for c in " '{(") else '"' + word + '"' for word in command]
    return " ".join(["python -m experiments", *quoted]).replace(runs, "runs/gallery")


def page(gallery: list[Entry], runs: str) -> str:
    """Returns docs/gallery.md."""
    lines = [
        "# What a trained score is good for",
        "",
        "Every picture is of a small network on 8x8 digits (160,000 parameters, minutes of training on a CPU) or on MNIST, and",
        "nothing is chosen: the seeds are in the commands, the examples are held-out ones as they come.",
        "`python -m benchmarks.gallery` makes the runs and this page.",
        "`python -m experiments demo RUN` serves most of it live:",
        "",
        "![A page to play with](page.png)",
    ]
    for i, entry in enumerate(gallery):
        lines += ["", f"## {entry.title}"] if entry.title else []
        lines += [
            "",
            entry.words,
            "",
            "```",
            words_of(entry.command, runs),
            "```",
            "",
            f"![{entry.words}](gallery/{i:02d}.png)",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Trains the runs, makes the pictures, and writes gallery.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="runs/gallery", metavar="DIR", help="where the runs are, or will be")
    parser.add_argument("--out", type=Path, default=Path("docs"), metavar="DIR", help="where gallery.md and gallery/ go")
    parser.add_argument("--mnist", metavar="FOLDER", help="the folder of mnist_train.npz and mnist_test.npz")
    arguments = parser.parse_args()
    runs, gallery = arguments.runs, entries(arguments.runs)
    colour(Path(runs, "coloured_data"))
    makers = training(runs)
    if arguments.mnist:
        data = f"--config.data.data_dir={arguments.mnist}"
        makers.append(["compare", "--config=configs/mnist/conditional.py", f"--workdir={runs}/mnist", data])
        gallery += of_mnist(runs)
    for command in makers:
        workdir = next(word.partition("=")[2] for word in command if word.startswith("--workdir="))
        if command[0] == "train" or not Path(workdir, "report.html").exists():  # train skips a trained run itself
            run(command)
    (arguments.out / "gallery").mkdir(parents=True, exist_ok=True)
    for i, entry in enumerate(gallery):
        if not made(entry.picture):
            run(entry.command)
        picture = made(entry.picture)
        assert picture is not None
        shutil.copy(picture, arguments.out / "gallery" / f"{i:02d}.png")
    write_text(arguments.out / "gallery.md", page(gallery, runs))


if __name__ == "__main__":
    make_fast()
    main()
