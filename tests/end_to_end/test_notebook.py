"""The notebook of the lesson runs from its first cell to its last, with few steps and few lines."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent.parent / "notebooks" / "lesson.ipynb"
FEWER = {
    "STEPS = 90 ": "STEPS = 3 ",
    'read("train", 6000), read("validation", 100), read("test", 100)': (
        'read("train", 600), read("validation", 10), read("test", 10)'
    ),
    '{"lora": {"rates": [5e-3]}, ': "{",  # beside the untouched model
}


def test_it_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_runs(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for shipped, fewer in FEWER.items():
        (cell,) = (cell for cell in notebook.cells if shipped in cell.source)
        cell.source = cell.source.replace(shipped, fewer)
    done = NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert any("text/html" in output.get("data", {}) for output in shown)
    assert (tmp_path / "runs" / "lesson" / "report.html").exists()
    assert (tmp_path / "runs" / "lesson-compare" / "compare.json").exists()
