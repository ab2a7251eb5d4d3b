"""The notebooks run from their first cell to the last, on little data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# {notebook: what replaces the values of its cell of parameters}.
SMALL = {
    "tutorial": """
pictures = "train=24,val=6,test=6"
weights = "none"
epochs = 1
sizes = {"embedding_size": 12, "state_size": 16}
""",
    "your_own_pictures": """
counts = {"train": 24, "val": 6, "test": 6}
encoder = ["--encoder", "scenes_cnn", "--weights", "none"]
settings = ["train.epochs=1", "train.warmup_steps=2", "data.batch_size=60",
            "model.embedding_size=12", "model.state_size=16", "model.annotation_size=8"]
""",
}
# Runs cells as a notebook does, which shows the value of a cell that ends with an expression.
RUN_CELLS = """
import ast, json, sys

names = {}
for source in json.load(sys.stdin):
    *statements, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        statements.append(last)
    exec(compile(ast.Module(statements, []), "cell", "exec"), names)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
        shown = getattr(value, "_repr_html_", None) or getattr(value, "_repr_png_", lambda: "")
        print("shown:", type(value).__name__, len(shown()))
"""


def notebook(name):
    return json.loads((ROOT / "docs" / f"{name}.ipynb").read_text(encoding="utf-8"))


def small_cells(name):
    """The code cells of a notebook, with small parameters."""
    sources = []
    for cell in notebook(name)["cells"]:
        if cell["cell_type"] == "code":
            sources.append("".join(cell["source"]))
            if "parameters" in cell["metadata"].get("tags", []):
                sources.append(SMALL[name])
    assert SMALL[name] in sources, "no cell of parameters"
    return sources


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs_in_an_empty_folder(name, tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN_CELLS],
        input=json.dumps(small_cells(name)),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    shown = [line.split() for line in result.stdout.splitlines() if line.startswith("shown:")]
    kinds = [kind for _, kind, size in shown if int(size) > 1000]
    assert "Answer" in kinds and "PngImageFile" in kinds, result.stdout


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_is_stored_as_it_ran(name):
    """With its outputs, none of them an error, and small enough for a repository."""
    cells = [cell for cell in notebook(name)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell["outputs"]:
            assert output["output_type"] != "error" and output.get("name") != "stderr", output
            assert not any("script" in kind for kind in output.get("data", {})), output
    assert (ROOT / "docs" / f"{name}.ipynb").stat().st_size < 500_000
