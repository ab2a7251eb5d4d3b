import hashlib
import io
import itertools
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from PIL import Image

from keras_sat.data import scenes

COUNTS = {"train": 120, "val": 40, "test": 40}
# The words between two noun phrases, and where the first lies as seen from the second.
RELATIONS = {
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
    "side": ("beside", "next to"),
}
# The words after the second noun phrase, and where it lies as seen from the first.
TO_IT = {
    "left": ("to its left", "on its left"),
    "right": ("to its right", "on its right"),
    "above": ("above it",),
    "below": ("below it", "under it"),
}
SYNONYMS = {
    "large": {"large", "big"},
    "small": {"small", "little"},
    "tiny": {"tiny"},
    "striped": {"striped", "stripes"},
    "spotted": {"spotted", "dotted", "spots", "dots"},
    "checkered": {"checkered", "checks"},
}


@pytest.fixture(scope="module")
def drawn():
    return [
        scenes.draw(scenes.scene_id(split, n), seed=0)
        for split, count in COUNTS.items()
        for n in range(count)
    ]


def pixels(scene):
    return np.asarray(Image.open(io.BytesIO(scene.image))).astype(int)


def noun_phrases(scene):
    """(caption's words, its phrases in order) of every caption."""
    for number, caption in enumerate(scene.captions):
        phrases = [phrase for phrase in scene.phrases if phrase.caption == number]
        yield caption.split(), sorted(phrases, key=lambda phrase: phrase.start)


def test_a_scene_depends_on_seed_and_id_alone(drawn):
    again = [scenes.draw(scene.id, seed=0) for scene in reversed(drawn[:20])]
    assert again[::-1] == drawn[:20]
    assert scenes.draw(drawn[0].id, seed=1).image != drawn[0].image
    with ProcessPoolExecutor(1, get_context("spawn")) as worker:  # with a string hash of its own
        assert worker.submit(scenes.draw, drawn[0].id, 0).result() == drawn[0]


def test_the_version_names_what_is_drawn():
    """Prepared data sets are identified by the version: a change of the drawing needs a new one.

    The digits here change with it.
    """
    digest = hashlib.sha256()
    for split in scenes.SPLITS:
        for number in range(3):
            scene = scenes.draw(scenes.scene_id(split, number), seed=1)
            digest.update(np.asarray(Image.open(io.BytesIO(scene.image))).tobytes())
            digest.update("\n".join(scene.captions).encode())
    assert (scenes.VERSION, digest.hexdigest()[:16]) == ("ec3d25c8118cd2a9", "a74ac3b3dea2672b")


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="training-000001"):
        scenes.draw("training-000001", seed=0)


def test_pictures_are_rgb_of_one_size(drawn):
    assert {pixels(scene).shape for scene in drawn} == {(128, 128, 3)}


def test_no_pair_of_main_objects_is_in_two_splits(drawn):
    pairs = {split: {scene.main for scene in drawn if scene.split == split} for split in COUNTS}
    assert all(not pairs[a] & pairs[b] for a, b in itertools.combinations(pairs, 2))
    assert all(scenes.split_of(scene.main) == scene.split for scene in drawn)


def test_splits_share_out_the_pairs_about_80_10_10():
    kinds = list(itertools.product(scenes.COLOURS, scenes.SHAPES))
    splits = [scenes.split_of(pair) for pair in itertools.combinations(kinds, 2)]
    assert splits.count("train") / len(splits) == pytest.approx(0.8, abs=0.05)
    assert splits.count("val") / len(splits) == pytest.approx(0.1, abs=0.03)


def test_boxes_are_exactly_the_pixels_that_objects_change(drawn):
    for scene in drawn:
        empty = np.asarray(scenes.backdrop(*scene.background)).astype(int)
        changed = np.any(pixels(scene) != empty, axis=-1)
        for each in scene.objects:
            top, left, bottom, right = (int(edge * scenes.SIZE) for edge in each.box)
            inside = changed[top:bottom, left:right]
            for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                assert edge.any(), (scene.id, each)
            changed[top:bottom, left:right] = False
        assert not changed.any(), scene.id


def test_objects_differ_and_the_main_two_are_the_largest(drawn):
    for scene in drawn:
        assert len({each.shape for each in scene.objects}) == len(scene.objects) in (5, 6)
        assert len({each.colour for each in scene.objects[:2]}) == 2
        assert {each.colour for each in scene.objects[2:]} <= {
            each.colour for each in scene.objects[:2]
        }
        longer_sides = [
            max(y1 - y0, x1 - x0) for y0, x0, y1, x1 in (each.box for each in scene.objects)
        ]
        assert min(longer_sides[:2]) > max(longer_sides[2:])


def test_five_different_captions_of_six_to_eighteen_words(drawn):
    for scene in drawn:
        assert len(set(scene.captions)) == 5
        assert all(6 <= len(caption.split()) <= 18 for caption in scene.captions)


def test_the_vocabulary_has_60_to_90_words_in_lower_case(drawn):
    words = {word for scene in drawn for caption in scene.captions for word in caption.split()}
    assert 60 <= len(words) <= 90
    assert all(word.isalpha() and word.islower() for word in words)


def test_an_is_used_before_vowels_and_a_before_consonants(drawn):
    for scene in drawn:
        for caption in scene.captions:
            for word, following in itertools.pairwise(caption.split()):
                assert word not in ("a", "an") or (word == "an") == (following[0] in "aeiou"), (
                    caption
                )


def test_most_captions_are_about_the_main_objects(drawn):
    for scene in drawn:
        main = {each.box for each in scene.objects[:2]}
        assert (
            sum(main <= {each.box for each in phrases} for _, phrases in noun_phrases(scene)) >= 4
        )
        third = any(phrase.box not in main for phrase in scene.phrases)
        assert third or any({"background", "grid"} & set(words) for words, _ in noun_phrases(scene))


def test_phrases_name_their_object_truly(drawn):
    attributes = set().union(*SYNONYMS.values()) | set(scenes.COLOURS)
    for scene in drawn:
        objects = {each.box: each for each in scene.objects}
        for words, phrases in noun_phrases(scene):
            assert [words[p.end - 1] for p in phrases] == [w for w in words if w in scenes.SHAPES]
            for phrase in phrases:
                each = objects[phrase.box]
                assert words[phrase.end - 1] == phrase.noun == each.shape
                assert words[phrase.start] in ("a", "an", "the")
                said = set(words[phrase.start + 1 : phrase.end - 1])
                if words[phrase.end : phrase.end + 1] == ["with"]:
                    said |= {words[phrase.end + 1]} & attributes  # "with stripes", not "with a ..."
                true = set().union(
                    *(SYNONYMS.get(a, {a}) for a in (each.colour, each.texture, each.size))
                )
                assert each.colour in said <= true


def lies(a, b):
    """Every true answer to where box `a` lies seen from box `b`."""
    gaps = {"above": b[0] - a[2], "left": b[1] - a[3], "below": a[0] - b[2], "right": a[1] - b[3]}
    clear = {name for name, gap in gaps.items() if gap > 0}
    return clear | ({"side"} if clear & {"left", "right"} else set())


def relations(words, phrases):
    """(name, box, box) of every relation in a caption, by the words around its noun phrases."""
    first = phrases[0]
    last = phrases[-1]
    places = [(words[a.end : b.start], RELATIONS, a, b) for a, b in itertools.pairwise(phrases)]
    places.append((words[: first.start], RELATIONS, last, first))  # "above a star is a ring"
    places.append((words[last.end :], TO_IT, last, first))
    for said, phrasings, a, b in places:
        if said[:1] == ["with"] and len(said) > 1:
            said = said[2:]  # "with stripes", of the first
        said = " ".join(word for word in said if word not in ("is", "sits"))
        yield from ((name, a.box, b.box) for name in phrasings if said in phrasings[name])


def test_relations_are_true(drawn):
    keywords = {"left", "right", "above", "over", "below", "under", "beneath", "beside", "next"}
    for scene in drawn:
        for words, phrases in noun_phrases(scene):
            heard = list(relations(words, phrases))
            assert len(heard) == sum(word in keywords for word in words), words
            assert all(name in lies(a, b) for name, a, b in heard), words
