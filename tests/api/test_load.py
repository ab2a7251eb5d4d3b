"""`keras_sat.load` and its answers, with a small trained run."""

import dataclasses
import io
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageShow

import keras_sat
from keras_sat.data.reading import read_records
from keras_sat.exporting.packing import pack
from keras_sat.exporting.saved_model import export
from keras_sat.exporting.versions import Batching
from keras_sat.runs.captioning import caption_files
from keras_sat.runs.loading import build_model, load_model
from keras_sat.runs.prerequisites import check_prerequisites
from keras_sat.runs.run import create_run, open_run
from keras_sat.training.initialisation import initialise
from keras_sat.utils.errors import UserError
from tests.support.rounding import assert_close


@pytest.fixture(scope="module")
def captioner(run):
    return keras_sat.load(run.folder)


@pytest.fixture(scope="module")
def pictures(data, tmp_path_factory):
    """The paths of pictures of the test split."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for record in read_records(data, "test", 3):
        paths.append(folder / f"{record.source_id}.png")
        paths[-1].write_bytes(record.encoded)
    return paths


@pytest.fixture(scope="module")
def packed(run, tmp_path_factory):
    return pack(run, tmp_path_factory.mktemp("packed") / "small.ksat")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def assert_same(answers, expected):
    for answer, other in zip(answers, expected, strict=True):
        assert answer.captions == other.captions
        # Batches of other sizes sum in another order: roundings of the products of a few steps.
        assert_close(answer.scores, other.scores, roundings=400)
        assert_close(answer.attention, other.attention, roundings=400)
        np.testing.assert_array_equal(answer.boxes, other.boxes)


def test_answers_are_those_of_captioning_files(run, captioner, pictures):
    files, _ = caption_files(run, pictures)
    answers = captioner(pictures)
    for answer, file in zip(answers, files, strict=True):
        assert answer.name == str(file.path)
        assert answer.caption == answer.captions[0] == file.captioned.caption
        assert answer.score == answer.scores[0] == file.captioned.score
        assert answer.words == answer.caption.split()
        np.testing.assert_array_equal(answer.attention, file.captioned.attention)
        assert answer.attention.shape == (len(answer.words), 64)
        assert answer.boxes.shape == (64, 4)
        assert list(answer.scores) == sorted(answer.scores, reverse=True)
        assert 1 < len(answer.captions) <= run.experiment.decoding.beam
    assert_same([captioner(pictures[0])], answers[:1])


def test_every_form_of_a_picture_gives_the_same_answer(captioner, pictures):
    path = pictures[0]
    image = Image.open(path)
    forms = [path, str(path), path.read_bytes(), image, np.asarray(image.convert("RGB"))]
    assert_same(captioner(forms), [captioner(path)] * len(forms))


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_answered(captioner, pictures):
    cut = pictures[0].read_bytes()[:200]
    outcomes = list(captioner.stream([pictures[0], cut, "nowhere.png", pictures[1]]))
    assert_same([outcomes[0], outcomes[3]], captioner(pictures[:2]))
    assert str(outcomes[1]) == "picture 2: not decodable: a damaged, cut off or unusual PNG"
    assert str(outcomes[2]).startswith("nowhere.png: No such file")
    with pytest.raises(UserError, match=r"nowhere\.png"):
        captioner([pictures[0], "nowhere.png"])
    assert captioner([]) == []


def test_a_score_is_that_of_decoding(captioner, pictures):
    answer = captioner(pictures[0])
    for caption, score in zip(answer.captions, answer.scores):
        assert_close(captioner.score(pictures[0], caption), score, roundings=400)
    scores = captioner.score(pictures[:2], ["a red ring", answer.caption])
    assert scores[0] == captioner.score(pictures[0], "A red ring.")
    assert_close(scores[1], captioner.score(pictures[1], answer.caption), roundings=400)
    assert scores[0] != captioner.score(pictures[1], "a red ring")
    with pytest.raises(UserError, match="has more than 25 words"):
        captioner.score(pictures[0], "a " * 26)
    with pytest.raises(UserError, match="expected 2 captions"):
        captioner.score(pictures[:2], "a red ring")


def test_a_caption_that_decoding_cut_off_is_scored_without_an_end(captioner, pictures):
    short = captioner.with_decoding(max_length=3, min_length=3, beam=2)
    answer = short(pictures[0])
    assert len(answer.words) == 3
    assert_close(short.score(pictures[0], answer.caption), answer.score, roundings=400)


def test_decoding_settings_by_keyword(run, captioner, pictures):
    greedy = captioner(pictures[0], beam=1)
    assert len(greedy.captions) == 1
    assert_same([keras_sat.load(run.folder, beam=1)(pictures[0])], [greedy])
    assert len(captioner(pictures[0]).captions) > 1, "the captioner itself stays as it is"
    with pytest.raises(UserError, match=r"decoding\.beem; did you mean beam\?"):
        captioner(pictures[0], beem=1)


def test_an_ensemble_of_a_run_with_itself_is_the_run(run, captioner, pictures):
    [answer] = keras_sat.load([run.folder, run.folder])(pictures[:1])
    expected = captioner(pictures[0])
    assert answer.caption == expected.caption
    assert_close(answer.score, expected.score, roundings=400)


def test_a_packed_run_is_the_run(run, captioner, packed, pictures):
    assert_same(keras_sat.load(packed)(pictures), captioner(pictures))
    opened = open_run(packed)
    assert opened.fingerprint() == run.fingerprint() and opened.experiment == run.experiment
    assert opened.folder.name == "small" and opened.curve() == run.curve()
    again = pack(opened, packed.with_name("again.ksat"))
    assert_same(keras_sat.load(again)(pictures), captioner(pictures))
    with zipfile.ZipFile(packed) as archive:
        assert not [name for name in archive.namelist() if "last" in name or "logs" in name]


def test_another_run_starts_from_a_packed_one_and_learns_from_it(
    changed, packed, run, data, tmp_path
):
    experiment = changed(train={"teachers": (str(packed),)})
    experiment = dataclasses.replace(experiment, init_from=str(packed))
    assert check_prerequisites(experiment, tmp_path / "run").folder == data.folder
    model = build_model(create_run(tmp_path / "run", experiment, data))
    trained = load_model(run).get_weights()
    assert not np.array_equal(model.get_weights()[0], trained[0])
    initialise(model, open_run(tmp_path / "run"))
    for weight, expected in zip(model.get_weights(), trained, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_an_exported_model_is_the_run(run, captioner, pictures, tmp_path):
    export(run, tmp_path / "model", Batching(max_batch_size=2))
    exported = keras_sat.load(tmp_path / "model")
    for answer, expected in zip(exported(pictures), captioner(pictures), strict=True):
        assert answer.captions == expected.captions
        assert_close(answer.scores, expected.scores, roundings=400)
        assert_close(answer.attention, expected.attention, roundings=400)
        np.testing.assert_array_equal(answer.picture, expected.picture)
    own = captioner.score(pictures[0], "a red ring")
    assert_close(exported.score(pictures[0], "a red ring"), own, roundings=400)
    with pytest.raises(UserError, match="has more than 24 words"):
        exported.score(pictures[0], "a " * 25)
    outcomes = list(exported.stream([b"", pictures[0].read_bytes()[:200], pictures[0]]))
    assert [str(each) for each in outcomes[:2]] == [
        "picture 1: empty file: 0 bytes",
        "picture 2: not decodable: a damaged, cut off or unusual PNG",
    ]
    with pytest.raises(UserError, match="part of the exported graph"):
        exported(pictures[0], beam=1)
    with pytest.raises(UserError, match="load the run to evaluate"):
        exported.evaluate()


def test_a_model_in_memory_is_the_run(run, captioner, data, pictures):
    model = load_model(run)
    loaded = keras_sat.load(model, data=data.folder, beam=3)
    assert_same(loaded(pictures), captioner(pictures, beam=3))
    with pytest.raises(UserError, match="also needs data="):
        keras_sat.load(model)


def test_evaluation_is_that_of_the_command_and_writes_nothing(run, captioner, tmp_path):
    before = sorted(run.folder.rglob("*"))
    evaluation = captioner.evaluate(split="val", metrics=["cider"], limit=4)
    assert len(evaluation.captions) == 4 and evaluation.values["cider"] >= 0
    assert sorted(run.folder.rglob("*")) == before
    with pytest.raises(UserError, match="no split 'dev'"):
        captioner.evaluate(split="dev")


def test_an_answer_shows_itself(captioner, pictures, tmp_path, monkeypatch):
    answer = captioner(pictures[0])
    maps = answer.attention_map()
    assert maps.shape == (len(answer.words), *answer.picture.shape[:2])
    assert_close(maps.sum(axis=(1, 2)), np.ones(len(maps)), roundings=2000)
    assert answer.attention_map((7, 9)).shape == (len(answer.words), 7, 9)
    assert str(answer) == answer.caption and answer.caption in repr(answer)
    assert answer._repr_html_().count('class="word"') == len(answer.words)
    answer.save(tmp_path / "where.svg")
    assert b"<svg" in (tmp_path / "where.svg").read_bytes()
    shown = []
    monkeypatch.setattr(ImageShow, "show", lambda image, title: shown.append(image) or True)
    answer.show()
    assert shown[0].width > 300
    monkeypatch.setattr(ImageShow, "show", lambda image, title: False)
    with pytest.raises(UserError, match=r"save\('attention\.png'\)"):
        answer.show()


def test_nothing_to_load_is_named(tmp_path):
    with pytest.raises(UserError, match="no run there"):
        keras_sat.load(tmp_path)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"1: cannot be loaded .*; export it again"):
        keras_sat.load(tmp_path)


def test_a_picture_of_a_notebook_is_small(captioner, pictures):
    large = Image.open(io.BytesIO(pictures[0].read_bytes())).resize((2000, 1500))
    assert len(captioner(large)._repr_html_()) < 1_000_000


def test_an_untrained_run_is_named(run, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(UserError, match="no best checkpoint yet"):
        keras_sat.load(folder)
    with pytest.raises(UserError, match="no best checkpoint yet"):
        pack(open_run(folder))
