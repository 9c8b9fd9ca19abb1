"""A picture gives its angle, or the one reason why there is none."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import config
from agent.models.card import ConfidenceCalibration
from agent.records import ANGLE_NO_READ, NoReadReason
from agent.segmentation.light import Light, measure_light
from agent.segmentation.line import angle_error_deg
from agent.segmentation.reading import (
    CAUTIOUS_CEILING,
    FEATURES,
    LaneGeometry,
    ReadingFeatures,
    confidence,
    find_stem,
    measure,
    read,
)
from agent.simulator.fault_pictures import spoil
from agent.simulator.render import Look, Renderer
from tests.segmentation.drawn import bar, disc, on_grid, painted, round_aperture, view

LIMITS = config.Segmentation()
DAYLIGHT = Light(brightness=120.0, coverage=1.0, black=0.0, saturated=0.0, chroma=90.0)
APERTURE = round_aperture(192, 192)


def seen(suture, stem=None, **more):
    return measure(view(suture & APERTURE, stem, APERTURE, **more), 1, 2)


def answer(measurement, light=DAYLIGHT, lane=LaneGeometry(), limits=LIMITS, calibration=None):  # noqa: B008
    return read(measurement, light, lane, limits, calibration)


def like(plausibility, suture, light=DAYLIGHT, stem=None, **limits):
    """The reading of a picture that is so like fruit."""
    return read(
        seen(suture, stem), light, LaneGeometry(), config.Segmentation(**limits), None, plausibility
    )


# --- angle ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", np.arange(0.0, 180.0, 11.9))
@pytest.mark.parametrize("cutting_line", [0.0, 37.5, 179.0])
def test_the_angle_is_counted_from_the_cutting_line(angle, cutting_line):
    reading = answer(
        seen(bar(192, 192, angle, 12)), lane=LaneGeometry(cutting_line_deg=cutting_line)
    )
    assert reading.read
    assert reading.reason is NoReadReason.NONE
    assert 0.0 <= reading.angle_deg < 180.0
    assert angle_error_deg(reading.angle_deg, angle - cutting_line) <= 0.5


def test_the_angle_rises_counter_clockwise_as_seen():
    # From the lower left to the upper right of the picture is 45 degrees.
    rising = np.fliplr(np.eye(192, dtype=bool))
    thick = np.zeros_like(rising)
    for shift in range(-6, 7):
        thick |= np.roll(rising, shift, axis=1)
    assert answer(seen(thick)).angle_deg == pytest.approx(45.0, abs=0.5)


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@given(
    angle=st.floats(0, 180, exclude_max=True),
    size=st.sampled_from([(256, 256), (320, 240), (240, 320), (640, 360), (130, 97)]),
    offset=st.floats(-0.15, 0.15),
)
def test_a_stretched_grid_gives_the_angle_of_the_picture(angle, size, offset):
    width, height = size
    small = min(size)
    inside = round_aperture(width, height)
    suture = bar(width, height, angle, 0.065 * small, offset * small) & inside
    shown = view(
        on_grid(suture, 192, 192),
        inside=on_grid(inside, 192, 192),
        scale=(width / 192, height / 192),
    )
    # Hard edges on a grid that is up to 3.3 times as coarse as the picture along x.
    assert angle_error_deg(answer(measure(shown, 1, 2)).angle_deg, angle) <= 0.75


def test_edge_pixels_count_by_their_probability():
    """A tilt of less than a grid cell shows in the probabilities of the edge, not in the mask."""
    angle = 90.25
    y, x = np.mgrid[:192, :192]
    a = math.radians(angle)
    away = np.abs((x - 95.5) * math.sin(a) + (y - 95.5) * math.cos(a))
    soft = np.clip(6.5 - away, 0.0, 1.0).astype(np.float32)
    hard = view(soft > 0.1)
    graded = dataclasses.replace(hard, probability=soft)
    by_mask, by_probability = (
        angle_error_deg(measure(v, 1, 2).line.angle_deg, angle) for v in (hard, graded)
    )
    assert by_probability <= 0.02
    assert by_mask > 2 * by_probability


def test_the_line_lies_where_it_lies_in_the_picture():
    suture = np.zeros((48, 64), bool)
    suture[:, 30:34] = True  # columns 120 to 135 of a picture four times as large
    line = measure(view(suture, scale=(4.0, 4.0)), 1, 2).line
    assert line.distance(127.5, 20.0) <= 0.01
    assert line.angle_deg == pytest.approx(90.0)


# --- stem ----------------------------------------------------------------------------------------


def test_the_largest_patch_of_stem_is_the_stem():
    suture = bar(192, 192, 30, 12)
    stem = disc(192, 192, 110.0, 90.0, 10) | disc(192, 192, 40.0, 60.0, 5)
    reading = answer(seen(suture, stem), lane=LaneGeometry(mm_per_px=0.25))
    assert (reading.stem_x_px, reading.stem_y_px) == pytest.approx((110.0, 90.0), abs=0.3)
    assert (reading.stem_x_mm, reading.stem_y_mm) == pytest.approx((27.5, 22.5), abs=0.1)


def test_the_stem_is_placed_in_pixels_of_the_picture():
    stem = on_grid(disc(400, 300, 250.0, 100.0, 25), 192, 192)
    found = find_stem(view(stem & False, stem, scale=(400 / 192, 300 / 192)), 2, 192 * 192)
    assert (found.x_px, found.y_px) == pytest.approx((250.0, 100.0), abs=1.0)


def test_stem_outside_the_aperture_and_specks_are_none():
    assert seen(bar(192, 192, 30, 12), disc(192, 192, 3, 3, 8) & ~APERTURE).stem is None
    assert seen(bar(192, 192, 30, 12), disc(192, 192, 96, 60, 2)).stem is None
    reading = answer(seen(bar(192, 192, 30, 12)))
    assert all(
        math.isnan(value)
        for value in (reading.stem_x_px, reading.stem_y_px, reading.stem_x_mm, reading.stem_y_mm)
    )


def test_millimetres_are_unknown_without_a_scale():
    reading = answer(seen(bar(192, 192, 30, 12), disc(192, 192, 96, 96, 9)))
    assert math.isnan(reading.stem_x_mm)
    assert not math.isnan(reading.stem_x_px)


def test_the_stem_guides_the_line_past_a_distractor():
    a = math.radians(65)
    stem_x, stem_y = 95.5 + 30 * math.cos(a), 95.5 - 30 * math.sin(a)
    suture = bar(192, 192, 65, 12, length_px=70)
    scratch = bar(192, 192, 10, 8, offset_px=45, length_px=75)
    stem = disc(192, 192, stem_x, stem_y, 12)
    reading = answer(seen((suture | scratch) & ~stem, stem))
    with_stem = angle_error_deg(seen((suture | scratch) & ~stem, stem).line.angle_deg, 65)
    assert with_stem <= 2.0
    assert reading.stem_x_px == pytest.approx(stem_x, abs=0.5)


def test_a_network_without_a_stem_class_reads_all_the_same():
    shown = view(bar(192, 192, 120, 12) & APERTURE, None, APERTURE)
    measurement = measure(shown, 1, None)
    assert measurement.stem is None
    assert measurement.features.stem_found == 0.0
    assert angle_error_deg(answer(measurement).angle_deg, 120) <= 0.5


# --- no read -------------------------------------------------------------------------------------


def assert_no_read(reading, reason):
    assert not reading.read
    assert reading.angle_deg == ANGLE_NO_READ
    assert reading.reason is reason
    assert 0.0 <= reading.confidence <= 1.0


def test_black_and_glaring_pictures_are_of_no_quality():
    good = seen(bar(192, 192, 30, 12))
    for light in (
        dataclasses.replace(DAYLIGHT, black=1.0, coverage=0.0),
        dataclasses.replace(DAYLIGHT, saturated=0.7),
    ):
        assert_no_read(answer(good, light), NoReadReason.IMAGE_QUALITY)


def test_a_dark_aperture_is_an_empty_cup_whatever_the_network_sees():
    dark = dataclasses.replace(DAYLIGHT, brightness=15.0, coverage=0.2)
    assert_no_read(answer(seen(bar(192, 192, 30, 12)), dark), NoReadReason.EMPTY)


def dark_light(**changes):
    """That of a fruit at 5 % of its light: grey level 8, and as red as ever."""
    given = {"brightness": 8.0, "coverage": 0.0, "chroma": 9.0, "warmth": 8.0, "evenness": 0.8}
    return Light(**({"black": 0.2, "saturated": 0.0} | given | changes))


def test_a_fruit_without_light_is_no_empty_cup():
    nothing = seen(np.zeros((192, 192), bool))
    assert_no_read(answer(nothing, dark_light()), NoReadReason.IMAGE_QUALITY)
    off = config.Segmentation(dark_chromaticity=0.0)
    assert_no_read(answer(nothing, dark_light(), limits=off), NoReadReason.EMPTY)


@pytest.mark.parametrize(
    "light",
    [
        dark_light(warmth=2.0),  # as neutral as rubber
        dark_light(warmth=-8.0),
        dark_light(evenness=0.1),  # a scrap of fruit in a corner of the cup
        dark_light(brightness=0.8, warmth=0.8),  # too dark to have a colour
    ],
    ids=["neutral", "blue", "scrap", "colourless"],
)
def test_a_dark_cup_without_a_fruits_colour_all_over_is_empty(light):
    assert_no_read(answer(seen(np.zeros((192, 192), bool)), light), NoReadReason.EMPTY)


def lit(render, level):
    image = spoil(render.image, "lamp_off", 1.0 - level, 0, 0, render.image)
    image[~render.aperture] = 0
    return measure_light(image, render.aperture, LIMITS.empty_brightness)


@pytest.mark.parametrize("level", [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.0])
def test_no_fruit_of_the_simulator_becomes_an_empty_cup_when_its_lamp_fails(level):
    nothing = seen(np.zeros((192, 192), bool))
    renderer = Renderer(96)
    for variety in ("golden", "crimson", "verdant"):
        for seed in range(12):
            light = lit(renderer.fruit(seed, Look(variety)), level)
            assert answer(nothing, light).reason is not NoReadReason.EMPTY, (variety, seed)


@pytest.mark.parametrize("level", [1.0, 0.5, 0.2])
def test_an_empty_cup_of_the_simulator_never_has_a_fruits_colour(level):
    renderer = Renderer(96)
    for seed in range(40):
        light = lit(renderer.empty_cup(seed), level)
        assert not light.fills_with_colour(LIMITS.dark_chromaticity), seed


def test_a_fruit_that_comes_into_view_lights_a_part_of_it_alone():
    """In free run; a view without light is even."""
    picture = painted(size=(192, 192), skin=(9, 9, 9))
    picture[:80] = (40, 120, 200)
    light = measure_light(picture, APERTURE, 30.0)
    assert light.coverage < 0.5
    assert light.evenness < 0.1
    assert_no_read(answer(seen(np.zeros((192, 192), bool)), light), NoReadReason.EMPTY)
    assert measure_light(painted(size=(64, 64), skin=(7, 7, 7)), None, 30.0).evenness == 1.0


def test_too_few_suture_pixels_are_no_suture_and_the_stem_is_still_told():
    few = bar(192, 192, 30, 4, length_px=25)
    reading = answer(seen(few, disc(192, 192, 96, 60, 9)))
    assert_no_read(reading, NoReadReason.NO_SUTURE)
    assert reading.stem_y_px == pytest.approx(60.0, abs=0.3)
    assert_no_read(answer(seen(few & False)), NoReadReason.NO_SUTURE)
    lenient = config.Segmentation(min_suture_area=0.001, min_confidence=0.0)
    assert answer(seen(few), limits=lenient).read


def test_a_bright_cup_without_suture_stem_and_colour_is_empty():
    metal = dataclasses.replace(DAYLIGHT, chroma=12.0)
    nothing, suture = np.zeros((192, 192), bool), bar(192, 192, 30, 12)
    stem = disc(192, 192, 96, 96, 9)
    assert_no_read(answer(seen(nothing), metal), NoReadReason.EMPTY)
    assert_no_read(answer(seen(nothing, stem), metal), NoReadReason.NO_SUTURE)
    assert answer(seen(suture), metal).read
    colourless = dataclasses.replace(metal, chroma=0.0)
    assert_no_read(answer(seen(nothing), colourless), NoReadReason.NO_SUTURE)
    off = config.Segmentation(empty_chroma=0.0)
    assert_no_read(answer(seen(nothing), metal, limits=off), NoReadReason.NO_SUTURE)


@pytest.mark.parametrize(
    "suture",
    [
        disc(192, 192, 96, 96, 25),
        bar(192, 192, 20, 10) | bar(192, 192, 110, 10),
        bar(192, 192, 20, 10, offset_px=-35) | bar(192, 192, 20, 10, offset_px=35),
    ],
    ids=["blob", "cross", "two"],
)
def test_what_fits_no_single_line_is_ambiguous(suture):
    assert_no_read(answer(seen(suture)), NoReadReason.AMBIGUOUS)


def test_what_is_not_like_fruit_is_implausible_however_sure_its_line_is():
    line = bar(192, 192, 30, 12)
    for plausibility in (0.0, 0.49):
        reading = like(plausibility, line)
        assert_no_read(reading, NoReadReason.IMPLAUSIBLE)
        assert (reading.confidence, reading.plausibility) == (0.0, plausibility)
        assert reading.confidence_raw > 0.5
    for plausibility in (0.5, 1.0, math.nan):
        assert like(plausibility, line).read
    assert math.isnan(like(math.nan, line).plausibility)
    assert like(0.0, line, min_plausibility=0.0).read
    assert not like(0.6, line, min_plausibility=0.7).read


def test_what_says_more_than_implausible_comes_first_and_what_says_less_after():
    nothing, blob = np.zeros((192, 192), bool), disc(192, 192, 96, 96, 25)
    black = dataclasses.replace(DAYLIGHT, black=1.0)
    dark = dataclasses.replace(DAYLIGHT, coverage=0.2)
    metal = dataclasses.replace(DAYLIGHT, chroma=12.0)
    assert_no_read(like(0.0, nothing, black), NoReadReason.IMAGE_QUALITY)
    assert_no_read(like(0.0, nothing, dark), NoReadReason.EMPTY)
    assert_no_read(like(0.0, nothing, metal), NoReadReason.EMPTY)
    assert_no_read(like(0.0, nothing), NoReadReason.IMPLAUSIBLE)
    assert_no_read(like(0.0, blob), NoReadReason.IMPLAUSIBLE)
    assert_no_read(like(1.0, nothing), NoReadReason.NO_SUTURE)
    assert_no_read(like(1.0, blob), NoReadReason.AMBIGUOUS)


def test_an_implausible_picture_still_tells_its_stem():
    reading = like(0.0, bar(192, 192, 30, 12), stem=disc(192, 192, 96, 60, 9))
    assert reading.stem_y_px == pytest.approx(60.0, abs=0.3)


def test_a_reading_below_the_least_confidence_is_none_and_says_how_sure_it_was():
    measurement = seen(bar(192, 192, 30, 12), margin=0.1)
    sure = confidence(measurement.features, None)
    above = config.Segmentation(min_confidence=min(sure + 0.05, 1.0))
    reading = answer(measurement, limits=above)
    assert_no_read(reading, NoReadReason.LOW_CONFIDENCE)
    assert reading.confidence_raw == sure
    assert reading.confidence == 0.0
    assert answer(measurement, limits=config.Segmentation(min_confidence=sure - 0.05)).read


# --- confidence ----------------------------------------------------------------------------------


def test_a_calibration_is_a_logistic_in_the_order_of_the_features():
    features = ReadingFeatures(-3.0, 2.0, 0.9, 4.0, 1.0, 1.0, 0.05)
    weights = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, -0.7)
    score = -0.5 + sum(w * f for w, f in zip(weights, features, strict=True))
    calibration = ConfidenceCalibration(features=FEATURES, coefficients=weights, intercept=-0.5)
    assert confidence(features, calibration) == pytest.approx(1 / (1 + math.exp(-score)))


def test_extreme_scores_stay_probabilities():
    features = ReadingFeatures(-3.0, 2.0, 0.9, 4.0, 1.0, 1.0, 0.05)
    for intercept in (-1e9, 1e9):
        calibration = ConfidenceCalibration(
            features=FEATURES, coefficients=(0.0,) * 7, intercept=intercept
        )
        assert 0.0 <= confidence(features, calibration) <= 1.0


def test_without_a_calibration_it_is_cautious_but_in_a_sensible_order():
    full = seen(bar(192, 192, 30, 12), disc(192, 192, 96, 96, 9)).features
    short = seen(bar(192, 192, 30, 12, length_px=30)).features
    unsure = seen(bar(192, 192, 30, 12), margin=0.2).features
    beside = seen(bar(192, 192, 30, 12), disc(192, 192, 40, 60, 9)).features
    sure = confidence(full, None)
    assert 0.7 < sure <= CAUTIOUS_CEILING
    for worse in (short, unsure, beside):
        assert confidence(worse, None) < sure
    assert confidence(short, None) < 0.5
    best = ReadingFeatures(-1.0, 5.0, 1.0, 15.0, 15.0, 1.0, 0.0)
    assert confidence(best, None) == CAUTIOUS_CEILING


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.0002, 0.9), margin=st.floats(-50, 90))
def test_features_of_any_mask_are_finite(seed, share, margin):
    suture = np.random.default_rng(seed).random((64, 64)) < share
    measurement = measure(view(suture, margin=margin), 1, 2)
    if measurement.features is not None:
        assert all(math.isfinite(value) for value in measurement.features)
        assert 0.0 <= confidence(measurement.features, None) <= CAUTIOUS_CEILING


# --- light ---------------------------------------------------------------------------------------


def test_light_is_measured_inside_the_aperture():
    picture = painted(size=(192, 192), skin=(100, 100, 100))
    picture[~APERTURE] = 0
    light = measure_light(picture, APERTURE, 30.0)
    assert light.brightness == pytest.approx(100.0)
    assert light.coverage == 1.0
    assert light.usable
    whole = measure_light(picture, None, 30.0)
    assert whole.coverage == pytest.approx(APERTURE.mean())


def test_coverage_is_the_share_at_or_above_the_level_of_an_empty_cup():
    picture = painted(size=(100, 100), skin=(29, 29, 29))
    picture[:, 60:] = 30
    light = measure_light(picture, None, 30.0)
    assert light.coverage == pytest.approx(0.4)
    assert light.usable


def test_chroma_is_the_mean_spread_of_the_colour_values_inside():
    picture = painted(size=(64, 64), skin=(10, 60, 40))
    picture[:, 32:] = (70, 70, 70)
    assert measure_light(picture, None, 30.0).chroma == pytest.approx(25.0)
    left = np.zeros((64, 64), bool)
    left[:, :32] = True
    assert measure_light(picture, left, 30.0).chroma == pytest.approx(50.0)


def test_a_black_picture_differs_from_an_empty_cup_by_its_noise():
    assert not measure_light(painted(size=(64, 64), skin=(2, 3, 2)), None, 30.0).usable
    noise = np.random.default_rng(0).integers(0, 16, (64, 64, 3), dtype=np.uint8)
    cup = measure_light(noise, None, 30.0)
    assert cup.usable
    assert cup.coverage == 0.0


def test_a_glaring_picture_is_not_usable():
    picture = painted(size=(64, 64), skin=(255, 255, 255))
    picture[:24] = 100
    assert not measure_light(picture, None, 30.0).usable


def test_an_aperture_with_nothing_inside_counts_as_black():
    light = measure_light(painted(size=(64, 64)), np.zeros((64, 64), bool), 30.0)
    assert (light.coverage, light.usable) == (0.0, False)
