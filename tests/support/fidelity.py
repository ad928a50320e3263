"""torch-fidelity's modules, where it is installed."""

import sys
from importlib import import_module
from types import ModuleType

import pytest

PARTS = (".datasets", ".models", ".transforms", ".transforms.functional")


class _Empty(ModuleType):
    """torchvision, which torch-fidelity imports for datasets and features that no test here asks for."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{self.__name__}.{name}") or type(name, (), {})


def fidelity(module: str) -> ModuleType:
    """torch_fidelity.`module`; the test is skipped without torch or torch-fidelity."""
    pytest.importorskip("torch")
    try:
        import_module("torchvision")
        empty = {}
    except Exception:  # it is missing, or of another build than torch
        empty = {f"torchvision{name}": _Empty(f"torchvision{name}") for name in ("", *PARTS)}
    sys.modules |= empty
    found = pytest.importorskip(f"torch_fidelity.{module}")
    for name in empty:  # others ask whether there is a torchvision
        del sys.modules[name]
    return found
