"""Nothing of a captions file is lost or joined without a word."""

import codecs
import csv
import io
import json
import re

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from keras_sat.evaluation.results_file import read_results
from keras_sat.text.encoding import encoding_fault, printable
from keras_sat.utils.errors import UserError
from pipeline.preparation import account, example_gen, leaks
from pipeline.preparation.beam_runner import beam_options
from pipeline.preparation.captions import check_captions
from pipeline.preparation.merging import merge
from pipeline.sources.base import CAPTION, Item
from pipeline.sources.registry import open_source
from tests.support import corpora
from tests.support.reading import merged, read
from tests.support.settings import small_prepare

ROWS = [(f"{n}.jpg", f"Dog {n} runs .") for n in range(30)]


def table(folder, lines, name="captions.csv", header="image{0}caption", delimiter=","):
    text = "\n".join([header.format(delimiter), *lines]) + "\n"
    corpora.write(folder / name, text)
    for image, _ in ROWS:
        corpora.write(folder / image, corpora.picture(1))


@pytest.mark.parametrize(
    "name, delimiter", [("captions.csv", ","), ("captions.csv", ";"), ("captions.tsv", "\t")]
)
@pytest.mark.parametrize(
    "quotes, message",
    [
        ([12], r"line 14: .* is never closed, and line 15 looks like a row"),
        ([12, 17], r"line 14: .* is closed in line 19, and line 15 looks like a row"),
        ([29], r"line 31: .* is never closed"),
    ],
)
def test_a_quote_that_joins_rows_is_an_error(tmp_path, name, delimiter, quotes, message):
    lines = []
    for number, (image, caption) in enumerate(ROWS):
        mark = '"' if number in quotes else ""
        lines.append(f"{image}{delimiter}{mark}{caption}")
    table(tmp_path, lines, name, delimiter=delimiter)
    with pytest.raises(UserError, match=f"{name}: {message}.*write it as"):
        read("folder", tmp_path)


def test_a_workers_error_is_one_line_without_beams_notes(tmp_path):
    table(tmp_path / "in", ['0.jpg,"A dog .', "1.jpg,A cat ."])
    with pytest.raises(UserError, match=r"captions.csv: line 2: ") as error:
        read_account(tmp_path / "in")
    assert "while running" not in str(error.value) and "\n" not in str(error.value)


def test_a_short_row_that_is_taken_in_is_found_too(tmp_path):
    """The rows lack the last column, which may be left out."""
    corpora.write(
        tmp_path / "captions.csv",
        'image,caption,split\n0.jpg,"A dog .\n1.jpg,A cat .\n2.jpg,"Up .\n',
    )
    with pytest.raises(UserError, match=r"line 2: .* line 3 looks like a row of its own"):
        read("folder", tmp_path)


def test_rows_may_lack_the_split_and_follow_empty_lines(tmp_path):
    corpora.write(tmp_path / "0.jpg", corpora.picture(0))
    for name, content in (
        ("captions.csv", "\n\nimage,caption,split\n0.jpg,A dog .\n"),
        ("captions.txt", "\n\nimage\tcaption\n0.jpg\tA dog .\n"),
    ):
        corpora.write(tmp_path / name, content)
        found, _ = read("folder", tmp_path / name)
        assert {id: record.captions for id, (_, record) in found.items()} == {"0.jpg": ("A dog .",)}


def test_a_quoted_caption_may_span_lines(tmp_path):
    table(tmp_path, ['0.jpg,"A dog, and', 'a ""cat"", red ."', "1.jpg,Two dogs ."])
    found, _ = read("folder", tmp_path)
    assert found["0.jpg"][1].captions == ('A dog, and\na "cat", red .',)
    assert found["1.jpg"][1].captions == ("Two dogs .",)


NAMES = st.from_regex(r"[a-z]{1,5}\.(jpg|png)", fullmatch=True)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30
)
CORPUS = st.lists(st.tuples(NAMES, TEXTS), min_size=1, max_size=8)
MANY = settings(max_examples=150, deadline=None)


def written_as(delimiter):
    def write(rows):
        file = io.StringIO(newline="")
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["image", "caption"])
        writer.writerows(rows)
        return file.getvalue()

    return write


def as_json_lines(rows):
    return "".join(json.dumps({"image": image, "caption": text}) + "\n" for image, text in rows)


def as_json_list(rows):
    return json.dumps([{"image": image, "caption": text} for image, text in rows])


def as_coco(rows):
    ids = {image: number for number, (image, _) in enumerate(rows)}
    images = [{"id": number, "file_name": image} for image, number in ids.items()]
    notes = []
    for number, (image, text) in enumerate(rows):
        notes.append({"id": number, "image_id": ids[image], "caption": text})
    return json.dumps({"images": images, "annotations": notes}, ensure_ascii=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("written")


@pytest.mark.parametrize(
    "name, dataset, write",
    [
        ("captions.csv", "folder", written_as(",")),
        ("captions.csv", "folder", written_as(";")),
        ("captions.tsv", "folder", written_as("\t")),
        ("captions.jsonl", "folder", as_json_lines),
        ("captions.json", "json", as_json_list),
        ("captions.json", "coco", as_coco),
    ],
)
@MANY
@given(rows=CORPUS)
def test_what_a_standard_writer_wrote_comes_back(folder, name, dataset, write, rows):
    """Each text stays with its image. A csv that looks as if rows were joined is refused."""
    path = folder / name
    path.write_bytes(write(rows).encode())
    source = open_source(small_prepare(dataset=dataset, source=str(path)))
    names = {}
    found = []
    try:
        for partition in source.partitions():
            for item in source.list_items(partition):
                assert not item.fault
                if item.path:
                    names[item.id] = item.path.rsplit("/", 1)[-1]
                found += [(item.order, item.id, text) for text in item.captions]
    except UserError as error:
        assert "looks like a row" in str(error)
        joined = "\n".join(text for _, text in rows)
        assert re.search(r"\n[^\n]*\.(jpg|png)", joined)
        return
    assert [(names[id], text) for _, id, text in sorted(found)] == rows


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = ("id", "image_id", "file_name", "caption", "image", "split", "number", "conversations")
KARPATHY = ("filename", "split", "sentences", "cocoid", "filepath", "sentid")


@pytest.mark.parametrize(
    "dataset, name, keys, form",
    [
        ("folder", "a.jsonl", KEYS, lambda rows: "\n".join(map(json.dumps, rows))),
        ("json", "a.json", KEYS, json.dumps),
        ("coco", "a.json", KEYS, lambda rows: json.dumps({"images": rows, "annotations": rows})),
        ("karpathy", "a.json", KARPATHY, lambda rows: json.dumps({"images": rows})),
    ],
)
@MANY
@given(data=st.data())
def test_no_json_ends_in_a_traceback(folder, dataset, name, keys, form, data):
    """Whatever the values are, an element is an item, an item with a fault, or a `UserError`."""
    row = st.fixed_dictionaries({}, optional=dict.fromkeys(keys, ANY)) | ANY
    (folder / name).write_text(form(data.draw(st.lists(row, min_size=1, max_size=3))))
    try:
        source = open_source(small_prepare(dataset=dataset, source=str(folder / name)))
        items = merged(source)
    except UserError:
        return
    for item in items:
        assert isinstance(item.id, str)
        assert all(isinstance(caption, str) for caption in item.captions)


def test_equal_ids_of_coco_lose_no_caption(tmp_path):
    """Ids order captions and nothing else: all 0, or the image's, they lose none."""
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in range(3)]
    notes = []
    for n in range(3):
        corpora.write(tmp_path / "train2017" / f"{n}.jpg", corpora.picture(n))
        notes += [{"id": 0, "image_id": n, "caption": f"Dog {k} ."} for k in range(5)]
    notes.append({"id": 0, "image_id": 0, "caption": "Dog 3 ."})
    path = tmp_path / "annotations" / "captions_train2017.json"
    corpora.write(path, json.dumps({"images": images, "annotations": notes}))
    _, source = read("coco", tmp_path)
    items = merged(source)
    assert [len(item.captions) for item in items if not item.fault] == [5, 5, 5]
    assert [(item.fault, item.left_out) for item in items if item.fault] == [
        ("repeated caption: the same text once more", CAPTION)
    ]


HALF = "A dog \ud83d ."


def test_half_a_character_leaves_out_its_caption_alone():
    checked = check_captions(["A dog .", HALF, "A \udce9 ."], max_words=20)
    assert [text for text, _ in checked] == ["A dog .", None, None]
    assert r"half a character: \ud83d is one half" in checked[1][1]
    assert "not UTF-8: save the file as UTF-8" in checked[2][1]
    assert (encoding_fault("A 🐕 ."), printable(HALF)) == ("", r"A dog \ud83d .")


def test_half_a_character_in_a_results_file_is_named(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": 1, "caption": HALF}]))
    with pytest.raises(UserError, match=r"results.json: entry 1: half a character: .ud83d"):
        read_results(path)


def half_jsonl(folder):
    rows = [{"image": "0.jpg", "captions": ["A dog .", HALF]}, {"image": f"{HALF}.jpg"}]
    rows[1]["caption"] = "A cat ."
    corpora.write(folder / "captions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def half_coco(folder):
    notes = [{"id": n, "image_id": 0, "caption": text} for n, text in enumerate(["A dog .", HALF])]
    images = [{"id": 0, "file_name": "0.jpg"}, {"id": 1, "file_name": f"{HALF}.jpg"}]
    notes.append({"id": 2, "image_id": 1, "caption": "A cat ."})
    corpora.write(folder / "train.json", json.dumps({"images": images, "annotations": notes}))


def half_karpathy(folder):
    images = []
    for name, texts in (("0.jpg", ["A dog .", HALF]), (f"{HALF}.jpg", ["A cat ."])):
        sentences = [{"raw": text} for text in texts]
        images.append({"filename": name, "split": "train", "sentences": sentences})
    corpora.write(folder / "dataset_flickr8k.json", json.dumps({"images": images}))


@pytest.mark.parametrize("write", [half_jsonl, half_coco, half_karpathy])
def test_half_a_character_is_counted_with_its_reason(tmp_path, write):
    corpora.write(tmp_path / "0.jpg", corpora.picture(0))
    write(tmp_path)
    found = read_account(tmp_path)
    assert found.captions.as_dict() == {
        "read": 3,
        "kept": 1,
        "left_out": {account.WITH_PICTURE: 1, "caption half a character": 1},
    }
    assert found.pictures.as_dict() == {
        "read": 2,
        "kept": 1,
        "left_out": {"picture's name half a character": 1},
    }


def read_account(folder, **settings):
    """The account of reading a corpus."""
    config = small_prepare(dataset="auto", source=str(folder), **settings)
    work = folder.parent / f"{folder.name}_work"
    work.mkdir()
    options = beam_options([])
    source = open_source(config)
    example_gen.generate_examples(source, config, str(work), options)
    leaked, _ = leaks.find(str(work), options)
    return example_gen.account_of(str(work), leaked)


@pytest.mark.parametrize(
    "encode, message",
    [
        (lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"), "save it as UTF-8"),
        (lambda text: text.encode("utf-16-be"), "save it as UTF-8"),
        (lambda text: text.replace("\n", "\r").encode(), "CR alone; save it as UTF-8 with LF"),
    ],
)
@pytest.mark.parametrize("name", ["captions.csv", "captions.jsonl"])
def test_other_encodings_are_named(tmp_path, encode, message, name):
    text = as_json_lines(ROWS) if name.endswith("jsonl") else written_as(",")(ROWS)
    corpora.write(tmp_path / name, encode(text.replace("\r\n", "\n")))
    with pytest.raises(UserError, match=f"{name}: .*{message}"):
        read("folder", tmp_path)


def test_a_byte_order_mark_is_no_text(tmp_path):
    corpora.write(tmp_path / "0.jpg", corpora.picture(0))
    corpora.write(tmp_path / "captions.csv", codecs.BOM_UTF8 + b"image,caption\n0.jpg,A dog .\n")
    assert read("folder", tmp_path)[0]["0.jpg"][1].captions == ("A dog .",)


def test_kept_and_left_out_must_be_what_was_read():
    counts = {"pictures": 2, "captions": 3}
    sidecar = {"images": 1, "captions": {"a": 2}, "added": 0, "dropped": 0}
    missing = account.failure("b", "picture missing: b")
    sound = account.add_up(counts, [{**sidecar, "dropped": 1, "failures": [missing]}], {})
    sound.check_sum()
    assert str(sound) == (
        "pictures: 2 read, 1 kept, 1 left out (1 picture missing)\n"
        "captions: 3 read, 2 kept, 1 left out (1 its picture is left out)"
    )
    for short in ({"dropped": 1, "failures": []}, {"failures": [missing]}):
        with pytest.raises(UserError, match="does not add up"):
            account.add_up(counts, [{**sidecar, **short}], {}).check_sum()


def test_left_out_captions_are_bounded():
    counts = {"pictures": 1, "captions": 10}
    bad = account.failure("captions.csv:7", "malformed line: x", CAPTION, "x")
    sidecar = {"images": 1, "captions": {"a": 9}, "added": 0, "dropped": 0, "failures": [bad]}
    found = account.add_up(counts, [sidecar], {})
    found.check_limit("source", 0.1)
    with pytest.raises(UserError, match=r"1 of 10 captions .*; the first: captions.csv:7: malf"):
        found.check_limit("source", 0.09)


@MANY
@given(
    st.lists(
        st.builds(
            Item,
            id=st.just("a"),
            split=st.sampled_from(["", "train", "val"]),
            path=st.sampled_from(["", "x.jpg", "y.jpg"]),
            captions=st.sampled_from([(), ("A dog .",), ("A cat .",)]),
            order=st.tuples(st.integers(0, 1)),
            fault=st.sampled_from(["", "bad: this"]),
            left_out=st.just(CAPTION),
        ),
        min_size=1,
    ),
    st.booleans(),
)
def test_merging_loses_no_caption(parts, published):
    before = sum(len(part.captions) for part in parts)
    found = list(merge(parts, published))
    assert sum(len(item.captions) for item in found) == before
    pictures = [item for item in found if not item.fault or item.left_out == "picture"]
    assert len(pictures) == int(any(part.is_of_picture for part in parts))
