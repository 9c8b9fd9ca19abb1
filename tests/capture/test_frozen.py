"""The freeze detector: dead pictures, and scenes that only stand still."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from agent.capture.fingerprint import Fingerprint, fingerprint, read_tag
from agent.capture.frozen import FrozenDetector, Verdict, judged
from agent.records import CaptureMode, MachineState
from agent.simulator.parameters import parse_url
from agent.simulator.source import SimClock, SimSource
from tests.capture.support import camera

BOTH = frozenset({Verdict.IDENTICAL, Verdict.NEAR_IDENTICAL})
PERIOD_S = 0.214


def seen(image: np.ndarray) -> Fingerprint:
    found = read_tag(fingerprint(image))
    assert found is not None
    return found


def scene(seed: int = 0, size: int = 256) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (16, 16, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def noisy(image: np.ndarray, seed: int, sigma: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def first_verdict(
    picture: Callable[[int], np.ndarray], count: frozenset[Verdict] = BOTH, seconds: float = 6.0
) -> tuple[float | None, Verdict]:
    """When and what the detector first said of a stream of pictures."""
    detector = FrozenDetector(3.0)
    for index in range(int(seconds / PERIOD_S)):
        verdict = detector.feed(index * PERIOD_S, seen(picture(index)), count, PERIOD_S)
        if verdict is not Verdict.CHANGING:
            return index * PERIOD_S, verdict
    return None, Verdict.CHANGING


def test_the_same_picture_is_noticed_within_three_seconds_of_its_first_showing() -> None:
    when, verdict = first_verdict(lambda _: scene())
    assert verdict is Verdict.IDENTICAL
    assert when is not None
    assert 2.0 <= when <= 3.0


def test_a_sensor_before_a_standing_scene_is_not_frozen() -> None:
    assert first_verdict(lambda n: noisy(scene(), n))[1] is Verdict.CHANGING


@pytest.mark.parametrize("mode", ["triggered", "free-run"])
def test_an_empty_belt_that_runs_is_not_frozen(mode: str) -> None:
    now = [100.0]
    clock = SimClock(lambda: now[0], lambda: 0, lambda s: now.__setitem__(0, now[0] + s))
    settings = camera("sim:?empty=1", mode=mode, fps=None if mode == "triggered" else 5)
    source = SimSource(settings, parse_url(settings.source), clock)
    source.open()
    detector = FrozenDetector(3.0)
    for _ in range(25):
        picture = source.read()
        assert picture is not None
        detector.feed(picture.captured_mono, seen(picture.image), BOTH, PERIOD_S)
        assert detector.verdict is Verdict.CHANGING
    assert now[0] > 104.0


def test_a_new_fruit_at_each_picture_is_not_frozen() -> None:
    assert first_verdict(scene)[1] is Verdict.CHANGING


def test_a_picture_that_an_encoder_sends_again_and_again_is_near_identical() -> None:
    def encoded(index: int) -> np.ndarray:
        # One pixel in five is off by one: the residue of a stream whose input is frozen.
        rng = np.random.default_rng(index)
        return np.asarray(scene() + (rng.random(scene().shape) < 0.2), np.uint8)

    assert first_verdict(encoded)[1] is Verdict.NEAR_IDENTICAL
    only_identical = frozenset({Verdict.IDENTICAL})
    assert first_verdict(encoded, only_identical)[1] is Verdict.CHANGING


def test_nothing_is_frozen_while_the_machine_stands_and_the_clock_starts_when_it_runs() -> None:
    detector, same = FrozenDetector(3.0), seen(scene())
    for index in range(100):
        verdict = detector.feed(index * PERIOD_S, same, frozenset(), PERIOD_S)
        assert verdict is Verdict.CHANGING
    begin = 100 * PERIOD_S
    verdicts = [
        detector.feed(begin + index * PERIOD_S, same, BOTH, PERIOD_S) for index in range(14)
    ]
    assert verdicts[5] is Verdict.CHANGING
    assert verdicts[-1] is Verdict.IDENTICAL


def test_one_differing_picture_ends_it() -> None:
    detector = FrozenDetector(3.0)
    for index in range(20):
        detector.feed(index * PERIOD_S, seen(scene()), BOTH, PERIOD_S)
    assert detector.verdict is Verdict.IDENTICAL
    assert detector.feed(5.0, seen(scene(1)), BOTH, PERIOD_S) is Verdict.CHANGING


def test_two_equal_pictures_are_not_enough_however_far_apart() -> None:
    detector, same = FrozenDetector(3.0), seen(scene())
    assert detector.feed(0.0, same, BOTH, 60.0) is Verdict.CHANGING
    assert detector.feed(60.0, same, BOTH, 60.0) is Verdict.CHANGING
    assert detector.feed(120.0, same, BOTH, 60.0) is Verdict.IDENTICAL


@pytest.mark.parametrize(
    ("live", "mode", "machine", "expected"),
    [
        (False, "triggered", "running", (False, False)),
        (True, "triggered", "stopped", (False, False)),
        (True, "free-run", "cleaning", (False, False)),
        (True, "free-run", "unknown", (True, False)),
        (True, "free-run", "running", (True, True)),
        (True, "triggered", "unknown", (True, True)),
    ],
)
def test_what_counts_depends_on_source_mode_and_machine(
    live: bool, mode: str, machine: str, expected: tuple[bool, bool]
) -> None:
    found = judged(live, CaptureMode(mode), MachineState(machine))
    assert (Verdict.IDENTICAL in found, Verdict.NEAR_IDENTICAL in found) == expected


@pytest.mark.parametrize("grey", [0, 3, 255])
def test_a_dark_covered_or_saturated_camera_is_not_called_frozen(grey: int) -> None:
    assert first_verdict(lambda _: np.full((64, 64, 3), grey, np.uint8))[1] is Verdict.CHANGING


def test_a_change_of_one_pixel_is_a_change() -> None:
    one, other = scene(), scene()
    other[17, 33, 1] ^= 1
    assert seen(one).digest != seen(other).digest


def test_a_picture_of_any_size_has_a_fingerprint() -> None:
    for height, width in ((1, 1), (16, 5000), (1080, 1920), (33, 31)):
        found = seen(np.full((height, width, 3), 90, np.uint8))
        assert (found.grid == 90).all()


def test_a_tag_of_another_length_is_no_fingerprint() -> None:
    assert read_tag(b"") is None
