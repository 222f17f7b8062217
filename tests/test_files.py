import errno

import pytest

from translora.errors import StorageError
from translora.io.files import atomic_file, atomic_folder, sha256, write_json, write_lines, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "one").write_text("1")
    with atomic_folder(path) as temporary:
        (temporary / "two").write_text("2")
    assert [p.name for p in path.iterdir()] == ["two"]
    with pytest.raises(RuntimeError), atomic_folder(path) as temporary:
        (temporary / "three").write_text("3")
        raise RuntimeError
    assert [p.name for p in path.iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_full_disk_is_told_whoever_found_it(tmp_path):
    for error in (OSError(errno.ENOSPC, "No space left on device"), Exception("No space left on device (os error 28)")):
        with (
            pytest.raises(StorageError, match="free some space, then start the same command again"),
            atomic_folder(tmp_path / "folder"),
        ):
            raise error
    with pytest.raises(Exception, match="something else"), atomic_folder(tmp_path / "folder"):
        raise Exception("something else")
    assert not list(tmp_path.iterdir())


def test_lines_and_json_end_with_a_newline(tmp_path):
    write_lines(tmp_path / "lines", ["ä", ""])
    write_json(tmp_path / "new" / "value.json", {"ä": 1})
    assert (tmp_path / "lines").read_bytes() == "ä\n\n".encode()
    assert (tmp_path / "new" / "value.json").read_text(encoding="utf-8") == '{\n  "ä": 1\n}\n'


def test_hashes_depend_on_where_parts_end():
    assert sha256("ab", "c") != sha256("a", "bc")
    assert sha256("ab") == sha256(b"ab")
