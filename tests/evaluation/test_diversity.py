import shutil

from keras_sat.data.prepared import open_prepared
from keras_sat.data.reading import read_records
from keras_sat.decoding.captioned import normalised
from keras_sat.evaluation import diversity
from tests.support.manifests import rewrite_manifest


def test_facts_of_captions():
    facts = diversity.facts_of(["a dog", "a dog", "a cat", "the cat"])
    assert facts == {"distinct": 0.75, "words_used": 4}


def test_values_of_captions():
    captions = {"x": "a dog runs", "y": ""}
    references = {"x": ["a dog", "one"], "y": ["a b c"]}
    values = diversity.values_of(captions, references, {"a dog runs"})
    assert values["length"] == {"x": [3], "y": [0]}
    assert values["reference_length"] == {"x": [2, 1], "y": [3]}
    assert values["seen_in_training"] == {"x": [True], "y": [False]}
    assert "seen_in_training" not in diversity.values_of(captions, references, set())


def test_training_captions_are_all_of_them(data):
    expected = {
        text for record in read_records(data, "train") for text in normalised(record.captions)
    }
    assert diversity.training_captions(data) == expected


def test_data_without_a_training_split_is_evaluated_too(data, capsys):
    splits = {name: shards for name, shards in data.manifest["splits"].items() if name != "train"}
    folder = data.folder.parent / "without_train"
    shutil.copytree(data.folder, folder)
    rewrite_manifest(folder, splits=splits)
    assert diversity.training_captions(open_prepared(folder)) == set()
    assert "has no split 'train'" in capsys.readouterr().err
