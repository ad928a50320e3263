"""python -I torch_reader.py FILE TARGET: the tensors of a torch file, as safetensors. `files.py` runs it, by itself.

TARGET's tensors are called 0, 1, ..., and standard output lists their names in the order of the file. This imports nothing of
OneSDE. Where it fails, it prints why, in one line.
"""

import itertools
import json
import os
import sys
import warnings
from pathlib import Path

MOST = 10**6
"""Entries of all tables: a table may stand within another twice, so that a small file would have more of them than memory."""
REFUSED = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.re", "os.link")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def confine(source):
    """Leaves this process memory by the size of the file, and no way to write, to connect or to start another.

    torch's own list of what a pickle may name comes before this; were it to let something through, it ends here.
    """
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = used + 8 * Path(source).stat().st_size + 2**31
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (ImportError, OSError, ValueError):  # not Linux, or under a lower limit already
        pass

    def refuse(event, arguments):
        if event.startswith(REFUSED) or (event == "open" and (arguments[2] or 0) & WRITING):
            raise PermissionError(f"it asks for {event}, and a file of tensors has no need of that")

    sys.addaudithook(refuse)


def leaves(tree, visits, name=""):
    """The tensors and numbers of a tree of tables, by dotted names."""
    if next(visits) > MOST:
        raise ValueError(f"its tables have more than {MOST} entries")
    if isinstance(tree, (dict, list, tuple)):
        for key, below in tree.items() if isinstance(tree, dict) else enumerate(tree):
            if name or key != "optimizer":  # twice the size of the weights, and nobody asks for it
                yield from leaves(below, visits, f"{name}.{key}" if name else str(key))
    elif hasattr(tree, "detach") or isinstance(tree, (int, float)):
        yield name, tree


def main(source, target):
    """The exit code: 0; 3 where there is no torch, 1 where the file is not of tensors alone."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return 3
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 8):
        return say(f"torch {torch.__version__} is too old to read an untrusted file; take 2.8 or newer", 1)
    from safetensors.numpy import save_file

    warnings.simplefilter("ignore")
    confine(source)
    try:
        found = dict(leaves(torch.load(source, weights_only=True, map_location="cpu"), itertools.count()))
        tensors = {name: torch.as_tensor(value) for name, value in found.items()}
        # A tensor may view its few bytes as very many: expanded, it would fill the memory.
        if sum(t.numel() * t.element_size() for t in tensors.values()) > 2 * Path(source).stat().st_size + 2**20:
            raise ValueError("its tensors are larger than the file, by views of the same bytes")
        plain = {name: t.float() if t.dtype == torch.bfloat16 else t for name, t in tensors.items()}
        save_file({str(i): t.contiguous().numpy() for i, t in enumerate(plain.values())}, target)
    except Exception as error:  # torch raises anything for a file that is not its own
        # Of a forbidden name torch also says how to allow it, which is no advice for a file from elsewhere.
        said = str(error).rpartition("WeightsUnpickler error: ")[2].split("\n\n")
        told = [part.strip() for part in said if not part.startswith(("Weights only load failed", "Check the documentation"))]
        return say(f"{type(error).__name__}: {' '.join(told)}", 1)
    return say(json.dumps(list(plain)), 0)


def say(line, code):
    """The line on standard output, and the exit code."""
    sys.stdout.write(line)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
