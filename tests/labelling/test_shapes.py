"""Polygons and run lengths against decoders of their own, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.labelling.cvat import read_cvat
from agent.labelling.errors import LabellingError
from agent.labelling.runs import counts_of, mask_of, pack_brush, unpack_brush, unpack_counts
from agent.labelling.shapes import ellipse_mask, polygon_mask, polygons


@pytest.mark.parametrize("seed", range(12))
def test_polygons_of_a_mask_cover_each_of_its_pixels_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 30, 2)) < rng.random()
    covered = np.zeros(mask.shape, int)
    for ring in polygons(mask):
        covered += polygon_mask([(float(x), float(y)) for x, y in ring], *mask.shape)
    assert np.array_equal(covered, mask)


@pytest.mark.parametrize("seed", range(6))
def test_run_lengths_and_brushes_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 40, 2)) < rng.random()
    assert np.array_equal(mask_of(counts_of(mask.ravel()), mask.size), mask.ravel())
    assert np.array_equal(unpack_brush(pack_brush(mask), *mask.shape), mask)


def test_a_long_run_is_cut_and_comes_back() -> None:
    mask = np.zeros((300, 300), np.bool_)
    mask[150:] = True
    assert np.array_equal(unpack_brush(pack_brush(mask), 300, 300), mask)


def test_a_mask_that_begins_inside_has_an_empty_first_run() -> None:
    assert counts_of(np.array([True, True, False])) == [0, 2, 1]


def test_compressed_run_lengths_are_read_as_pycocotools_writes_them() -> None:
    assert unpack_counts("52207") == [5, 2, 2, 2, 9]
    with pytest.raises(ValueError, match="compressed mask"):
        unpack_counts("5220p")


def test_the_square_of_a_polygon_is_its_area_and_no_pixel_more() -> None:
    mask = polygon_mask([(1, 1), (3, 1), (3, 3), (1, 3)], 6, 6)
    assert np.argwhere(mask).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_an_ellipse_turns_clockwise() -> None:
    mask = ellipse_mask((10, 10), (8, 2), 90, (20, 20))
    assert mask[3, 10]
    assert not mask[10, 3]


@pytest.mark.parametrize(
    "wrong", [[(0, 0), (1, 1)], [(0, 0), (1, float("nan")), (2, 2)], [(0, 0)] * 300_000]
)
def test_a_polygon_that_is_none_is_refused(wrong: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match=r"a polygon of|no number"):
        polygon_mask(wrong, 4, 4)


@pytest.mark.parametrize("counts", [[3, 2], [-1, 17], [1.5, 14.5], [10**9, 10**9], ["a"], []])
def test_run_lengths_that_do_not_fill_the_picture_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        mask_of(counts, 16)


@pytest.mark.parametrize("data", [[], [255] * 8, [0, 0, 0, 64, 56, 36, 7, 128], ["a"], [300]])
def test_a_brush_that_is_cut_off_or_of_another_size_is_refused(data: list[int]) -> None:
    with pytest.raises(ValueError, match="a brush"):
        unpack_brush(data, 4, 4)


@pytest.mark.parametrize("data", [1 << 40, "0" * 8, [True] * 8, [0, 0, 0, 64] + [0] * 500, None])
def test_a_brush_that_is_no_list_of_bytes_or_too_long_is_refused_unmade(data: object) -> None:
    with pytest.raises(ValueError, match="a brush"):
        unpack_brush(data, 4, 4)


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE a [<!ENTITY b 'c'>]><annotations/>",
        "<annotations",
        "<annotations><track/></annotations>",
        "<?xml version='1.0' encoding='nonesuch'?><annotations/>",
        "<\0a\0/\0>\0",
    ],
)
def test_xml_that_is_none_of_cvat_is_refused_with_its_file(text: str) -> None:
    with pytest.raises(LabellingError, match=r"a\.xml: "):
        read_cvat(text.encode(), Path("a.xml"))
