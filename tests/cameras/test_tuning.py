"""Hints of the checked list of a host: what costs pictures under load at most."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from agent.cameras import command
from agent.cameras.ethtool import CardSettings, card_settings, settings_of
from agent.cameras.host_check import HostCheck
from agent.cameras.tuning import (
    BACKLOG,
    REALTIME,
    SYS_NICE,
    check_backlog,
    check_card,
    check_governors,
    check_realtime,
    check_usb,
)


def test_the_kernel_s_structures_are_read_and_a_card_that_says_nothing_has_no_line() -> None:
    ring = [4096, 0, 0, 4096, 512, 0, 0, 512]
    coalesce = [3, *[0] * 8, 1, *[0] * 12]
    assert settings_of(ring, coalesce) == CardSettings(512, 4096, 3, adaptive=True)
    assert settings_of(None, None) == CardSettings() == card_settings("nowhere0")
    assert list(check_card("lo", CardSettings())) == []


@pytest.mark.parametrize(
    ("card", "remedies"),
    [
        (CardSettings(4096, 4096, 30), ["", ""]),
        (CardSettings(256, 4096, 0), ["ethtool -G eth1 rx 4096", "ethtool -C eth1 rx-usecs 62"]),
        (CardSettings(4096, 4096, 0, adaptive=True), ["", ""]),
        (CardSettings(wait_us=5000), ["ethtool -C eth1 rx-usecs 62"]),
    ],
)
def test_a_short_ring_and_an_interrupt_a_packet_are_named(
    card: CardSettings, remedies: list[str]
) -> None:
    found = list(check_card("eth1", card))
    assert [check.remedy for check in found] == remedies
    assert all(check.hint for check in found)


@pytest.mark.parametrize(("packets", "marks"), [(None, []), (1000, ["hint"]), (BACKLOG, ["ok"])])
def test_the_backlog_is_checked_where_the_kernel_tells_it(
    packets: int | None, marks: list[str]
) -> None:
    assert [check.mark for check in check_backlog(packets)] == marks


@pytest.mark.parametrize(
    ("limit", "capabilities", "good"),
    [
        (0, 0, False),
        (REALTIME, 0, True),
        (resource.RLIM_INFINITY, 0, True),
        (0, 1 << SYS_NICE, True),
    ],
)
def test_realtime_needs_a_limit_or_a_capability(limit: int, capabilities: int, good: bool) -> None:
    check = check_realtime((limit, limit), capabilities)
    assert check.good is good
    assert good or "LimitRTPRIO=10 and RestrictRealtime=no" in check.remedy


def test_governors_and_memory_of_usb_are_read_and_left_out_where_they_are_not(
    tmp_path: Path,
) -> None:
    assert [*check_governors(tmp_path), *check_usb(tmp_path)] == []
    for core, governor in enumerate(("performance", "powersave")):
        file = tmp_path / f"devices/system/cpu/cpu{core}/cpufreq/scaling_governor"
        file.parent.mkdir(parents=True)
        file.write_text(f"{governor}\n")
    (mixed,) = check_governors(tmp_path)
    assert (mixed.mark, mixed.found) == ("hint", "governor performance, powersave")
    usb = tmp_path / "module/usbcore/parameters/usbfs_memory_mb"
    usb.parent.mkdir(parents=True)
    for text, mark in (("16\n", "hint"), ("1000\n", "ok"), ("0\n", "ok")):
        usb.write_text(text)
        (check,) = check_usb(tmp_path)
        assert check.mark == mark
    usb.write_text("much\n")
    assert list(check_usb(tmp_path)) == []


def test_hints_are_shown_and_leave_the_list_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [
        HostCheck("network eth1", "MTU 9000", "MTU 9000 or more"),
        HostCheck("cores", "governor powersave", "performance", "cpupower", hint=True),
    ]
    monkeypatch.setattr(command, "check_host", lambda interface: checks)
    assert command.show_host(None) == 0
    said = capsys.readouterr().out
    assert "hint  cores" in said
    assert "cores: cpupower" in said
    checks.append(HostCheck("receive buffer", "212992", "8388608", "sysctl"))
    assert command.show_host(None) == 1
