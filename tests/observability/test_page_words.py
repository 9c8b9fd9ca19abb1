"""The words of the page: each language has all of them, and the page has no others."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable
from dataclasses import replace
from importlib import resources

import pytest

from agent.alarms.text.languages import LANGUAGES
from agent.capture.states import Cause
from agent.config.sections.alarms import Alarms
from agent.observability.http import access, guard
from agent.observability.newest import Newest
from agent.observability.page.document import SCRIPTS, load_page
from agent.observability.page.words import TABLES, Words, load_words
from agent.observability.pictures import map_scale
from agent.observability.view import RunningView
from agent.records import (
    AlarmState,
    CameraState,
    LinkStatus,
    MachineInfo,
    MachineState,
    NoReadReason,
    PoolStatus,
    Quality,
    Rung,
    SamplingClass,
)
from tests.observability.conftest import (
    ANGLE,
    ONE,
    PANEL,
    TELEPHONE,
    FakeAgent,
    ServeAgent,
    see,
    status,
)
from tests.observability.samples import alarm
from tests.observability.test_page_past import mark, past
from tests.support import wait_until
from tests.support.chromium import Chromium

PAGE = resources.files("agent.observability.page")
LETTERS = re.compile(r"[^\W\d_]")


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", text))


def test_there_is_a_table_for_every_language_of_the_alarms() -> None:
    assert set(TABLES) == set(LANGUAGES)
    for language in TABLES:
        assert load_words(language).language == language
        assert Alarms(language=language).language == language  # type: ignore[arg-type]


def test_every_language_has_the_same_words_with_the_same_things_filled_in() -> None:
    english = load_words("en")
    for language in TABLES:
        words = load_words(language)
        assert set(words.texts) == set(english.texts)
        assert set(words.terms) == set(english.terms)
        for key, text in words.texts.items():
            assert text.strip(), key
            assert placeholders(text) == placeholders(english.texts[key]), key


def test_every_word_is_asked_for_and_there_is_every_word_that_is_asked_for() -> None:
    scripts = "".join(PAGE.joinpath(name).read_text("utf-8") for name in SCRIPTS)
    asked = set(re.findall(r"\{\{(\w+)\}\}", PAGE.joinpath("page.html").read_text("utf-8")))
    asked.discard("language")
    inside = "".join(re.findall(r"\bt\(((?:[^()]|\([^()]*\))*)", scripts))
    texts = set(load_words().texts)
    assert set(re.findall(r"\bt\(\"(\w+)\"", scripts)) | asked <= texts
    assert texts - asked - set(re.findall(r"\"(\w+)\"", inside)) == set()


def test_every_state_and_reason_has_an_italian_word() -> None:
    """One that is the same in both languages stands in the table all the same."""
    terms = load_words("it", LANGUAGES["it"].terms).terms
    named: Iterable[str] = (
        *CameraState, *Cause, *Rung, *SamplingClass, *Quality,
        *(set(MachineState) - {MachineState.UNKNOWN}), *(set(NoReadReason) - {NoReadReason.NONE}),
        "high", "medium", "low", "suture", "stem",
    )  # fmt: skip
    assert [str(name) for name in named if str(name) not in terms] == []


def test_every_reason_of_a_refused_request_has_an_italian_sentence() -> None:
    said = [
        call.args[1].value
        for module in (access, guard)
        for call in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Denied"
        and isinstance(call.args[1], ast.Constant)
    ]  # fmt: skip
    assert len(said) >= 12
    terms = load_words("it").terms
    assert [reason for reason in said if reason not in terms] == []


def test_a_word_cannot_end_the_script_or_become_markup() -> None:
    bad = "</script><b>&amp;"
    words = load_words()
    page = load_page(
        Words("en", "en-GB", {**words.texts, "no_alarm": bad, "starting": bad}, words.terms),
        map_scale(),
    )[0].decode()
    assert page.count("</script>") == 1
    assert "&lt;/script&gt;&lt;b&gt;&amp;amp;" in page


SAID = """(() => {
  const said = [document.title], skip = 'script, style, noscript, [translate=no]';
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = texts.nextNode());)
    if (!node.parentElement.closest(skip)) said.push(node.data);
  for (const node of document.querySelectorAll('body *'))
    for (const name of ['aria-label', 'alt', 'title', 'placeholder', 'value'])
      if (node.hasAttribute(name) && !node.closest(skip)) said.push(node.getAttribute(name));
  return said; })()"""
"""Everything that a person may be told: texts, hidden or not, and attributes that are read out."""
DATA = re.compile(
    r"cam\d(-7f-\d+)?|line-1|sim:|decoder1|Camera lost|Late|Pitwatch|MQTT|e1|default|abababab|"
    r"Camera cam2 delivers no picture: check its cable[^·]*|Model looks at the background|"
    r"\d[\d.,]*\s(ms|s|min|h|MiB)\b|its camera is lost|until Friday|Slot 1|×"
)


def strangers(said: Iterable[str]) -> list[str]:
    """What is left of texts without the marked words, the agent's own names, and units."""
    left = []
    for text in said:
        while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", "", text)) != text:
            text = shorter
        if LETTERS.search(DATA.sub("", text)):
            left.append(text)
    return left


@pytest.mark.long
@pytest.mark.needs_chromium
def test_no_word_of_the_page_is_outside_its_table_and_numbers_are_of_its_language(
    busy: FakeAgent,
    serve: ServeAgent,
    browser: Chromium,
) -> None:
    words = load_words("it", LANGUAGES["it"].terms)
    marked = ({key: f"⟦{text}⟧" for key, text in one.items()} for one in (words.texts, words.terms))
    busy.words = Words("it", words.locale, *marked)
    idle = replace(alarm("x-cam1", active=False), title="Late", quality=Quality.UNCERTAIN)
    busy.alarms = (
        *busy.alarms,
        replace(busy.alarms[0], alarm_id="y-cam1", acked=True, comment="until Friday"),
        replace(idle, alarm_id="a-cam1", state=AlarmState.RTN_UNACK),
        replace(idle, alarm_id="b-cam1", state=AlarmState.SHELVED, shelved=True,
                shelved_until_ms=1),
        replace(idle, alarm_id="c-cam1", state=AlarmState.SUPPRESSED, suppressed=True, active=True,
                suppressed_by="its camera is lost"),
        replace(idle, alarm_id="d-cam1", state=AlarmState.OUT_OF_SERVICE),
    )  # fmt: skip
    busy.workers = PoolStatus(2, 1, 1, 3, breaker_open=False, reason="Slot 1")
    busy.link = LinkStatus(False, "5", "unreachable", 0.0)
    busy.actions = ("ack", "shelve", "unshelve", "comment", "explain")
    busy.history["cam1"] = past([90, 3, 2, 1, 0], alarms=[mark("Late", 2)])
    busy.past_alarms = {"alarms": [
        {**mark("Late", 2), "camera_id": "cam1", "message": "Late", "acked_by": "Late",
         "comment": "Late", "evidence": True}
    ]}  # fmt: skip
    busy.machine_word = MachineInfo(MachineState.RUNNING)
    busy.running["cam1"] = RunningView("Late", "1", "machine", 1, 300.0)
    server = serve()
    browser.open(server.url + ONE)
    browser.wait(f"{ANGLE} === '12,5°'")
    browser.wait("document.querySelectorAll('.map:not([hidden])').length === 2")
    browser.wait("document.querySelectorAll('.pasts rect').length === 1")
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true;"
                " document.querySelector('.act').click()")  # fmt: skip
    browser.wait("document.querySelectorAll('#before tbody tr').length === 1")
    browser.wait("document.getElementById('acting').open")
    assert browser.run("document.documentElement.lang") == "it"
    assert strangers(browser.run(SAID)) == []
    browser.press("Escape")
    browser.run("location.hash = ''")
    browser.wait("document.body.classList.contains('grid')")
    assert strangers(browser.run(SAID)) == []
    server.stop()
    browser.wait("document.body.classList.contains('gone')")
    assert strangers(browser.run(SAID)) == []


@pytest.mark.long
@pytest.mark.needs_chromium
def test_a_page_that_stays_open_becomes_that_of_the_agent_of_the_next_version(
    busy: FakeAgent, serve: ServeAgent, browser: Chromium
) -> None:
    versions, view = ["0.1.0"], busy.view
    busy.view = lambda: replace(view(), version=versions[0])  # type: ignore[method-assign]
    browser.open(serve().url + ONE)
    browser.wait(f"{ANGLE} === '12.5°'")
    browser.run("window.mark = 7; byId('large').showModal()")
    versions[0] = "0.2.0"
    browser.wait("last.version === '0.2.0'")
    assert browser.run("window.mark") == 7, "not while a dialog is open"
    browser.run("byId('large').close()")

    def anew() -> bool:
        try:
            return bool(browser.run(f"window.mark === undefined && {ANGLE} === '12.5°'"))
        except AssertionError:  # between two pages there is nobody to answer
            return False

    wait_until(anew, 20, "the page is loaded anew")
    assert browser.run("location.hash") == "#cam1"


SCRIPT = "<img src=x onerror=window.bad=1>"


@pytest.mark.needs_chromium
def test_long_names_and_markup_are_shown_as_they_come_and_push_nothing_off_the_screen(
    agent: FakeAgent, serve: ServeAgent, browser: Chromium
) -> None:
    lanes = tuple((SCRIPT + "n" * 40)[:39] + str(i) for i in range(4))
    agent.cameras, agent.newest = lanes, Newest(lanes)
    agent.statuses = tuple(status(lane) for lane in lanes)
    agent.machine_word = MachineInfo(MachineState.RUNNING)
    for lane in lanes:
        agent.running[lane] = RunningView("v" * 80, SCRIPT + "L" * 200, "machine", 1, 7200.0)
        see(agent, 1, 12.5, lane)
    ring = alarm()
    agent.alarms = tuple(
        replace(ring, alarm_id=f"a{i}-{lanes[i % 4]}", camera_id=lanes[i % 4], title=SCRIPT,
                message=SCRIPT, comment=SCRIPT, acked=True, acked_by=SCRIPT, event_id=f"e{i}")
        for i in range(100)
    )  # fmt: skip
    server = serve()
    browser.open(server.url)
    browser.wait("document.querySelectorAll('.card[data-frame]').length === 4")
    for size in (PANEL, TELEPHONE):
        browser.size(*size, touch=size == TELEPHONE)
        assert browser.run("document.documentElement.scrollWidth") <= size[0]
    browser.size(*PANEL)
    boxes = "['clock', 'runs', 'agent', 'state'].map((id) => byId(id).getBoundingClientRect())"
    boxes = f"{boxes}.map((box) => [box.top, box.bottom, box.left, box.right])"
    for top, bottom, left, right in browser.run(boxes):
        assert 0 <= top < bottom < 100
        assert 0 <= left < right <= PANEL[0]
    assert "for 2.0 h" in browser.text("#runs")
    assert browser.run("byId('runs').children[1].title").endswith("L" * 200)
    assert browser.text("#state") == "100 alarms"
    assert browser.run("[window.bad, document.querySelectorAll('[onerror]').length]") == [None, 0]
    assert browser.errors == []
