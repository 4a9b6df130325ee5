"""The notebooks run from top to bottom in a kernel of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def text_of(cell: dict) -> str:
    """What a cell printed and showed, as plain text."""
    found = []
    for output in cell["outputs"]:
        found.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return "".join(found)


def test_the_notebook_of_the_three_sentences(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    monkeypatch.setenv("PYTHONPATH", f"{EXAMPLES.parent}{os.pathsep}{os.getenv('PYTHONPATH', '')}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))
    notebook = nbformat.read(EXAMPLES / "three_sentences.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=240, resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    _, train, mix, measure, frame, share = [c for c in notebook.cells if c.cell_type == "code"]
    assert text_of(train) == "(torch.Size([16, 1, 8, 8]), True, True)"
    assert "SyntheticMix(120 real, " in text_of(mix)
    assert any("text/html" in output.get("data", {}) for output in measure.outputs)
    assert "classical" in text_of(frame)
    assert "library_name: augmentor" in text_of(share)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_output(path):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    notebook = nbformat.read(path, as_version=4)
    assert [c for c in notebook.cells if c.get("outputs") or c.get("execution_count")] == []


def test_every_notebook_is_run_here():
    assert [path.name for path in NOTEBOOKS] == ["three_sentences.ipynb"]
