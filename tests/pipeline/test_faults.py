"""A corpus with planted faults: each is counted by name, and the good examples stay unchanged."""

import collections
import json

import numpy as np
import pytest

from keras_sat.data.prepared import open_prepared
from keras_sat.data.reading import read_records
from keras_sat.pictures.decode import decode_image, decode_picture
from keras_sat.pictures.formats import decodable
from keras_sat.utils.errors import UserError
from pipeline.preparation import account, chain, example_gen, leaks, schema_gen
from pipeline.preparation.beam_runner import beam_options
from pipeline.preparation.merging import NO_CAPTION, REPEATED
from pipeline.preparation.prepare import prepare
from pipeline.sources.registry import open_source
from tests.support import corpora
from tests.support.corpora import digests
from tests.support.odd_pictures import ODD, encoded, huge_png
from tests.support.settings import small_prepare

# {file: (its content, why it is refused)}
BAD = {
    "truncated.jpg": (corpora.picture(120, (400, 300), quality=95)[:3000], "not decodable"),
    "zero.jpg": (b"", "empty file"),
    "text.jpg": (b"this is text, not a picture", "not a picture"),
    "huge.png": (huge_png(30_000, 30_000), "too many pixels"),
}
# Pictures that are stored as PNGs.
CONVERTED = {
    "photo.webp": encoded("RGB", "WEBP", seed=141),
    "scan.tif": encoded("CMYK", "TIFF", seed=142),
}
LONG = "word " * 10_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Flickr8k's layout with the faults: (folder, {id: split} of the good examples)."""
    folder = tmp_path_factory.mktemp("faulty")
    names = corpora.flickr8k(folder, train=20, val=6, test=6)
    good = {name: split for split, each in names.items() for name in each}
    bad = {name: content for name, (content, _) in BAD.items()}
    for name, content in (ODD | CONVERTED | bad).items():
        corpora.write(folder / "Flicker8k_Dataset" / name, content)
    # The picture of val0_a.jpg again, in training.
    corpora.write(folder / "Flicker8k_Dataset" / "copy.jpg", corpora.picture(20))
    good |= dict.fromkeys(ODD | CONVERTED, "train")
    every = [*ODD, *CONVERTED, *BAD, "copy.jpg", "nowhere.jpg", "silent.jpg"]
    corpora.write(folder / "Flicker8k_Dataset" / "silent.jpg", corpora.picture(130))
    lists = {"train": [*every, names["val"][1]], "dev": [], "test": []}
    for split, more in lists.items():
        with open(folder / f"Flickr_8k.{split}Images.txt", "a") as file:
            file.writelines(name + "\n" for name in more)
    tokens = corpora.tokens([name for name in every if name != "silent.jpg"]).encode()
    tokens += corpora.tokens(["unlisted.jpg"], captions=2).encode() + b"no tab here\n"
    for number, caption in enumerate([b"", b" . ", LONG.encode(), b"caf\xe9 in Latin 1 ."], 5):
        tokens += b"train0_a.jpg#%d\t%b\n" % (number, caption)
    tokens += b"train0_a.jpg#9\ttabs\tand\t\tspaces   between .\r\n"
    tokens += b"train1_a.jpg#0\tThe same number again .\n"
    with open(folder / "Flickr8k.token.txt", "ab") as file:
        file.write(tokens)
    return folder, good


EXPECTED = {
    "train": {
        "caption empty": 2,
        "caption too long": 1,
        "caption not UTF-8": 1,
        "no caption": 1,
        "picture missing": 1,
        "same id in two splits": 1,
        "same picture in two splits": 1,
        **collections.Counter(reason for _, reason in BAD.values()),
    },
    "unsplit": {"malformed line": 1, "in no split": 1},
}


def faulty(corpus, **changes):
    return small_prepare(dataset="flickr8k", source=str(corpus[0]), max_failures=0.3, **changes)


@pytest.fixture(scope="module")
def prepared(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "data"
    prepare(faulty(corpus, allow_anomalies=True), folder, ["--direct_num_workers=2"])
    return folder


def test_every_fault_is_named_with_its_count(prepared):
    statistics = json.loads((prepared / "statistics.json").read_text())
    assert statistics["failures"] == EXPECTED
    for split, reasons in EXPECTED.items():
        failures = [
            json.loads(line)
            for line in (prepared / f"failures-{split}.jsonl").read_text().splitlines()
        ]
        assert len(failures) == sum(reasons.values())
        assert all(
            failure["stage"] == "ExampleGen" and failure["id"] and failure["error"]
            for failure in failures
        )
    named = {failure["id"]: failure["error"] for failure in failures}
    assert "unlisted.jpg" in named


def test_good_examples_are_untouched(corpus, prepared):
    folder, good = corpus
    data = open_prepared(prepared)
    found = {}
    for split in ("train", "val", "test"):
        for record in read_records(data, split):
            found[record.source_id] = split
            content = (folder / "Flicker8k_Dataset" / record.source_id).read_bytes()
            assert record.encoded == decodable(content)
            assert (record.encoded == content) == (record.source_id not in CONVERTED)
            captions = [corpora.caption(record.source_id, number) for number in range(5)]
            if record.source_id == "train0_a.jpg":
                captions.append("tabs and spaces between .")
            if record.source_id == "train1_a.jpg":
                captions.insert(1, "The same number again .")
            assert list(record.captions) == captions
            assert (record.height, record.width) == decode_picture(record.encoded).shape[:2]
    assert found == good


def test_anomalies_stop_the_run_unless_allowed(corpus, prepared, tmp_path):
    with pytest.raises(
        UserError, match=r"4 anomalies .*same id in two splits 1, .*allow_anomalies=true"
    ):
        prepare(faulty(corpus), tmp_path / "data")
    assert not (tmp_path / "data").exists()
    anomalies = json.loads((tmp_path / ".data.partial" / "anomalies.json").read_text())
    assert {each["value"]: each["found"] for each in anomalies} == {
        "same picture in two splits": 1,
        "same id in two splits": 1,
        "picture missing": 1,
        "no caption": 1,
    }
    prepare(faulty(corpus, allow_anomalies=True), tmp_path / "data")
    assert digests(tmp_path / "data") == digests(prepared)


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--direct_num_workers=1"],
        ["--direct_running_mode=multi_processing", "--direct_num_workers=2"],
    ],
)
def test_any_workers_give_equal_bytes_failures_included(corpus, prepared, tmp_path, flags):
    prepare(faulty(corpus, allow_anomalies=True), tmp_path / "data", flags)
    assert (
        digests(tmp_path / "data") == digests(prepared)
        and len(list(prepared.glob("failures-*.jsonl"))) == 2
    )


def test_too_many_failures_stop_the_run(corpus, tmp_path):
    config = small_prepare(dataset="flickr8k", source=str(corpus[0]), max_failures=0.1)
    with pytest.raises(
        UserError,
        match=r"7 of 47 pictures are unusable.*1 too many pixels.*; the first: \S+: ",
    ):
        prepare(config, tmp_path / "data")


def test_a_reviewed_schema_decides(corpus, prepared, tmp_path):
    text = (prepared / "schema.yaml").read_text()
    for reason, count in (("two splits", 1), ("no caption", 1), ("picture missing", 1)):
        text = text.replace(f"{reason}: 0", f"{reason}: {count}")
    (tmp_path / "schema.yaml").write_text(text)
    prepare(faulty(corpus, schema=str(tmp_path / "schema.yaml")), tmp_path / "data")
    assert json.loads((tmp_path / "data" / "anomalies.json").read_text()) == []
    (tmp_path / "strict.yaml").write_text(
        "splits: {train: {words_a_caption: [1, 6], images: [1, 99]}}\nfailures: {}\n"
    )
    with pytest.raises(
        UserError,
        match=r"train: words_a_caption \[.*\], expected \[1, 6\]; val: split there, expected not",
    ):
        prepare(faulty(corpus, schema=str(tmp_path / "strict.yaml")), tmp_path / "other")


@pytest.mark.parametrize(
    "text, part",
    [
        ("splits: {}", "`splits` and `failures`"),
        ("splits: {train: {imges: [1, 2]}}\nfailures: {}", "splits.train.imges"),
        ("splits: {train: {images: 5}}\nfailures: {}", "least, most"),
        ("splits: {}\nfailures: {x: many}", "failures.x"),
    ],
)
def test_mistakes_in_a_schema_are_named(tmp_path, text, part):
    (tmp_path / "schema.yaml").write_text(text)
    with pytest.raises(UserError, match=part):
        schema_gen.load(tmp_path / "schema.yaml")


def own(folder, lines, pictures=4, file="captions.csv"):
    """Writes pictures 0.jpg, … with these captions; returns the settings that prepare them."""
    for seed in range(pictures):
        corpora.write(folder / f"{seed}.jpg", corpora.picture(seed))
    corpora.write(folder / file, "".join(line + "\n" for line in lines))
    return {
        "dataset": "folder",
        "source": str(folder),
        "shares": {"val": 0.0, "test": 0.0},
        "chunk_images": 1,
    }


@pytest.mark.parametrize(
    "limit, message",
    [(0.05, "1 of 4 .*1 picture missing"), (0.5, "1 anomalies .*picture missing 1")],
)
def test_repaired_pictures_are_read_again(tmp_path, monkeypatch, limit, message):
    config = small_prepare(
        **own(tmp_path / "in", ["image,caption", *(f"{n}.jpg,A dog ." for n in range(4))]),
        max_failures=limit,
    )
    picture = tmp_path / "in" / "2.jpg"
    content = picture.read_bytes()
    picture.unlink()
    with pytest.raises(UserError, match=message):
        prepare(config, tmp_path / "data")
    chunks = (tmp_path / ".data.partial" / "examples").glob("*.json")
    before = {
        chunk: chunk.stat().st_mtime_ns
        for chunk in chunks
        if json.loads(chunk.read_text())["images"]
    }
    picture.write_bytes(content)
    after = {}
    read = chain._read

    def noting(*args):
        found = read(*args)
        after.update({chunk: chunk.stat().st_mtime_ns for chunk in before})
        return found

    monkeypatch.setattr(chain, "_read", noting)
    prepare(config, tmp_path / "data")
    assert after == before, "what was good is not read again"
    assert open_prepared(tmp_path / "data").images("train") == 4


def test_a_repaired_leak_is_no_longer_counted(tmp_path):
    lines = [
        "image,caption,split",
        *(f"{n}.jpg,A dog .,{'val' if n == 3 else 'train'}" for n in range(4)),
    ]
    config = small_prepare(**own(tmp_path / "in", lines), max_failures=0.5)
    corpora.write(tmp_path / "in" / "3.jpg", corpora.picture(0))
    with pytest.raises(UserError, match="same picture in two splits 1"):
        prepare(config, tmp_path / "data")
    corpora.write(tmp_path / "in" / "3.jpg", corpora.picture(3))
    prepare(config, tmp_path / "data")
    assert open_prepared(tmp_path / "data").images("train") == 3


def test_a_leak_changes_no_chunk_however_often_it_is_looked_for(tmp_path):
    """A worker's task may run twice: the second time must find what the first did."""
    lines = ["image,caption,split", "0.jpg,A dog .,train", "1.jpg,A cat .,val", "2.jpg,Up .,train"]
    settings = own(tmp_path / "in", lines, pictures=3)
    corpora.write(tmp_path / "in" / "1.jpg", corpora.picture(0))
    config = small_prepare(**settings, max_failures=0.5)
    folder = tmp_path / "examples"
    folder.mkdir()
    options = beam_options([])
    example_gen.generate_examples(open_source(config), config, str(folder), options)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    first, _ = leaks.find(str(folder), options)
    assert leaks.find(str(folder), options)[0] == first == leaks.known(str(folder))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    (leak,) = [leak for found in first.values() for leak in found]
    assert (leak.id, leak.captions) == ("0.jpg", 1)
    found = example_gen.account_of(str(folder), first)
    assert found.pictures.as_dict() == {"read": 3, "kept": 2, "left_out": {leaks.LEAK: 1}}
    assert found.captions.as_dict() == {
        "read": 3,
        "kept": 2,
        "left_out": {account.WITH_PICTURE: 1},
    }


def test_what_a_folder_of_your_own_should_not_have_is_an_anomaly(tmp_path):
    """A picture without a row, equal pictures in a split, a repeated row: each is named."""
    lines = [*(f"{n}.jpg,A dog ." for n in range(4)), "0.jpg,A dog .", "0.jpg,A cat ."]
    settings = own(tmp_path / "in", ["image,caption", *lines], pictures=5)
    corpora.write(tmp_path / "in" / "3.jpg", corpora.picture(2))
    with pytest.raises(UserError, match="3 anomalies") as error:
        prepare(small_prepare(**settings, max_failures=0.5), tmp_path / "data")
    for reason in (NO_CAPTION, leaks.EQUAL, REPEATED):
        assert f"{reason} 1, expected [0, 0]" in str(error.value)
    config = small_prepare(**settings, max_failures=0.5, allow_anomalies=True)
    prepare(config, tmp_path / "data")
    data = open_prepared(tmp_path / "data")
    assert data.statistics["account"] == {
        "pictures": {"read": 5, "kept": 4, "left_out": {NO_CAPTION: 1}},
        "captions": {"read": 6, "kept": 5, "left_out": {REPEATED: 1}},
    }
    assert data.images("train") == 4


def test_malformed_lines_count(tmp_path):
    lines = [
        "image,caption,split",
        "0.jpg,A dog,a cat,train",
        '1.jpg,"A dog, a cat",TRAIN ',
        "2.jpg,A dog,exam",
    ]
    with pytest.raises(
        UserError,
        match=r"3 of 4 pictures are unusable.*3 no caption.*; the first: [023].jpg: no caption",
    ):
        prepare(small_prepare(**own(tmp_path / "in", lines)), tmp_path / "data")
    with pytest.raises(
        UserError, match=r"no image found.*malformed line.*4 cells in 3 columns.*needs quotes"
    ):
        prepare(small_prepare(**own(tmp_path / "all", lines[:2], pictures=0)), tmp_path / "other")


# (a line of captions.jsonl, why it is refused)
ROWS = [
    ({"image": "0\0.jpg", "caption": "A dog ."}, "not readable: a NUL character"),
    ({"image": "0.jpg", "caption": "A dog .", "split": ["train"]}, "unknown split"),
    ({"image": "0.jpg", "captions": []}, "malformed line"),
    ({"image": "0.jpg", "captions": [None, 5]}, "malformed line"),
]


@pytest.mark.parametrize("row, reason", ROWS)
def test_a_bad_row_is_a_failure(tmp_path, row, reason):
    lines = [
        json.dumps(row),
        *(json.dumps({"image": f"{n}.jpg", "caption": "A dog ."}) for n in range(1, 4)),
    ]
    prepare(
        small_prepare(
            **own(tmp_path / "in", lines, file="captions.jsonl"),
            max_failures=0.5,
            allow_anomalies=True,
        ),
        tmp_path / "data",
    )
    failures = [path.read_text() for path in (tmp_path / "data").glob("failures-*.jsonl")]
    errors = [json.loads(line)["error"] for line in "".join(failures).splitlines()]
    assert any(error.startswith(reason) for error in errors), errors
    assert open_prepared(tmp_path / "data").images("train") == 3


def test_pictures_may_be_stored_smaller(tmp_path):
    sizes = {"wide.jpg": (300, 200), "tall.png": (150, 400), "small.jpg": (100, 140)}
    for seed, (name, size) in enumerate(sizes.items()):
        corpora.write(
            tmp_path / "in" / name,
            corpora.picture(seed, size, "PNG" if name.endswith("png") else "JPEG"),
        )
    corpora.write(tmp_path / "in" / "captions.txt", "".join(f"{name}\tA dog .\n" for name in sizes))
    config = {
        "dataset": "folder",
        "source": str(tmp_path / "in"),
        "shares": {"val": 0.0, "test": 0.0},
    }
    with pytest.raises(UserError, match="picture_size: 100 is less than the 128 pixels"):
        prepare(small_prepare(**config, picture_size=100), tmp_path / "out")
    crop = {"weights": "none", "resize": "crop"}
    larger = {"method": "edgeboxes", "image_size": 192}
    for size, changes in (
        (146, {"encoder": crop}),
        (191, {"proposals": larger}),
        (219, {"encoder": crop, "proposals": larger}),
    ):
        with pytest.raises(
            UserError, match=f"picture_size: {size} is less than the {size + 1} pixels"
        ):
            prepare(small_prepare(**config, **changes, picture_size=size), tmp_path / "out")
    with pytest.raises(UserError, match="picture_size: 127 is less than the 128 pixels"):
        prepare(
            small_prepare(**config, proposals={**larger, "image_size": 96}, picture_size=127),
            tmp_path / "out",
        )
    for name in ("out", "again"):
        prepare(small_prepare(**config, picture_size=140), tmp_path / name)
    assert digests(tmp_path / "out") == digests(tmp_path / "again")
    found = {r.source_id: r for r in read_records(open_prepared(tmp_path / "out"), "train")}
    assert {name: (r.width, r.height) for name, r in found.items()} == {
        "wide.jpg": (210, 140),
        "tall.png": (140, 373),
        "small.jpg": (100, 140),
    }
    for name, record in found.items():
        before = decode_image((tmp_path / "in" / name).read_bytes(), 128).numpy().astype(int)
        assert np.abs(decode_image(record.encoded, 128).numpy() - before).mean() < 3
        assert decode_picture(record.encoded).shape[:2] == (record.height, record.width)
