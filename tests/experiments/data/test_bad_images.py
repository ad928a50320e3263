"""Files as the world makes them: each is read as it looks, or named with the reason, before anything is trained on it."""

import io
import os
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.config.schema import Data
from experiments.data.check import check
from experiments.data.dataset import load
from experiments.data.examples import example
from experiments.data.image_file import kind
from experiments.data.sources import Sources, open_sources
from experiments.runtime.errors import DataError

ROOT = Path(__file__).parents[3]
GREY = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def config(name="folder", data_dir="", **others):
    return Data(name=name, data_dir=str(data_dir), **others)


def opened(data_dir, name="folder", seed=0, **others):
    settings = config(name, data_dir, **others)
    return load(open_sources(settings), settings, seed)


def checked(data_dir, listing=None, **others):
    settings = config(data_dir=data_dir, **others)
    return check(open_sources(settings), settings, listing)


@pytest.fixture
def images(tmp_path):
    """A folder of 24 colour images of 4 x 6, no two alike; 00, 10 and 20 are held out."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(24):
        Image.fromarray(COLOUR + np.uint8(i)).save(folder / f"{i:02}.png")
    return folder


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *chunks, pixels=b"\0" * 100):
    """A PNG that claims this size, whatever `pixels` it has."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def tiff(width, height, bits=16, data=b"\0" * 64):
    """A grey TIFF of one strip that claims this size and depth."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 200), (277, 1), (278, height), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    return head.ljust(200, b"\0") + data


def saved(image, format, **options):
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def webp(width, height):
    """A lossless WebP whose header says another size."""
    content = bytearray(saved(Image.fromarray(COLOUR), "WEBP", lossless=True))
    at = content.index(b"VP8L") + 9
    bits = int.from_bytes(content[at : at + 4], "little") >> 28 << 28
    content[at : at + 4] = (bits | (height - 1) << 14 | (width - 1)).to_bytes(4, "little")
    return bytes(content)


PHOTO = saved(Image.fromarray(np.tile(COLOUR, (16, 16, 1))), "JPEG")
BAD = {
    "truncated.png": (saved(Image.fromarray(COLOUR), "PNG")[:-30], "truncated"),
    "truncated.jpg": (PHOTO[:-200], "truncated"),
    "empty.png": (b"", "it is empty"),
    "text.jpg": (b"<html>404 not found</html>", "cannot identify"),
    "pixel.png": (saved(Image.new("RGB", (1, 1)), "PNG"), r"\(1, 1, 3\)"),
    "tall.png": (saved(Image.new("RGB", (2, 300)), "PNG"), r"\(300, 2, 3\)"),
    "grey.png": (saved(Image.fromarray(GREY), "PNG"), r"\(4, 6, 1\)"),
    "float.tif": (saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "32-bit"),
    "int.tif": (saved(Image.fromarray(GREY.astype(np.int32)), "TIFF"), "32-bit"),
    "12bit.tif": (tiff(6, 4, bits=12), "bits have no known scale"),
    "flipped.png": (bytes(b ^ (4 if i == 50 else 0) for i, b in enumerate(saved(Image.fromarray(COLOUR), "PNG"))), ":"),
}
BOMBS = {
    "huge.png": png(60_000, 60_000),
    "large.png": png(10_000, 10_000),
    "huge.gif": saved(Image.fromarray(GREY), "GIF")[:6] + b"\xff\xff\xff\xff" + saved(Image.fromarray(GREY), "GIF")[10:],
    "huge.tif": tiff(100_000, 100_000),
    "huge.webp": webp(16_384, 16_384),
    "profile.png": png(6, 4, chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2**26)))),
    "text.png": png(6, 4, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**26)))),
    "long.png": png(6, 4, pixels=bytes(2**26)),
}


def broken_link(path):
    path.symlink_to("nowhere.png")


def fifo(path):
    os.mkfifo(path)


UNFIT = {
    "link.png": (broken_link, r"links to nowhere\.png"),
    "folder.png": (Path.mkdir, "it is a folder"),
    "pipe.png": (fifo, "pipe"),
}


@pytest.mark.parametrize("name", [*BAD, *UNFIT])
def test_what_cannot_be_used_is_named_with_the_reason(images, tmp_path, name, capsys):
    """By a training set that is kept, by one that is streamed, and by the check; with `skip` the others are used."""
    path = images / f"05_{name}"
    if name in BAD:
        path.write_bytes(BAD[name][0])
        words = BAD[name][1]
    else:
        UNFIT[name][0](path)
        words = UNFIT[name][1]
    for mib in (1, 0):
        with pytest.raises(DataError, match=rf"1 of 22 .*\n.*05_{name}: .*{words}"):
            opened(images, resident_mib=mib).train.batch(0, 22)
    with pytest.raises(DataError, match=rf"05_{name}: .*{words}"):
        checked(images, tmp_path / "bad.txt")
    assert str(path) in (tmp_path / "bad.txt").read_text()
    capsys.readouterr()
    assert len(opened(images, on_bad="skip").train) == 21
    said = capsys.readouterr().out
    assert "1 of 22" in said
    assert str(path) in said


def test_an_odd_first_file_is_the_one_that_is_named(images):
    (images / "00a.png").write_bytes(BAD["tall.png"][0])
    with pytest.raises(DataError, match=r"1 of 22 .*\n.*00a\.png: its shape is \(300, 2, 3\), the others' \(4, 6, 3\)"):
        opened(images)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def bad_exif(kind):
    return {
        "exif": {"garbage": b"\xff" * 40, "short": b"Exif\0\0MM", "type": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x63"}[kind]
    }


def transparent_palette():
    image = Image.fromarray(COLOUR).quantize(24, dither=Image.Dither.NONE)
    return saved(image, "PNG", transparency=0), np.asarray(image.convert("RGB"))


FRAMES = {"save_all": True, "append_images": [Image.fromarray(255 - GREY)]}
DEEP = GREY.astype(np.uint16) * 257
LOOKS = {
    "deep.png": (saved(Image.fromarray(DEEP), "PNG"), GREY),
    "deep.tif": (saved(Image.fromarray(DEEP), "TIFF"), GREY),
    "deep_motorola.tif": (saved(Image.frombytes("I;16B", (6, 4), DEEP.astype(">u2").tobytes()), "TIFF"), GREY),
    "palette.png": transparent_palette(),
    "alpha.png": (saved(Image.fromarray(np.dstack([COLOUR, GREY])), "PNG"), COLOUR),
    "grey_alpha.png": (saved(Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (6, 4))]), "PNG"), GREY),
    "bilevel.png": (saved(Image.fromarray(GREY > 100), "PNG"), np.where(GREY > 100, 255, 0)),
    "animated.gif": (saved(Image.fromarray(GREY), "GIF", **FRAMES), np.dstack([GREY] * 3)),
    "animated.png": (saved(Image.fromarray(GREY), "PNG", **FRAMES), GREY),
    "pages.tif": (saved(Image.fromarray(GREY), "TIFF", **FRAMES), GREY),
    **{f"turned_{i}.png": (saved(Image.fromarray(COLOUR), "PNG", exif=turned(i)), upright) for i, upright in (
        (1, COLOUR), (2, COLOUR[:, ::-1]), (3, COLOUR[::-1, ::-1]), (4, COLOUR[::-1]), (5, COLOUR.transpose(1, 0, 2)),
        (6, np.rot90(COLOUR, -1)), (7, COLOUR[::-1, ::-1].transpose(1, 0, 2)), (8, np.rot90(COLOUR)), (9, COLOUR),
    )},
    **{
        f"bad_exif_{kind}.png": (saved(Image.fromarray(COLOUR), "PNG", **bad_exif(kind)), COLOUR)
        for kind in ("garbage", "short", "type")
    },
    "name with a\nline end.png": (saved(Image.fromarray(GREY), "PNG"), GREY),
    "<img src=x onerror=alert(1)>.png": (saved(Image.fromarray(GREY), "PNG"), GREY),
    os.fsdecode(b"latin\xe9.png"): (saved(Image.fromarray(GREY), "PNG"), GREY),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS, ids=ascii)
def test_what_can_be_read_is_read_as_it_looks(tmp_path, name):
    content, expected = LOOKS[name]
    try:
        (tmp_path / name).write_bytes(content)
    except OSError:
        pytest.skip("this disk takes no such name")
    event, _ = example([{"image": tmp_path / name}], 0, "x", 256)
    np.testing.assert_array_equal(event, expected if expected.ndim == 3 else expected[..., None])


def test_cmyk_and_a_photograph_with_damaged_exif(tmp_path):
    flat = np.full((16, 16, 3), (200, 30, 60), np.uint8)
    (tmp_path / "a.jpg").write_bytes(saved(Image.fromarray(flat).convert("CMYK"), "JPEG", quality=95))
    (tmp_path / "b.jpg").write_bytes(saved(Image.fromarray(flat), "JPEG", quality=95, **bad_exif("garbage")))
    for name in ("a.jpg", "b.jpg"):
        event, _ = example([{"image": tmp_path / name}], 0, "x", 256)
        assert abs(event.astype(int) - flat).max() < 8


def test_a_film_that_is_cut_is_its_first_frame_wherever_it_is_cut(tmp_path, capsys):
    """Training reads no more of it, and the check says so."""
    whole, frame = LOOKS["animated.gif"]
    second = whole.rindex(b"\x21\xf9\x04")
    (tmp_path / "b.gif").write_bytes(whole)
    for end in range(second + 1, len(whole)):
        (tmp_path / "a.gif").write_bytes(whole[:end])
        np.testing.assert_array_equal(example([{"image": tmp_path / "a.gif"}], 0, "x", 256)[0], frame)
        assert kind(tmp_path / "a.gif").startswith("GIF ")
    (tmp_path / "a.gif").write_bytes(whole[: second + 1])
    assert checked(tmp_path).kinds.keys() == {kind(tmp_path / "b.gif")}


def test_the_check_names_the_files_of_chosen_classes(images):
    for name in ("a", "b"):
        (images / name).mkdir()
    for path in sorted(images.glob("*.png")):
        path.rename(images / ("a" if path.name < "20" else "b") / path.name)
    Image.fromarray(COLOUR[:, :3]).save(images / "a" / "07.png")
    Image.fromarray(GREY).save(images / "a" / "08.png")
    with pytest.raises(DataError) as caught:
        checked(images, only=("a",))
    assert f"{images}/a/07.png: its shape is (4, 3, 3), most have (4, 6, 3)" in str(caught.value)
    remedies = {"07": "resize them to one shape, as data.size does", "08": "convert them to one number of channels"}
    for name, words in remedies.items():
        assert str(example([{"image": images / "a" / f"{name}.png"}], 0, "x", 256, (4, 6, 3))).endswith(words)


def test_the_check_says_what_is_converted_and_left_away(tmp_path, capsys):
    for name in ("deep.png", "grey_alpha.png", "animated.png"):
        (tmp_path / name).write_bytes(LOOKS[name][0])
    report = checked(tmp_path)
    assert dict(report.kinds) == {"PNG I;16": 1, "PNG LA, alpha dropped": 1, "PNG L, first frame": 1}
    assert "PNG L, first frame 1" in capsys.readouterr().out


BOMB_RUN = """
import resource, sys, time
from pathlib import Path
from experiments.data.examples import example
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
for path in sorted(Path(sys.argv[1]).iterdir()):
    before, began = peak(), time.monotonic()
    found = example([{"image": path}], 0, "x", 256)
    print(path.name, peak() - before, time.monotonic() - began, " ".join(str(found).split()), sep="|")
"""


def test_bombs_fail_before_they_take_memory_or_time(tmp_path):
    """Decompressed they are 0.1 to 30 GB, or 64 MiB for the texts; a fresh process grows by at most 16 MB, as measured."""
    for name, content in BOMBS.items():
        (tmp_path / name).write_bytes(content)
        assert len(content) < 200_000
    lines = python(BOMB_RUN, tmp_path, check=True).stdout.splitlines()
    assert len(lines) == len(BOMBS)
    for name, grown, seconds, found in (line.split("|") for line in lines):
        assert int(grown) <= 16, name
        assert float(seconds) < 2, name
        assert name == "long.png" or name in found, found


def python(code, *arguments, **options):
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, **options)


FORBIDDEN = """
import os, sys
from experiments.runtime.errors import DataError
from experiments.config.schema import Data
from experiments.data.sources import open_sources
from experiments.data.examples import example

os.chdir(sys.argv[1])
if os.getuid() == 0:  # root reads everything
    os.setgid(65534), os.setuid(65534)
print(example(open_sources(Data(name="folder", data_dir=".")).train, 4, "x", 256))
os.chdir("..")
try:
    open_sources(Data(name="folder", data_dir="others"))
except DataError as error:
    print(error)
"""


@pytest.mark.slow
def test_what_may_not_be_read_is_named(images):
    """A file; and a folder, which is not passed over as if it were empty."""
    for folder in (images, images.parent):
        folder.chmod(0o755)
    (images / "05.png").chmod(0)
    (images.parent / "others" / "class").mkdir(parents=True)
    (images.parent / "others" / "0.png").touch()
    (images.parent / "others" / "class").chmod(0)
    images.parent.parent.chmod(0o755)
    home = images.parent.parent.parent
    mode = home.stat().st_mode
    home.chmod(0o755)
    lines = python(FORBIDDEN, images).stdout.splitlines()
    home.chmod(mode)
    assert lines == [
        "05.png: PermissionError: Permission denied",
        "the folder others/class cannot be read: Permission denied",
    ]


def test_names_cannot_forge_a_line(images, tmp_path):
    for name in (b"05\nall is well.png", b"05\xe9\x1b[2J.png", b"05<script>.png"):
        Path(os.fsdecode(os.fsencode(images) + b"/" + name)).write_bytes(b"")
    with pytest.raises(DataError) as caught:
        checked(images, tmp_path / "bad.txt")
    for text in (str(caught.value), (tmp_path / "bad.txt").read_text()):
        assert text.isascii()
        assert "\x1b" not in text
        assert not any(line.startswith("all is well") for line in text.splitlines())
    assert r"05\nall is well.png" in text
    assert r"05\udce9\x1b[2J.png" in text
    assert "05<script>.png" in text


def test_a_class_may_be_called_as_its_parent(tmp_path):
    """It was an uncaught ValueError: such a name was no class, and then looked for among them."""
    for name in ("train/other", "train/train", "test/other", "test/test"):
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(GREY).save(tmp_path / name / "0.png")
    data = opened(tmp_path)
    assert (data.train_labels.tolist(), data.test_labels.tolist()) == ([0, 2], [0, 1])


# What is left out


@pytest.mark.parametrize("bad", ["01.png", "09.png", "23.png"])
def test_left_out_is_the_same_kept_and_streamed_in_any_order(images, bad):
    """The next good example stands in, the first after the last; a process that resumes draws what one that did not would."""
    (images / bad).write_bytes(b"")
    kept, streamed, resumed = (opened(images, seed=3, resident_mib=mib, on_bad="skip").train for mib in (1, 0, 0))
    batches = [kept.batch(step, 8).levels for step in range(6)]
    for step in range(6):
        np.testing.assert_array_equal(streamed.batch(step, 8).levels, batches[step])
        np.testing.assert_array_equal(kept.resident[kept.indices(step, 8)], batches[step])
    for step in (5, 2):
        np.testing.assert_array_equal(resumed.batch(step, 8).levels, batches[step])
    numbers = np.concatenate(batches)[:, 0, 0, 0].astype(int)[:42]
    stands_in = {1: 2, 9: 11, 23: 1}[int(bad[:2])]
    everything = [i for i in range(24) if i % 10 and i != int(bad[:2])]
    np.testing.assert_array_equal(
        np.bincount(numbers, minlength=24)[everything], [2 + 2 * (i == stands_in) for i in everything]
    )
    assert kept.resident[:, 0, 0, 0].tolist() == everything


def test_left_out_is_told_by_the_digest_and_the_length(images):
    whole = opened(images, on_bad="skip")
    assert whole.digest == opened(images).digest
    (images / "05.png").write_bytes(b"")
    part = opened(images, on_bad="skip")
    assert (len(whole.train), len(part.train)) == (21, 20)
    streamed = [opened(images, on_bad=how, resident_mib=0, seed=1).digest for how in ("skip", "fail")]
    assert len({whole.digest, part.digest, *streamed}) == 4


@pytest.mark.parametrize("resident_mib", [1, 0])
def test_no_more_than_one_in_a_thousand_is_left_out(resident_mib):
    """Of 2,001 points two may be bad and three may not: kept they are refused at once, streamed when the third is met."""
    points = np.random.default_rng(0).normal(size=(2001, 2)).astype(np.float32)
    settings = config("points", levels=0, on_bad="skip", resident_mib=resident_mib)
    points[[500, 501]] = np.nan
    source = [{"image": x} for x in points]
    data = load(Sources(source, source[:100]), settings, 0)
    epoch = np.concatenate([data.train.batch(step, 29).levels for step in range(69)])
    assert np.isfinite(epoch).all()
    assert (epoch == points[502]).all(1).sum() == 3
    points[1500, 1] = np.inf

    def another_epoch():
        again = load(Sources(source, source[:100]), settings, 0) if resident_mib else data
        return [again.train.batch(step, 29).levels for step in range(69)]

    with pytest.raises(
        DataError, match=r"3 of 2001 .*skip leaves out 2 at most.*\n.*example 50. .*: a coordinate is not finite"
    ):
        another_epoch()


def test_a_bad_held_out_example_is_left_out_too(images):
    (images / "10.png").write_bytes(b"")
    data = opened(images, on_bad="skip")
    assert data.test[:, 0, 0, 0].tolist() == [0, 20]
    (images / "20.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 3 examples of folder test cannot be used, and data\.on_bad = skip"):
        opened(images, on_bad="skip")


def test_what_does_not_fit_the_memory_is_refused_before_it_is_taken():
    class Vast:
        """A million pictures of 3 MB."""

        def __len__(self):
            return 10**6

        def __getitem__(self, i):
            return {"image": np.zeros((1024, 1024, 3), np.uint8)}

    began = time.monotonic()
    with pytest.raises(DataError, match=r"vast train, decoded, takes 2\.93e\+03 GiB of memory, and .* are free"):
        load(Sources(Vast(), Vast()), config("vast", resident_mib=2**30), 0)
    assert time.monotonic() - began < 5


# The check


def test_the_check_counts_what_is_there(images, tmp_path, capsys):
    report = checked(images, tmp_path / "bad.txt")
    assert (report.train, report.test, dict(report.shapes), dict(report.kinds)) == (21, 3, {(4, 6, 3): 24}, {"PNG RGB": 24})
    assert (report.bad, report.warnings) == ([], [])
    assert "all 24 examples can be used" in capsys.readouterr().out
    assert not (tmp_path / "bad.txt").exists()


def test_the_check_names_every_bad_file_and_says_the_commonest_reasons(images, tmp_path):
    for i in range(60):
        (images / f"empty{i}.png").write_bytes(b"")
        (images / f"cut{i}.jpg").write_bytes(PHOTO[: -200 - i])
    (images / "tall.png").write_bytes(BAD["tall.png"][0])
    (images / "zz.png").write_text("hello")
    with pytest.raises(DataError) as caught:
        checked(images, tmp_path / "new" / "bad.txt")
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert lines[0] == "122 of 146 examples cannot be used:"
    assert lines[1].startswith("60 times: ")
    assert "1 more reasons" in lines[4]
    listed = (tmp_path / "new" / "bad.txt").read_text()
    bad = [path for path in images.iterdir() if not path.stem.isdigit()]
    assert len(bad) == 122
    assert all(str(path) in listed for path in bad)
    assert not any(str(images / f"{i:02}.png") in listed for i in range(24))


def test_the_check_warns_of_leaks_repetitions_and_classes(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 4, 4), np.uint8)
    flat = np.full((4, 4), 9, np.uint8)
    for name, image in {
        "train/a/0": pixels[0], "train/a/1": pixels[1], "train/a/2": pixels[0], "train/b/3": pixels[1], "train/4": pixels[2],
        "test/a/0": pixels[0], "test/c/1": pixels[3], "test/b/2": flat,
    }.items():  # fmt: skip
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    warnings = "\n".join(checked(tmp_path).warnings)
    for words in (
        f"1 of 3 held-out examples are in training too: {tmp_path}/test/a/0.png = {tmp_path}/train/",
        "2 training examples repeat an earlier one",
        "1 of the repeated ones have another class than the first",
        f"1 images are of one colour throughout: {tmp_path}/test/b/2.png",
        f"1 examples of train have no class ({tmp_path}/train/4.png)",
        "classes c are held out, and none is in training",
    ):
        assert words in warnings


# Arrays


def zipped(path, shape, dtype="|u1", content=b"\0" * 64, size=None, version=b"\x01\x00", compressed=True):
    """An .npz whose `image` claims a shape, and whose directory, if told to, claims a size."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}"
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    body = b"\x93NUMPY" + version + length + text.encode() + content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED, allowZip64=True) as file:
        file.writestr("image.npy", body)
        if size:
            file.infolist()[0].file_size = size + len(body) - len(content)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"shape": (10**12, 2, 2)}, "takes 4000000000000 bytes; the file has"),
        ({"shape": (10**12, 2, 2), "size": 4 * 10**12}, "GiB of memory, and .* are free"),
        ({"shape": (2**62, 2**62, 2)}, "takes 42535295865117307932921825928971026432 bytes"),
        ({"shape": (-1, 8, 8)}, "takes -64 bytes"),
        ({"shape": (4, 4, 4), "content": b"\0" * 70}, "takes 64 bytes"),
        ({"shape": (4, 4, 4), "version": b"\x02\x00"}, "version"),
        ({"shape": (4, 4), "dtype": "|O"}, "pickle"),
        ({"shape": (2, 2, 2), "dtype": "<f8", "content": np.full(8, np.nan).tobytes()}, r"must be uint8 .* not float64"),
    ],
    ids=["claim", "bomb", "overflow", "negative", "longer", "version", "pickle", "nan"],
)
def test_an_npz_is_refused_by_what_its_header_claims(tmp_path, claims, words):
    zipped(tmp_path / "train.npz", **claims)
    began = time.monotonic()
    with pytest.raises(DataError, match=rf"train\.npz.*{words}"):
        opened(tmp_path, "npz")
    assert time.monotonic() - began < 1


def test_what_is_handwritten_is_otherwise_sound(tmp_path):
    """Else the test above could not fail for the reason it gives."""
    for split in ("train", "test"):
        zipped(tmp_path / f"{split}.npz", (4, 4, 4), content=bytes(range(64)))
    np.testing.assert_array_equal(opened(tmp_path, "npz").test.ravel(), np.arange(64))


def test_a_pickle_in_an_npz_does_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    np.savez(tmp_path / "train.npz", image=np.array([Payload()], object))
    with pytest.raises(DataError, match="pickle"):
        opened(tmp_path, "npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("compressed", [True, False])
def test_a_damaged_npz_is_named_wherever_it_is_cut_or_flipped(tmp_path, compressed):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    path = tmp_path / "train.npz"
    (np.savez_compressed if compressed else np.savez)(path, image=images)
    np.savez(tmp_path / "test.npz", image=images)
    whole = path.read_bytes()
    for cut in np.linspace(0, len(whole) - 1, 12).astype(int):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"train\.npz"):
            opened(tmp_path, "npz")
    rng = np.random.default_rng(1)
    for place in rng.integers(200, len(whole) - 200, 20):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.integers(8)]) + whole[place + 1 :])
        with pytest.raises(DataError, match=r"train\.npz"):
            opened(tmp_path, "npz")


def test_labels_that_are_no_integers_are_none(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    for label in (np.arange(20) / 2, np.array([str(i) for i in range(20)]), np.eye(20, dtype=int)):
        for split in ("train", "test"):
            np.savez(tmp_path / f"{split}.npz", image=images, label=label)
        assert opened(tmp_path, "npz").train_labels is None


# Waiting

HANGS = """
import os, sys
import numpy as np
import experiments.data.dataset
from experiments.config.schema import Data
from experiments.data.sources import Sources

class Slow:
    '''From a number on, a read that is never answered: a pipe without a writer, as a network disk that is gone.'''
    def __len__(self):
        return 100
    def __getitem__(self, i):
        if i >= int(sys.argv[2]):
            open(sys.argv[1]).read()
        return {"image": np.full((2, 2, 1), i, np.uint8)}

experiments.data.decoded.PATIENCE = 1.0
settings = Data(name="far", resident_mib=0, on_bad="skip")
good = [{"image": np.full((2, 2, 1), i, np.uint8)} for i in range(9)]
data = experiments.data.dataset.load(Sources(Slow(), good), settings, 0)
print("loaded", flush=True)
for step in range(99):
    data.train.batch(step, 8)
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 3], ids=["at load", "at a batch"])
def test_a_reader_that_hangs_ends_the_run_with_its_stacks(tmp_path, first):
    """Within seconds of the limit, with exit 3 and the thread that hangs shown."""
    os.mkfifo(tmp_path / "pipe")
    ran = python(HANGS, tmp_path / "pipe", first)
    assert ran.returncode == 3, ran.stderr
    assert "in __getitem__" in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("reading far train: nothing came for 1 s; see that its disk")


@pytest.mark.slow
def test_a_process_that_was_stopped_has_not_waited():
    code = "import time; from experiments.runtime.limits import within\nwith within(1.5, 'x'):\n  print(flush=True)\n"
    code += "  for _ in range(7): time.sleep(0.1)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=-1)
    process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    process.send_signal(signal.SIGCONT)
    assert process.wait(10) == 0
