from __future__ import annotations

import math

import numpy as np
import pytest

from agent.segmentation.line import angle_error_deg, fit_line
from agent.simulator.layout import MASK_STEM, MASK_SUTURE
from agent.simulator.render import FAINT_BELOW, Look, Renderer
from agent.simulator.varieties import UNKNOWN, VARIETIES


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(128)


def test_the_same_seed_draws_the_same_pixels_in_another_renderer(renderer: Renderer) -> None:
    first, second = renderer.fruit(5), Renderer(128).fruit(5)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.mask, second.mask)
    assert first.truth == second.truth


def test_other_fruit_in_between_change_nothing(renderer: Renderer) -> None:
    before = renderer.fruit(5).image
    renderer.empty_cup(6)
    renderer.fruit(7)
    assert np.array_equal(before, renderer.fruit(5).image)


def test_two_seeds_draw_two_fruit(renderer: Renderer) -> None:
    assert not np.array_equal(renderer.fruit(1).image, renderer.fruit(2).image)


def test_everything_outside_the_round_field_of_view_is_black_and_background(
    renderer: Renderer,
) -> None:
    for seed in range(5):
        render = renderer.fruit(seed)
        assert not render.image[~render.aperture].any()
        assert not render.mask[~render.aperture].any()
        assert render.image[render.aperture].mean() > 20
    assert renderer.aperture.mean() == pytest.approx(math.pi / 4, abs=0.01)


def test_the_angle_fitted_to_the_mask_is_the_true_angle(renderer: Renderer) -> None:
    for seed in range(40):
        render = renderer.fruit(seed)
        rows, columns = np.nonzero(render.mask == MASK_SUTURE)
        line = fit_line(columns.astype(float), rows.astype(float), np.ones(len(rows)))
        assert line is not None
        assert 0 <= render.truth.angle_deg < 180
        assert angle_error_deg(line.angle_deg, render.truth.angle_deg) < 0.6, seed


def test_the_stem_of_the_mask_lies_where_the_truth_says() -> None:
    renderer = Renderer(256)
    found = 0
    for seed in range(40):
        render = renderer.fruit(seed)
        rows, columns = np.nonzero(render.mask == MASK_STEM)
        if math.isnan(render.truth.stem_x_px):
            assert len(rows) == 0
            continue
        x, y = render.truth.stem_x_px, render.truth.stem_y_px
        if math.hypot(x - 127.5, y - 127.5) > 70:  # may be cut by the border
            continue
        found += 1
        assert columns.mean() == pytest.approx(x, abs=0.5)
        assert rows.mean() == pytest.approx(y, abs=0.5)
    assert found > 10


def test_the_bar_is_as_wide_as_the_annotators_draw_it_and_crosses_the_view() -> None:
    renderer = Renderer(256)
    for seed in range(20):
        render = renderer.fruit(seed)
        a = math.radians(render.truth.angle_deg)
        rows, columns = np.nonzero(render.mask == MASK_SUTURE)
        along = columns * math.cos(a) - rows * math.sin(a)
        across = columns * math.sin(a) + rows * math.cos(a)
        assert 13.5 < np.ptp(across) < 19.5
        assert np.ptp(along) > 200


@pytest.mark.long
def test_stems_are_found_in_the_middle_at_the_border_and_sometimes_not_at_all(
    renderer: Renderer,
) -> None:
    far = [
        math.hypot(t.stem_x_px - 63.5, t.stem_y_px - 63.5) / 64
        for t in (renderer.fruit(seed).truth for seed in range(150))
    ]
    there = [value for value in far if not math.isnan(value)]
    assert min(there) < 0.25
    assert max(there) > 0.9
    assert 0 < len(far) - len(there) < 15


def test_a_wished_variety_is_drawn_and_an_unknown_one_looks_like_none_of_them(
    renderer: Renderer,
) -> None:
    assert {renderer.fruit(s, Look("pale")).truth.variety for s in range(5)} == {"pale"}
    assert len({renderer.fruit(s).truth.variety for s in range(60)}) == len(VARIETIES)
    strange = renderer.fruit(3, Look(UNKNOWN.name))
    inside = strange.image[strange.aperture].mean(0)
    assert inside[0] > inside[1], "more blue than green, as no peach is"


def test_the_share_of_faint_sutures_is_as_wished(renderer: Renderer) -> None:
    faint = [renderer.fruit(s, Look(faint=1.0)).truth.suture_contrast for s in range(20)]
    clear = [renderer.fruit(s, Look(faint=0.0)).truth.suture_contrast for s in range(20)]
    assert max(faint) < FAINT_BELOW <= min(clear)


def test_a_faint_suture_shows_less_in_the_finished_picture(renderer: Renderer) -> None:
    faint = np.median([renderer.visible_contrast(s, Look(faint=1.0)) for s in range(24)])
    clear = np.median([renderer.visible_contrast(s, Look(faint=0.0)) for s in range(24)])
    assert 0 < faint < 0.6 * clear


def test_an_empty_cup_has_no_mask_no_angle_and_is_mostly_darker_than_fruit(
    renderer: Renderer,
) -> None:
    cups = [renderer.empty_cup(seed) for seed in range(30)]
    assert all(cup.truth.empty and math.isnan(cup.truth.angle_deg) for cup in cups)
    assert not any(cup.mask.any() for cup in cups)
    levels = [float(cup.image[cup.aperture].mean()) for cup in cups]
    assert np.median(levels) < 40


def test_two_fruit_in_one_cup_have_no_angle(renderer: Renderer) -> None:
    double = renderer.double(4)
    assert double.image.shape == (128, 128, 3)
    assert math.isnan(double.truth.angle_deg)
    assert not double.mask.any()


@pytest.mark.parametrize("size", [48, 96, 320])
def test_any_size_is_drawn(size: int) -> None:
    render = Renderer(size).fruit(1)
    assert render.image.shape == (size, size, 3)
    assert render.mask.shape == (size, size)


@pytest.mark.parametrize("size", [0, 47, 5000])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=str(size)):
        Renderer(size)
