from __future__ import annotations

import pytest

from agent.simulator.parameters import ParameterError, parse_url


def test_an_empty_url_is_the_default_machine() -> None:
    parsed = parse_url("sim:")
    assert parsed.machine.rate_per_min == 280
    assert parsed.machine.lanes == 1
    assert parsed.ids
    assert parsed.faults == ()


def test_every_parameter_is_read() -> None:
    parsed = parse_url(
        "sim:?rate=120&lanes=2&seed=9&empty=0.1&doubles=0.05&stops=6&stop_s=3&lot=100"
        "&variety=pale,golden&faint=0.5&size=128&ids=0&numbers=1&anchor=12.5&fault=black@3+2"
    )
    assert parsed.machine.rate_per_min == 120
    assert parsed.machine.lanes == 2
    assert parsed.machine.seed == 9
    assert parsed.machine.empty == 0.1
    assert parsed.machine.doubles == 0.05
    assert parsed.machine.stops_per_h == 6
    assert parsed.machine.stop_s == 3
    assert parsed.machine.lot_rows == 100
    assert parsed.machine.varieties == ("pale", "golden")
    assert parsed.look.faint == 0.5
    assert parsed.size_px == 128
    assert not parsed.ids
    assert parsed.numbers
    assert parsed.anchor_mono == 12.5
    assert [(f.name, f.onset_s, f.duration_s) for f in parsed.faults] == [("black", 3, 2)]


def test_several_faults_may_be_named() -> None:
    parsed = parse_url("sim:?fault=black@1+1&fault=frozen@5%2B2")
    assert [fault.name for fault in parsed.faults] == ["black", "frozen"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("rat=280", ["'rat'", "did you mean rate"]),
        ("colour=red", ["'colour'", "lanes"]),
        ("rate=fast", ["rate=fast", "number"]),
        ("rate=0", ["rate=0", "1 to 6000"]),
        ("rate=nan", ["rate=nan"]),
        ("lanes=1.5", ["lanes=1.5", "whole"]),
        ("lanes=99", ["lanes=99"]),
        ("variety=apple", ["apple", "golden"]),
        ("empty=0.7&doubles=0.7", ["empty and doubles"]),
        ("seed=1&seed=2", ["seed", "twice"]),
        ("size=10", ["size=10"]),
        ("numbers=2", ["numbers=2", "0 to 1"]),
        ("log=/nowhere/at/all", ["log=/nowhere/at/all", "folder that exists"]),
        ("fault=blakc", ["blakc", "did you mean black"]),
        ("fault=black@x", ["black@x"]),
        ("fault=black@1.2.3", ["1.2.3"]),
        ("fault=black*2", ["strength 2"]),
    ],
)
def test_a_bad_parameter_is_named_with_what_is_allowed(query: str, words: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_url(f"sim:?{query}")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("url", ["sim://host?rate=1", "sim:folder", "rtsp:?rate=1"])
def test_anything_but_a_query_is_refused(url: str) -> None:
    with pytest.raises(ParameterError, match="expected sim:"):
        parse_url(url)


def test_yaml_says_the_same_as_the_url() -> None:
    url = "sim:?rate=120&seed=9&variety=golden,pale&ids=0&faint=0.5&fault=black@1+2&fault=dust"
    more = {
        "rate": 120,
        "seed": 9,
        "variety": ["golden", "pale"],
        "ids": False,
        "faint": 0.5,
        "fault": ["black@1+2", "dust"],
    }
    assert parse_url("sim:", more) == parse_url(url)
    assert parse_url("sim:?rate=120", {"fault": "dust"}) == parse_url("sim:?rate=120&fault=dust")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"rate": 0}, ["rate=0"]),
        ({"rte": 3}, ["'rte'", "did you mean rate"]),
        ({"seed": 4}, ["seed", "given twice"]),
        ({"fault": ["blck@3"]}, ["blck", "did you mean black"]),
        ({"variety": ["golden", "plum"]}, ["variety=plum"]),
        ({"ids": "maybe"}, ["ids=maybe"]),
    ],
)
def test_what_yaml_says_wrong_is_named(more: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_url("sim:?seed=3", more)
    assert all(word in str(caught.value) for word in words)
