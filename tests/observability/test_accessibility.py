"""The page by axe-core, in every view: nothing hides it from a keyboard, a reader or an eye."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.records import AlarmState
from tests.observability.conftest import ANGLE, ONE, PANEL, TELEPHONE, FakeAgent, ServeAgent
from tests.observability.http.served import Served
from tests.observability.samples import alarm
from tests.observability.test_page_past import mark, past
from tests.support.axe import violations
from tests.support.chromium import Chromium
from tests.support.decoders import require_decoders


@pytest.fixture(autouse=True)
def _packages() -> None:
    require_decoders()


@pytest.mark.long
@pytest.mark.needs_node
@pytest.mark.needs_chromium
@pytest.mark.parametrize(
    ("size", "dark"), [(PANEL, False), (TELEPHONE, True)], ids=["panel", "telephone, dark"]
)
def test_all_lanes_and_one_of_them(
    size: tuple[int, int], dark: bool, busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    browser.size(*size, dark=dark, touch=size == TELEPHONE)
    other = replace(alarm("camera_lost-cam1"), camera_id="cam1")
    returned = replace(alarm("late-cam1", active=False), state=AlarmState.RTN_UNACK)
    busy.alarms = (*busy.alarms, other, returned)
    busy.actions = ("ack", "comment", "shelve", "unshelve", "explain")
    busy.history["cam1"] = past([300, *range(60, -1, -1)], alarms=[mark("Late", 30)])
    busy.past_alarms = {"alarms": [{**mark("Late", 30), "camera_id": "cam1", "evidence": True}]}
    browser.open(server.url)
    browser.wait(f"{ANGLE} === '12.5°'")
    browser.wait("document.querySelectorAll('.quiet:not([hidden])').length === 1")
    assert violations(browser) == []
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.run(f"location.hash = '{ONE[1:]}'")
    browser.wait("document.querySelectorAll('.map:not([hidden])').length === 2")
    browser.wait("document.querySelectorAll('.card:not([hidden]) .pasts tbody tr').length === 32")
    browser.wait("document.querySelectorAll('#before tbody tr').length === 1")
    assert violations(browser) == []
    browser.run("document.querySelector('.frame button').click()")
    browser.wait("document.getElementById('large').open")
    assert violations(browser) == []
    browser.press("Escape")
    browser.wait("!document.getElementById('large').open")
    browser.run("document.querySelector('.alarm .act').click()")
    browser.wait("document.getElementById('acting').open")
    assert violations(browser) == []


@pytest.mark.needs_node
@pytest.mark.needs_chromium
def test_no_fruit_yet_and_the_agent_gone(
    agent: FakeAgent, serve: ServeAgent, browser: Chromium
) -> None:
    server = serve()
    browser.open(server.url)
    browser.wait("document.querySelectorAll('.card').length === 2")
    assert violations(browser) == []
    assert server.stop()
    browser.wait("!document.getElementById('gone').hidden", 15)
    assert violations(browser) == []
