"""Frames become segmentations in one batch; a bad frame costs itself and nothing else."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading

import numpy as np
import pytest
import torch
from torch import nn

from agent import config
from agent.models.card import ConfidenceCalibration
from agent.models.errors import ModelError
from agent.models.fusing import fold_batchnorm
from agent.models.loaded import logits, preprocess
from agent.models.pictures import resize
from agent.models.unet import UNet
from agent.records import MachineInfo, NoReadReason
from agent.segmentation.line import angle_error_deg
from agent.segmentation.reading import FEATURES, LaneGeometry
from agent.segmentation.segmenter import Segmenter
from tests.segmentation.drawn import (
    ColourNet,
    bar,
    colour_model,
    disc,
    frame,
    painted,
    round_aperture,
)


class Clock:
    """Moves by half a second at every look."""

    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


def segmenter(model=None, lanes=None, **settings) -> Segmenter:
    return Segmenter(model or colour_model(), config.Segmentation(**settings), lanes or {}, Clock())


def fruit(angle: float, width: int = 256, height: int = 256) -> np.ndarray:
    small = min(width, height)
    suture = bar(width, height, angle, 0.065 * small)
    stem = disc(width, height, (width - 1) / 2, (height - 1) / 2, 0.05 * small)
    return painted(suture, stem, size=(height, width))


@pytest.mark.parametrize("angle", [0.0, 12.0, 47.0, 90.0, 133.5, 178.0])
def test_a_painted_fruit_gives_its_angle_stem_and_areas(angle):
    inside = round_aperture(256, 256)
    lanes = {"cam1": LaneGeometry(cutting_line_deg=20.0, mm_per_px=0.5)}
    [got] = segmenter(lanes=lanes).segment([frame(fruit(angle), inside)])
    assert got.reading.read
    assert angle_error_deg(got.reading.angle_deg, angle - 20.0) <= 0.5
    assert got.reading.stem_x_px == pytest.approx(127.5, abs=0.6)
    assert got.reading.stem_x_mm == pytest.approx(63.75, abs=0.3)
    assert got.mask.shape == (192, 192)
    assert got.mask.dtype == np.uint8
    assert sum(got.areas) == pytest.approx(1.0)
    expected = (bar(256, 256, angle, 16.64) & inside).sum() / inside.sum()
    assert got.areas[1] + got.areas[2] == pytest.approx(expected, abs=0.02)
    assert got.classes == ("background", "suture", "stem")
    assert got.coverage == 1.0
    assert got.brightness > 80


def test_what_belongs_to_the_frame_is_carried_over():
    machine = MachineInfo(fruit_id="f-7", encoder=12)
    given = frame(fruit(30), camera="lane2", seq=41, machine=machine)
    given = dataclasses.replace(given, chunks={"Gain": 6.5})
    [got] = segmenter().segment([given])
    assert (got.lane, got.frame_id, got.seq) == ("lane2", "lane2-41", 41)
    assert (got.captured_utc_ms, got.captured_mono) == (1041, 41.0)
    assert got.machine is machine
    assert got.chunks == {"Gain": 6.5}


def test_margins_and_entropy_are_those_of_their_formulas():
    model = colour_model(nn.Sequential(ColourNet(), nn.AvgPool2d(5, 1, 2)))
    inside = round_aperture(256, 256)
    given = frame(fruit(30), inside)
    [analysis] = segmenter(model).analyse([given])
    got = analysis.segmentation

    z = logits(model, preprocess(model, given.image, inside)[None])[0].double()
    field = torch.from_numpy(resize(inside.astype(np.uint8) * 255, 192, 192) >= 128)
    label = z.argmax(0)
    assert np.array_equal(label.numpy(), got.mask)
    p = z.softmax(0)
    entropy = -(p * p.clamp_min(1e-300).log()).sum(0)[field].mean()
    assert got.entropy == pytest.approx(float(entropy), rel=1e-4)
    for index in range(3):
        others = [other for other in range(3) if other != index]
        margin = z[index] - torch.logsumexp(z[others], 0)
        chosen = (label == index) & field
        assert got.margins[index] == pytest.approx(float(margin[chosen].mean()), rel=1e-4)
        assert got.areas[index] == pytest.approx(int(chosen.sum()) / int(field.sum()))


def test_a_class_without_pixels_has_area_zero_and_no_margin():
    [got] = segmenter().segment([frame(painted(bar(256, 256, 10, 16)))])
    assert got.areas[2] == 0.0
    assert math.isnan(got.margins[2])


def test_ties_go_to_the_first_class_and_a_sure_network_has_finite_margins():
    class Constant(nn.Module):
        def __init__(self, z):
            super().__init__()
            self.register_buffer("z", torch.tensor(z).view(1, 3, 1, 1))

        def forward(self, x):
            return self.z.expand(len(x), 3, 192, 192)

    tie = segmenter(colour_model(Constant([0.0, 0.0, -1.0]))).segment([frame(fruit(1))])[0]
    assert tie.areas[0] == 1.0
    assert tie.margins[0] == pytest.approx(-math.log(1 + math.exp(-1)), abs=1e-5)
    sure = segmenter(colour_model(Constant([500.0, 0.0, 0.0]))).segment([frame(fruit(1))])[0]
    assert 60 < sure.margins[0] < 70
    assert sure.entropy == pytest.approx(0.0, abs=1e-6)


def test_several_cameras_of_several_sizes_share_a_batch():
    sizes = [(256, 256), (320, 240), (200, 300), (192, 192), (97, 130)]
    frames = [
        frame(fruit(20.0 * i, *size), round_aperture(*size), camera=f"cam{i}", seq=i)
        for i, size in enumerate(sizes)
    ]
    together = segmenter(batch_max=3).segment(frames)
    assert [got.lane for got in together] == [given.lane for given in frames]
    for i, (got, given) in enumerate(zip(together, frames, strict=True)):
        assert angle_error_deg(got.reading.angle_deg, 20.0 * i) <= 0.75
        [alone] = segmenter().segment([given])
        assert np.array_equal(alone.mask, got.mask)
        assert alone.reading.angle_deg == got.reading.angle_deg
        assert alone.reading.stem_x_px == got.reading.stem_x_px


def test_no_frames_give_no_segmentations():
    assert segmenter().segment([]) == []


def test_time_is_shared_out_over_the_batch():
    clock = Clock()
    reader = Segmenter(colour_model(), config.Segmentation(batch_max=2), {}, clock)
    got = reader.segment([frame(fruit(1), seq=i) for i in range(3)])
    assert [one.seconds for one in got] == [0.25, 0.25, 0.5]
    assert [one.done_mono for one in got] == [101.0, 101.0, 102.0]


BAD = {
    "two channels": np.zeros((256, 256, 2), np.uint8),
    "float": np.zeros((256, 256, 3), np.float32),
    "tiny": np.zeros((4, 4, 3), np.uint8),
    "empty": np.zeros((0, 256, 3), np.uint8),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_picture_that_is_none_is_answered_and_the_others_are_unharmed(bad, caplog):
    frames = [frame(fruit(30), seq=0), frame(bad, seq=1), frame(fruit(60), seq=2)]
    first, refused, last = segmenter().segment(frames)
    assert refused.reading.reason is NoReadReason.IMAGE_QUALITY
    assert refused.seq == 1
    assert not refused.reading.read
    assert refused.areas == (0.0, 0.0, 0.0)
    assert all(math.isnan(margin) for margin in refused.margins)
    assert angle_error_deg(first.reading.angle_deg, 30) <= 0.5
    assert angle_error_deg(last.reading.angle_deg, 60) <= 0.5
    [record] = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert record.message == "picture_refused"
    assert record.fields["frame_id"] == "cam1-1"


def test_an_aperture_of_another_size_costs_its_frame_only():
    frames = [frame(fruit(30), np.ones((9, 9), bool)), frame(fruit(60))]
    refused, good = segmenter().segment(frames)
    assert refused.reading.reason is NoReadReason.IMAGE_QUALITY
    assert good.reading.read


def test_logits_that_are_not_finite_cost_their_frame_only(caplog):
    class Fragile(ColourNet):
        def forward(self, x):
            z = super().forward(x)
            dark = x.mean((1, 2, 3)) < 0.25
            z[dark] = z[dark] * float("nan")
            return z

    frames = [frame(fruit(30)), frame(painted(skin=(50, 50, 50)), seq=1), frame(fruit(60), seq=2)]
    first, lost, last = segmenter(colour_model(Fragile())).segment(frames)
    assert lost.reading.reason is NoReadReason.IMAGE_QUALITY
    assert first.reading.read
    assert last.reading.read
    assert [record.message for record in caplog.records] == ["logits_not_finite"]


@pytest.mark.parametrize("channels", [None, 1, 4])
def test_grey_and_alpha_pictures_are_segmented(channels):
    colour = fruit(30)
    if channels == 4:
        alpha = round_aperture(256, 256).astype(np.uint8) * 255
        [got] = segmenter().segment([frame(np.dstack([colour, alpha]))])
        assert angle_error_deg(got.reading.angle_deg, 30) <= 0.5
        assert got.coverage == 1.0
    else:
        grey = colour[..., 0] if channels is None else colour[..., :1]
        [got] = segmenter().segment([frame(grey)])
        assert got.reading.reason is NoReadReason.NO_SUTURE  # this network knows colours only


def test_a_changed_aperture_of_a_lane_is_noticed():
    reader = segmenter()
    inside = round_aperture(256, 256)
    image = fruit(30)
    whole = reader.segment([frame(image)])[0]
    round_one = reader.segment([frame(image, inside)])[0]
    inside[:100, :60] = False  # the same array, written to
    half = reader.segment([frame(image, inside)])[0]
    again = reader.segment([frame(image)])[0]
    assert whole.areas == again.areas
    assert len({whole.areas[0], round_one.areas[0], half.areas[0]}) == 3


def test_empty_dark_and_glaring_pictures_are_told_apart():
    noise = np.random.default_rng(0).integers(5, 22, (256, 256, 3), dtype=np.uint8)
    cup, black, glare = segmenter().segment(
        [
            frame(noise),
            frame(painted(skin=(0, 0, 0))),
            frame(painted(skin=(255, 255, 255))),
        ]
    )
    assert cup.reading.reason is NoReadReason.EMPTY
    assert black.reading.reason is NoReadReason.IMAGE_QUALITY
    assert glare.reading.reason is NoReadReason.IMAGE_QUALITY


def test_the_cards_calibration_gives_the_confidence():
    calibration = ConfidenceCalibration(
        features=FEATURES, coefficients=(0.0,) * len(FEATURES), intercept=math.log(3)
    )
    [got] = segmenter(colour_model(confidence=calibration)).segment([frame(fruit(30))])
    assert got.reading.confidence == pytest.approx(0.75)


def test_a_calibration_of_other_features_is_refused():
    calibration = ConfidenceCalibration(features=("area",), coefficients=(1.0,), intercept=0.0)
    with pytest.raises(ModelError, match=r"fitted on area; expected one coefficient for each"):
        segmenter(colour_model(confidence=calibration))


def test_a_model_without_a_suture_is_refused():
    model = dataclasses.replace(colour_model(), classes=("background", "cat", "dog"))
    with pytest.raises(ModelError, match="no class 'suture' among its classes: background, cat"):
        segmenter(model)


def test_what_the_network_raises_reaches_the_caller():
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        segmenter(colour_model(Broken())).segment([frame(fruit(30))])


def test_the_analysis_holds_what_the_reading_was_made_from():
    good, bad = segmenter().analyse([frame(fruit(30)), frame(BAD["tiny"])])
    assert angle_error_deg(good.measurement.line.angle_deg, 30) <= 0.5
    assert good.measurement.features.stem_found == 1.0
    assert bad.measurement is None


@pytest.mark.long
def test_another_model_is_made_ready_in_another_thread_meanwhile():
    """Without a lock a traced module's neighbours in other threads raise, within a few traces."""
    network = UNet(init_features=4).eval()
    done = threading.Event()

    def trace() -> None:
        while not done.is_set():
            fold_batchnorm(network)

    # Many modules, so that one is called at almost any moment.
    live = segmenter(colour_model(nn.Sequential(ColourNet(), *(nn.Identity() for _ in range(200)))))
    expected = live.segment([frame(fruit(47.0))])[0].reading.angle_deg
    thread = threading.Thread(target=trace)
    thread.start()
    try:
        for _ in range(100):
            [got] = live.segment([frame(fruit(47.0))])
            assert got.reading.angle_deg == expected
    finally:
        done.set()
        thread.join()
