"""The table of guards describes the code as it is; `make guards` takes each guard out."""

import ast

import pytest

from tests.guards import GUARDS, ROOT, table


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.fault)
def test_a_guard_and_its_test_are_there(guard):
    assert (ROOT / guard.file).read_text(encoding="utf-8").count(guard.text) == 1
    file, _, name = guard.test.partition("::")
    nodes = ast.walk(ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8")))
    assert name in [node.name for node in nodes if isinstance(node, ast.FunctionDef)]


def test_the_documentation_holds_the_table():
    assert table() in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
