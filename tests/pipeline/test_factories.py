"""What the stages are made with."""

from __future__ import annotations

import dataclasses
import json
import logging
import socket
import time

import numpy as np
import pytest
from torch import Tensor, nn

from agent import config
from agent.ablation.split.apart import why_not_together
from agent.alarms.catalogue import Cause
from agent.config import Config, Http
from agent.models.checks import probe_batch
from agent.models.fusing import fused
from agent.models.loaded import LoadedModel
from agent.models.loading import load_model
from agent.observability.http.listener import HttpError
from agent.pipeline.factories import (
    check_ports,
    describe_topics,
    make_segmenter,
    overlay_ranges,
)
from agent.publishing.embedded.broker import BrokerError
from agent.publishing.schemas import NAMES
from tests.alarms.references import reference
from tests.segmentation.drawn import colour_model, frame


def test_one_colour_range_serves_all_varieties_of_a_line() -> None:
    golden = reference((), overlay_range={"suture": 2.0, "stem": 1.0})
    red = reference((), variety="red", overlay_range={"suture": 1.5, "stem": 4.0})
    assert overlay_ranges({"golden": golden, "red": red}) == {"suture": 2.0, "stem": 4.0}


def test_a_line_that_is_not_commissioned_has_none() -> None:
    assert overlay_ranges({}) is None


def test_both_ports_in_use_are_named_at_once_and_free_ones_stay_free() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as http,
        socket.create_server(("127.0.0.1", 0)) as broker,
    ):
        ports = http.getsockname()[1], broker.getsockname()[1]
        config = Config(
            http={"port": ports[0]}, mqtt={"broker": "embedded", "embedded_port": ports[1]}
        )
        with pytest.raises(HttpError) as caught:
            check_ports(config)
        assert f"http.port: 127.0.0.1:{ports[0]} is in use" in str(caught.value)
        assert f"mqtt.embedded_port: 127.0.0.1:{ports[1]}" in str(caught.value)
        unused = config.model_copy(update={"http": Http(enabled=False, port=ports[0])})
        with pytest.raises(BrokerError, match="embedded_port"):
            check_ports(unused)
        elsewhere = config.mqtt.model_copy(update={"broker": "none"})
        check_ports(unused.model_copy(update={"mqtt": elsewhere}))
    check_ports(config)
    with socket.create_server(("127.0.0.1", ports[0])):
        pass


def test_metrics_alarms_and_payloads_are_described_for_those_who_read_the_topics() -> None:
    described = json.loads(json.dumps(describe_topics(Config())))
    assert described["metrics"]["fps"]["unit"] == "Hz"
    assert set(described["alarms"]) == set(Cause)
    assert set(described["schemas"]) == set(NAMES)
    assert described["signals"]


class Branching(nn.Module):
    """Another answer for all pictures of a pass where one of them is bright."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y.flip(1) if x.max() > 0.9 else y


def branching() -> LoadedModel:
    model = colour_model()
    return dataclasses.replace(model, module=Branching(model.module))


def masks(model: LoadedModel, images: list[np.ndarray], **settings: str) -> list[np.ndarray]:
    made = make_segmenter(Config(segmentation=settings), model, {}, time.monotonic)
    found = made.segment([frame(image) for image in images])
    return [one.mask for one in found]


def test_a_network_that_is_not_proven_to_keep_pictures_apart_sees_one_a_pass(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    grey, white = (np.full((64, 64, 3), level, np.uint8) for level in (90, 255))
    model = branching()
    alone = masks(model, [grey])[0]
    [told] = [r for r in caplog.records if r.message == "pictures_one_by_one"]
    assert "not traceable" in told.fields["reason"]
    np.testing.assert_array_equal(masks(model, [grey, white])[0], alone)
    trusted = masks(model, [grey, white], batches="trusted")[0]
    assert (trusted != alone).any(), "the network of this test has to mix them"


def test_the_shipped_network_is_proven_to_keep_pictures_apart() -> None:
    model = load_model(config.Model())
    assert why_not_together(fused(model), probe_batch(model)[:1]) == ""
    assert make_segmenter(Config(), model, {}, time.monotonic)._model.batchable
