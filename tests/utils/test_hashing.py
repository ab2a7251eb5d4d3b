import subprocess

import pytest

from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import SUMS, check_sum, damage, read_sums, sha256_file, write_sums


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "é x").write_text("text")
    (tmp_path / "empty").touch()
    write_sums(tmp_path)
    return tmp_path


def test_what_is_written_reads_back_here_and_with_the_standard_tool(folder):
    sums = read_sums(folder)
    assert sums == {name: sha256_file(folder / name) for name in ("empty", "sub/é x")}
    assert all(damage(folder, name, expected) is None for name, expected in sums.items())
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=folder, check=True)


def test_changed_and_lost_files_are_named(folder):
    check_sum(folder, "empty", "…")
    (folder / "empty").write_text("no more")
    with pytest.raises(UserError, match=r"empty: has changed since it was written .*; do this"):
        check_sum(folder, "empty", "do this")
    (folder / "empty").unlink()
    with pytest.raises(UserError, match="empty: the file is missing"):
        check_sum(folder, "empty", "do this")
    check_sum(folder, "not listed", "do this")


@pytest.mark.parametrize("line", ["", "0" * 64, "0" * 64 + "  ../x", "0" * 64 + "  /x", "x  y"])
def test_a_line_that_is_no_hash_is_named(folder, line):
    (folder / SUMS).write_text(f"{'0' * 64}  x\n{line}\n")
    with pytest.raises(UserError, match=rf"{SUMS}:2: "):
        read_sums(folder)


def test_reading_ends_when_it_is_stopped(tmp_path):
    (tmp_path / "large").write_bytes(bytes(5 << 20))
    (tmp_path / "block").write_bytes(bytes(1 << 20))
    assert sha256_file(tmp_path / "large", lambda: True) == sha256_file(tmp_path / "block")
