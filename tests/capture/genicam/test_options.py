"""What a machine camera is told: in the URL, in YAML, each checked before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.capture.check import check_source
from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import parse_address
from agent.capture.sources.genicam.backends import chosen
from agent.capture.sources.genicam.options import options_of
from agent.capture.sources.genicam.setup import plan
from agent.config import Camera, GenicamBackend, GenicamOptions
from agent.config.paths import source_from
from agent.preflight import ConfigErrors, load_config
from tests.capture.support import camera

HERE = "genicam://serial/7"


def writes(source: str = HERE, **keys: object) -> list[tuple[str, object]]:
    made = camera(source, **{"fps": None, **keys})
    found = [(write.names[0], write.value) for write in plan(made, options_of(made)[1])]
    assert found[:2] == [("AcquisitionStop", ""), ("TLParamsLocked", 0)], "as another left it"
    return found[2:]


def test_a_camera_is_named_by_serial_address_or_user_name() -> None:
    assert str(parse_address("genicam://serial/40012345")[0]) == "genicam://serial/40012345"
    assert parse_address("genicam://ip/10.0.0.21?trigger=off")[1] == {"trigger": "off"}
    assert parse_address("genicam://user/lane%201")[0].value == "lane 1"


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("genicam://serial/", "genicam://serial/NUMBER"),
        ("genicam://mac/00:11", "genicam://user/NAME"),
        ("genicam:7", "genicam://serial/NUMBER"),
        ("genicam://ip/10.0.0.300", "'10.0.0.300' is no IPv4 address"),
        ("genicam://ip/camera1", "is no IPv4 address"),
        (f"{HERE}?triger=off", "did you mean trigger"),
        (f"{HERE}?trigger=Line1", "LINE:EDGE as in Line1:RisingEdge"),
        (f"{HERE}?trigger=off&trigger=software", "has an option twice"),
        (f"{HERE}?packet_size=100", "packet_size=100: allowed is"),
        (f"{HERE}?buffers=one", "buffers=one"),
        (f"{HERE}?roi=0,0,640", "option roi="),
        (f"{HERE}?features=GainAuto", "NAME=VALUE"),
        (f"{HERE}?exposure_us=5&exposure_auto=once", "exposure_us has no effect beside"),
        (f"{HERE}?gain_db=5&gain_auto=continuous", "gain_db has no effect beside"),
        (f"{HERE}?strobe=Line1&trigger=Line1:RisingEdge", "strobe is the line of the trigger"),
        (f"{HERE}?backend=aravis&cti=/a.cti", "cti has no effect"),
        (f"{HERE}?pixel_format=Mono12p", "Mono12p cannot be read; there are Mono8, Mono10"),
        (f"{HERE}?features_file=/nowhere/x", "/nowhere/x: No such file"),
    ],
)
def test_an_option_that_cannot_be_right_is_named_before_the_start(source: str, part: str) -> None:
    with pytest.raises(SourceError) as caught:
        check_source(camera(source))
    assert caught.value.permanent
    assert part in caught.value.detail


def test_the_same_option_in_both_places_is_an_error() -> None:
    with pytest.raises(SourceError, match="option trigger: stands in the URL and under genicam"):
        check_source(camera(f"{HERE}?trigger=off", genicam={"trigger": "software"}))


def test_url_and_yaml_are_one() -> None:
    made = camera(f"{HERE}?features=A=1,B=x%3Dy&chunks=FrameID", genicam={"buffers": 3})
    options = options_of(made)[1]
    assert options.features == ("A=1", "B=x=y")
    assert (options.chunks, options.buffers) == (("FrameID",), 3)


@pytest.mark.parametrize(
    ("told", "place", "part"),
    [
        ("genicam: {triger: off}", "cameras[0].genicam.triger", "did you mean"),
        ("genicam: {buffers: 1}", "cameras[0].genicam.buffers", "256"),
        ("genicam: {packet_delay: -1}", "cameras[0].genicam.packet_delay", "from 0"),
        ("genicam: {exposure_us: 0}", "cameras[0].genicam.exposure_us", "above 0"),
        ("genicam: {gain_db: 101}", "cameras[0].genicam.gain_db", "100"),
        ("genicam: {ptp: master}", "cameras[0].genicam.ptp", "slave"),
        ("genicam: {stamp: mine}", "cameras[0].genicam.stamp", "camera"),
        ("genicam: {user_set: ''}", "cameras[0].genicam.user_set", "a name of the camera"),
        ("genicam: {strobe: 2}", "cameras[0].genicam.strobe", "text needs quotes"),
        ("genicam: {chunks: ['a b']}", "cameras[0].genicam.chunks[0]", "a name of the camera"),
        ("genicam: {interface: ''}", "cameras[0].genicam.interface", ""),
        ("genicam: {pixel_format: 8}", "cameras[0].genicam.pixel_format", "text needs quotes"),
        ("genicam: {white_balance_auto: maybe}", "cameras[0].genicam.white_balance_auto", "once"),
        ("genicam: {features: ['x']}", "cameras[0].genicam.features[0]", "NAME=VALUE"),
        ("genicam: {roi: [0, 0, 8, 16]}", "cameras[0].genicam.roi[2]", "16"),
        ("genicam: {roi: [0, 0, 64, 64]}, width_px: 32, height_px: 64",
         "cameras[0].genicam.roi", "has another size than width_px"),
        ("genicam: {trigger: software}, bit_depth: 12", "cameras[0].bit_depth", "no effect"),
    ],
)  # fmt: skip
def test_yaml_names_the_place_of_what_is_wrong(
    tmp_path: Path, told: str, place: str, part: str
) -> None:
    file = tmp_path / "pitwatch.yaml"
    file.write_text(f"mqtt: {{broker: none}}\ncameras: [{{name: a, source: '{HERE}', {told}}}]\n")
    with pytest.raises(ConfigErrors) as caught:
        load_config(file, environment={})
    found = {problem.path: str(problem) for problem in caught.value.problems}
    assert list(found) == [place], "nothing else is named"
    assert part in found[place]


def test_genicam_beside_another_source_is_an_error() -> None:
    with pytest.raises(ValueError, match="genicam has no effect: the source is no GenICam camera"):
        Camera(name="a", source="v4l2:0", genicam={"trigger": "off"})


def test_paths_in_the_url_begin_at_the_file_of_the_configuration() -> None:
    assert source_from(Path("/etc/p"), f"{HERE}?cti=a.cti&features_file=/b&trigger=off") == (
        f"{HERE}?cti=/etc/p/a.cti&features_file=/b&trigger=off"
    )


def test_a_camera_is_set_up_in_order() -> None:
    found = writes(
        mode="triggered",
        genicam={
            "user_set": "UserSet1", "features": ["BlackLevelSelector=All", "BlackLevel=4"],
            "trigger": "Line1:RisingEdge", "exposure_us": 800, "gain_db": 6, "strobe": "Line2",
            "pixel_format": "Mono8", "roi": [8, 0, 32, 16], "packet_size": 1500,
            "packet_delay": 10, "ptp": "slave", "chunks": ["FrameID"],
        },
    )  # fmt: skip
    names = [name for name, _ in found]
    assert found[:2] == [("UserSetSelector", "UserSet1"), ("UserSetLoad", "")]
    assert names.index("BlackLevelSelector") < names.index("BlackLevel") < names.index("Width")
    trigger = [value for name, value in found if name.startswith("Trigger")]
    assert trigger == ["FrameStart", "Off", "Line1", "RisingEdge", "On"], "on when all is set"
    widths = [value for name, value in found if name in ("OffsetX", "Width")]
    assert widths == [0, 32, 8], "the offset leaves room first"
    for pair in (
        ("ExposureAuto", "Off"), ("GainAuto", "Off"), ("BalanceWhiteAuto", "Off"),
        ("ExposureTime", 800.0), ("Gain", 6.0), ("LineSource", "ExposureActive"),
        ("GevSCPSPacketSize", 1500), ("GevSCPD", 10), ("PtpEnable", True),
        ("ChunkModeActive", True), ("ChunkSelector", "FrameID"), ("ChunkEnable", True),
    ):  # fmt: skip
        assert pair in found


def test_what_is_not_asked_for_stays_as_it_is_but_automatic_light_is_off() -> None:
    assert {name for name, _ in writes(mode="triggered")} == {
        "AcquisitionMode", "ExposureAuto", "GainAuto", "BalanceWhiteAuto",
    }  # fmt: skip
    asked = {"exposure_auto": "once", "gain_auto": "continuous", "white_balance_auto": "once"}
    found = writes(genicam=asked)
    assert ("ExposureAuto", "Once") in found
    assert ("GainAuto", "Continuous") in found
    assert ("BalanceWhiteAuto", "Once") in found


def test_a_size_and_a_rate_are_asked_of_a_free_running_camera() -> None:
    found = writes(fps=25, width_px=32, height_px=16)
    assert found[-2:] == [("AcquisitionFrameRateEnable", True), ("AcquisitionFrameRate", 25.0)]
    assert ("Width", 32) in found
    assert ("TriggerMode", "Off") in writes(genicam={"trigger": "off"})


def test_saved_features_are_read_in_their_order(tmp_path: Path) -> None:
    saved = tmp_path / "line.features"
    saved.write_text("# persistence file\nGainAuto\tOff\n\nGain = 3.5\nDeviceUserID lane 1\n")
    found = writes(genicam={"features_file": saved})
    assert found[:3] == [("GainAuto", "Off"), ("Gain", "3.5"), ("DeviceUserID", "lane 1")]
    saved.write_text("Gain\t1\n<xml>\n")
    with pytest.raises(SourceError, match="line 2 is no name and value: '<xml>'"):
        check_source(camera(HERE, genicam={"features_file": saved}))


def test_the_driver_is_gentl_where_a_producer_is_named() -> None:
    assert chosen(GenicamOptions(), {}) is GenicamBackend.ARAVIS
    assert chosen(GenicamOptions(cti="/a.cti"), {}) is GenicamBackend.GENTL
    assert chosen(GenicamOptions(), {"GENICAM_GENTL64_PATH": "/x"}) is GenicamBackend.GENTL
    assert chosen(GenicamOptions(backend="aravis"), {"GENICAM_GENTL64_PATH": "/x"}) is (
        GenicamBackend.ARAVIS
    )
