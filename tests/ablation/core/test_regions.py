import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ablation.core import regions


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_cell_belongs_from_the_threshold_on():
    mask = np.zeros((8, 8), bool)
    mask[:4, :2] = True  # half of the first 4x4 cell
    assert regions.to_grid(mask, (2, 2), 0.5).tolist() == [[True, False], [False, False]]
    assert not regions.to_grid(mask, (2, 2), 0.51).any()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**16))
def test_area_is_kept_whatever_the_two_grids(pixels, cells, seed):
    mask = rng(seed).random((pixels, pixels)) < 0.4
    shares = regions.area_shares(mask, (cells, cells))
    assert shares.mean() == pytest.approx(mask.mean(), abs=1e-9)


def test_the_background_is_the_complement_inside_the_aperture():
    region, aperture = np.zeros((8, 8), bool), np.ones((8, 8), bool)
    region[:4, :4] = True
    aperture[:, 6:] = False
    cells = regions.class_cells(region, aperture, (4, 4), 0.5)
    assert cells.foreground.sum() == 4
    assert cells.background.sum() == 12 - 4
    assert not (cells.foreground & cells.background).any()
    assert not cells.background[:, 3].any()


def test_pixels_of_a_region_outside_the_aperture_do_not_count():
    region, aperture = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    aperture[:2] = True
    cells = regions.class_cells(region, aperture, (2, 2), 0.5)
    assert cells.foreground.tolist() == [[True, True], [False, False]]


def test_smaller_fractions_lie_inside_larger_ones_and_the_last_is_the_region():
    cells = rng().random((12, 12)) < 0.5
    quarter, half, most, everything = regions.nested(cells, (0.25, 0.5, 0.75, 1.0), rng())
    assert (quarter & ~half).sum() == (half & ~most).sum() == (most & ~everything).sum() == 0
    assert np.array_equal(everything, cells)
    assert half.sum() == round(cells.sum() / 2)


def test_the_order_of_cells_depends_on_the_seed_alone():
    cells = rng().random((12, 12)) < 0.5
    first = regions.nested(cells, (0.25,), rng(1))[0]
    assert np.array_equal(first, regions.nested(cells, (0.25,), rng(1))[0])
    assert not np.array_equal(first, regions.nested(cells, (0.25,), rng(2))[0])


def test_a_fraction_of_a_tiny_region_still_takes_one_cell():
    cells = np.zeros((4, 4), bool)
    cells[0, 0] = True
    assert [m.sum() for m in regions.nested(cells, (0.25, 1.0), rng())] == [1, 1]


def test_an_empty_region_gives_empty_masks():
    assert not regions.nested(np.zeros((4, 4), bool), (0.5,), rng())[0].any()


def test_draws_take_as_many_cells_as_asked_and_differ():
    cells = np.ones((6, 6), bool)
    draws = regions.equal_draws(cells, 5, 4, rng())
    assert [d.sum() for d in draws] == [5, 5, 5, 5]
    assert len({d.tobytes() for d in draws}) == 4


def test_too_few_cells_give_no_draw_rather_than_a_smaller_one():
    cells = np.zeros((4, 4), bool)
    cells[0, :3] = True
    assert regions.equal_draws(cells, 4, 2, rng()) == []
    assert regions.equal_draws(cells, 0, 2, rng()) == []
