"""Folders, video files and devices as cameras, read in this process."""

from __future__ import annotations

import os
import pickle
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.capture.source import (
    EndOfSource,
    Picture,
    PictureError,
    Place,
    Source,
    SourceError,
    SourceSession,
)
from agent.capture.sources import folder, v4l2, video
from agent.capture.sources.pace import Pacer
from tests.capture.support import camera, noise, write_coded_video, write_pictures, write_video
from tests.picture_files.support import pillow


def next_picture(source: Source) -> Picture:
    picture = source.read()
    assert picture is not None
    return picture


# --- pace ----------------------------------------------------------------------------------------


class FakeTime:
    def __init__(self) -> None:
        self.now = 50.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_pictures_come_on_the_beat_without_drift() -> None:
    time_ = FakeTime()
    pacer = Pacer(4.0, time_.clock, time_.sleep)
    moments = []
    for _ in range(9):
        assert pacer.wait()
        moments.append(time_.now)
        time_.now += 0.1  # decoding
    assert moments == pytest.approx([50.0 + 0.25 * n for n in range(9)])


def test_after_a_delay_the_beat_starts_anew_and_nothing_comes_in_a_burst() -> None:
    time_ = FakeTime()
    pacer = Pacer(4.0, time_.clock, time_.sleep)
    pacer.wait()
    time_.now += 10
    moments = []
    for _ in range(3):
        assert pacer.wait()
        moments.append(time_.now)
    assert moments == pytest.approx([60.0, 60.25, 60.5])


def test_a_slow_beat_shows_that_the_source_is_not_stuck() -> None:
    time_ = FakeTime()
    pacer = Pacer(0.25, time_.clock, time_.sleep)
    assert [pacer.wait() for _ in range(6)] == [True, False, False, False, True, False]


# --- a folder ------------------------------------------------------------------------------------


def test_a_folder_is_read_by_name_and_starts_over(tmp_path: Path) -> None:
    images = write_pictures(tmp_path, 3)
    source = folder.FolderSource(camera(str(tmp_path), fps=1000))
    info = source.open()
    assert (info.width_px, info.height_px, info.fps, info.live) == (64, 48, 1000, False)
    for turn in range(2):
        for image in images:
            picture = next_picture(source)
            assert np.array_equal(picture.image, image), turn
            assert abs(picture.captured_mono - time.monotonic()) < 5
            assert abs(picture.captured_utc_ms / 1000 - time.time()) < 5


def test_the_rate_of_a_folder_is_that_of_the_machine_unless_configured(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    assert folder.FolderSource(camera(str(tmp_path), fps=None)).open().fps == 280 / 60


def test_played_once_a_folder_ends(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    source = folder.FolderSource(camera(f"{tmp_path}?loop=0", fps=1000))
    source.open()
    next_picture(source)
    next_picture(source)
    with pytest.raises(EndOfSource):
        source.read()


def test_new_pictures_are_found_at_the_next_turn(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    source = folder.FolderSource(camera(str(tmp_path), fps=1000))
    source.open()
    next_picture(source)
    images = write_pictures(tmp_path, 2)
    next_picture(source)
    assert np.array_equal(next_picture(source).image, images[1])


def test_a_corrupt_picture_costs_one_picture_and_is_named(tmp_path: Path) -> None:
    images = write_pictures(tmp_path, 3)
    (tmp_path / "000.png").write_bytes(b"this is no picture")
    source = folder.FolderSource(camera(f"{tmp_path}?loop=0", fps=1000))
    assert source.open().width_px == 64
    with pytest.raises(PictureError, match=r"corrupt: 000\.png"):
        source.read()
    assert np.array_equal(next_picture(source).image, images[1])


def test_a_picture_that_vanishes_after_the_listing_costs_itself(tmp_path: Path) -> None:
    images = write_pictures(tmp_path, 3)
    source = folder.FolderSource(camera(f"{tmp_path}?loop=0", fps=1000))
    source.open()
    (tmp_path / "001.png").unlink()
    next_picture(source)
    with pytest.raises(PictureError, match="No such file"):
        source.read()
    assert np.array_equal(next_picture(source).image, images[2])


def test_a_folder_without_one_readable_picture_is_an_error_that_may_mend(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"no_readable_picture.*a\.png") as caught:
        folder.FolderSource(camera(str(tmp_path))).open()
    assert not caught.value.permanent


def test_a_folder_that_is_emptied_is_away_and_not_a_row_of_broken_files(tmp_path: Path) -> None:
    write_pictures(tmp_path, 5)
    source = folder.FolderSource(camera(f"{tmp_path}?loop=0", fps=1000))
    source.open()
    next_picture(source)
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(SourceError, match="empty_folder") as caught:
        source.read()
    assert not caught.value.permanent


@pytest.mark.parametrize("loop", [0, 1])
def test_the_next_session_goes_on_behind_the_last_picture(tmp_path: Path, loop: int) -> None:
    images = write_pictures(tmp_path, 4)
    told: list[Place] = []
    first = folder.FolderSource(camera(f"{tmp_path}?loop={loop}", fps=1000))
    first.resume(SourceSession(report=told.append))
    first.open()
    for image in images[:2]:
        assert np.array_equal(next_picture(first).image, image)
    first.read()  # handed out, and the session ends before it can say so
    assert told[-2:] == [Place("001.png", "002.png"), Place("001.png")]
    second = folder.FolderSource(camera(f"{tmp_path}?loop={loop}", fps=1000))
    second.resume(SourceSession(told[-1], told.append))
    second.open()
    for image in images[2:]:
        assert np.array_equal(next_picture(second).image, image)
    if loop:
        assert np.array_equal(next_picture(second).image, images[0])
    else:
        with pytest.raises(EndOfSource):
            second.read()


def test_the_next_session_that_finds_nothing_behind_starts_over_or_ends(tmp_path: Path) -> None:
    images = write_pictures(tmp_path, 2)
    again = folder.FolderSource(camera(str(tmp_path), fps=1000))
    again.resume(SourceSession(Place("zzz.png")))
    again.open()
    assert np.array_equal(next_picture(again).image, images[0])
    once = folder.FolderSource(camera(f"{tmp_path}?loop=0", fps=1000))
    once.resume(SourceSession(Place("zzz.png")))
    with pytest.raises(EndOfSource):
        once.open()


def test_what_must_be_known_of_a_picture_that_is_used_comes_with_it(tmp_path: Path) -> None:
    pages = [np.full((48, 64, 3), grey, np.uint8) for grey in (40, 90)]
    (tmp_path / "000.tif").write_bytes(pillow(pages[0], "TIFF", more=pages[1:]))
    deep = np.full((48, 64, 3), 4095, np.uint16)
    for number in range(1, 8):
        cv2.imwrite(str(tmp_path / f"{number:03d}.png"), deep)
    source = folder.FolderSource(camera(f"{tmp_path}?loop=0", fps=1000))
    source.open()
    remarks = [dict(next_picture(source).remarks) for _ in range(8)]
    assert remarks[0] == {"further_pages": "000.tif: the first of 2 pictures is read"}
    assert [number for number, each in enumerate(remarks) if each] == [0, 5]
    assert "use 12 of 16 bits" in remarks[5]["top_bits_unused"]


def test_a_declared_depth_that_is_used_to_the_top_is_not_remarked(tmp_path: Path) -> None:
    for number in range(7):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64), 2100, np.uint16))
    source = folder.FolderSource(camera(str(tmp_path), fps=1000, bit_depth=12))
    source.open()
    pictures = [next_picture(source) for _ in range(7)]
    assert pictures[0].image.max() == 2100 >> 4
    assert not any(picture.remarks for picture in pictures)


def test_names_of_any_bytes_are_read_and_shown_on_one_line(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    odd = os.fsencode(tmp_path) + b"/0\xff\n.png"
    with open(odd, "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(b"")
    told: list[Place] = []
    source = folder.FolderSource(camera(f"{tmp_path}?loop=0", fps=1000))
    source.resume(SourceSession(report=told.append))
    source.open()
    next_picture(source)
    with pytest.raises(PictureError, match=r"corrupt: 0\\udcff\\n\.png: the file is empty"):
        source.read()
    assert pickle.loads(pickle.dumps(told)) == told


def test_many_pictures_are_listed_without_a_look_at_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path, 1)
    for number in range(1, 2000):
        (tmp_path / f"{number:05d}.png").touch()
    looked: list[object] = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda *path, **how: looked.append(path) or stat(*path, **how))
    source = folder.FolderSource(camera(str(tmp_path), fps=1000))
    source.open()
    assert next_picture(source).image.shape == (48, 64, 3)
    assert len(looked) < 20


def test_a_configured_size_is_the_size_of_every_picture(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    rgba = noise(9, 96, 128, 4)
    rgba[:, :, 3] = 0
    rgba[20:80, 20:70, 3] = 255
    cv2.imwrite(str(tmp_path / "other.png"), rgba)
    source = folder.FolderSource(camera(str(tmp_path), fps=1000, width_px=32, height_px=24))
    assert source.open().width_px == 32
    first, second = next_picture(source), next_picture(source)
    assert first.image.shape == second.image.shape == (24, 32, 3)
    assert second.aperture is not None
    assert second.aperture.shape == (24, 32)


def test_a_picture_is_never_stretched_to_the_configured_size(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    cv2.imwrite(str(tmp_path / "other.png"), noise(9, 100, 90))
    source = folder.FolderSource(camera(str(tmp_path), fps=1000, width_px=32, height_px=24))
    source.open()
    next_picture(source)
    with pytest.raises(PictureError, match=r"other\.png: 90 x 100 cannot become 32 x 24"):
        source.read()


def test_a_configured_size_of_another_shape_is_an_error_that_names_both(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    with pytest.raises(SourceError, match="64 x 48 cannot become 32 x 32 without being stretched"):
        folder.FolderSource(camera(str(tmp_path), width_px=32, height_px=32)).open()


# --- a video file --------------------------------------------------------------------------------


def grey(picture: Picture) -> int:
    return round(float(picture.image.mean()) / 10)


def test_a_video_is_read_in_order_and_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    write_video(path, 4)
    source = video.VideoSource(camera(str(path), fps=500))
    info = source.open()
    assert (info.width_px, info.height_px, info.fps, info.live) == (64, 48, 500, False)
    assert [grey(next_picture(source)) for _ in range(9)] == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    source.close()


def test_a_video_has_its_own_rate_unless_configured(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    write_video(path, 2, fps=12.5)
    assert video.VideoSource(camera(str(path), fps=None)).open().fps == 12.5


def test_played_once_a_video_ends(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    write_video(path, 2)
    source = video.VideoSource(camera(f"{path}?loop=0", fps=500))
    source.open()
    next_picture(source)
    next_picture(source)
    with pytest.raises(EndOfSource):
        source.read()


def grainy(picture: Picture) -> int:
    return round((float(picture.image.mean()) - 30) / 6)


def test_a_video_that_is_cut_is_played_as_far_as_it_goes_and_told_of(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    write_coded_video(path, [(64, 48)] * 30)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    source = video.VideoSource(camera(f"{path}?loop=0", fps=500))
    source.open()
    numbers: list[int] = []
    error = None
    while error is None:
        try:
            numbers.append(grainy(next_picture(source)))
        except PictureError as raised:
            error = raised
    assert error.reason == "truncated"
    assert "prematurely" in error.detail
    assert numbers == list(range(len(numbers)))
    assert 10 <= len(numbers) < 25
    with pytest.raises(EndOfSource):
        source.read()


def test_a_video_that_is_hit_in_its_middle_loses_what_the_decoder_complains_of(
    tmp_path: Path,
) -> None:
    path = tmp_path / "v.mkv"
    write_coded_video(path, [(64, 48)] * 30)
    data = bytearray(path.read_bytes())
    hit = len(data) * 7 // 10
    data[hit : hit + 400] = bytes(400)
    path.write_bytes(data)
    source = video.VideoSource(camera(f"{path}?loop=0", fps=500))
    source.open()
    numbers: list[int] = []
    errors: list[PictureError] = []
    while True:
        try:
            numbers.append(grainy(next_picture(source)))
        except PictureError as error:
            errors.append(error)
        except EndOfSource:
            break
    assert errors
    assert "corrupt" in {error.reason for error in errors}
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 30


def test_a_video_whose_pixels_are_not_square_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    write_coded_video(path, [(64, 48)] * 3, pixel_aspect=Fraction(16, 15))
    source = video.VideoSource(camera(str(path), fps=500))
    source.open()
    assert next_picture(source).remarks == {
        "pixels_not_square": "they are 1.067 times as wide as high: angles are off"
    }
    write_coded_video(path, [(64, 48)] * 3)
    source = video.VideoSource(camera(str(path), fps=500))
    source.open()
    assert next_picture(source).remarks == {}


def test_a_video_is_never_stretched_to_the_configured_size(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    write_video(path, 2)
    with pytest.raises(SourceError, match="64 x 48 cannot become 48 x 48") as caught:
        video.VideoSource(camera(str(path), width_px=48, height_px=48)).open()
    assert caught.value.permanent
    source = video.VideoSource(camera(str(path), fps=500, width_px=128, height_px=96))
    assert source.open().width_px == 128
    assert next_picture(source).image.shape == (96, 128, 3)


@pytest.mark.parametrize("asked", [{}, {"width_px": 64, "height_px": 48}])
def test_a_video_that_changes_its_size_is_never_stretched(
    tmp_path: Path, asked: dict[str, int]
) -> None:
    path = tmp_path / "v.mjpeg"
    write_coded_video(path, [(64, 48)] * 5 + [(48, 48)] * 5)
    source = video.VideoSource(camera(str(path), fps=500, **asked))
    source.open()
    for _ in range(5):
        next_picture(source)
    with pytest.raises(SourceError, match=r"size_changed.* 48 x 48 now and were 64 x 48") as caught:
        source.read()
    assert not caught.value.permanent


def test_a_video_of_two_sizes_of_one_shape_is_resized_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    path = tmp_path / "v.mjpeg"
    write_coded_video(path, [(64, 48)] * 3 + [(128, 96)] * 3)
    source = video.VideoSource(camera(f"{path}?loop=0", fps=500, width_px=64, height_px=48))
    source.open()
    assert {next_picture(source).image.shape for _ in range(6)} == {(48, 64, 3)}


def test_a_file_that_is_no_video_is_a_permanent_error(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_text("no video")
    with pytest.raises(SourceError, match="not_a_video") as caught:
        video.VideoSource(camera(str(path))).open()
    assert caught.value.permanent


# --- devices -------------------------------------------------------------------------------------


def test_a_device_that_is_absent_is_an_error_that_may_mend(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="absent") as caught:
        v4l2.V4l2Source(camera(f"v4l2://{tmp_path}/video7")).open()
    assert not caught.value.permanent


def test_a_path_that_is_no_device_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.write_text("no device")
    with pytest.raises(SourceError, match="open_failed"):
        v4l2.V4l2Source(camera(f"v4l2://{path}")).open()
