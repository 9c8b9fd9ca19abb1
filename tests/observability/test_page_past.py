"""The page's history and what operators do on it, in a real Chromium."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from agent.observability.http.app_state import Acted
from agent.records import AlarmState, CommandOutcome
from tests.observability.conftest import ANGLE, ONE, FakeAgent, ServeAgent
from tests.observability.http.served import Served
from tests.observability.samples import alarm
from tests.support import wait_until
from tests.support.chromium import Chromium

NOW_S = 1_700_000_000
"""Of the agent's clock in these tests: that of the panel is years away from it."""
TOKEN = "who-shows-this-may-act"
SCRIPT = "<img src=x onerror=alert(1)>"


def past(minutes: list[int], **columns: object) -> dict[str, object]:
    """A lane's history with a row for each of these minutes before now."""
    count = len(minutes)
    return {
        "hours": 8, "end_s": [NOW_S - 60 * m for m in minutes], "seconds": [60] * count,
        "fruit": [280] * count, "no_read": [0.02] * count, "no_read_limit": [0.2] * count,
        "foreground": [0.7] * count, "foreground_limit": [0.2] * count,
        "reliance": [0.1] * count, "reliance_limit": [0.6] * count, "alarms": [],
    } | columns  # fmt: skip


def mark(title: str, minutes_ago: int, **more: object) -> dict[str, object]:
    return {"event_id": title, "title": title, "priority": "high", "lasts": False,
            "began_ms": 1000 * (NOW_S - 60 * minutes_ago), "duration_s": 300.0} | more  # fmt: skip


CHARTS = (
    "[...document.querySelectorAll('.card:not([hidden]) .past')].map((c) => ({said: c.innerText,"
    " label: c.querySelector('svg').getAttribute('aria-label'), over: c.className,"
    " paths: [...c.querySelectorAll('path')].map((p) => p.getAttribute('d'))}))"
)


@pytest.mark.long
@pytest.mark.needs_chromium
def test_the_last_hours_are_drawn_with_their_limits_and_what_is_missing_is_a_gap(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    minutes = [*range(300, 200, -1), *range(60, -1, -1)]  # the agent was off in between
    unread: list[float | None] = [0.02] * len(minutes)
    unread[20], unread[-10:-5] = 0.5, [None] * 5  # the machine stood: nobody knew
    busy.history["cam1"] = past(
        minutes, no_read=unread, alarms=[mark(SCRIPT, 270), mark("Late", 30, lasts=True)],
        a_column_of_the_next_version=[1],
    )  # fmt: skip
    browser.open(server.url + ONE)
    browser.wait("document.querySelectorAll('.pasts rect').length === 2")
    marks, read, suture, background = browser.run(CHARTS)
    assert re.search(r"fruit read\s+lowest 50\s%", read["said"])
    assert read["over"] == "past over"
    assert re.search(r"limit 80\s%; 156 minutes known", read["label"])
    off, _, limit, line = read["paths"]
    assert off.count("M") == 2, "before there was a history, and while the agent was off"
    assert (line.count("M"), limit.count("M")) == (3, 2), "broken where nothing was known"
    assert "L480.0" in line, "on the agent's clock, whatever the panel's says"
    assert not re.search(r"[ML][\d.]+ 59\.0", line), "never as 0"
    assert re.search(r"looks at the suture\s+lowest 70\s%", suture["said"])
    assert re.search(r"on the background\s+highest 10\s%", background["said"])
    assert f"{SCRIPT} at" in marks["label"]
    assert "Late at" in marks["label"]
    browser.run("document.querySelector('.pasts details').open = true")
    browser.wait("document.querySelectorAll('.pasts tbody tr').length === 32")
    cells = "[...document.querySelectorAll('.pasts tbody tr')].map((r) => r.innerText)"
    rows = browser.run(cells)
    assert "Late" in rows[0]
    assert sum("agent off" in row for row in rows) in range(18, 25)
    assert any(SCRIPT in row and re.search(r"50\s%", row) for row in rows)
    assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
    busy.history["cam1"] = past([m - 60 for m in minutes])  # the agent's clock is set by an hour
    busy.utc_ms += 3_600_000
    browser.wait("document.querySelectorAll('.pasts rect').length === 0")  # long before the minute
    browser.wait(f"({CHARTS})[1].paths[3].includes('L480.0')")
    assert browser.errors == []


@pytest.mark.needs_chromium
def test_a_page_that_is_open_for_weeks_grows_by_nothing(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    minutes = list(range(400, -1, -1))
    busy.history["cam1"] = past(minutes, alarms=[mark(f"a{i}", i) for i in range(40)])
    busy.past_alarms = {"alarms": [
        {**mark(f"Alarm {i}", i), "camera_id": "cam1", "message": SCRIPT, "acked_by": "anna",
         "comment": "belt", "evidence": i == 3}
        for i in range(50)
    ]}  # fmt: skip
    browser.open(server.url + ONE)
    browser.wait("document.querySelectorAll('.pasts rect').length === 40")
    browser.run("document.querySelectorAll('#before, .pasts details')"
                ".forEach((d) => { d.open = true; })")  # fmt: skip
    browser.wait("document.querySelectorAll('#before tbody tr').length === 50")
    links = "[...document.querySelectorAll('#before a:not([hidden])')].map((a) => a.pathname)"
    assert browser.run(links) == ["/api/v1/evidence/Alarm%203"]
    assert "anna\tbelt" in browser.text("#before tbody tr")
    nodes = "document.querySelectorAll('*').length"
    before = browser.run(nodes)
    browser.run(  # as many minutes, and as many answers
        "for (let i = 0; i < 10; i++) {"
        " const card = cards.get('cam1'), view = {...last, utc_ms: last.utc_ms + 60000 * (i % 9)};"
        " card.past.update(view, []); pastAlarms.show(); }"
    )
    assert browser.run(nodes) == before
    assert browser.errors == []


# --- acting --------------------------------------------------------------------------------------

IN_FOCUS = "document.activeElement.id || document.activeElement.textContent"
OPEN = "document.getElementById('acting').open"
SAID = "document.querySelector('#acting .said').textContent"


@pytest.fixture
def acts(busy: FakeAgent, serve: ServeAgent, browser: Chromium) -> FakeAgent:
    """The page of an agent that lets operators act, with one alarm."""
    busy.actions = ("ack", "comment", "shelve", "unshelve", "explain")
    browser.open(serve(actions={"token": TOKEN}).url + ONE)
    browser.wait(f"document.body?.classList.contains('acts') && {ANGLE} === '12.5°'")
    return busy


def type_in(browser: Chromium, text: str) -> None:
    browser.call("Input.insertText", text=text)


def sign(browser: Chromium, token: str = TOKEN) -> None:
    """Open the dialog of the alarm, and say who one is, by the keyboard alone."""
    browser.run("document.querySelector('.alarm .act').focus()")
    browser.press("Enter")
    browser.wait(f"{OPEN} && {IN_FOCUS} === 'acting-name'")
    type_in(browser, "Anna 2")
    browser.press("Tab")
    assert browser.run(IN_FOCUS) == "acting-token"
    type_in(browser, token)
    browser.press("Tab")
    assert browser.run(IN_FOCUS) == "Acknowledge"


@pytest.mark.needs_chromium
def test_an_operator_acknowledges_by_the_keyboard_and_is_where_he_was_afterwards(
    acts: FakeAgent, browser: Chromium
) -> None:
    sign(browser)
    browser.press("Enter")
    browser.wait(f"!{OPEN}")
    ((name, body, address),) = acts.acts
    said = json.loads(body)
    assert (name, address) == ("ack", "127.0.0.1")
    assert (said["user"], said["alarm_id"]) == ("Anna 2", "camera_lost-cam2")
    assert said["event_id"] == "e1"
    assert abs(said["issued_ms"] - 1000 * NOW_S) < 60_000, "on the agent's clock"
    assert browser.text("#did") == "Done: Acknowledge · Camera lost, cam2"
    assert browser.run("document.activeElement.className") == "act"
    browser.press("Enter")  # once more: name and token are known, for minutes
    browser.wait(f"{OPEN} && {IN_FOCUS} === 'Acknowledge'")
    browser.run("document.activeElement.click(); document.activeElement.click()")
    browser.wait(f"!{OPEN}")
    assert len(acts.acts) == 2, "a double click is one"
    browser.run("acting.used -= 2 * FORGET_MS; document.querySelector('.explain').click()")
    browser.wait(f"{OPEN} && {IN_FOCUS} === 'acting-name'")
    assert browser.run("actingNodes.name.value") == "", "the next one is somebody else"
    assert browser.text("#acting h2") == "Explain now: cam1"
    browser.press("Escape")
    browser.wait(f"!{OPEN}")
    assert browser.run("location.hash") == "#cam1", "Escape was the dialog's"
    assert browser.errors == []


@pytest.mark.needs_chromium
def test_what_is_refused_is_said_in_words_and_a_changed_token_is_asked_for_again(
    acts: FakeAgent, browser: Chromium
) -> None:
    sign(browser, token="a-token-of-yesterday")
    browser.press("Enter")
    browser.wait(f"{SAID}.startsWith('This token does not permit acting')")
    assert acts.acts == []
    browser.wait(f"{IN_FOCUS} === 'acting-token'")
    type_in(browser, TOKEN)
    click = "[...commandButtons.values()][0].click()"
    for outcome, words in (
        (CommandOutcome.ALREADY, "done already"),
        (CommandOutcome.STALE, "has come again"),
        (CommandOutcome.REFUSED, "Not possible now (why <b>)"),
        (CommandOutcome.NOT_ALLOWED, "Not allowed on this agent"),
        (CommandOutcome.RATE_LIMITED, "wait 1 s"),
        (CommandOutcome.UNKNOWN, "no such alarm"),
        (CommandOutcome.INVALID, "does not take it (400)"),
        (None, "No answer"),
    ):
        acts.acted = Acted(outcome, "why <b>")
        browser.run(click)
        browser.wait(f"{SAID}.includes({json.dumps(words)})")
    unanswered = json.loads(acts.acts[-1][1])["command_id"]
    acts.acted = Acted(CommandOutcome.DONE)
    browser.run(click)
    browser.wait(f"!{OPEN}")
    ids = [json.loads(body)["command_id"] for _, body, _ in acts.acts]
    assert ids[-1] == unanswered, "what may have been done is asked for under its own id"
    assert len(set(ids)) == len(ids) - 1
    only = [entry for entry in browser.errors if "400" not in entry]
    assert only == []


@pytest.mark.needs_chromium
def test_a_shelved_alarm_comes_back_and_a_comment_is_kept(
    acts: FakeAgent, browser: Chromium
) -> None:
    shelved = replace(alarm("late-cam1", active=False), state=AlarmState.SHELVED, shelved=True,
                      title=SCRIPT, comment="until Friday")  # fmt: skip
    acts.alarms = (shelved,)
    browser.wait("document.querySelectorAll('.quiet:not([hidden]) .act').length === 1")
    browser.run("document.querySelector('.quiet:not([hidden])').open = true")
    browser.run("document.querySelector('.quiet:not([hidden]) .act').click()")
    browser.wait(OPEN)
    shown = "[...commandButtons].filter(([, b]) => b.checkVisibility()).map(([name]) => name)"
    assert browser.run(shown) == ["ack", "shelve", "unshelve", "comment"]
    assert SCRIPT in browser.text("#acting h2")
    browser.run(f"actingNodes.name.value = 'bea'; actingNodes.token.value = '{TOKEN}'")
    browser.run("actingNodes.time.value = 3600; commandButtons.get('shelve').click()")
    wait_until(lambda: acts.acts, 20, "the agent was asked")
    assert json.loads(acts.acts[0][1])["duration_s"] == 3600
    times = browser.run("[...actingNodes.time.options].map((o) => Number(o.value))")
    assert max(times) == 28_800, "no longer than the agent allows"


@pytest.mark.needs_chromium
def test_without_permission_there_is_nothing_to_act_with(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    browser.open(server.url + ONE)
    browser.wait(f"{ANGLE} === '12.5°'")
    buttons = "[...document.querySelectorAll('.act')].filter((b) => b.checkVisibility()).length"
    assert browser.run(buttons) == 0
