"""``explain`` and ``study`` take what ``run`` takes of a folder, by the same decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.ablation.core.errors import AblationError
from agent.capture.source import PictureError
from agent.capture.sources.folder import FolderSource
from agent.reports.sources import file_shot, folder_shots
from tests.capture.support import camera, noise
from tests.picture_files.support import encode, pillow, tiff

DEEP = (noise(1).astype(np.uint16) << 4) + 15
FILES: dict[str, tuple[bytes, int | None]] = {
    "plain.png": (encode(".png", noise(1)), None),
    "sixteen bits.png": (encode(".png", DEEP), None),
    "twelve of sixteen.png": (encode(".png", DEEP), 12),
    "turned.jpg": (pillow(noise(1), "JPEG", orientation=6), None),
    "turned.webp": (pillow(noise(1), "WEBP", orientation=3), None),
    "white is zero.tif": (tiff(DEEP[:, :, 0], photometric=0), None),
    "inks.jpeg": (pillow(noise(1), "JPEG", mode="CMYK"), None),
    "pages.tiff": (pillow(noise(1), "TIFF", more=[noise(2)]), None),
    "alpha.png": (encode(".png", noise(3, channels=4)), None),
    "empty.png": (b"", None),
    "cut.jpg": (encode(".jpg", noise(1))[:-30], None),
    "damaged.png": (encode(".png", noise(1))[:200] + b"x" + encode(".png", noise(1))[201:], None),
    "too deep.png": (encode(".png", DEEP), 10),
    "no picture.bmp": (b"BM and then nothing", None),
}


@pytest.mark.parametrize("name", FILES)
def test_a_picture_is_read_or_refused_as_run_does_it(tmp_path: Path, name: str) -> None:
    data, bit_depth = FILES[name]
    (tmp_path / name).write_bytes(data)
    source = FolderSource(camera(str(tmp_path), fps=1000, bit_depth=bit_depth))
    read = source._load(name)
    shot = file_shot(tmp_path / name, None, bit_depth)
    if isinstance(read, PictureError):
        with pytest.raises(AblationError) as caught:
            shot.read()
        assert str(caught.value) == f"{tmp_path}/{read.detail}"
        return
    found = shot.read()[0]
    assert np.array_equal(found[:, :, :3], read.image)
    if read.aperture is not None:
        assert np.array_equal(found[:, :, 3] == 255, read.aperture)


def test_a_folder_is_listed_as_run_lists_it(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt", "a_mask.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "folder.png").mkdir()
    assert [shot.name for shot in folder_shots(tmp_path)] == ["a", "b"]


def test_pictures_that_differ_in_their_suffix_alone_have_names_of_their_own(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png", "a_mask.png"):
        (tmp_path / name).write_bytes(encode(".png", noise(1)))
    shots = folder_shots(tmp_path)
    assert [shot.name for shot in shots] == ["a.jpg", "a.png", "b"]
    assert [shot.read()[1] is not None for shot in shots] == [True, True, False]
    (tmp_path / "a.png.png").write_bytes(encode(".png", noise(1)))
    assert [shot.name for shot in folder_shots(tmp_path)] == [
        "a.jpg", "a.png", "a.png.png", "b.png",
    ]  # fmt: skip


def test_two_masks_of_one_picture_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a_mask.png", "a_mask.jpg"):
        (tmp_path / name).write_bytes(encode(".png", noise(1)))
    with pytest.raises(AblationError, match=r"two masks of one picture: a_mask\.jpg, a_mask\.png"):
        folder_shots(tmp_path)
