"""Features that are written: checked against their range and list before, read back after."""

from __future__ import annotations

import pytest

from agent.capture.source import SourceError
from agent.capture.sources.genicam.gige.network import Network
from agent.capture.sources.genicam.gige.packet_size import check_packet_size
from agent.capture.sources.genicam.nodes import apply, number_of
from agent.capture.sources.genicam.setup import Write
from tests.capture.genicam.memory import choice, device, integer, switch


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("ExposureTim", 5, "the camera has no feature ExposureTim; did you mean ExposureTime?"),
        ("Zz", 5, "the camera has no feature Zz"),
        ("ExposureTime", 5, "ExposureTime is 5; allowed is from 10 to 100000 us"),
        ("ExposureTime", "nan", "allowed is from 10 to 100000 us"),
        ("ExposureTime", "long", "allowed is from 10 to 100000 us"),
        ("Width", 4096, "Width is 4096; allowed is a whole number from 16 to 64"),
        ("Width", "32.5", "a whole number from 16 to 64"),
        ("Width", 33, "Width is 33; it goes in steps of 4, as 32 or 36"),
        ("PayloadSize", 5, "PayloadSize is read-only, it is 3072"),
        ("GainAuto", "Of", "GainAuto cannot be 'Of'; did you mean Off?; there are Off, Cont"),
        ("PtpEnable", "maybe", "PtpEnable is 'maybe'; allowed are true and false"),
    ],
)
def test_what_a_feature_cannot_be_is_said_with_what_it_can(
    name: str, value: object, part: str
) -> None:
    camera = device()
    with pytest.raises(SourceError) as caught:
        apply(camera, [Write("features", (name,), value)])
    assert part in caught.value.detail
    assert caught.value.detail.startswith("features: ")
    assert (caught.value.reason, caught.value.permanent) == ("feature", True)
    assert camera.log == [], "nothing was written"


def test_values_take_the_type_of_their_feature() -> None:
    camera = device(integer("Mask", 0, 0, 255))
    told = apply(
        camera,
        [
            Write("features", ("Mask",), "0x10"),
            Write("features", ("Gain",), "3"),
            Write("features", ("PtpEnable",), "True"),
            Write("features", ("TriggerSoftware",), "1"),
        ],
    )
    assert told == []
    assert camera.log == [
        ("Mask", 16), ("Gain", 3.0), ("PtpEnable", True), ("TriggerSoftware", "done"),
    ]  # fmt: skip
    assert type(camera.nodes["Gain"].value) is float


def test_what_comes_back_otherwise_is_told_and_steps_of_a_float_are_not() -> None:
    camera = device()
    camera.rounded = {"ExposureTime": 800.3, "Gain": 6.5, "Width": 48}
    writes = [
        Write("exposure_us", ("ExposureTime",), 800.0),
        Write("gain_db", ("Gain",), 6.0),
        Write("roi", ("Width",), 32),
    ]
    assert apply(camera, writes) == [
        "Gain was set to 6.0 and is 6.5",
        "Width was set to 32 and is 48",
    ]


def test_an_older_name_serves_where_the_new_one_is_missing() -> None:
    camera = device(switch("GevIEEE1588"))
    del camera.nodes["PtpEnable"]
    apply(camera, [Write("ptp", ("PtpEnable", "GevIEEE1588"), True)])
    assert camera.log == [("GevIEEE1588", True)]


def test_what_was_not_asked_for_is_left_where_the_camera_cannot() -> None:
    locked = choice("GainAuto", "Continuous", "Continuous", writable=False)
    camera = device(locked)
    camera.unavailable = {"ExposureAuto"}
    writes = [
        Write("exposure_auto", ("ExposureAuto",), "Off", needed=False),
        Write("gain_auto", ("GainAuto",), "Off", needed=False),
        Write("white_balance_auto", ("BalanceWhiteAuto",), "Off", needed=False),
    ]
    assert apply(camera, writes) == []
    assert camera.log == []


def test_a_feature_that_is_only_not_there_now_is_tried_again_later() -> None:
    camera = device()
    camera.unavailable = {"Gain"}
    with pytest.raises(SourceError, match="gain_db: Gain is not there now") as caught:
        apply(camera, [Write("gain_db", ("Gain",), 3.0)])
    assert not caught.value.permanent


def test_a_value_that_is_not_available_is_passed_over() -> None:
    camera = device()
    assert number_of(camera, "DeviceTemperature") == 41.5
    camera.unavailable = {"DeviceTemperature"}
    assert number_of(camera, "DeviceTemperature", "Gain") == 3.0
    assert number_of(camera, "Missing", "PixelFormat") is None


def test_packets_above_the_mtu_are_refused_with_the_network_s_name() -> None:
    camera = device()
    check_packet_size(camera, Network("eth1", "10.0.0.1", 1500, linked=True, loopback=False))
    apply(camera, [Write("packet_size", ("GevSCPSPacketSize",), 9000)])
    check_packet_size(camera, Network("eth1", "10.0.0.1", 9000, linked=True, loopback=False))
    with pytest.raises(SourceError, match="packet_size 9000 is above the MTU 1500 of eth1"):
        check_packet_size(camera, Network("eth1", "10.0.0.1", 1500, linked=True, loopback=False))
