"""Hostile files, by kind a table of (name, maker): each to be refused in a few lines, soon, and with nothing run.

A payload that is run leaves a mark: the file `mark`. No maker needs torch: its files are zips and pickles, written by hand.
"""

import io
import json
import os
import pickle
import struct
import zipfile

import flax.serialization
import msgpack
import numpy as np

HUGE = 2**40


class Payload:
    """Pickled, a command that leaves a mark."""

    def __init__(self, mark, by=os.system):
        self.mark, self.by = mark, by

    def __reduce__(self):
        return self.by, (f"touch {self.mark}" if self.by is os.system else f"open({str(self.mark)!r}, 'w')",)


def torch_zip(content, records=None, compression=zipfile.ZIP_STORED):
    """What torch.save writes: data.pkl among the bytes of its storages."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, record in {"x/data.pkl": content, "x/version": b"3\n", **(records or {})}.items():
            archive.writestr(name, record)
    return file.getvalue()


def torch_tensor(shape, stride, stored):
    """The pickle of {"w": a view of these strides on as many float32 as are `stored`}, by torch's own names."""

    def text(word):
        return b"X" + struct.pack("<I", len(word)) + word.encode()

    def numbers(values):
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", value) for value in values) + b"t"

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + numbers([stored])[1:-1] + b"tQ"
    view = storage + b"K\x00" + numbers(shape) + numbers(stride) + b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + view + b"tRs."


def torch_legacy(content):
    """What torch.save wrote before its zips: pickles one after another."""
    before = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    return b"".join(pickle.dumps(each, 2) for each in before) + content + pickle.dumps([], 2)


def laughs(depth=60):
    """A list of twice a list of twice ..., 2^depth numbers in a few bytes."""
    tree = [1.0]
    for _ in range(depth):
        tree = [tree, tree]
    return pickle.dumps({"w": tree}, 2)


def safetensors(head, data=bytes(4), size=None, pad=True):
    """A safetensors file of that header, a tree or bytes."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def tensor(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def array(shape, dtype, data):
    """flax's extension of msgpack for an array."""
    return msgpack.ExtType(1, msgpack.packb((shape, dtype, data)))


def npy(shape, dtype="<f4"):
    """An .npy file whose header says more than it holds."""
    head = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(64)


def npz(arrays, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in arrays.items():
            archive.writestr(name, content)
    return file.getvalue()


def objects(mark):
    file = io.BytesIO()
    np.save(file, np.array([Payload(mark)], object), allow_pickle=True)
    return file.getvalue()


def zeros(n):
    file = io.BytesIO()
    np.save(file, np.zeros(n, np.uint8))
    return file.getvalue()


FLOATS = {"w": tensor([1], 0, 4)}
ESCAPES = "\x1b[2J\x1b]0;owned\x07\r\x9b31m\u202e\n"
"""A cleared terminal, its title, the start of the line, red, right to left, another line."""
BOMB = 2**25

WEIGHTS = {
    "pickle": lambda mark: pickle.dumps({"w": Payload(mark)}, 2),
    "pickle_0": lambda mark: pickle.dumps(Payload(mark), 0),
    "pickle_5": lambda mark: pickle.dumps(Payload(mark, eval), 5),
    "torch_zip": lambda mark: torch_zip(pickle.dumps({"w": Payload(mark)}, 2)),
    "torch_zip_eval": lambda mark: torch_zip(pickle.dumps({"w": Payload(mark, eval)}, 2)),
    "torch_legacy": lambda mark: torch_legacy(pickle.dumps({"w": Payload(mark)}, 2)),
    "torch_view": lambda mark: torch_zip(torch_tensor((10**12,), (0,), 1), {"x/data/0": bytes(4)}),
    "torch_storage": lambda mark: torch_zip(torch_tensor((HUGE,), (1,), HUGE), {"x/data/0": bytes(4)}),
    "torch_legacy_storage": lambda mark: torch_legacy(torch_tensor((HUGE,), (1,), HUGE)),
    "torch_laughs": lambda mark: torch_zip(laughs()),
    "torch_bomb": lambda mark: torch_zip(bytes(BOMB), compression=zipfile.ZIP_DEFLATED),
    "zip_paths": lambda mark: torch_zip(b"\x80\x02}.", {str(mark): b"x", f"../{mark.name}": b"x", "x/../../fired": b"x"}),
    "npy_objects": objects,
    "npz_objects": lambda mark: npz({name + ".npy": objects(mark) for name in ("mu", "root", "features", "image")}),
    "npz_shape": lambda mark: npz(
        {name + ".npy": npy((HUGE,)) for name in ("mu", "root", "features")} | {"image.npy": npy((HUGE, 8, 8), "|u1")}
    ),
    "npz_bomb": lambda mark: npz({name + ".npy": zeros(BOMB) for name in ("mu", "image")}, zipfile.ZIP_DEFLATED),
    "safetensors_head": lambda mark: safetensors(b"{", size=2**60),
    "safetensors_shape": lambda mark: safetensors({"w": tensor([HUGE], 0, 4 * HUGE)}),
    "safetensors_product": lambda mark: safetensors({"w": tensor([2**62, 4, 4], 0, 0)}, b""),
    "safetensors_lie": lambda mark: safetensors({"w": tensor([HUGE], 0, 4)}),
    "safetensors_overlap": lambda mark: safetensors({"w": tensor([1], 0, 4), "v": tensor([1], 0, 4)}),
    "safetensors_twice": lambda mark: safetensors(b'{"w":%b,"w":%b}' % ((json.dumps(FLOATS["w"]).encode(),) * 2)),
    "safetensors_object": lambda mark: safetensors({"w": tensor([1], 0, 4, "O")}),
    "safetensors_deep": lambda mark: safetensors(b'{"w":' + b"[" * 100_000),
    "safetensors_many": lambda mark: safetensors({str(i): tensor([0], 0, 0) for i in range(20_000)}, b""),
    "safetensors_empty": lambda mark: safetensors({}, b""),
    "safetensors_nan": lambda mark: safetensors(FLOATS, struct.pack("<f", float("nan"))),
    "safetensors_escapes": lambda mark: safetensors({ESCAPES: FLOATS["w"]}),
    "msgpack_shape": lambda mark: msgpack.packb({"w": array((HUGE,), "float32", bytes(4))}),
    "msgpack_wrapped": lambda mark: msgpack.packb({"w": array((-1, 2**62), "float32", bytes(4))}),
    "msgpack_object": lambda mark: msgpack.packb({"w": array((1,), "object", bytes(8))}),
    "msgpack_void": lambda mark: msgpack.packb({"w": array((1,), "|V99999999", bytes(8))}),
    "msgpack_array": lambda mark: b"\x81\xa1w\xdd\xff\xff\xff\xff",
    "msgpack_empty": lambda mark: b"\x81\xa1w\xc7\x00\x01",
    "msgpack_ext": lambda mark: b"\x81\xa1w\xc9\xff\xff\xff\xff\x01",
    "msgpack_depth": lambda mark: b"\x81\xa1w" * 100_000,
    "msgpack_map": lambda mark: b"\xdf\xff\xff\xff\xff" + bytes(100),
    "msgpack_truncated": lambda mark: flax.serialization.to_bytes({"w": np.ones(100)})[:-1],
    "msgpack_names": lambda mark: flax.serialization.to_bytes({ESCAPES: np.ones(1)}),
    "nothing": lambda mark: b"",
    "npy_head": lambda mark: b"\x93NUMPY",
}
"""By name, what writes a file that may be taken for weights."""

TEXTS = {
    "deep": lambda: b"[" * 10**5,
    "deep_table": lambda: b'{"a":' * 10**5 + b"1" + b"}" * 10**5,
    "deep_within_limits": lambda: b'{"a":' * 300 + b"1" + b"}" * 300,
    "many": lambda: json.dumps(dict.fromkeys(map(str, range(2 * 10**5)), 0)).encode(),
    "nan": lambda: b'{"seed": NaN, "step": Infinity, "sigma_data": -Infinity, "n": 1e999}',
    "digits": lambda: b'{"seed": ' + b"9" * 10**6 + b', "step": 1' + b"0" * 4000 + b"}",
    "list": lambda: b"[0, 2]",  # [1, 2] is a shape that points may have
    "null": lambda: b"null",
    "text": lambda: b'"x"',
    "bytes": lambda: b"\xff\xfe\x00\x01",
    "nothing": lambda: b"",
    "escapes": lambda: json.dumps({ESCAPES: ESCAPES, "title": ESCAPES}).encode(),
    "pickle": lambda: pickle.dumps({"seed": 0}),
}
"""By name, JSON that is not what it should be."""


def edited(path, change):
    """The JSON file with a change to its tree."""
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))


def named(key, value):
    """A change to a config: what a dotted key holds."""

    def change(tree):
        *parents, leaf = key.split(".")
        for parent in parents:
            tree = tree.setdefault(parent, {})
        tree[leaf] = value

    return change


CONFIGS = {
    "sde": ("sde", "table"),
    "net": ("net", "text"),
    "objective": ("objective", "table"),
    "parameterization": ("parameterization", "text"),
    "step": ("samplers.ancestral.step", "table"),
    "arm": ("arms.a.sde", "table"),
    "data": ("data.name", "text"),
    "data_of_an_arm": ("arms.a.data.name", "text"),
    "sampler": ("samplers", {ESCAPES: {}}),
    "folder": ("samplers", {"../../x": {}}),
    "backtracking": ("arms", {"samplers." * 2000: "a:b"}),
    "written": ("evaluate.statistics", "/tmp/of_somebody_else"),
    "unknown": ("extra", {str(i): ESCAPES for i in range(20_000)}),
    "unknown_keys": ("sample", {f"samplr{i}{ESCAPES}": 0 for i in range(20_000)}),
}
"""By name, a key of a run's config and what it holds."""


def configured(name, mark):
    """The change to a config of that name; one that names code would leave a mark."""
    key, value = CONFIGS[name]
    code = {"text": "os:abort", "table": {"name": "os:system", "command": f"touch {mark}"}}
    return named(key, code.get(value, value) if isinstance(value, str) else value)


SENTENCES = {
    "script": "<script>alert(1)</script>",
    "attribute": "\" onerror=alert(1) x='' onmouseover=alert(1) ",
    "title": "</title></pre></td></code><img src=x onerror=alert(1)>",
    "comment": "<!-- ",
    "template": "{{ 7 * 7 }}{% for x in range(10**9) %}",
    "link": "javascript:alert(1)",
    "markup": "[red]x[/red] [link=http://x]y[/link] [/]",
    "mathtext": "$\\frac{$ $x^$",
    "escapes": ESCAPES,
}
"""By name, texts that a page, a figure or a terminal might obey."""
