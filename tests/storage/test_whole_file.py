"""A file that appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.storage.whole_file import whole_file


def test_a_file_appears_when_all_of_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "made"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path: Path, error: BaseException) -> None:
    with whole_file(path) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), RuntimeError(), KeyboardInterrupt()]
)
def test_whatever_interrupts_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "made"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_where_nothing_can_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "made.part").mkdir()
    with pytest.raises(IsADirectoryError), whole_file(tmp_path / "made") as file:
        file.write(b"never")
    assert not (tmp_path / "made").exists()
