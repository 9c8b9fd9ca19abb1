"""A new folder takes its place whole, or says before the work why it cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.labelling.errors import LabellingError
from agent.labelling.place import new_folder


def test_a_link_to_an_empty_folder_stays_a_link_and_what_is_written_was_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    synced: list[str] = []
    sync = os.fsync

    def noted(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    with new_folder(tmp_path / "link") as folder:
        (folder / "images").mkdir()
        (folder / "images" / "a.png").write_bytes(b"a")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "images" / "a.png").read_bytes() == b"a"
    assert synced == ["a.png", "images", folder.name, tmp_path.name]


def test_a_mount_point_and_the_current_folder_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LabellingError, match="is where you are"), new_folder(Path()):
        pytest.fail("the work was begun")
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda _: True)
    with pytest.raises(LabellingError, match="a mount point"), new_folder(tmp_path / "disk"):
        pytest.fail("the work was begun")
    assert [one.name for one in tmp_path.iterdir()] == ["disk"]


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(LabellingError, match=r"link: "), new_folder(tmp_path / "link"):
        pytest.fail("the work was begun")
