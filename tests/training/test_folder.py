from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.simulator.render import Renderer
from agent.training.errors import TrainingError
from agent.training.folder import (
    FolderSamples,
    Pair,
    check_pairs,
    decode_mask,
    find_pairs,
    split_pairs,
)
from tests.picture_files.support import pillow

COLOURS = np.array([[0, 0, 0], [255, 255, 255], [20, 220, 76]], np.uint8)


def write_pair(folder: Path, name: str, seed: int = 0) -> None:
    """A rendered fruit in the layout picture + colour mask with anti-aliased edges."""
    render = Renderer(64).fruit(seed)
    cv2.imwrite(str(folder / f"{name}.png"), render.image)
    soft = cv2.GaussianBlur(COLOURS[render.mask], (3, 3), 0.6)
    cv2.imwrite(str(folder / f"{name}_mask.png"), soft)


def test_pictures_and_colour_masks_side_by_side_are_read_back(tmp_path: Path) -> None:
    write_pair(tmp_path, "peach_001", seed=3)
    (pair,) = find_pairs(tmp_path)
    sample = pair.load()
    truth = Renderer(64).fruit(3)
    assert pair.name == "peach_001"
    assert np.array_equal(sample.image, truth.image)
    assert (sample.mask == truth.mask).mean() > 0.97
    assert (sample.aperture == truth.aperture).mean() > 0.99, "black corners: a round view"


def test_label_maps_in_folders_of_their_own_are_read(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    render = Renderer(64).fruit(1)
    cv2.imwrite(str(tmp_path / "images" / "a.jpg"), render.image)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), render.mask)
    (pair,) = find_pairs(tmp_path)
    assert np.array_equal(pair.load().mask, render.mask)


def test_alpha_is_the_field_of_view(tmp_path: Path) -> None:
    render = Renderer(64).fruit(1)
    alpha = np.zeros((64, 64), np.uint8)
    alpha[10:50, 10:50] = 255
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([render.image, alpha]))
    cv2.imwrite(str(tmp_path / "a_mask.png"), COLOURS[render.mask])
    sample = find_pairs(tmp_path)[0].load()
    assert sample.aperture.sum() == 1600
    assert not sample.mask[~sample.aperture].any()


def test_a_picture_that_is_stored_sideways_is_learnt_upright(tmp_path: Path) -> None:
    render = Renderer(64).fruit(3)
    stored = np.ascontiguousarray(np.rot90(render.image, 1))
    (tmp_path / "a.png").write_bytes(pillow(stored, "PNG", orientation=6))
    cv2.imwrite(str(tmp_path / "a_mask.png"), render.mask)
    (pair,) = find_pairs(tmp_path)
    assert np.array_equal(pair.load().image, render.image)


def test_all_pictures_without_mask_and_masks_without_picture_are_named(tmp_path: Path) -> None:
    write_pair(tmp_path, "good")
    write_pair(tmp_path, "alone")
    write_pair(tmp_path, "bare")
    (tmp_path / "alone_mask.png").unlink()
    (tmp_path / "bare.png").unlink()
    with pytest.raises(TrainingError) as caught:
        find_pairs(tmp_path)
    assert "alone.png: has no mask" in str(caught.value)
    assert "bare_mask.png: has no picture" in str(caught.value)
    assert "good" not in str(caught.value)


def test_every_unusable_pair_is_named_at_once(tmp_path: Path) -> None:
    for name in ("fine", "small", "empty", "colour", "broken", "classes"):
        write_pair(tmp_path, name)
    blank = np.zeros((64, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "small_mask.png"), np.full((32, 32, 3), 255, np.uint8))
    cv2.imwrite(str(tmp_path / "empty_mask.png"), blank)
    cv2.imwrite(str(tmp_path / "colour_mask.png"), blank + np.array([0, 0, 255], np.uint8))
    cv2.imwrite(str(tmp_path / "classes_mask.png"), np.full((64, 64), 7, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(TrainingError) as caught:
        check_pairs(find_pairs(tmp_path))
    text = str(caught.value)
    assert "small_mask.png: 32x32 px, but its picture is 64x64" in text
    assert "empty_mask.png: an empty mask" in text
    assert "colour_mask.png" in text
    assert "white (suture)" in text
    assert "classes_mask.png: class 7 is outside the table" in text
    assert "broken.png: cannot be read" in text
    assert "fine" not in text


def test_a_missing_or_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no such folder"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(TrainingError, match="no pictures"):
        find_pairs(tmp_path)


def test_half_lit_edges_go_to_the_nearer_class() -> None:
    row = np.array([[[0, 0, 0], [100, 100, 100], [200, 200, 200], [20, 220, 76]]], np.uint8)
    assert decode_mask(row, "x").tolist() == [[0, 0, 1, 2]]


def test_held_out_pictures_stay_held_out_when_others_are_added() -> None:
    def pairs(count: int) -> tuple[Pair, ...]:
        return tuple(Pair(f"p{i}", Path(f"p{i}.png"), Path(f"p{i}_mask.png")) for i in range(count))

    kept, held = split_pairs(pairs(100))
    assert not set(kept) & set(held)
    assert len(kept) + len(held) == 100
    assert 8 <= len(held) <= 35
    more_kept, more_held = split_pairs(pairs(150))
    assert set(held) <= set(more_held)
    assert set(kept) <= set(more_kept)


def test_samples_of_a_folder_are_the_same_for_the_same_index(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", 1)
    write_pair(tmp_path, "b", 2)
    samples = FolderSamples(find_pairs(tmp_path))
    chosen = [samples.sample(i).image for i in range(12)]
    again = [samples.sample(i).image for i in range(12)]
    assert all(np.array_equal(x, y) for x, y in zip(chosen, again, strict=True))
    assert len({image.tobytes() for image in chosen}) == 2
