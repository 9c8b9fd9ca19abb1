"""Source strings, and what can be known wrong before the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.capture.check import check_regions, check_source, differences
from agent.capture.source import SourceError, SourceInfo
from agent.capture.sources.v4l2 import device_path
from agent.capture.urls import OPENERS, opener_of, parse
from tests.capture.support import camera, write_pictures, write_video

SCHEMES = ", ".join(sorted({*OPENERS, "file", "sim"} - {"folder", "watch", "video"}))
"""What an unknown scheme is told that there are, as in ``file, rtsp, rtsps, sim, v4l2``."""


@pytest.mark.parametrize(
    ("source", "location", "loops"),
    [
        ("/data/peaches", "/data/peaches", True),
        ("peaches", "peaches", True),
        ("file:///data/my%20peaches?loop=0", "/data/my peaches", False),
        ("file:/data/peaches?loop=1", "/data/peaches", True),
        ("peaches.mp4?loop=0", "peaches.mp4", False),
        ("peaches?loop=False", "peaches", False),
        ("peaches?watch=off", "peaches", True),
    ],
)
def test_files_are_named_by_path_or_url(source: str, location: str, loops: bool) -> None:
    url = parse(source)
    assert (url.scheme, url.location, url.loops) == ("file", location, loops)


def test_a_question_mark_in_a_real_name_is_no_option(tmp_path: Path) -> None:
    folder = tmp_path / "what?loop=0"
    folder.mkdir()
    assert parse(str(folder)).location == str(folder)


@pytest.mark.parametrize(
    ("source", "device"),
    [
        ("v4l2:0", "/dev/video0"),
        ("v4l2:///dev/video3", "/dev/video3"),
        ("v4l2:/dev/v4l/by-id/cam", "/dev/v4l/by-id/cam"),
    ],
)
def test_devices_are_named_by_number_or_path(source: str, device: str) -> None:
    assert parse(source).scheme == "v4l2"
    assert device_path(source) == device


def test_a_scheme_of_the_wiring_is_found_and_wins() -> None:
    assert opener_of("sim:", {"sim": "a.b:c"}) == "a.b:c"
    assert opener_of("rtsp://host/1", {"rtsp": "my.own:opener"}) == "my.own:opener"
    assert opener_of("RTSP://host/1", {}) == "agent.capture.sources.rtsp:RtspSource"


@pytest.mark.parametrize(
    ("source", "reason", "part"),
    [
        ("gopher://user:secret@host/1", "unknown_scheme", SCHEMES),
        ("file://host/data", "bad_url", "file:///path"),
        ("file:", "bad_url", "empty"),
        ("peaches?lop=0", "bad_url", "lop"),
        ("peaches?watch=1&after=burn", "bad_url", "keep, move, delete"),
        ("peaches?after=move", "bad_url", "without watch=1"),
        ("peaches?watch=1&loop=0", "bad_url", "beside watch=1"),
        ("peaches?watch=maybe", "bad_url", "watch=maybe: allowed are 1 and 0"),
        ("peaches?loop=-1", "bad_url", "loop=-1: allowed are 1 and 0"),
        (f"{__file__}?watch=1", "bad_url", "is for a folder"),
    ],
)
def test_a_source_that_cannot_be_right_is_a_permanent_error(
    source: str, reason: str, part: str
) -> None:
    with pytest.raises(SourceError) as caught:
        check_source(camera(source))
    assert caught.value.reason == reason
    assert caught.value.permanent
    assert part in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_an_error_that_may_mend(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"not_found: .*/nothing.MP4 does not exist") as caught:
        check_source(camera(str(tmp_path / "nothing.MP4")))
    assert not caught.value.permanent


def test_a_folder_that_is_away_or_empty_is_waited_for_and_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"unfinished")
    assert check_source(camera(str(tmp_path))) == (
        f"{tmp_path} holds no picture (.png, .jpg, .jpeg, .bmp, .tif, .tiff, .webp)"
    )
    away = tmp_path / "share"
    assert check_source(camera(str(away))) == f"{away}: No such file or directory"


def test_a_folder_of_links_in_a_circle_holds_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    (tmp_path / "c.png").symlink_to(tmp_path)
    assert "holds no picture" in check_source(camera(str(tmp_path)))
    (tmp_path / "circle").symlink_to("circle")
    assert "circle: " in check_source(camera(str(tmp_path / "circle")))


def test_good_sources_pass(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 1)
    write_video(tmp_path / "video.avi", 2)
    for source in (f"{tmp_path}/pictures", f"{tmp_path}/video.avi", "rtsp://away/1", "v4l2:9"):
        assert check_source(camera(source)) == ""
    check_source(camera("sim:?anything"))


@pytest.mark.parametrize("region", [(49, 0, 16, 16), (0, 33, 16, 16), (0, 0, 65, 16)])
def test_a_region_that_leaves_the_picture_names_its_lane(
    region: tuple[int, int, int, int],
) -> None:
    lanes = ({"name": "left", "region": (0, 17, 16, 16)}, {"name": "right", "region": region})
    with pytest.raises(SourceError, match="lane 'right'") as caught:
        check_regions(camera(lanes=lanes), 64, 48)
    assert caught.value.permanent
    check_regions(camera(lanes=lanes), 65, 49)


@pytest.mark.parametrize(
    ("asked", "given", "found"),
    [
        ({}, (640, 480, 25.0), {}),
        ({"width_px": 640, "height_px": 480, "fps": 25}, (640, 480, 25.0), {}),
        ({"fps": 25}, (640, 480, 0.0), {}),  # unknown
        ({"fps": 30}, (640, 480, 29.97), {}),
        ({"fps": 30}, (640, 480, 15.0), {"fps": (30, 15.0)}),
        (
            {"width_px": 1280, "height_px": 960},
            (1920, 1080, 25.0),
            {"width_px": (1280, 1920), "height_px": (960, 1080)},
        ),
    ],
)
def test_what_a_camera_gives_otherwise_than_requested_is_found(
    asked: dict[str, float],
    given: tuple[int, int, float],
    found: dict[str, tuple[float, float]],
) -> None:
    info = SourceInfo(*given, live=True)
    assert differences(camera(**{"fps": None, **asked}), info) == found
