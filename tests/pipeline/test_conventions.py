"""Folders as people have them: each is found by looking, named, and read as its writer meant it.

What a library writes is written by that library where it is installed; else as its documentation
shows.
"""

import csv
import io
import json
import tarfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from keras_sat.config import Shares
from keras_sat.data.prepared import open_prepared
from keras_sat.data.reading import read_records
from keras_sat.utils.errors import UserError
from pipeline import prepare
from pipeline.preparation import staging
from pipeline.preparation.beam_runner import beam_options
from pipeline.preparation.prepare import prepare as run_prepare
from pipeline.sources import registry
from pipeline.sources.base import split_by_hash
from pipeline.sources.streams import StreamSource
from tests.support import corpora
from tests.support.reading import merged
from tests.support.settings import small_prepare

NAMES = [f"{n}.jpg" for n in range(4)]
CAPTIONS = {name: [f"Dog {name[0]}, it runs .", f'A "dog" {name[0]} .'] for name in NAMES}
# {place: [captions]} as every reader must find it
SEEDS = {name: seed for seed, name in enumerate(NAMES)}


def pictures(folder, names=NAMES):
    for name in names:
        corpora.write(folder / name, corpora.picture(SEEDS[name]))


def rows():
    return [(name, caption) for name, captions in CAPTIONS.items() for caption in captions]


def split_of(name):
    return {"2.jpg": "val", "3.jpg": "test"}.get(name, "train")


def table(delimiter=",", header=("image", "caption"), quoting=csv.QUOTE_MINIMAL):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, quotechar='"')
    if header:
        writer.writerow(header)
    writer.writerows(rows())
    return file.getvalue()


def kaggle_flickr8k(folder):
    """As `df.to_csv("captions.txt", index=False)` writes it."""
    frame = pd.DataFrame(rows(), columns=["image", "caption"])
    frame.to_csv(folder / "captions.txt", index=False)
    pictures(folder / "Images")


def kaggle_flickr30k(folder):
    lines = ["image_name,comment_number,comment"]
    for name, captions in CAPTIONS.items():
        for number in (1, 0):  # the numbers give the order
            text = captions[number].replace('"', '""')
            lines.append(f'{name},{number},"{text}"')
    corpora.write(folder / "captions.txt", "\n".join(lines))
    pictures(folder / "flickr30k_images")


def kaggle_results(folder):
    lines = ["image_name| comment_number| comment"]
    for name, captions in CAPTIONS.items():
        lines += [f"{name}| {number}| {text}" for number, text in enumerate(captions)]
    corpora.write(folder / "flickr30k_images" / "results.csv", "\n".join(lines))
    pictures(folder / "flickr30k_images" / "flickr30k_images")


def tsv(folder):
    corpora.write(folder / "captions.tsv", table("\t"))
    pictures(folder / "images")


def semicolons_without_names(folder):
    corpora.write(folder / "captions.csv", table(";", header=None))
    pictures(folder)


def numbered_names(folder):
    lines = []
    for name, captions in CAPTIONS.items():
        lines += [f"{name}#{number}\t{text}" for number, text in enumerate(captions)]
    corpora.write(folder / "captions.txt", "\n".join(lines))
    pictures(folder / "Images")


def any_name(folder):
    corpora.write(folder / "my_dogs.csv", table())
    corpora.write(folder / "notes.txt", "Nothing to see.\n")
    corpora.write(folder / "log.jsonl", '{"step": 1}\n')
    pictures(folder / "train")


def several_columns(folder):
    lines = ["filename,caption_1,caption_2"]
    for name, (first, second) in CAPTIONS.items():
        lines.append(f'{name},"{first}","{second}"'.replace('"dog"', '""dog""'))
    corpora.write(folder / "captions.csv", "\n".join(lines))
    pictures(folder)


def list_in_a_cell(folder):
    frame = pd.DataFrame({"image": NAMES, "caption": [json.dumps(CAPTIONS[n]) for n in NAMES]})
    frame.to_csv(folder / "captions.csv", index=False)
    pictures(folder)


def imagefolder(write):
    def make(folder):
        for split, hub_name in (("train", "train"), ("val", "validation"), ("test", "test")):
            names = [name for name in NAMES if split_of(name) == split]
            pictures(folder / hub_name, names)
            write(folder / hub_name, names)

    make.__name__ = write.__name__
    return make


def metadata_csv(folder, names):
    found = [(name, text) for name in names for text in CAPTIONS[name]]
    frame = pd.DataFrame(found, columns=["file_name", "text"])
    frame.to_csv(folder / "metadata.csv", index=False)


def metadata_jsonl(folder, names):
    found = [{"file_name": name, "text": CAPTIONS[name]} for name in names]
    corpora.write(folder / "metadata.jsonl", "\n".join(map(json.dumps, found)))


def metadata_parquet(folder, names):
    found = {"file_name": names, "text": [CAPTIONS[name] for name in names]}
    pq.write_table(pa.table(found), folder / "metadata.parquet")


def sidecars(folder):
    for name, captions in CAPTIONS.items():
        place = folder / split_of(name)
        pictures(place, [name])
        corpora.write(place / name.replace("jpg", "txt"), "\n".join(captions) + "\n")


def coco_of_shape(folder):
    images = [{"id": n + 1, "file_name": name} for n, name in enumerate(NAMES)]
    notes = []
    for number, (name, text) in enumerate(rows()):
        notes.append({"id": number, "image_id": SEEDS[name] + 1, "caption": text})
    content = {"images": images, "annotations": notes}
    corpora.write(folder / "annotations.json", json.dumps(content))
    pictures(folder / "images")


def karpathy_of_shape(folder):
    images = []
    for name, captions in CAPTIONS.items():
        sentences = [{"raw": text, "sentid": n} for n, text in enumerate(captions)]
        images.append({"filename": name, "split": split_of(name), "sentences": sentences})
    corpora.write(folder / "dogs.json", json.dumps({"images": images, "dataset": "dogs"}))
    pictures(folder / "images")


def blip(folder):
    for split in ("train", "val", "test"):
        found = []
        for name in NAMES:
            if split_of(name) == split == "train":  # one caption each in training
                found += [
                    {"image": name, "caption": text, "image_id": 1} for text in CAPTIONS[name]
                ]
            elif split_of(name) == split:
                found.append({"image": name, "caption": CAPTIONS[name]})
        corpora.write(folder / f"coco_karpathy_{split}.json", json.dumps(found))
    pictures(folder)


def webdataset(folder):
    """As img2dataset writes it: the picture, its caption and its record; five digits name a tar."""
    for split in ("train", "val", "test"):
        (folder / split).mkdir()
        with tarfile.open(folder / split / "00000.tar", "w") as tar:
            for number, name in enumerate(n for n in NAMES if split_of(n) == split):
                record = {"captions": CAPTIONS[name], "url": "https://x.example", "key": "0"}
                for suffix, content in (
                    ("jpg", corpora.picture(SEEDS[name])),
                    ("json", json.dumps(record).encode()),
                    ("txt", CAPTIONS[name][0].encode()),
                ):
                    member = tarfile.TarInfo(f"{number:09d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def parquet_with_bytes(folder):
    """As Hugging Face's hub holds data sets of pictures."""
    for split, hub_name in (("train", "train"), ("val", "validation"), ("test", "test")):
        names = [name for name in NAMES if split_of(name) == split]
        images = [{"bytes": corpora.picture(SEEDS[name]), "path": name} for name in names]
        columns = {"image": images, "caption": [CAPTIONS[name] for name in names]}
        (folder / "data").mkdir(exist_ok=True)
        path = folder / "data" / f"{hub_name}-00000-of-00001.parquet"
        pq.write_table(pa.table(columns), path, row_group_size=1)


def parquet_with_paths(folder):
    columns = {"image_path": NAMES, "caption": [CAPTIONS[name] for name in NAMES]}
    pq.write_table(pa.table(columns), folder / "dogs.parquet")
    pictures(folder / "images")


# (how it is made, its reader, whether it says the splits, what the first line names)
CONVENTIONS = [
    (kaggle_flickr8k, "kaggle", False, "captions.txt (commas, columns image, caption) and Images/"),
    (kaggle_flickr30k, "kaggle", False, "columns image_name, comment_number, comment"),
    (kaggle_results, "flickr30k", False, "flickr30k_images/results.csv"),
    (tsv, "folder", False, "captions.tsv (tabs, columns image, caption)"),
    (semicolons_without_names, "folder", False, "captions.csv (semicolons, no column names)"),
    (numbered_names, "folder", False, "captions.txt (tabs, no column names)"),
    (any_name, "folder", False, "my_dogs.csv"),
    (several_columns, "folder", False, "columns filename, caption_1, caption_2"),
    (list_in_a_cell, "folder", False, "captions.csv"),
    (imagefolder(metadata_csv), "imagefolder", True, "train/metadata.csv"),
    (imagefolder(metadata_jsonl), "imagefolder", True, "validation/metadata.jsonl"),
    (imagefolder(metadata_parquet), "imagefolder", True, "test/metadata.parquet"),
    (sidecars, "sidecars", True, "such as test/3.txt"),
    (coco_of_shape, "coco", False, "annotations.json"),
    (karpathy_of_shape, "karpathy", True, "dogs.json"),
    (blip, "json", True, "coco_karpathy_test.json"),
    (webdataset, "webdataset", True, "3 .tar files"),
    (parquet_with_bytes, "parquet", True, "3 .parquet files"),
    (parquet_with_paths, "parquet", False, "1 .parquet file"),
]


def read_by_looking(folder, staged, **settings):
    """(settings with the reader, [(merged item, record)]) of a folder."""
    config = registry.with_reader(small_prepare(dataset="auto", source=str(folder), **settings))
    source = registry.open_source(config)
    if isinstance(source, StreamSource):
        staged.mkdir()
        source = staging.stage(source, config, str(staged), beam_options([]))
    items = merged(source)
    assert not [item.fault for item in items if item.fault]
    return config, [(item, source.load(item)) for item in items]


@pytest.mark.parametrize(
    "make, dataset, has_splits, named", CONVENTIONS, ids=[case[0].__name__ for case in CONVENTIONS]
)
def test_a_convention_is_found_named_and_read(tmp_path, capsys, make, dataset, has_splits, named):
    folder = tmp_path / "corpus"
    folder.mkdir()
    make(folder)
    config, found = read_by_looking(folder, tmp_path / "staged")
    assert config.dataset == dataset
    (line, *_) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{folder}: {registry.READERS[dataset].title}: ") and named in line
    by_content = {corpora.picture(seed): name for name, seed in SEEDS.items()}
    read = {}
    for item, record in found:
        name = by_content[record.encoded]
        read[name] = list(record.captions)
        expected = split_of(name) if has_splits else split_by_hash(item.id, Shares())
        assert item.split == expected
    assert read == CAPTIONS
    assert len({item.id for item, _ in found}) == len(NAMES)


@pytest.mark.parametrize("make", [any_name, imagefolder(metadata_csv)])
def test_pictures_without_a_row_are_listed(tmp_path, make):
    make(tmp_path)
    extra = tmp_path / "train" / "more.jpg"
    corpora.write(extra, corpora.picture(8))
    source = registry.open_source(small_prepare(dataset="auto", source=str(tmp_path)))
    without = [item for item in merged(source) if not item.captions]
    assert [(item.id, item.path) for item in without] == [("train/more.jpg", str(extra))]


def test_llava(tmp_path):
    turns = [{"from": "human", "value": "<image>\nDescribe."}, {"from": "gpt", "value": "A dog ."}]
    more = [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "In a park ."}]
    chats = [
        {"id": "a", "image": "0.jpg", "conversations": turns},
        {"id": "b", "image": "1.jpg", "conversations": turns + more},
        {"id": "c", "conversations": turns},
    ]
    corpora.write(tmp_path / "chat.json", json.dumps(chats))
    pictures(tmp_path / "images", NAMES[:2])
    source = registry.open_source(small_prepare(dataset="auto", source=str(tmp_path)))
    assert type(source).__name__ == "JsonListSource"
    items = merged(source)
    captions = {item.id: item.captions for item in items if not item.fault}
    assert captions == {"0.jpg": ("A dog .",), "1.jpg": ("A dog .",)}
    faults = [item.fault for item in items if item.fault]
    assert len(faults) == 2 and "a further answer" in faults[0] and "'image': None" in faults[1]


def test_pictures_may_lie_in_a_second_folder(tmp_path):
    coco_of_shape(tmp_path / "captions")
    (tmp_path / "captions" / "images").rename(tmp_path / "photos")
    settings = {"images": str(tmp_path / "photos")}
    _, found = read_by_looking(tmp_path / "captions", tmp_path / "staged", **settings)
    assert [record.encoded for _, record in found] == [corpora.picture(n) for n in range(4)]


def test_the_source_may_be_a_file(tmp_path):
    any_name(tmp_path)
    config, found = read_by_looking(tmp_path / "my_dogs.csv", tmp_path / "staged")
    assert (config.dataset, len(found)) == ("folder", 4)


@pytest.mark.parametrize(
    "content, parts",
    [
        (["a.tar.gz", "b.tar.gz"], ["found 2 .gz files and no captions"]),
        (["a.jpg", "sub/b.jpg"], ["found 1 .jpg file, the folders sub", "captions.csv"]),
        ([], ["found nothing"]),
    ],
)
def test_what_is_not_known_is_told_by_what_was_seen(tmp_path, content, parts):
    for name in content:
        corpora.write(tmp_path / name, b"x")
    with pytest.raises(UserError) as error:
        registry.with_reader(small_prepare(dataset="auto", source=str(tmp_path)))
    assert all(part in str(error.value) for part in (*parts, "docs/data.md"))


@pytest.mark.parametrize("dataset", ["auto", "folder", "coco", "flickr8k", "karpathy", "parquet"])
def test_a_wrong_path_is_no_such_folder(tmp_path, dataset):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        registry.open_source(small_prepare(dataset=dataset, source=str(tmp_path / "nowhere")))


def test_a_name_in_two_folders_is_ambiguous(tmp_path):
    tsv(tmp_path)
    corpora.write(tmp_path / "train" / "0.jpg", corpora.picture(9))
    source = registry.open_source(small_prepare(dataset="auto", source=str(tmp_path)))
    faults = {item.fault.partition(":")[0] for item in merged(source) if item.id == "0.jpg"}
    assert "ambiguous picture" in faults


@pytest.mark.parametrize("damage", [lambda tar: tar[:-2000], lambda tar: tar[:2000] + b"x" * 9000])
def test_a_damaged_tar_is_named(tmp_path, damage):
    webdataset(tmp_path)
    path = tmp_path / "train" / "00000.tar"
    content = path.read_bytes()
    end = len(content.rstrip(b"\0"))
    path.write_bytes(damage(content[: end + 400]))
    source = registry.open_source(small_prepare(dataset="webdataset", source=str(tmp_path)))
    with pytest.raises(UserError, match=r"00000.tar: damaged or cut short"):
        merged(source)


def test_a_parquet_without_the_columns_names_those_that_it_has(tmp_path):
    pq.write_table(pa.table({"photo": ["a.jpg"], "alt": ["A dog ."]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"columns are photo, alt; .* --set image_column=NAME"):
        registry.open_source(small_prepare(dataset="parquet", source=str(tmp_path)))
    columns = {"image_column": "photo", "caption_column": "alt"}
    pictures(tmp_path, ["0.jpg"])
    pq.write_table(pa.table({"photo": ["0.jpg"], "alt": ["A dog ."]}), tmp_path / "a.parquet")
    _, found = read_by_looking(tmp_path, tmp_path / "staged", **columns)
    assert found[0][1].captions == ("A dog .",)


def test_a_path_without_a_dataset_is_looked_at(tmp_path, capsys):
    """Without --dataset the command would draw scenes, were the source not a path."""
    source = str(tmp_path / "nowhere")
    with pytest.raises(SystemExit) as ended:
        prepare.main(["--source", source, "--output", str(tmp_path / "data")])
    assert ended.value.code == 2
    assert f"error: {source}: no such folder" in capsys.readouterr().err


def test_a_stream_becomes_a_data_set(tmp_path, capsys):
    """From Parquet to records, with the kind in the first line of output and then the account."""
    (tmp_path / "corpus").mkdir()
    parquet_with_bytes(tmp_path / "corpus")
    config = small_prepare(dataset="auto", source=str(tmp_path / "corpus"))
    run_prepare(config, tmp_path / "data")
    lines = capsys.readouterr().out.splitlines()
    assert "Parquet with pictures and captions: 3 .parquet files" in lines[0]
    assert lines[1:3] == [
        "pictures: 4 read, 4 kept, 0 left out",
        "captions: 8 read, 8 kept, 0 left out",
    ]
    data = open_prepared(tmp_path / "data")
    assert data.manifest["dataset"] == "parquet"
    for name, seed in SEEDS.items():
        records = list(read_records(data, split_of(name)))
        assert corpora.picture(seed) in [record.encoded for record in records]
        assert tuple(CAPTIONS[name]) in [record.captions for record in records]
    run_prepare(config, tmp_path / "data")
    assert "already prepared" in capsys.readouterr().out
