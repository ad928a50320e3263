"""A measurement in a process of its own, whose peak of memory is then its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

CODE = """\
import json, resource
from {module} import {name}
result = {name}(*{arguments!r})
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({{**result, "peak": peak}}))
"""


def apart(measure: Callable[..., dict[str, Any]], *arguments: Any, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Returns measure(*arguments) of a process of its own, with the `peak` of its memory in bytes.

    `measure` is a function of a module, and returns what JSON holds. RuntimeError with the end of what it wrote if it fails.
    """
    # A function of the script itself is of `__main__`, which is another module there.
    module = measure.__module__ if measure.__module__ != "__main__" else sys.modules["__main__"].__spec__.name  # pyright: ignore
    code = CODE.format(module=module, name=measure.__name__, arguments=arguments)
    ended = subprocess.run([sys.executable, "-c", code], env=os.environ | (env or {}), capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(ended.stderr[-2000:])
    return json.loads(ended.stdout.splitlines()[-1])
