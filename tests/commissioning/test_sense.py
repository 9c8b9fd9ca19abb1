"""One fruit turned by hand says whether angles have the right sign."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from agent import cli
from agent.commissioning.errors import CommissioningError
from agent.commissioning.line import Wanted, frames_of
from agent.commissioning.sense import (
    Reader,
    Rest,
    Turn,
    axial,
    check_files,
    check_live,
    judge,
    remedy,
)
from agent.config import Camera, Config, Lane
from agent.models.loaded import LoadedModel
from agent.models.loading import load_model
from agent.records import Frame
from agent.simulator.render import Look, Renderer

SIDE = 192
FOLDER = "file:///pictures"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(Config().model, "cpu")


def fruit(turned_deg: float = 0.0, seed: int = 4) -> np.ndarray:
    """One fruit, turned counter-clockwise as seen."""
    image = Renderer(SIDE).fruit(seed, Look("golden", faint=0.0)).image
    centre = ((SIDE - 1) / 2, (SIDE - 1) / 2)
    return cv2.warpAffine(image, cv2.getRotationMatrix2D(centre, turned_deg, 1.0), (SIDE, SIDE))


def written(folder: Path, *images: np.ndarray) -> list[Path]:
    paths = [folder / f"{index}.png" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image)
    return paths


def reader(model: LoadedModel, **camera: object) -> Reader:
    given = {"name": "cam1", "source": FOLDER, "round_aperture": True} | camera
    return Reader(Config(), Camera(**given), model)


# --- what two angles say -------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0.0, 10.0, 100.0, 179.0])
@pytest.mark.parametrize("by", [-75.0, -30.0, 15.0, 45.0, 75.0])
def test_the_sense_is_told_over_the_fold_at_180(before: float, by: float) -> None:
    for off in (-10.0, 0.0, 10.0):
        assert not judge("cam1", before, (before + by + off) % 180.0, by).mirrored
        found = judge("cam1", before, (before - by + off) % 180.0, by)
        assert found.mirrored
        assert axial(found.turned_deg - (off - by)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("by", [0.0, 10.0, 80.0, 90.0, -90.0, 180.0, 330.0])
def test_a_turn_that_tells_nothing_is_refused_before_anything_is_read(by: float) -> None:
    with pytest.raises(CommissioningError, match="tells nothing"):
        Turn(by)


@pytest.mark.parametrize("by", [float("nan"), float("inf")])
def test_a_turn_by_no_number_is_refused(by: float) -> None:
    with pytest.raises(CommissioningError):
        Turn(by)


def test_a_turn_by_another_angle_is_neither_sense() -> None:
    with pytest.raises(CommissioningError, match="neither by 20 nor by -20"):
        judge("cam1", 10.0, 80.0, 20.0)


# --- two pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [30.0, -45.0])
def test_a_fruit_that_was_turned_is_found_to_have_turned_the_same_way(
    model: LoadedModel, tmp_path: Path, by: float
) -> None:
    before, after = written(tmp_path, fruit(), fruit(by + 5.0))
    found = check_files(reader(model), before, after, Turn(by))
    assert not found.mirrored
    assert found.turned_deg == pytest.approx(by + 5.0, abs=3.0)


@pytest.mark.parametrize("flip", [0, 1], ids=["vertical", "horizontal"])
def test_a_mirrored_picture_is_told_with_the_key_that_mends_it(
    model: LoadedModel, tmp_path: Path, flip: int
) -> None:
    images = [np.ascontiguousarray(cv2.flip(fruit(by), flip)) for by in (0.0, 30.0)]
    before, after = written(tmp_path, *images)
    wrong = Camera(name="cam1", source=FOLDER, round_aperture=True, cutting_line_deg=30.0)
    found = check_files(Reader(Config(), wrong, model), before, after, Turn(30.0))
    assert found.mirrored
    assert "set mirror: horizontal (it is none) for camera cam1" in remedy(wrong, found)
    assert "cutting_line_deg: 150 (it is 30)" in remedy(wrong, found)
    mended = reader(model, mirror="horizontal", cutting_line_deg=150.0)
    assert not check_files(mended, before, after, Turn(30.0)).mirrored


def test_a_mirror_too_many_is_taken_away(model: LoadedModel, tmp_path: Path) -> None:
    before, after = written(tmp_path, fruit(), fruit(30.0))
    camera = Camera(name="cam1", source=FOLDER, round_aperture=True, mirror="vertical")
    found = check_files(Reader(Config(), camera, model), before, after, Turn(30.0))
    assert "set mirror: none (it is vertical)" in remedy(camera, found)


def test_a_turned_camera_keeps_the_sense(model: LoadedModel, tmp_path: Path) -> None:
    before, after = written(tmp_path, fruit(), fruit(30.0))
    found = check_files(reader(model, rotate=90), before, after, Turn(30.0))
    assert not found.mirrored


def test_pictures_that_show_no_turn_are_told_apart(model: LoadedModel, tmp_path: Path) -> None:
    still, same, other = written(tmp_path, fruit(), fruit(), fruit(3.0))
    cup = Renderer(SIDE).empty_cup(3).image
    empty = tmp_path / "cup.png"
    cv2.imwrite(str(empty), cup)
    readers = reader(model)
    with pytest.raises(CommissioningError, match="show the same"):
        check_files(readers, still, still, Turn(30.0))
    with pytest.raises(CommissioningError, match="show the same"):
        check_files(readers, still, same, Turn(30.0))
    with pytest.raises(CommissioningError, match="no fruit was turned"):
        check_files(readers, still, other, Turn(30.0))
    with pytest.raises(CommissioningError, match=r"cup.png: no angle is read on cam1 \(empty\)"):
        check_files(readers, still, empty, Turn(30.0))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(CommissioningError, match=r"broken\.png"):
        check_files(readers, broken, still, Turn(30.0))
    with pytest.raises(CommissioningError, match="cannot be read"):
        check_files(readers, still, tmp_path / "none.png", Turn(30.0))


def test_of_two_lanes_it_is_the_one_that_turned(model: LoadedModel, tmp_path: Path) -> None:
    lanes = tuple(
        Lane(name=name, region=(index * SIDE, 0, SIDE, SIDE))
        for index, name in enumerate(("left", "right"))
    )
    first = np.hstack([fruit(), fruit(seed=5)])
    one = np.hstack([fruit(), fruit(30.0, seed=5)])
    both = np.hstack([fruit(30.0), fruit(30.0, seed=5)])
    before, after, double, small = written(tmp_path, first, one, both, fruit())
    two = reader(model, lanes=lanes)
    assert check_files(two, before, after, Turn(30.0)).lane == "right"
    with pytest.raises(CommissioningError, match=r"turned on left, right: .*--lane"):
        check_files(two, before, double, Turn(30.0))
    assert check_files(two, before, double, Turn(30.0, "left")).lane == "left"
    with pytest.raises(CommissioningError, match="unknown lane 'middle'; there are left, right"):
        check_files(two, before, after, Turn(30.0, "middle"))
    with pytest.raises(CommissioningError, match="192 x 192 px, and the region of right"):
        check_files(two, before, small, Turn(30.0))
    found = check_files(two, before, after, Turn(-30.0))
    assert "regions" in remedy(two_lane_camera(lanes), found)


def two_lane_camera(lanes: tuple[Lane, ...]) -> Camera:
    return Camera(name="cam1", source=FOLDER, round_aperture=True, lanes=lanes)


# --- before the camera ---------------------------------------------------------------------------


def shown(*seconds: tuple[float, np.ndarray | None]) -> Iterator[Frame | None]:
    """Five pictures a second; None: none came."""
    index = 0
    for length, image in seconds:
        for _ in range(round(length * 5)):
            index += 1
            if image is None:
                yield None
            else:
                yield Frame("cam1", f"f{index}", index, 0, index / 5, image, None)


def test_a_fruit_is_watched_while_it_is_turned(model: LoadedModel) -> None:
    said: list[str] = []
    hand = Renderer(SIDE).empty_cup(3).image
    frames = shown((1.4, fruit()), (0.6, hand), (0.4, None), (1.4, fruit(28.0)))
    found = check_live(reader(model), frames, Turn(30.0), said.append, lambda: False)
    assert not found.mirrored
    assert found.turned_deg == pytest.approx(28.0, abs=3.0)
    assert [words.partition(" ")[0] for words in said] == ["lay", "it"]


def test_watching_ends_with_what_was_missing(model: LoadedModel) -> None:
    def watched(*seconds: tuple[float, np.ndarray | None], **more: object) -> str:
        with pytest.raises(CommissioningError) as caught:
            check_live(
                reader(model),
                shown(*seconds),
                Turn(30.0),
                lambda _: None,
                more.get("up", lambda: False),
            )
        return str(caught.value)

    assert "came to rest" in watched((0.6, fruit()))
    assert "was not turned" in watched((1.6, fruit()))
    assert "came to rest" in watched((5.0, None), up=lambda: True)


def test_a_fruit_rests_when_its_readings_do() -> None:
    rest = Rest()
    readings = [10.0, 10.5, 9.8, 10.1, 10.2, 10.0]
    assert [rest.add(angle, 0.25 * i) for i, angle in enumerate(readings)] == [None] * 4 + [
        10.2,
        10.0,
    ]
    assert rest.add(None, 2.0) is None
    assert rest.add(179.5, 2.1) is None
    assert [rest.add(angle, 3.0 + i) for i, angle in enumerate([0.5, 179.9, 0.1])] == [None] * 3
    assert rest.add(0.2, 7.0) == 0.2


def test_commissioning_sees_the_camera_as_it_is_mounted(tmp_path: Path) -> None:
    written(tmp_path, fruit())
    camera = Camera(name="cam1", source=str(tmp_path), rotate=90, mirror="vertical")
    (frame,) = frames_of(camera, Wanted("golden", 60.0))
    turned = cv2.flip(cv2.rotate(fruit(), cv2.ROTATE_90_CLOCKWISE), 0)
    assert np.array_equal(frame.image, turned)


# --- the commands --------------------------------------------------------------------------------


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, [str(one) for one in arguments])
    return result.exit_code, result.output


def line_of(tmp_path: Path) -> Path:
    path = tmp_path / "line.yaml"
    (tmp_path / "pictures").mkdir(exist_ok=True)
    cv2.imwrite(str(tmp_path / "pictures" / "0.png"), fruit())
    path.write_text(
        "mqtt: {broker: none}\ncameras:\n  - name: cam1\n"
        f"    source: {tmp_path}/pictures\n    round_aperture: true\n"
    )
    return path


def test_the_command_answers_with_its_exit_code(tmp_path: Path) -> None:
    before, after = written(tmp_path, fruit(), fruit(30.0))
    told = ("check-angle", before, after, "--config", line_of(tmp_path), "--by")
    code, output = run(*told, "30")
    assert code == 0, output
    assert "the sense of the angle is right" in output
    code, output = run(*told, "-30")
    assert code == 1
    assert "set mirror: horizontal" in output
    code, output = run(*told, "90")
    assert code == 2
    assert "tells nothing" in output
    assert run("check-angle", before, "--by", "30")[0] == 2


def test_calibrate_refuses_a_mirrored_line_before_anything_else(tmp_path: Path) -> None:
    before, after = written(tmp_path, fruit(), fruit(30.0))
    asked = ("calibrate", "--config", line_of(tmp_path), "--variety", "golden", "--out")
    asked = (*asked, tmp_path / "golden.json")
    code, output = run(*asked, "--turned", before, after, "--by", "-30")
    assert code == 1
    assert "set mirror: horizontal" in output
    assert run(*asked, "--turned", before, after)[0] == 2
    assert run(*asked, "--by", "30")[0] == 2
    assert not (tmp_path / "golden.json").exists()
