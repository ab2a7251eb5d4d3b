"""A captions file cannot put other files than the corpus' own into a data set."""

import os
import threading

import pytest

from keras_sat.utils.errors import UserError
from pipeline.sources.paths import open_file
from pipeline.sources.registry import open_source
from tests.support import corpora
from tests.support.reading import merged
from tests.support.settings import small_prepare


@pytest.fixture
def places(tmp_path):
    """(a corpus' folder, the path of a picture outside of it)."""
    outside = tmp_path / "private" / "secret.jpg"
    corpora.write(outside, corpora.picture(1))
    corpus = tmp_path / "corpus"
    corpora.write(corpus / "own.jpg", corpora.picture(2))
    return corpus, outside


def read(corpus, name, **settings):
    """The bytes of the picture that a captions file names."""
    corpora.write(corpus / "captions.csv", f"image,caption\n{name},A dog .\n")
    source = open_source(small_prepare(dataset="folder", source=str(corpus), **settings))
    (item,) = [item for item in merged(source) if item.captions]
    return source.load(item).encoded


@pytest.mark.parametrize("way", ["dots", "absolute", "link", "linked folder"])
def test_paths_stay_inside_unless_allowed(places, way):
    corpus, outside = places
    name = {"dots": "../private/secret.jpg", "absolute": str(outside)}.get(way, "link.jpg")
    if way == "link":
        (corpus / name).symlink_to(outside)
    elif way == "linked folder":
        (corpus / "linked").symlink_to(outside.parent)
        name = "linked/secret.jpg"
    with pytest.raises(UserError, match=r"^outside the source: .*--allow-outside: .*secret.jpg"):
        read(corpus, name)
    assert read(corpus, name, allow_outside=True) == corpora.picture(1)
    assert read(corpus, name, images=str(outside.parent)) == corpora.picture(1)


def test_a_root_may_be_a_link_and_paths_inside_may_be_absolute(places, tmp_path):
    corpus, _ = places
    (tmp_path / "linked").symlink_to(corpus)
    (corpus / "inner.jpg").symlink_to(corpus / "own.jpg")
    for name in ("own.jpg", str(corpus / "own.jpg"), "inner.jpg"):
        assert read(tmp_path / "linked", name) == corpora.picture(2)


def test_a_folder_whose_name_only_begins_alike_is_outside(places):
    corpus, _ = places
    corpora.write(corpus.with_name("corpus2") / "x.jpg", corpora.picture(3))
    with pytest.raises(UserError, match="outside the source"):
        read(corpus, "../corpus2/x.jpg")


def test_the_captions_file_itself_stays_inside(places, tmp_path):
    corpus, _ = places
    corpora.write(tmp_path / "captions.csv", "image,caption\nown.jpg,A dog .\n")
    (corpus / "captions.csv").symlink_to(tmp_path / "captions.csv")
    config = {"dataset": "folder", "source": str(corpus)}
    with pytest.raises(UserError, match="outside the source"):
        open_source(small_prepare(**config))
    open_source(small_prepare(**config, allow_outside=True))


def test_pipes_and_devices_are_refused_at_once(places):
    corpus, _ = places
    os.mkfifo(corpus / "pipe.jpg")
    refused = []

    def try_both():
        for name in ("pipe.jpg", "/dev/zero"):
            try:
                read(corpus, name, allow_outside=True)
            except UserError as error:
                refused.append(str(error))

    thread = threading.Thread(target=try_both, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits"
    assert [error.partition(":")[0] for error in refused] == ["not a regular file"] * 2


def test_a_captions_file_that_is_a_pipe_is_refused(places):
    corpus, _ = places
    os.mkfifo(corpus / "captions.csv")
    with pytest.raises(UserError, match=r"not a regular file: .*captions.csv"):
        open_source(small_prepare(dataset="folder", source=str(corpus)))
    with pytest.raises(UserError, match="not a regular file: /dev/zero"):
        open_file("/dev/zero")


def test_large_files_are_refused(places):
    corpus, _ = places
    corpora.write(corpus / "large.jpg", b"x" * (1 << 20))
    assert len(read(corpus, "large.jpg", max_megabytes=1)) == 1 << 20
    corpora.write(corpus / "large.jpg", b"x" * ((1 << 20) + 1))
    with pytest.raises(UserError, match=r"^file too large: .*max_megabytes \(1\)"):
        read(corpus, "large.jpg", max_megabytes=1)


def test_an_endless_line_is_no_caption(places, monkeypatch):
    corpus, _ = places
    monkeypatch.setattr("pipeline.sources.text._LONGEST", 1000)
    with pytest.raises(UserError, match=r"captions.csv: line 2 has more than"):
        read(corpus, "own.jpg," + "x" * 2000)
