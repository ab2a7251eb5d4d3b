"""Packages whose public names are imported at first use, because most need TensorFlow."""

import importlib
import sys


def lazy_names(package, modules, submodules=()):
    """The functions that make a package's public names lazy.

    Args:
        package: its name.
        modules: {public name: the module that holds it}.
        submodules: names of the package's modules that are public themselves.

    Returns:
        (`__getattr__`, `__dir__`, `__all__`) of the package.
    """
    public = [*modules, *submodules]

    def get_attribute(name):
        if name in modules:
            return getattr(importlib.import_module(modules[name]), name)
        if name in submodules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def directory():
        return sorted({*vars(sys.modules[package]), *public})

    return get_attribute, directory, public
