from __future__ import annotations

import numpy as np
import pytest

from agent.simulator.fault_pictures import PICTURE_FAULTS, spoil
from agent.simulator.faults import FAULTS, Fault, active, parse_fault
from agent.simulator.render import Renderer


def test_a_fault_is_read_with_onset_duration_strength_and_ramp() -> None:
    assert parse_fault("lamp_fade@60+30*0.5~10") == Fault("lamp_fade", 60, 30, 0.5, 10)
    assert parse_fault("hang") == Fault("hang")


def test_a_fault_acts_between_onset_and_end_and_rises_over_its_ramp() -> None:
    fault = Fault("defocus", onset_s=10, duration_s=20, strength=0.8, ramp_s=10)
    levels = [fault.level(t) for t in (9.9, 10, 15, 20, 29.9, 30)]
    assert levels == pytest.approx([0, 0, 0.4, 0.8, 0.8, 0])
    assert [a.name for a in active([fault, Fault("black")], 15)] == ["defocus", "black"]
    assert [a.name for a in active([fault, Fault("black")], 5)] == ["black"]


def test_every_fault_of_the_catalogue_can_be_named() -> None:
    assert len(FAULTS) == len(set(FAULTS)) >= 20
    assert [parse_fault(name).name for name in FAULTS] == list(FAULTS)


@pytest.mark.parametrize("name", sorted(PICTURE_FAULTS))
def test_a_picture_fault_changes_the_picture_and_keeps_its_form(name: str) -> None:
    renderer = Renderer(96)
    image, previous = renderer.fruit(1).image, renderer.fruit(2).image
    kept = image.copy()
    spoilt = spoil(image, name, 1.0, 3, 0, previous)
    assert spoilt.shape == image.shape
    assert spoilt.dtype == np.uint8
    assert np.array_equal(image, kept), "the original is not written to"
    assert not np.array_equal(spoilt, image)
    again = spoil(image, name, 1.0, 3, 0, previous)
    assert np.array_equal(spoilt, again), "the same picture of the same seed"


@pytest.mark.parametrize("name", ["lamp_fade", "lamp_off", "defocus", "dust", "vibration"])
def test_a_stronger_fault_changes_more(name: str) -> None:
    image = Renderer(96).fruit(1).image

    def change(level: float) -> float:
        spoilt = spoil(image, name, level, 3, 0, image)
        return float(np.abs(spoilt.astype(int) - image).mean())

    assert change(0.2) < change(1.0)


def test_a_droplet_stays_where_it_is_and_flicker_does_not() -> None:
    image = Renderer(96).fruit(1).image
    drops = [spoil(image, "droplet", 0.5, picture, 0, image) for picture in (1, 2)]
    flickers = [spoil(image, "lamp_flicker", 1.0, picture, 0, image) for picture in (1, 2)]
    assert np.array_equal(drops[0], drops[1])
    assert not np.array_equal(flickers[0], flickers[1])


def test_colour_order_swaps_red_and_blue() -> None:
    image = Renderer(96).fruit(1).image
    assert np.array_equal(spoil(image, "colour_order", 1.0, 0, 0, image), image[..., ::-1])
