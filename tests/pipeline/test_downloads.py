"""Data sets by name, made and read by the libraries themselves."""

import builtins
import json

import numpy as np
import pytest

from keras_sat.utils.errors import UserError
from pipeline.preparation import staging
from pipeline.preparation.beam_runner import beam_options
from pipeline.sources.registry import open_source, with_reader
from tests.support import corpora
from tests.support.reading import merged
from tests.support.settings import small_prepare

CAPTIONS = ["A dog .", "Two dogs ."]
# {split of ours: (split of theirs, seeds of its pictures)}
SPLITS = {"train": ("train", (0, 1)), "val": ("validation", (2,))}


def read(source, staged, **settings):
    """{seed: (split, captions)} of a source's pictures."""
    config = with_reader(small_prepare(dataset="auto", source=source, **settings))
    staged.mkdir()
    tars = staging.stage(open_source(config), config, str(staged), beam_options([]))
    seeds = {corpora.picture(seed): seed for seed in range(3)}
    found = {}
    for item in merged(tars):
        record = tars.load(item)
        found[seeds[record.encoded]] = (item.split, list(record.captions))
    return config.dataset, found


def test_tensorflow_datasets(tmp_path, monkeypatch):
    """Captions lie in a sequence, as those of coco_captions do."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("importlib_resources")

    class DogCaptions(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            text = tfds.features.Sequence({"id": np.int64, "text": tfds.features.Text()})
            features = {"image": tfds.features.Image(), "captions": text}
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {theirs: self._generate_examples(seeds) for theirs, seeds in SPLITS.values()}

        def _generate_examples(self, seeds):
            for seed in seeds:
                path = tmp_path / f"{seed}.jpg"
                corpora.write(path, corpora.picture(seed))
                captions = [{"id": n, "text": f"{text} {seed}"} for n, text in enumerate(CAPTIONS)]
                yield seed, {"image": path, "captions": captions}

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "tfds"))
    dataset, found = read("tfds:dog_captions", tmp_path / "staged")
    assert dataset == "tfds"
    assert found == expected(lambda seed: [f"{text} {seed}" for text in CAPTIONS])
    with pytest.raises(UserError, match=r"tfds:no_such_thing: "):
        open_source(small_prepare(dataset="auto", source="tfds:no_such_thing"))


def expected(captions):
    found = {}
    for ours, (_, seeds) in SPLITS.items():
        for seed in seeds:
            found[seed] = (ours, captions(seed))
    return found


def test_hugging_face_datasets(tmp_path, monkeypatch):
    """A folder stands for the hub: the library reads it as it would a data set's repository."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "dogs"
    for theirs, seeds in SPLITS.values():
        lines = []
        for seed in seeds:
            corpora.write(folder / theirs / f"{seed}.jpg", corpora.picture(seed))
            lines.append(json.dumps({"file_name": f"{seed}.jpg", "said": CAPTIONS}))
        corpora.write(folder / theirs / "metadata.jsonl", "\n".join(lines))
    columns = {"caption_column": "said"}
    dataset, found = read(f"hf:{folder}", tmp_path / "staged", **columns)
    assert dataset == "hf"
    assert found == expected(lambda _: CAPTIONS)
    with pytest.raises(UserError, match=r"hf:.*nowhere: "):
        open_source(small_prepare(dataset="auto", source=f"hf:{tmp_path / 'nowhere'}"))
    # What the library writes for the hub: shards of Parquet.
    for theirs, _ in SPLITS.values():
        part = datasets.load_dataset(str(folder), split=theirs)
        part.to_parquet(str(tmp_path / "hub" / f"{theirs}-00000-of-00001.parquet"))
    dataset, found = read(
        str(tmp_path / "hub"), tmp_path / "staged_hub", images=str(folder), **columns
    )
    assert dataset == "parquet"
    assert found == expected(lambda _: CAPTIONS)


def test_webdataset_writes_what_is_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    for theirs, seeds in SPLITS.values():
        with webdataset.TarWriter(str(tmp_path / f"dogs-{theirs}-000.tar")) as writer:
            for seed in seeds:
                sample = {"__key__": f"{seed:04d}", "jpg": corpora.picture(seed)}
                writer.write({**sample, "txt": f"Dog {seed} ."})
    source = open_source(small_prepare(dataset="auto", source=str(tmp_path)))
    found = {}
    for item in merged(source):
        found[source.load(item).encoded] = (item.split, item.captions)
    assert found == {
        corpora.picture(seed): (ours, (f"Dog {seed} .",))
        for ours, (_, seeds) in SPLITS.items()
        for seed in seeds
    }


@pytest.mark.parametrize(
    "source, package", [("tfds:x", "tensorflow_datasets"), ("hf:x", "datasets")]
)
def test_a_missing_package_is_named_with_its_installation(monkeypatch, source, package):
    normal = builtins.__import__

    def without(name, *arguments, **options):
        if name == package:
            raise ImportError(name)
        return normal(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"which is not installed: pip install "):
        open_source(small_prepare(dataset="auto", source=source))
