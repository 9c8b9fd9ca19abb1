"""What the newest pictures say: nothing, another camera, or other fruit before the same camera."""

from __future__ import annotations

import math

import pytest

from agent.alarms.charts.minutes import on_chart_scale
from agent.alarms.charts.newest import (
    CUPS_S,
    NEWEST_CUPS,
    NEWEST_FRUIT,
    NewestPictures,
    PictureCheck,
)
from agent.alarms.charts.reference import CupReference, Reference
from tests.alarms.references import reference, signal

USUAL = {
    "brightness": 160.0,
    "focus": 2.6,
    "warmth": 178.0,
    "chromaticity": 1.1,
    "aperture": 0.98,
}
NOW = 1000.0
CUPS = CupReference(count=500, median=0.0, spread=0.1)
REFERENCE = reference(
    [
        signal("brightness", 160.0, 2.0, count=280),
        signal("focus", 2.6, 0.03, count=280),
        signal("warmth", 178.0, 3.0, count=280),
        signal("chromaticity", 1.1, 0.015, count=280),
        signal("aperture", 0.98, 0.1, count=280),
        signal("suture_margin", 5.0, 0.2, count=280),
    ],
    cups=CUPS,
)


def seen(
    count: int = NEWEST_FRUIT, cup: float | None = 0.02, cups: int = NEWEST_CUPS, **other: float
) -> NewestPictures:
    newest = NewestPictures(REFERENCE)
    for _ in range(count):
        newest.on_fruit(on_chart_scale({**USUAL, **other}))
    for _ in range(cups):
        newest.on_cup(math.nan if cup is None else cup, NOW)
    return newest


def checked(**other: float) -> PictureCheck:
    check = seen(**other).check(NOW)
    assert check is not None
    return check


OTHER = {"brightness": 66.0, "focus": 2.0, "warmth": 44.0, "chromaticity": 0.66}
"""Darker and less red; sharpness fell, but less than the light: its skin is more patterned."""


def test_pictures_as_usual_are_far_from_unusual() -> None:
    check = checked()
    assert abs(check.score) < 1
    assert check.fruit == NEWEST_FRUIT
    assert check.other_colour is None
    assert check.cups_as_usual
    assert check.cups == NEWEST_CUPS


def test_too_few_fruit_say_nothing() -> None:
    assert seen(49).check(NOW) is None
    assert seen(50).check(NOW) is not None


def test_a_signal_of_too_few_fruit_has_no_say_and_the_others_keep_theirs() -> None:
    check = checked(focus=math.nan, brightness=140.0)
    assert check.detail.values["signal"] == "brightness"


def test_black_pictures_are_unusual_by_what_is_left_of_them() -> None:
    dark = {"brightness": 0.0, "aperture": 0.0}
    nothing = dict.fromkeys(("focus", "warmth", "chromaticity"), math.nan)
    assert checked(**dark, **nothing).score > 5


def test_the_most_unusual_signal_is_named_with_what_is_usual() -> None:
    check = checked(focus=1.9)
    assert check.score > 5
    assert check.detail.values["signal"] == "focus"
    assert check.detail.values["value"] == pytest.approx(1.9)
    low = 2.6 * math.exp(-2.326 * 0.03)
    assert check.detail.values["low"] == pytest.approx(low, rel=1e-3)
    assert (check.value, check.limit) == pytest.approx((1.9, low), rel=1e-3)


def test_only_the_bad_direction_of_a_signal_counts() -> None:
    assert checked(aperture=0.999).score < 1
    assert checked(aperture=0.5).score > 5


def test_fewer_fruit_than_a_window_holds_make_a_smaller_score() -> None:
    assert checked(brightness=152.0).score == pytest.approx(4.0 * math.sqrt(100 / 280))


def test_the_newest_push_out_what_was_before_them() -> None:
    newest = seen(brightness=100.0)
    for _ in range(NEWEST_FRUIT):
        newest.on_fruit(on_chart_scale(USUAL))
    check = newest.check(NOW)
    assert check is not None
    assert abs(check.score) < 1


def test_what_was_seen_before_a_stop_is_forgotten() -> None:
    newest = seen(**OTHER)
    newest.forget()
    assert newest.check(NOW) is None
    for _ in range(NEWEST_FRUIT):
        newest.on_fruit(on_chart_scale({**USUAL, **OTHER}))
    check = newest.check(NOW)
    assert check is not None
    assert check.cups_as_usual is None  # no cup has been seen since


def test_fruit_of_another_colour_are_said_to_be_with_what_is_usual() -> None:
    other = checked(**OTHER).other_colour
    assert other is not None
    assert other.values["signal"] == "chromaticity"
    assert other.values["value"] == pytest.approx(0.66)


@pytest.mark.parametrize(
    ("what", "seen_as"),
    [
        ("a lamp that fades leaves the colour", {"chromaticity": 1.1, "warmth": 73.0}),
        ("too much light clips red", {"brightness": 200.0}),
        ("a smear softens more than it darkens", {"brightness": 150.0, "focus": 1.8}),
        ("noise and dirt sharpen", {"focus": 4.0}),
        ("swapped channels: blue fruit", {"chromaticity": -1.1, "warmth": -70.0}),
        ("a small change of colour", {"chromaticity": 1.05}),
    ],
)
def test_what_the_camera_can_have_done_is_not_laid_to_the_fruit(
    what: str, seen_as: dict[str, float]
) -> None:
    assert checked(**(OTHER | seen_as)).other_colour is None, what


@pytest.mark.parametrize(
    ("what", "cups", "usual"),
    [
        ("a cast of the light colours the cups", {"cup": -1.5}, False),
        ("no cup was empty", {"cups": 0}, None),
        ("too few cups were empty", {"cups": NEWEST_CUPS - 1}, None),
        ("cups in the dark", {"cup": None}, None),
    ],
)
def test_cups_of_another_colour_are_not_as_usual_and_too_few_say_nothing(
    what: str, cups: dict[str, float], usual: bool | None
) -> None:
    check = seen(**OTHER, **cups).check(NOW)  # type: ignore[arg-type]
    assert check is not None
    assert check.cups_as_usual is usual, what


def test_a_fruit_now_and_then_that_is_taken_for_a_cup_does_not_matter() -> None:
    newest = seen(**OTHER)
    for colour in (0.9, 0.02, 0.9):
        newest.on_cup(colour, NOW)
    check = newest.check(NOW)
    assert check is not None
    assert check.cups_as_usual
    assert check.cups == NEWEST_CUPS + 3


def test_cups_of_long_ago_say_nothing_of_the_light_of_now() -> None:
    newest = seen(**OTHER)
    late = newest.check(NOW + CUPS_S + 1)
    assert late is not None
    assert not late.cups_as_usual
    early = seen(**OTHER).check(NOW + CUPS_S - 1)
    assert early is not None
    assert early.cups_as_usual


def other_fruit_against(one: Reference) -> PictureCheck:
    newest = NewestPictures(one)
    for _ in range(NEWEST_FRUIT):
        newest.on_fruit(on_chart_scale({**USUAL, **OTHER}))
    for _ in range(NEWEST_CUPS):
        newest.on_cup(0.02, NOW)
    check = newest.check(NOW)
    assert check is not None
    return check


def test_without_cups_in_the_reference_they_are_never_as_usual() -> None:
    check = other_fruit_against(REFERENCE.model_copy(update={"cups": None}))
    assert not check.cups_as_usual
    assert check.other_colour is not None


def test_without_the_colour_in_the_reference_no_colour_is_another() -> None:
    check = other_fruit_against(REFERENCE.model_copy(update={"signals": REFERENCE.signals[:3]}))
    assert check.cups_as_usual
    assert check.other_colour is None


def test_a_reference_whose_usual_brightness_begins_at_nothing_is_no_division_by_it() -> None:
    dark = signal("brightness", 10.0, 8.0, count=280)
    assert dark.usual[0] == 0.0
    kept = [one for one in REFERENCE.signals if one.name != "brightness"]
    check = other_fruit_against(REFERENCE.model_copy(update={"signals": (dark, *kept)}))
    assert check.score > 5
