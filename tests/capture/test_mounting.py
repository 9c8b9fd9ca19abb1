"""A camera that is mounted askew: its picture, its field of view, its lanes, its angles."""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent import config
from agent.capture.mounting import Mounting
from agent.capture.source import Picture, SourceInfo
from agent.models.loading import load_model
from agent.records import Frame
from agent.segmentation.segmenter import Segmenter
from agent.simulator.render import Renderer
from tests.capture.conftest import Capture
from tests.capture.support import camera, noise
from tests.support import wait_until

MOUNTINGS = list(product((0, 90, 180, 270), ("none", "horizontal", "vertical")))


def turned(pixels: np.ndarray, rotate: int, mirror: str) -> np.ndarray:
    """By numpy alone: clockwise, then the mirror."""
    pixels = np.rot90(pixels, -rotate // 90)
    return {"none": pixels, "horizontal": pixels[:, ::-1], "vertical": pixels[::-1]}[mirror]


@pytest.mark.parametrize(("rotate", "mirror"), MOUNTINGS)
def test_picture_and_field_of_view_are_turned_alike(rotate: int, mirror: str) -> None:
    image, aperture = noise(1, 20, 30), noise(2, 20, 30)[:, :, 0] > 90
    mounting = Mounting(camera(rotate=rotate, mirror=mirror))
    picture = mounting.apply(Picture(image, aperture, 5, 6.0, truth={"a": 1}))
    assert np.array_equal(picture.image, turned(image, rotate, mirror))
    assert picture.aperture is not None
    assert picture.aperture.dtype == np.bool_
    assert np.array_equal(picture.aperture, turned(aperture, rotate, mirror))
    assert (picture.captured_utc_ms, picture.captured_mono) == (5, 6.0)
    height, width = picture.image.shape[:2]
    assert mounting.size(SourceInfo(30, 20, 5.0, True)) == (width, height)


def test_an_upright_camera_costs_nothing() -> None:
    picture = Picture(noise(1), None, 5, 6.0)
    assert Mounting(camera()).apply(picture) is picture


def test_the_angle_turns_with_the_picture_as_geometry_says() -> None:
    """What the shipped model reads of one fruit, however the camera hangs."""
    fruit = Renderer(256).fruit(3, masked=False)
    frames = []
    for rotate, mirror in MOUNTINGS:
        mounting = Mounting(camera(rotate=rotate, mirror=mirror))
        seen = mounting.apply(Picture(fruit.image, fruit.aperture, 0, 0.0))
        frames.append(Frame("cam1", "f", 1, 0, 0.0, seen.image, seen.aperture))
    segmenter = Segmenter(load_model(config.Model()), config.Segmentation(), {}, time.monotonic)
    angles = [found.reading.angle_deg for found in segmenter.segment(frames)]
    for (rotate, mirror), angle in zip(MOUNTINGS, angles, strict=True):
        expected = fruit.truth.angle_deg - rotate
        expected = expected if mirror == "none" else -expected
        off = (angle - expected + 90) % 180 - 90
        assert abs(off) < 5, (rotate, mirror, angle, expected)


def test_lanes_are_cut_from_the_turned_picture(capture: Capture, tmp_path: Path) -> None:
    image = noise(7, 40, 100)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    lanes = (
        {"name": "upper", "region": (0, 0, 40, 50)},
        {"name": "lower", "region": (0, 50, 40, 50)},
    )
    run = capture(camera(str(tmp_path), rotate=90, lanes=lanes))
    run.wait_for_frames(1, "upper")
    wait_until(lambda: run.count("lower") >= 1)
    frames = {frame.lane: frame.image for frame in list(run.frames)}
    seen = turned(image, 90, "none")
    assert np.array_equal(frames["upper"], seen[:50])
    assert np.array_equal(frames["lower"], seen[50:])
    assert (run.system.statuses()[0].width_px, run.system.statuses()[0].height_px) == (100, 40)


def test_a_region_that_leaves_the_turned_picture_fails_for_good(
    capture: Capture, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), noise(7, 40, 100))
    run = capture(
        camera(str(tmp_path), rotate=270, lanes=({"name": "a", "region": (0, 0, 50, 40)},))
    )
    run.wait_for("failed", "permanent")
    assert "not within the picture of 40 x 100" in run.system.statuses()[0].detail
