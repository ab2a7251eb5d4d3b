"""House rules that the linter does not know."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def nodes():
    """(place, node) of every node of the product's code."""
    for folder in ("keras_sat", "pipeline", "serving"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def test_an_assignment_has_one_value_except_for_true_unpacking():
    wrong = []
    for place, node in nodes():
        is_tuple = isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        if is_tuple and isinstance(node.targets[0], ast.Tuple):
            wrong.append(place)
    assert wrong == []


def test_no_comprehension_has_two_clauses_and_a_condition():
    wrong = []
    for place, node in nodes():
        clauses = node.generators if isinstance(node, COMPREHENSIONS) else []
        if len(clauses) > 1 and any(clause.ifs for clause in clauses):
            wrong.append(place)
    assert wrong == []
