"""The order of imports, which is the architecture: see docs/architecture.md."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

# From low to high: a module imports only from its own layer and from those before it.
ORDER = [
    "keras_sat.utils",
    "keras_sat.config",
    "keras_sat.text",
    "keras_sat.pictures",
    "keras_sat.data",
    "keras_sat.layers",
    "keras_sat.encoder",
    "keras_sat.models",
    "keras_sat.decoding",
    "keras_sat.runs",
    "keras_sat.evaluation",
    "keras_sat.visualize",
    "keras_sat.exporting",
    "keras_sat.training",
    "keras_sat.api",
    "serving.client",
    "serving.web",
    "pipeline.sources",
    "pipeline.preparation",
    "pipeline.blessing",
    "keras_sat.cli",
    "commands",
]
# Beside the order: they import nothing of it, and may be started by pipeline.blessing.
ALONE = ("serving.process", "serving.server", "serving.tls")
# What may be imported without TensorFlow.
WITHOUT_TENSORFLOW = [
    "keras_sat",
    "keras_sat.config",
    "keras_sat.utils",
    "keras_sat.data",
    "keras_sat.data.prepared",
    "keras_sat.data.record",
    "keras_sat.data.schemas",
    "keras_sat.data.scenes",
    "keras_sat.encoder.trust",
    "keras_sat.pictures.batches",
    "keras_sat.pictures.download",
    "keras_sat.pictures.formats",
    "keras_sat.pictures.reading",
    "keras_sat.pictures.results",
    "keras_sat.runs.packed",
    "keras_sat.runs.run",
    "keras_sat.runs.ensemble",
    "keras_sat.runs.prerequisites",
    "keras_sat.evaluation.scorers",
    "keras_sat.evaluation.results_file",
    "keras_sat.exporting.versions",
    "keras_sat.cli.arguments",
    "keras_sat.cli.blessing_arguments",
]
COMMANDS = [
    "keras_sat.caption",
    "keras_sat.compare",
    "keras_sat.demo",
    "keras_sat.evaluate",
    "keras_sat.export",
    "keras_sat.pack",
    "keras_sat.regions",
    "keras_sat.reproduce",
    "keras_sat.train",
    "keras_sat.verify",
    "pipeline.evaluator",
    "pipeline.infra_validator",
    "pipeline.prepare",
    "pipeline.pusher",
    "pipeline.run",
    "serving.load_test",
    "serving.client.__main__",
    "serving.server.__main__",
    "serving.web.__main__",
]
# Imports inside functions: one guarded function per optional package, and a client that works
# without what draws.
GUARDED = {
    "keras_sat.utils.extras",
    "serving.client.overlay",
}
# Packages that resolve their public names by a table in `__getattr__`.
TABLES = {"keras_sat", "keras_sat.data", "serving.client"}


class Import(NamedTuple):
    """A module imports another one: in the function of this name or, if None, at the top level."""

    module: str
    imported: str
    function: str | None


def modules():
    """{module: file} of the product."""
    found = {}
    for folder in ("keras_sat", "pipeline", "serving"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            found[".".join(parts)] = path
    return found


MODULES = modules()


def imports():
    """Every `Import` of a module of the product, at any place in its file."""
    found = []
    for module, path in MODULES.items():
        collect(module, ast.parse(path.read_text(encoding="utf-8")), None, found)
    return found


def collect(module, node, function, found):
    for child in ast.iter_child_nodes(node):
        inside = (
            child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        )
        if isinstance(child, ast.Import):
            found += [Import(module, alias.name, inside) for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module}: a relative import"
            for alias in child.names:
                # Importing a module out of a package runs the package, too.
                found.append(Import(module, child.module, inside))
                if f"{child.module}.{alias.name}" in MODULES:
                    found.append(Import(module, f"{child.module}.{alias.name}", inside))
        else:
            collect(module, child, inside, found)


IMPORTS = imports()


def layer(module):
    """The place of a module in ORDER, or None for what lies beside it."""
    if module.startswith(ALONE):
        return None
    for number, name in enumerate(ORDER):
        if module == name or module.startswith(name + "."):
            return ORDER.index("commands") if module.endswith(".__main__") else number
    return ORDER.index("commands")


def is_package_root(module):
    return module in ("keras_sat", "pipeline", "serving")


def test_every_module_imports_from_its_own_layer_or_a_lower_one():
    wrong = []
    for each in IMPORTS:
        if each.imported not in MODULES or is_package_root(each.imported):
            continue
        above = layer(each.module)
        below = layer(each.imported)
        if above is not None and below is not None and below > above:
            wrong.append(f"{each.module} imports {each.imported}")
    assert wrong == []


def test_the_server_and_its_process_import_nothing_of_the_order():
    for each in IMPORTS:
        if layer(each.module) is None and each.imported in MODULES:
            assert each.imported.startswith(ALONE), f"{each.module} imports {each.imported}"


def test_the_client_reads_with_keras_sat_and_imports_its_drawing_only_to_draw():
    light = ("keras_sat.pictures", "keras_sat.utils")
    for each in IMPORTS:
        if each.module.startswith("serving.client") and each.imported.startswith("keras_sat."):
            draws = each.function is not None and each.imported.startswith("keras_sat.visualize")
            is_light = each.imported.startswith(light)
            assert is_light or draws, f"{each.module} imports {each.imported}"


def test_commands_never_import_each_other():
    commands = ORDER.index("commands")
    for each in IMPORTS:
        if each.imported in MODULES and not is_package_root(each.imported):
            assert layer(each.imported) != commands, f"{each.module} imports {each.imported}"


def test_imports_inside_functions_are_those_of_a_commands_main_or_guarded():
    for each in IMPORTS:
        if each.function is not None and each.module not in GUARDED:
            is_command = each.module in COMMANDS and each.function == "main"
            assert is_command, f"{each.module}.{each.function} imports {each.imported}"


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: set() for module in MODULES}
    for each in IMPORTS:
        if each.imported in MODULES and each.imported != each.module:
            graph[each.module].add(each.imported)
    done = set()

    def visit(module, path):
        assert module not in path, " → ".join([*path, module])
        if module not in done:
            for imported in sorted(graph[module]):
                visit(imported, [*path, module])
            done.add(module)

    for module in graph:
        visit(module, [])


def test_tables_of_public_names_hold_no_other_code():
    for package in TABLES:
        tree = ast.parse(MODULES[package].read_text(encoding="utf-8"))
        for node in tree.body:
            allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.FunctionDef)
            assert isinstance(node, allowed), f"{package}: line {node.lineno}"
            if isinstance(node, ast.FunctionDef):
                assert node.name in ("__getattr__", "__dir__"), f"{package}: {node.name}"


def loaded(code):
    """The modules that a fresh process has loaded after some code."""
    code += "\nimport sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(result.stdout.split())


def test_tables_resolve_every_name_and_no_other():
    code = """
import importlib
for package in ("keras_sat", "keras_sat.data", "serving.client"):
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None and name in dir(module)
    try:
        module.nothing
    except AttributeError:
        pass
    else:
        raise AssertionError(package)
"""
    loaded(code)


@pytest.mark.parametrize("names", [WITHOUT_TENSORFLOW, COMMANDS], ids=["library", "commands"])
def test_what_needs_no_tensorflow_imports_none(names):
    code = "import importlib, sys\n"
    code += f"for name in {names}:\n    importlib.import_module(name)\n"
    code += "    assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules, name"
    assert "keras_sat.config" in loaded(code)


def test_every_command_is_listed():
    found = set()
    for module, path in MODULES.items():
        if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8"):
            found.add(module)
    assert found == set(COMMANDS)
