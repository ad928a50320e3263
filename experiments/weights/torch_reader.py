"""python -I torch_reader.py FILE TARGET writes the tensors of a torch file as safetensors. `tensors.py` runs it.

TARGET's tensors are called 0, 1, ..., and standard output lists their names in the order of the file. This imports nothing of
OneSDE. If it fails, it prints the reason in one line.
"""

import itertools
import json
import os
import sys
import warnings
from pathlib import Path

MOST = 10**6
"""The most entries of all tables: a table may stand in another twice, so that a small file may have very many."""
REFUSED = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.re", "os.link")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def confine(source):
    """Limits this process's memory by the size of the file, and refuses to write, to connect or to start another process.

    torch's own list of what a pickle may name comes before this. If that let something through, it would end here.
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
    """Yields the tensors and numbers of a tree of tables, by dotted names."""
    if next(visits) > MOST:
        raise ValueError(f"its tables have more than {MOST} entries")
    if isinstance(tree, (dict, list, tuple)):
        for key, below in tree.items() if isinstance(tree, dict) else enumerate(tree):
            if name or key != "optimizer":  # twice the size of the weights, and of no use
                yield from leaves(below, visits, f"{name}.{key}" if name else str(key))
    elif hasattr(tree, "detach"):
        yield name, tree.detach()  # a parameter has a gradient to follow, and numpy takes none that has
    elif isinstance(tree, float) or (isinstance(tree, int) and -(2**63) <= tree < 2**63):  # a seed may be larger
        yield name, tree


def main(source, target):
    """Returns the exit code: 0; 3 if there is no torch; 1 if the file has more than tensors."""
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
        values = dict(leaves(torch.load(source, weights_only=True, map_location="cpu"), itertools.count()))
        tensors = {name: torch.as_tensor(value) for name, value in values.items()}
        # A tensor may view its few bytes as very many: expanded, it would fill the memory.
        if sum(t.numel() * t.element_size() for t in tensors.values()) > 2 * Path(source).stat().st_size + 2**20:
            raise ValueError("its tensors are larger than the file, by views of the same bytes")
        plain = {name: t.float() if t.dtype == torch.bfloat16 else t for name, t in tensors.items()}
        save_file({str(i): t.contiguous().numpy() for i, t in enumerate(plain.values())}, target)
    except Exception as error:  # torch raises anything for a file that is not its own
        # torch also says how to allow a forbidden name, which is no advice for a file from elsewhere.
        parts = str(error).rpartition("WeightsUnpickler error: ")[2].split("\n\n")
        why = [part.strip() for part in parts if not part.startswith(("Weights only load failed", "Check the documentation"))]
        return say(f"{type(error).__name__}: {' '.join(why)}", 1)
    return say(json.dumps(list(plain)), 0)


def say(line, code):
    """Prints the line on standard output and returns the exit code."""
    sys.stdout.write(line)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
