"""Executes the notebooks of docs/notebooks in place: `python -m docs.execute [NAME ...]`."""

import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
FOLDERS = ROOT / "docs" / "notebooks", ROOT / "docs" / "notebooks" / "tutorial"
NOTEBOOKS = [path for folder in FOLDERS for path in sorted(folder.glob("*.ipynb"))]


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Returns the notebook with its outputs; its runs are in `folder`. Raises CellExecutionError if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "dumb"}
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", coalesce_streams=True)
    client.execute(cwd=str(folder), env=environment)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the time of day
        if cell.cell_type == "code":
            cell.outputs = [_anywhere(output, folder) for output in cell.outputs if not _is_progress(output)]
    return notebook


def _anywhere(output: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """The output with paths relative to the folder in which the notebook was executed."""
    for kind, content in output.get("data", {}).items():
        output.data[kind] = content.replace(f"{folder}/", "")
    if "text" in output:
        output.text = output.text.replace(f"{folder}/", "")
    return output


def _is_progress(output: nbformat.NotebookNode) -> bool:
    """Returns whether it is a line that a command says as it runs, with an ETA or a path of this machine."""
    return output.get("name") == "stderr" or output.get("data", {}).get("text/html", "").startswith("<pre")


if __name__ == "__main__":
    for path in NOTEBOOKS:
        if not sys.argv[1:] or path.stem in sys.argv[1:]:
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                nbformat.write(executed(path, Path(folder)), path)
            print(f"{path.stem}: {time.perf_counter() - start:.0f} s")
