"""Every reader on the exact format of its corpus."""

import io
import json
from typing import ClassVar, get_args, get_type_hints

import pytest
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

from keras_sat.config import Prepare, Shares
from keras_sat.data.prepared import open_prepared
from keras_sat.utils.errors import UserError
from pipeline.preparation.prepare import prepare
from pipeline.sources import text
from pipeline.sources.base import split_by_hash
from pipeline.sources.flickr8k import token_item
from pipeline.sources.flickr30k import csv_item, read_boxes
from pipeline.sources.registry import READERS, open_source
from tests.support import corpora
from tests.support.reading import read
from tests.support.settings import small_prepare


def splits(found):
    return {id: item.split for id, (item, _) in found.items()}


def test_every_data_set_that_can_be_chosen_has_a_reader():
    choices = get_args(get_type_hints(Prepare)["dataset"])
    assert set(choices) == {*READERS, "auto"}


def test_flickr8k(tmp_path, monkeypatch):
    names = corpora.flickr8k(tmp_path)
    for size in (text._RANGE, 50):  # cut in the middle of lines, the lists too
        monkeypatch.setattr(text, "_RANGE", size)
        found, source = read("flickr8k", tmp_path)
        assert splits(found) == {name: split for split, each in names.items() for name in each}
        for name, (_, record) in found.items():
            assert record.captions == tuple(corpora.caption(name, number) for number in range(5))
            assert record.encoded == (tmp_path / "Flicker8k_Dataset" / name).read_bytes()
    assert len(source.partitions()) > 10
    before = source.fingerprint()
    (tmp_path / "Flickr_8k.testImages.txt").unlink()
    found, shorter = read("flickr8k", tmp_path)
    assert set(splits(found).values()) == {"train", "val", "unsplit"}
    assert shorter.fingerprint() != before


@pytest.mark.parametrize("captions", ["results_20130124.token", "results.csv"])
def test_flickr30k(tmp_path, captions):
    names = [f"{n}.jpg" for n in range(30)]
    for seed, name in enumerate(names):
        corpora.write(tmp_path / "flickr30k_images" / name, corpora.picture(seed))
    if captions.endswith("token"):
        corpora.write(tmp_path / captions, corpora.tokens(names))
    else:
        rows = [
            f"{name}| {number}| {corpora.caption(name, number)}"
            for name in names
            for number in range(5)
        ]
        corpora.write(
            tmp_path / captions,
            "\n".join(["image_name| comment_number| comment", *rows, "9.jpg| 4   A dog ."]),
        )
    found, _ = read("flickr30k", tmp_path, shares={"val": 0.2, "test": 0.3})
    faults = [item.fault for item, _ in found.values() if item.fault]
    assert len(faults) == captions.endswith("csv") and all(
        "malformed line: '9.jpg| 4" in fault for fault in faults
    )
    found = {id: pair for id, pair in found.items() if not pair[0].fault}
    assert splits(found) == {name: split_by_hash(name, Shares(0.2, 0.3)) for name in names}
    for name, (_, record) in found.items():
        assert record.captions == tuple(corpora.caption(name, number) for number in range(5))


def test_flickr30k_entities(tmp_path):
    corpora.write(tmp_path / "flickr30k-images" / "36979.jpg", corpora.picture(0))
    corpora.write(tmp_path / "results_20130124.token", corpora.tokens(["36979.jpg"], captions=2))
    entities = tmp_path / "flickr30k_entities"
    corpora.write(entities / "test.txt", "36979\n")
    corpora.write(
        entities / "Sentences" / "36979.txt",
        "[/EN#1/people A group of friends] , playing [/EN#2/other cards] in "
        "[/EN#0/notvisual the man 's] [/EN#3/scene bar] .\n"
        "[/EN#1/people Friends] play [/EN#2/other their cards] .\n",
    )
    boxes = [("1", (10, 20, 60, 40)), ("1", (80, 10, 100, 50)), ("2", (0, 0, 50, 25))]
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
        f"<xmax>{right}</xmax><ymax>{end}</ymax></bndbox></object>"
        for name, (x, y, right, end) in boxes
    )
    corpora.write(
        entities / "Annotations" / "36979.xml",
        "<annotation><filename>36979.jpg</filename>"
        "<size><width>200</width><height>100</height><depth>3</depth></size>"
        f"{objects}<object><name>3</name><scene>1</scene><nobndbox>0</nobndbox></object>"
        "</annotation>",
    )
    found, _ = read("flickr30k", tmp_path)
    item, record = found["36979.jpg"]
    assert item.split == "test"
    assert record.captions == (
        "A group of friends , playing cards in the man 's bar .",
        "Friends play their cards .",
    )
    group = [(0.2, 0.05, 0.4, 0.3), (0.1, 0.4, 0.5, 0.5)]
    cards = (0, 0, 0.25, 0.25)
    assert [(p.caption, p.start, p.end, p.noun, p.box) for p in record.phrases] == [
        *((0, 0, 4, "friends", box) for box in group),
        (0, 5, 6, "cards", cards),
        *((1, 0, 1, "friends", box) for box in group),
        (1, 2, 4, "cards", cards),
    ]


@pytest.mark.parametrize("year, folder", [("2014", ""), ("2017", "images/")])
def test_coco(tmp_path, year, folder):
    ids = {"train": [9, 30, 57870], "val": [42]}
    for split, each in ids.items():
        images = [
            {"license": 5, "file_name": f"{n:012d}.jpg", "height": 30, "width": 40, "id": n}
            for n in each
        ]
        notes = [
            {"image_id": n, "id": 100 * k + n, "caption": f'A [dog] "{n}" é {k}\n'}
            for k in range(5)
            for n in each
        ]
        content = {
            "info": {"year": int(year)},
            "images": images,
            "licenses": [{"id": 1}],
            "annotations": notes,
        }
        corpora.write(
            tmp_path / "annotations" / f"captions_{split}{year}.json", json.dumps(content)
        )
        for n in each:
            corpora.write(tmp_path / f"{folder}{split}{year}" / f"{n:012d}.jpg", corpora.picture(n))
    found, _ = read("coco", tmp_path)
    assert splits(found) == {str(n): split for split, each in ids.items() for n in each}
    for id, (_, record) in found.items():
        assert record.captions == tuple(f'A [dog] "{id}" é {k}\n' for k in range(5))
        assert record.encoded == corpora.picture(int(id))


@pytest.mark.parametrize(
    "name, folder",
    [("flickr8k", "Flicker8k_Dataset"), ("flickr30k", "flickr30k-images"), ("coco", "")],
)
def test_karpathy(tmp_path, name, folder):
    published = ("train", "restval", "val", "test")
    places = {
        (f"{split[-3:]}2014" if name == "coco" else None, f"{split}.jpg"): split
        for split in published
    }
    corpora.karpathy(tmp_path, name, places)
    for seed, (filepath, filename) in enumerate(places):
        corpora.write(tmp_path / folder / (filepath or "") / filename, corpora.picture(seed))
    found, _ = read("karpathy", tmp_path)
    ids = [str(1000 + n) if name == "coco" else f"{split}.jpg" for n, split in enumerate(published)]
    assert splits(found) == dict(zip(ids, ["train", "train", "val", "test"]))
    for seed, (id, split) in enumerate(zip(ids, published)):
        assert found[id][1].captions == tuple(corpora.caption(split, n) for n in range(5))
        assert found[id][1].encoded == corpora.picture(seed)
    assert read("karpathy", tmp_path / f"dataset_{name}.json")[0].keys() == found.keys()


FOLDER = {
    "captions.csv": 'image,caption,split\na.jpg,"A dog, and\na ""cat"" .",train\n'
    "b/c.jpg,One ball .,dev\na.jpg,Two dogs .,train\n",
    "captions.jsonl": '{"file_name": "a.jpg", "captions": ["A dog, and\\na \\"cat\\" .", '
    '"Two dogs ."], "split": "train"}\n'
    '{"image": "b/c.jpg", "caption": "One ball .", "split": "validation"}\n',
    "captions.txt": 'a.jpg\tA dog, and a "cat" .\nb/c.jpg\tOne ball .\na.jpg\tTwo dogs .\n',
}


@pytest.mark.parametrize("file", FOLDER)
def test_folder(tmp_path, file):
    corpora.write(tmp_path / "a.jpg", corpora.picture(0))
    corpora.write(tmp_path / "b" / "c.jpg", corpora.picture(1))
    corpora.write(tmp_path / file, FOLDER[file])
    found, _ = read("folder", tmp_path)
    by_hash = {name: split_by_hash(name, Shares()) for name in ("a.jpg", "b/c.jpg")}
    assert splits(found) == (
        by_hash if file.endswith("txt") else {"a.jpg": "train", "b/c.jpg": "val"}
    )
    assert [" ".join(text.split()) for text in found["a.jpg"][1].captions] == [
        'A dog, and a "cat" .',
        "Two dogs .",
    ]
    assert found["b/c.jpg"][1].captions == ("One ball .",)
    assert found["b/c.jpg"][1].encoded == corpora.picture(1)


def test_a_split_that_one_line_names(tmp_path):
    corpora.write(
        tmp_path / "captions.csv",
        "image,caption,split\n" + "".join(f"{n}.jpg,A dog .,\n" for n in range(30)),
    )
    with open(tmp_path / "captions.csv", "a") as file:
        file.writelines(f"{n}.jpg,A cat .,Test\n" for n in range(20))
    for n in range(30):
        corpora.write(tmp_path / f"{n}.jpg", corpora.picture(n))
    found, _ = read("folder", tmp_path)
    by_hash = {f"{n}.jpg": split_by_hash(f"{n}.jpg", Shares()) for n in range(20, 30)}
    assert splits(found) == {f"{n}.jpg": "test" for n in range(20)} | by_hash
    assert not any(item.fault for item, _ in found.values())


@pytest.mark.parametrize(
    "read_line, line", [(token_item, "a.jpg#²\tA dog ."), (csv_item, "a.jpg| ²| A dog .")]
)
def test_a_malformed_caption_number_is_a_malformed_line(read_line, line):
    assert read_line(line, 0, "file", str).fault.startswith("malformed line")


def test_entities_without_a_size(tmp_path):
    xml = "<annotation><size><width>0</width><height>9</height></size></annotation>"
    with pytest.raises(UserError, match=r"boxes not readable: Annotations/a.xml .*9x0"):
        read_boxes(xml, "a")


def test_a_coco_caption_that_is_no_text_is_a_malformed_line(tmp_path):
    notes = [
        {"image_id": 1, "id": 5, "caption": None},
        {"image_id": 1, "id": 6, "caption": "A dog ."},
    ]
    content = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": notes}
    corpora.write(tmp_path / "annotations" / "captions_train2017.json", json.dumps(content))
    corpora.write(tmp_path / "train2017" / "1.jpg", corpora.picture(0))
    found, _ = read("coco", tmp_path)
    assert found["1"][1].captions == ("A dog .",)
    assert [item.fault for item, _ in found.values() if item.fault] == [
        "malformed line: caption of annotations 5 is None, expected text"
    ]


def test_ids_of_coco_may_be_numbers_or_texts(tmp_path):
    notes = [
        (7, "A dog ."),
        ("b", "A cat ."),
        (5, "Two dogs ."),
        ("a", "Two cats ."),
        ([6], "A cow ."),
    ]
    notes = [{"image_id": "1", "id": id, "caption": caption} for id, caption in notes]
    content = {
        "images": [{"id": 1, "file_name": "1.jpg"}, {"id": None, "file_name": "2.jpg"}],
        "annotations": notes,
    }
    corpora.write(tmp_path / "annotations" / "captions_train2017.json", json.dumps(content))
    corpora.write(tmp_path / "train2017" / "1.jpg", corpora.picture(0))
    found, _ = read("coco", tmp_path)
    assert found["1"][1].captions == ("Two dogs .", "A dog .", "Two cats .", "A cat .")
    assert sorted(item.fault for item, _ in found.values() if item.fault) == [
        f"malformed line: id of {what}, expected a number or text"
        for what in ("annotations [6] is [6]", "images None is None")
    ]


def test_a_karpathy_sentence_that_is_no_text_is_a_malformed_line(tmp_path):
    sentences = [
        {"raw": "A dog .", "sentid": 9},
        {"tokens": ["a"]},
        {"raw": None},
        {"raw": "A cat .", "sentid": "x"},
    ]
    content = {"images": [{"filename": "a.jpg", "split": "train", "sentences": sentences}]}
    corpora.write(tmp_path / "dataset_flickr8k.json", json.dumps(content))
    corpora.write(tmp_path / "a.jpg", corpora.picture(0))
    found, _ = read("karpathy", tmp_path)
    assert found["a.jpg"][1].captions == ("A cat .", "A dog .")
    assert {id: item.fault for id, (item, _) in found.items() if item.fault} == {
        f"a.jpg#{place}": "malformed line: `raw` of the sentence is None, no text"
        for place in (1, 2)
    }


class ObjectStore(LocalFileSystem):
    """An object store, which Beam finds by its scheme: it has names of objects and no folders."""

    objects: ClassVar = {}

    @classmethod
    def scheme(cls):
        return "store"

    def has_dirs(self):
        return False

    def exists(self, path):
        return path in self.objects

    def size(self, path):
        return len(self.objects[path])

    def open(self, path, mime_type=None, compression_type=None):
        if path not in self.objects:
            raise FileNotFoundError(path)
        return io.BytesIO(self.objects[path])

    def _list(self, prefix):
        return (
            FileMetadata(path, len(content))
            for path, content in self.objects.items()
            if path.startswith(prefix)
        )


@pytest.mark.parametrize("dataset", ["flickr8k", "karpathy", "folder"])
def test_a_corpus_in_an_object_store_is_as_one_on_the_disk(tmp_path, monkeypatch, dataset):
    names = corpora.flickr8k(tmp_path, train=4, val=2, test=0)
    every = names["train"] + names["val"]
    corpora.karpathy(tmp_path, "flickr8k", {(None, name): "train" for name in every})
    corpora.write(
        tmp_path / "captions.txt", "".join(f"Flicker8k_Dataset/{name}\tA dog .\n" for name in every)
    )
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    objects = {
        f"store://bucket/corpus/{path.relative_to(tmp_path)}": path.read_bytes() for path in paths
    }
    monkeypatch.setattr(ObjectStore, "objects", objects)
    local, here = read(dataset, tmp_path)
    remote, there = read(dataset, "store://bucket/corpus")
    records = {id: record for id, (_, record) in local.items()}
    assert len(records) == 6
    assert records == {id: record for id, (_, record) in remote.items()}
    assert here.fingerprint() == there.fingerprint()
    if dataset == "folder":
        prepare(
            small_prepare(
                dataset=dataset, source="store://bucket/corpus", shares={"val": 0.0, "test": 0.0}
            ),
            tmp_path / "data",
        )
        assert open_prepared(tmp_path / "data").images("train") == 6


def test_a_source_that_beam_cannot_open():
    with pytest.raises(UserError, match="nosuch://bucket: cannot be opened"):
        open_source(small_prepare(dataset="folder", source="nosuch://bucket"))


def test_shares_of_the_hash_splits():
    found = [split_by_hash(f"{n}.jpg", Shares(0.2, 0.1)) for n in range(5000)]
    assert (
        abs(found.count("val") / 5000 - 0.2) < 0.02 and abs(found.count("test") / 5000 - 0.1) < 0.02
    )


@pytest.mark.parametrize(
    "dataset, content, parts",
    [
        ("flickr8k", {}, ["has no folder of pictures", "Flicker8k_Dataset"]),
        ("flickr8k", {"Images/x": ""}, ["has no captions", "Flickr8k.token.txt"]),
        ("coco", {}, ["captions_train2017.json"]),
        ("coco", {"annotations/captions_val2014.json": "{}"}, ["val2014", "folder of pictures"]),
        (
            "coco",
            {"annotations/captions_val2014.json": '{"images": [{"id": 1}', "val2014/x": ""},
            ["without file_name"],
        ),
        (
            "coco",
            {"annotations/captions_val2014.json": '{"images": [', "val2014/x": ""},
            ["no complete array", "images"],
        ),
        ("karpathy", {}, ["no dataset_*.json"]),
        (
            "karpathy",
            {"dataset_coco.json": "", "dataset_flickr8k.json": ""},
            ["dataset_coco.json, dataset_flickr8k.json"],
        ),
        ("folder", {"a.jpg": ""}, ["captions.csv or captions.jsonl or captions.txt"]),
        (
            "folder",
            {"captions.csv": "a,A dog .\n"},
            ["first line names the columns image and caption"],
        ),
        (
            "folder",
            {"captions.csv": 'image,caption\na.jpg,"A dog' + 200_000 * " x"},
            ["not CSV", "quote"],
        ),
    ],
)
def test_mistakes_in_a_corpus_are_named(tmp_path, dataset, content, parts):
    for name, written in content.items():
        corpora.write(tmp_path / name, written)
    with pytest.raises(UserError) as error:
        read(dataset, tmp_path)
    assert all(part in str(error.value) for part in parts), error.value
