"""The measures on maps whose answer is known, and the tables' words."""

import dataclasses
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from agent import config
from agent.ablation.engine import Engine, Tuning
from agent.ablation.studies.methods import ABLATION, GRAD, HIRES, METHODS, RANDOM
from tests.ablation.networks import loaded
from tests.benchmarks.faithfulness import measures, picture
from tests.benchmarks.faithfulness.tables import Measured, beside, tables


def test_pixels_are_ranked_inside_the_aperture_and_equal_ones_in_random_order():
    aperture = np.ones((8, 8), np.bool_)
    aperture[:, 7] = False
    values = np.zeros((8, 8), np.float32)
    values[2, 3], values[5, 7], values[0, 0] = 2, 9, np.nan
    orders = [measures.ranked(values, aperture, np.random.default_rng(s)) for s in (0, 1)]
    for order in orders:
        assert sorted(order) == np.flatnonzero(aperture).tolist()
        assert order[0] == 2 * 8 + 3
        assert order[-1] == 0, "what is not known is the last"
    assert not np.array_equal(*orders)
    coarse = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    best = measures.ranked(coarse, aperture, np.random.default_rng(0))[0]
    assert divmod(int(best), 8) in {(r, c) for r in range(2) for c in range(2)}


def test_an_area_grows_connected_and_so_is_every_beginning_of_it():
    aperture = np.zeros((20, 20), np.bool_)
    aperture[3:17, 3:17] = True
    order = measures.grown(aperture, 60, np.random.default_rng(0))
    assert len(set(order.tolist())) == 60
    assert aperture.flat[order].all()
    for count in (1, 7, 60):
        drawn = measures.of_pixels(order[:count], aperture.shape).astype(np.uint8)
        assert cv2.connectedComponents(drawn, connectivity=4)[0] == 2
    assert measures.grown(aperture, 500, np.random.default_rng(0)).size == 14 * 14


def test_leakage_is_the_others_share_of_what_changed():
    assert measures.leakage(3.0, [1.0, -1.0]) == 0.25
    assert measures.leakage(0.0, [2.0]) == 1.0
    assert np.isnan(measures.leakage(0.0, [0.0]))
    assert np.isnan(measures.leakage(1.0, []))


def test_an_interval_holds_the_mean_and_narrows_with_more_pictures():
    few = np.random.default_rng(0).normal(1, 1, 10)
    middle, low, high = measures.interval([*few, np.nan])
    assert middle == pytest.approx(few.mean())
    assert low < middle < high
    _, lower, upper = measures.interval(np.random.default_rng(0).normal(1, 1, 1000))
    assert upper - lower < 0.5 * (high - low)
    assert all(np.isnan(measures.interval([np.nan])))


LITTLE = dataclasses.replace(picture.FULL, areas=4, draws=1, shifts_px=(1,))


class Corner(nn.Module):
    """Class 1 stands for one corner's red alone, everywhere but in the last row, which is class 2
    whatever the picture shows."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.maps.weight.copy_(torch.eye(3)[..., None, None])
            self.maps.bias.zero_()

    def forward(self, x):
        seen = 40 * self.maps(x)[:, :1, :8, :8].mean((2, 3), keepdim=True)
        logit = seen.expand(-1, -1, 32, 32)
        last = torch.cat((0 * logit[:, :, 1:] - 9.0, 0 * logit[:, :, :1] + 99.0), 2)
        return torch.cat((torch.zeros_like(logit), logit, last), 1)


def corner():
    image = np.random.default_rng(0).integers(0, 40, (32, 32, 3)).astype(np.uint8)
    image[:8, :8, 2] = 255
    return SimpleNamespace(image=image, aperture=np.ones((32, 32), np.bool_))


def test_a_map_that_points_at_what_counts_gains_and_one_that_knows_nothing_does_not():
    torch.set_num_threads(1)
    settings = config.Ablation(classes=("suture", "stem"), fractions=(1.0,), background_draws=1)
    engine = Engine(loaded(Corner(), "maps", 32), settings, tuning=Tuning(batch=4))
    one = picture.measure(engine, corner(), 0, LITTLE)["suture"]
    assert tuple(one["methods"]) == METHODS
    for fill in map(str, picture.FILLS):
        chance = one["random"][fill]
        for method in (ABLATION, GRAD, HIRES):
            top, bottom = (
                one["methods"][method]["top"][fill],
                one["methods"][method]["bottom"][fill],
            )
            # A sixteenth of the picture holds all that counts, 10 % of it hides that.
            assert top[2] > 2 * chance[2]
            assert bottom[3] == pytest.approx(0, abs=1e-3)
        assert abs(np.mean(one["methods"][RANDOM]["top"][fill]) - np.mean(chance)) < 5
    for method, numbers in one["methods"].items():
        assert 0 <= measures.mean(numbers["leakage"]["mean"]) <= 1
        if method == RANDOM:
            assert abs(numbers["noise"]) < 0.3, "a new one every time"
    assert one["methods"][HIRES]["noise"] > 0.9
    assert one["methods"][HIRES]["shift"] > 0.5
    assert one["dice_noise"] == 1.0


def numbers(gain, leakage=0.5, noise=0.9, shift=0.9):
    fills = {str(fill): [gain] * 4 for fill in picture.FILLS}
    leaks = {str(fill): [leakage] * 4 for fill in picture.FILLS}
    return {
        "top": fills, "bottom": fills, "leakage": leaks, "noise": noise, "shift": shift,
        "seconds": 0.1, "passes": 3,
    }  # fmt: skip


def pictures(changes):
    rng = np.random.default_rng(0)
    out = []
    for _ in range(12):
        level = rng.normal(5, 2)
        methods = {
            name: numbers(level + changes.get(name, 0.0) + rng.normal(0, 0.1)) for name in METHODS
        }
        chance = {str(fill): [1.0] * 4 for fill in picture.FILLS}
        out.append({"random": chance, "dice_noise": 1.0, "dice_shift": 0.9, "methods": methods})
    return out


def test_the_tables_say_in_words_where_ablation_cam_is_not_the_best():
    found = pictures({HIRES: 2.0, RANDOM: -3.0})
    assert beside(found, HIRES) == "better in gain"
    assert beside(found, RANDOM) == "worse in gain"
    said = beside(found, ABLATION)
    assert said.startswith("NOT the best in gain: hires by ")
    assert "for sure" not in said.split(";")[0]
    assert beside(pictures(dict.fromkeys(METHODS[1:], -1.0)), ABLATION) == "the best in all four"


def test_a_method_without_a_map_is_a_row_of_dashes_and_costs_no_table():
    found = pictures({})
    for one in found:
        one["methods"][GRAD] = {"noise": float("nan"), "shift": float("nan")}
    made = tables(
        Measured("tiny", picture.FULL, [{"suture": one} for one in found]), ("suture", "stem")
    )
    assert len(made) == 2, "no table of a class that was never found"
    rows = {row.name: row.run() for row in made[0].rows}
    assert set(rows[GRAD][:-1]) == {"-"}
    assert all(len(cells) == len(made[0].columns) - 1 for cells in rows.values())
    assert "12 pictures" in made[0].title
    assert set(made[1].rows[METHODS.index(GRAD)].run()) == {"-"}
