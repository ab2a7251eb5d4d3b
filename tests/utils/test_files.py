import pytest

from keras_sat.utils.files import atomic, write_text


def test_whole_or_not_at_all(tmp_path):
    write_text(tmp_path / "new folder" / "file", "first")
    for make in (lambda path: path.write_text("half"), lambda path: path.mkdir()):
        with pytest.raises(RuntimeError), atomic(tmp_path / "new folder" / "file") as temporary:
            make(temporary)
            raise RuntimeError
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["file"]
    assert (tmp_path / "new folder" / "file").read_text() == "first"
