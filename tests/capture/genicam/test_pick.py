"""Which of the cameras that are there is meant, and what is said where none is."""

from __future__ import annotations

import pytest

from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import Address
from agent.capture.sources.genicam.backend import DeviceRecord
from agent.capture.sources.genicam.pick import listed, pick

LEFT = DeviceRecord(serial="11", user_name="lane1", ip="10.0.0.1", vendor="V", model="M", key="a")
RIGHT = DeviceRecord(serial="22", user_name="Lane1", ip="10.0.0.2", key="b")
TWIN = DeviceRecord(serial="33", user_name="lane1", access="in_use", owner="10.0.0.9", key="c")


def test_a_camera_is_found_by_each_of_its_names() -> None:
    for address in (Address("serial", "11"), Address("ip", "10.0.0.1"), Address("user", "lane1")):
        assert pick([RIGHT, LEFT], address) is LEFT


def test_a_serial_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(SourceError) as caught:
        pick([LEFT, TWIN], Address("serial", "12"))
    assert caught.value.reason == "absent"
    assert not caught.value.permanent, "it may be plugged in"
    assert caught.value.detail == (
        "genicam://serial/12 is not there; there are serial 11, user lane1, ip 10.0.0.1, V M;"
        " serial 33, user lane1, in use by 10.0.0.9"
    )
    with pytest.raises(SourceError, match="there are no cameras"):
        pick([], Address("serial", "12"))


def test_a_name_in_another_case_is_meant() -> None:
    with pytest.raises(SourceError, match="did you mean Lane1"):
        pick([RIGHT], Address("user", "LANE1"))


def test_two_cameras_of_one_name_are_told_and_neither_is_opened() -> None:
    with pytest.raises(SourceError, match=r"2 cameras are .*lane1: serial 11") as caught:
        pick([LEFT, RIGHT, TWIN], Address("user", "lane1"))
    assert caught.value.reason == "ambiguous"


def test_one_camera_seen_over_two_networks_is_one() -> None:
    far = DeviceRecord(serial="11", access="unreachable", key="d")
    assert pick([far, LEFT], Address("serial", "11")) is LEFT


def test_a_long_list_is_cut() -> None:
    many = [DeviceRecord(serial=str(number)) for number in range(25)]
    assert listed(many).endswith("serial 19; and 5 more")
