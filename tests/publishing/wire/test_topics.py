"""The topic table as subscribers rely on it."""

from __future__ import annotations

import re
from itertools import permutations

import pytest

from agent.config import Site
from agent.publishing.wire.topics import ROUTES, Buffering, TopicError, Topics

TOPICS = Topics.for_site(Site(enterprise="acme", machine="pitter-2"))


def test_the_base_has_the_version_and_every_level_of_the_site() -> None:
    assert Topics.for_site(Site()).base == "pitwatch/v1/plant/site/area/line/pitter"
    assert TOPICS.machine == "pitwatch/v1/acme/site/area/line/pitter-2/machine"


@pytest.mark.parametrize(
    ("route", "levels", "topic", "qos", "retain", "expiry_s"),
    [
        ("status", {}, "status", 1, True, 0),
        ("meta", {}, "meta", 1, True, 0),
        ("metric", {"camera": "cam1", "name": "fps"}, "metric/cam1/fps", 0, True, 300),
        ("fruit", {"camera": "cam1"}, "fruit/cam1", 0, False, 10),
        ("explanation", {"camera": "cam1"}, "explanation/cam1", 1, False, 600),
        ("cam_meta", {"camera": "c", "class": "stem"}, "cam/c/stem/meta", 1, True, 120),
        ("cam_image", {"camera": "c", "class": "stem"}, "cam/c/stem/image", 0, True, 120),
        ("alarm", {"alarm_id": "camera_lost-c"}, "alarm/camera_lost-c", 1, True, 0),
        ("alarm_normal", {"alarm_id": "x"}, "alarm/x", 1, True, 86_400),
        ("evidence", {"event_id": "e-1"}, "evidence/e-1/image", 1, True, 86_400),
        ("event_alarm", {}, "event/alarm", 1, False, 86_400),
    ],
)
def test_each_route_has_the_promised_topic_qos_retain_and_expiry(
    route: str, levels: dict[str, str], topic: str, qos: int, retain: bool, expiry_s: int
) -> None:
    spec = ROUTES[route]
    assert TOPICS.of(route, **levels) == f"{TOPICS.base}/{topic}"
    assert (spec.qos, spec.retain, spec.expiry_s) == (qos, retain, expiry_s)


def test_the_table_has_no_route_beyond_those_promised() -> None:
    assert len(ROUTES) == 12


def test_what_is_retained_is_state_and_what_is_not_is_an_event_except_immutable_evidence() -> None:
    for name, route in ROUTES.items():
        state = route.retain and name != "evidence"
        assert (route.buffering is Buffering.STATE) == state, name


def test_what_must_outlive_an_outage_is_durable() -> None:
    durable = {name for name, route in ROUTES.items() if route.buffering is Buffering.DURABLE}
    assert durable == {"event_alarm", "evidence", "explanation"}


def test_no_topic_is_the_parent_of_another() -> None:
    patterns = [re.sub(r"\{\w+\}", "x", route.pattern) for route in ROUTES.values()]
    for a, b in permutations(set(patterns), 2):
        assert not b.startswith(f"{a}/")


@pytest.mark.parametrize("level", ["", "a/b", "#", "+", "a.b", "a b", "ä", "x" * 81, "a\n"])
def test_a_level_that_no_tag_can_be_named_after_is_refused_by_name(level: str) -> None:
    with pytest.raises(TopicError, match="camera"):
        TOPICS.of("fruit", camera=level)
