"""The examples in the layers' docstrings run, and give what they show."""

import doctest
import importlib
import inspect
import pkgutil

import keras
import pytest

from keras_sat import layers

MODULES = [each.name for each in pkgutil.walk_packages(layers.__path__, "keras_sat.layers.")]


def public_layers():
    found = [getattr(layers, name) for name in layers.__all__]
    return [
        each for each in found if inspect.isclass(each) and issubclass(each, keras.layers.Layer)
    ]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize("layer", public_layers())
def test_every_layer_has_an_example(layer):
    (own,) = doctest.DocTestFinder(recurse=False).find(layer, globs={})
    assert own.examples
