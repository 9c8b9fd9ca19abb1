from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.drawing import GAP_PX, Image
from agent.simulator.sheet import contact_sheet, main

PLACES = [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0)]


def tiles_of(sheet: Image) -> list[Image]:
    """The six pictures of 48 px on a sheet, five to a row."""
    step = 48 + GAP_PX
    corners = [(2 * GAP_PX + y * step, GAP_PX + x * step) for y, x in PLACES]
    return [sheet[top : top + 48, left : left + 48] for top, left in corners]


def test_a_real_picture_is_hidden_at_a_place_that_depends_on_the_seed() -> None:
    real = np.full((40, 40, 3), (255, 0, 255), np.uint8)
    places = set()
    for seed in range(6):
        sheet = contact_sheet(seed, count=5, size_px=48, real=real)
        tiles = [tile[10, 10].tolist() == [255, 0, 255] for tile in tiles_of(sheet)]
        assert sum(tiles) == 1
        places.add(tiles.index(True))
    assert len(places) > 1


def test_no_picture_of_a_sheet_is_told_by_its_outline() -> None:
    real = np.full((40, 40, 3), 255, np.uint8)  # without any edge of its own
    sheet = contact_sheet(1, count=5, size_px=48, real=real)
    bright = [tile.max(2) > 0 for tile in tiles_of(sheet)]
    assert all(tile.any() for tile in bright)
    beyond = np.hypot(*np.meshgrid(np.arange(48) - 24, np.arange(48) - 24)) > 24
    assert not any((tile & beyond).any() for tile in bright)


def test_the_script_writes_a_sheet(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert main([str(out), "--count", "3", "--size", "48", "--variety", "pale"]) == 0
    image = cv2.imread(str(out))
    assert image is not None
    assert image.any()


def test_the_script_names_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "sheet.png"), "--beside", str(tmp_path / "gone.png")])
    assert "gone.png" in capsys.readouterr().err
