"""House rules that the linter does not know."""

import ast
import re
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


# {what a reader has to decode: what says it at once}.
HOUSE_WORDS = {
    r"cut-?outs?": "a crop",
    r"slots?": "the origin of a beam",
    r"stand(s|ing)? in|stood in": "is in, or replaces",
    r"mend(s|ed|ing)?": "to fix",
    r"mirror(ed)?[ -](image|picture)s?": "a horizontal flip",
    r"(a|its|their|the|every|each|second|third) looks?": "attention",
    r"goes on|go on at": "continues, or resumes",
    r"that very": "the next, or the same",
    r"come to stand": "enter",
    r"who (calls|asks|learns|reads|writes)": "the caller",
    r"what is learned": "the weights",
    r"at hand": "available",
    # "a row an image": per image.
    r"(bytes|captions|images|nats|numbers|operations|pictures|requests|seconds|words)"
    r" a (batch|core|pair|reference|second|step|word)": "per",
    "words a caption": "per",
    r"(one|two|three|four|five|[0-9]+|rows?|lines?|files?|pass|bytes|captions) an"
    r" (epoch|experiment|image)": "per",
    "seconds an epoch": "per",
    r"(rows?|lines?|passe?s?|files?) a (batch|caption|command|picture|split|word)": "per",
}


def prose():
    """(file, text) of all that people read: documentation, code and configurations."""
    for folder in ("benchmarks", "configs", "docs", "keras_sat", "pipeline", "serving", "tests"):
        for suffix in ("md", "py", "yaml"):
            for path in sorted((ROOT / folder).rglob(f"*.{suffix}")):
                yield path, path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "environment.sh"):
        yield path, path.read_text(encoding="utf-8")


def test_no_house_words():
    """A phrase may go over the end of a line, and over a comment's # there."""
    found = []
    for path, text in prose():
        name = str(path.relative_to(ROOT))
        if path == Path(__file__):
            continue
        for pattern, better in HOUSE_WORDS.items():
            spaced = pattern.replace(" ", r"[\s#]+")
            for match in re.finditer(rf"\b(?:{spaced})\b", text, re.IGNORECASE):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{name}:{line}: {match[0]!r}; better: {better}")
    assert found == []
