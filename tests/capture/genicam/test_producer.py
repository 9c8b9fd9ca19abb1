"""The producer: found, fit for this computer; which interface of it is meant."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from agent.capture.source import SourceError
from agent.capture.sources.genicam.gentl.interfaces import addresses_of, is_meant
from agent.capture.sources.genicam.gentl.producer import find_producer

ELF = {"x86_64": 0x3E, "aarch64": 0xB7}


def library(path: Path, machine: str) -> Path:
    path.write_bytes(
        b"\x7fELF\x02\x01" + bytes(12) + ELF[machine].to_bytes(2, "little") + bytes(99)
    )
    return path


def refused(cti: Path | None, environment: dict[str, str]) -> SourceError:
    with pytest.raises(SourceError) as caught:
        find_producer(cti, environment)
    assert caught.value.permanent
    return caught.value


def test_a_producer_of_another_architecture_is_named_with_both(tmp_path: Path) -> None:
    here = platform.machine()
    other = "aarch64" if here == "x86_64" else "x86_64"
    error = refused(library(tmp_path / "a.cti", other), {})
    assert error.reason == "bad_producer"
    assert f"is made for {other}, and this computer is {here}" in error.detail


def test_a_file_that_is_no_library_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.cti").write_text("MZ, as of another system")
    assert "is no shared library of Linux" in refused(tmp_path / "a.cti", {}).detail
    (tmp_path / "b.cti").write_bytes(b"\x7fELF")
    assert "is no shared library of Linux" in refused(tmp_path / "b.cti", {}).detail
    assert "No such file" in refused(tmp_path / "c.cti", {}).detail
    assert "Is a directory" in refused(tmp_path, {}).detail


def test_the_environment_names_folders_of_producers(tmp_path: Path) -> None:
    named = {"GENICAM_GENTL64_PATH": f"/nowhere:{tmp_path}"}
    assert "neither cti nor GENICAM_GENTL64_PATH" in refused(None, {}).detail
    assert "no file *.cti" in refused(None, named).detail
    one = library(tmp_path / "one.cti", platform.machine())
    assert find_producer(None, named) == one
    two = library(tmp_path / "two.cti", platform.machine())
    assert f"cti says which: {one}, {two}" in refused(None, named).detail
    assert find_producer(two, named) == two


@pytest.mark.parametrize(
    ("wanted", "shown", "meant"),
    [
        ("eth1", ("TL_IF_0", "Ethernet eth1 (10.0.0.1)"), True),
        ("eth1", ("TL_IF_0", "Ethernet eth10 (10.0.0.1)"), False),
        ("10.0.0.1", ("TL_IF_0", "GigE 10.0.0.1/24"), True),
        ("10.0.0.1", ("TL_IF_0", "GigE 10.0.0.12"), False),
        ("TL_IF_0", ("TL_IF_0", ""), True),
        ("eth5", ("if-00:11:22:AA:bb:CC", ""), True),
        ("eth5", ("if-001122aabbcc", ""), True),
        ("eth5", ("if-001122aabbcd", "10.9.0.1"), False),
    ],
)
def test_an_interface_is_meant_by_its_name_or_an_address(
    wanted: str, shown: tuple[str, str], meant: bool
) -> None:
    addresses = {"eth5", "00:11:22:aa:bb:cc", "10.9.0.2"} if wanted == "eth5" else set()
    assert is_meant(wanted, addresses, shown) is meant


def test_the_loopback_of_this_computer_is_known_by_name_and_address() -> None:
    assert "127.0.0.1" in addresses_of("lo")
    assert addresses_of("lo") == addresses_of("127.0.0.1")
    assert addresses_of("no_such_network") == frozenset()
