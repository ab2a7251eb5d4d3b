import argparse
import json
from types import SimpleNamespace

import pytest

from keras_sat.cli.evaluations import evaluate_side_by_side
from keras_sat.data.reading import read_records
from keras_sat.evaluation.evaluate import check_split
from keras_sat.evaluation.report import described
from keras_sat.evaluation.results_file import read_results, write_results
from keras_sat.utils.errors import UserError


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "captions.json"
    for captions in (
        {"a.jpg": "a dog", "17": 'a "quoted" <b> cat é'},
        {"9": "a dog", "000": "a cat"},
        {"42": "x", "7": "y"},
    ):
        write_results(path, captions)
        assert read_results(path) == captions


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    path = tmp_path / "captions.json"
    path.write_text('[{"image_id": 3, "caption": "café"}]', encoding="utf-8-sig")
    assert read_results(path) == {"3": "café"}


def test_ids_that_are_numbers_are_numbers_as_cocos_tools_want_them(tmp_path):
    write_results(tmp_path / "coco.json", {"42": "a dog", "7": "a cat"})
    written = json.loads((tmp_path / "coco.json").read_text())
    assert [each["image_id"] for each in written] == [42, 7]


@pytest.mark.parametrize(
    "content, part",
    [
        (None, "cannot be read"),
        ("not json", "not JSON"),
        ("\ufeff[", "not JSON"),
        ("[]", "holds no captions"),
        ('{"annotations": []}', "found dict"),
        ('[{"image_id": 3, "caption": "x"}, {"image_id": 4}]', "entry 2"),
        ('[{"image_id": 3, "caption": ["x"]}]', "entry 1"),
        ('["a dog"]', "entry 1"),
        (
            '[{"image_id": 3, "caption": "x"}, {"image_id": "3", "caption": "y"}]',
            "image 3 has two captions",
        ),
    ],
)
def test_files_that_are_no_results(content, part, tmp_path):
    path = tmp_path / "captions.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=rf"captions\.json: .*{part}"):
        read_results(path)


def test_the_message_names_the_split_of_a_strange_image(data):
    known = {"test-000000", "test-000001"}
    check_split("file.json", {"test-000001": "x"}, data, "test", known)
    with pytest.raises(
        UserError, match=r"file\.json: image val-000003 is not in the split test.*--split val"
    ):
        check_split("file.json", {"test-000001": "x", "val-000003": "y"}, data, "test", known)
    with pytest.raises(UserError, match="no split of it has this image"):
        check_split("file.json", {"other.jpg": "x"}, data, "test", known)


def test_captions_of_a_part_of_the_split_say_so(data, tmp_path):
    args = argparse.Namespace(data=data.folder, split="test", gallery=False, output=None)
    records = list(read_records(data, "test"))
    every = {record.source_id: record.captions[0] for record in records}
    part = dict(list(every.items())[:2])

    evaluations, text, _ = evaluate_side_by_side([], {"whole.json": every}, args, ["bleu"])
    assert "covers" not in text
    evaluations, text, _ = evaluate_side_by_side([], {"part.json": part}, args, ["bleu"])
    assert f"part.json covers 2 of the split's {len(every)} images" in text
    assert described(evaluations["part.json"])["split_images"] == len(every)

    args.output = tmp_path
    evaluate_side_by_side([], {"a.json": part, "b.json": part}, args, ["bleu"])
    assert "b.json covers 2 of" in (tmp_path / "table.md").read_text(encoding="utf-8")

    run = SimpleNamespace(folder=tmp_path / "never captions")
    with pytest.raises(UserError, match=rf"part\.json: covers 2 of the {len(every)} images"):
        evaluate_side_by_side([run], {"part.json": part}, args, ["bleu"])
