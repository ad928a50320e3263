"""The notebooks of the docs run from their first cell to their last, and stand in the repository as they were run."""

import re

import nbformat
import pytest

from docs.execute import NOTEBOOKS, executed


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    """Every cell, in a folder of its own; it shows as many things as it did when its outputs were written."""
    monkeypatch.delenv("XLA_FLAGS")  # a notebook computes more than it compiles
    shown = lambda notebook: [[output.output_type for output in cell.get("outputs", [])] for cell in notebook.cells]
    assert shown(executed(path, tmp_path)) == shown(nbformat.read(path, as_version=4))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_its_outputs(path):
    """No cell failed, some show a picture, and none names a folder of this machine."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(cell.execution_count for cell in cells)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" for output in outputs)
    text = "".join(output.get("text", "") for output in outputs)
    text += "".join(str({k: v for k, v in output.get("data", {}).items() if k != "image/png"}) for output in outputs)
    assert "/tmp/" not in text
    assert "/home/" not in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    """From each cell of text, relative to the notebook."""
    text = "".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert "://" in target or (path.parent / target).exists(), target
