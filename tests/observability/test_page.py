"""The page in a real Chromium: it fills, it updates, it says so when the agent is gone."""

from __future__ import annotations

import http.server
import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import cv2
import httpx
import pytest

from agent import config
from agent.observability.page.document import load_page
from agent.observability.page.words import load_words
from agent.observability.pictures import map_scale
from agent.observability.view import LevelView, RecordingView
from agent.records import AlarmState, CameraState, Rung, SamplingClass, Selection
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
from tests.observability.http.served import Served
from tests.observability.samples import alarm, explanation, frame, fruit, overlay, segmentation
from tests.observability.support import TRUST
from tests.support import wait_until
from tests.support.chromium import Chromium


@contextmanager
def prefixed(url: str, prefix: str) -> Iterator[str]:
    """A proxy that has the agent below a prefix, and takes that off, as nginx does."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            below = self.path.removeprefix(prefix)
            if below == self.path:
                self.send_error(404)
                return
            with httpx.Client(base_url=url, trust_env=False, verify=TRUST) as client:
                answer = client.get(below or "/")
            self.send_response(answer.status_code)
            for name in ("Content-Type", "Content-Security-Policy", "Cache-Control"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_port}{prefix}"
        proxy.shutdown()


@pytest.mark.needs_chromium
def test_the_page_fills_with_everything_that_the_agent_knows(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    busy.recording = RecordingView(
        on=True,
        since_utc_ms=busy.utc_ms,
        records={"no_read": 7, "sure": 3},
        size_bytes=2 * 2**20,
        limit_bytes=10 * 2**30,
        dropped=1,
    )
    browser.open(server.url + ONE)
    browser.wait(f"{ANGLE} === '12.5°'")
    browser.wait("document.querySelectorAll('.map:not([hidden])').length === 2")
    browser.wait("[...document.images].filter((i) => i.src).every((i) => i.naturalWidth > 0)")
    shown = set(browser.run("[...document.images].map((i) => new URL(i.src || 'x:').pathname)"))
    assert shown >= {
        "/api/v1/frame/cam1.jpg",
        "/api/v1/cam/cam1/suture/map",
        "/api/v1/cam/cam1/stem/map",
        "/api/v1/evidence/e1",
    }
    assert browser.text("#state") == "1 alarm"
    assert "Camera cam2 delivers no picture: check its cable" in browser.text(".alarm")
    assert "97" in browser.text(".reading")  # the confidence
    assert "looks at the suture" in browser.text(".class")
    assert re.search(r"looks at the suture, mean of 10\s*74", browser.text(".class .chart"))
    lines = (
        "[...document.querySelectorAll('.chart')].map((c) => c.querySelector('line').getAttribute"
    )
    assert browser.run(f"{lines}('y1'))")[:2] == [str(49 - 48 * 0.2), str(49 - 48 * 0.6)]
    assert "L" in browser.run("document.querySelector('.chart path:last-child').getAttribute('d')")
    assert re.search(r"oldest 30 s\s+2\.0 of 256 MiB", browser.text("#system"))
    kept = browser.text("#system")
    assert re.search(
        r"Recording\s*on\s.*2\.0 of 10,?240 MiB.*no read 7, sure 3.*1 not kept", kept, re.S
    )
    tiles = {"Explanations", "Workers", "Broker", "Messages", "Spool", "Recording", "Memory"}
    assert tiles == set(
        browser.run("[...document.querySelectorAll('.tile h3')].map((h) => h.textContent)")
    )
    assert browser.errors == []


@pytest.mark.needs_chromium
def test_the_control_of_a_map_is_asked_for_where_it_can_be_seen(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    asked = (
        "performance.getEntriesByType('resource').map((e) => new URL(e.name).pathname)"
        ".filter((path) => path.endsWith('/mean'))"
    )
    browser.open(server.url + ONE)
    browser.wait("document.querySelectorAll('.map:not([hidden])').length === 2")
    assert browser.run(asked) == []
    browser.run("document.querySelector('.class details').open = true")
    browser.wait("document.querySelector('.control img')?.naturalWidth > 0")
    browser.wait("!document.querySelector('.control .picture').hidden")
    assert browser.run(asked) == ["/api/v1/cam/cam1/suture/mean"]
    assert browser.run("document.querySelectorAll('.control .picture')[1].hidden")
    assert browser.errors == []


@pytest.mark.needs_chromium
def test_the_page_follows_the_agent_without_a_reload(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    browser.open(server.url + ONE)
    browser.wait(f"{ANGLE} === '12.5°'")
    first = browser.run("window.mark = 7; document.querySelector('.frame img').src")
    see(busy, 2, 77.0)
    busy.alarms = ()
    busy.statuses = (status("cam1"), status("cam2"))
    browser.wait(f"{ANGLE} === '77.0°'")
    browser.wait("document.getElementById('state').textContent === 'No alarm'")
    assert browser.run("window.mark") == 7
    browser.wait("document.querySelector('.card').dataset.frame === 'cam1-7f-000002'")
    assert browser.run("document.querySelector('.frame img').src") != first
    assert browser.run("document.querySelectorAll('.alarm').length") == 0


# At every frame that the browser paints: the number in the picture, and the angle beside it.
WATCH = """(() => {
  window.pairs = [];
  const canvas = new OffscreenCanvas(256, 256).getContext('2d', {willReadFrequently: true});
  const number = (image) => {
    canvas.drawImage(image, 0, 0, 256, 256);
    let bits = 0;
    for (let bit = 0; bit < 16; bit++) {
      const at = [8 * (bit % 4) + 4, 8 * (bit >> 2) + 4];
      const [one, not] = [0, 224].map(
        (x) => canvas.getImageData(x + at[0], at[1], 1, 1).data[0] > 127);
      if (one === not) return null;
      bits = 2 * bits + one;
    }
    return bits; };
  const look = () => {
    const image = document.querySelector('.frame img');
    window.pairs.push([image.complete ? number(image) : null,
                       document.querySelector('.angle').textContent]);
    requestAnimationFrame(look); };
  look();
  setInterval(() => document.dispatchEvent(new Event('visibilitychange')), 100); })()"""
"""It also asks for news ten times as often."""


@pytest.mark.needs_chromium
def test_a_number_beside_a_limit_is_what_the_alarm_compares_and_red_only_with_it(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    busy.telemetry.count("fruit", 999, camera="cam1")  # all read, since the start
    busy.levels["cam1"] = {
        "no_read_rate": LevelView(0.24, 0.2, 280, judged=True),
        "latency_budget": LevelView(0.3, 0.214, 12, judged=False),
        "foreground_insensitive": LevelView(0.12, 0.2, 10, low=True, judged=True),
        "background_reliance": LevelView(math.nan, 0.6, 0),
    }
    browser.open(server.url + ONE)
    browser.wait(f"{ANGLE} === '12.5°'")
    numbers = (
        "Object.fromEntries([...document.querySelectorAll('.card .numbers div')].map((d) =>"
        " [d.children[0].textContent, [d.children[1].textContent,"
        " d.children[1].className.trim()]]))"
    )
    shown = browser.run(numbers)
    assert shown["read, last 280"] == ["76\u202f%", "due"], "its alarm waits for its delay"
    assert shown["95 % read within, last 12"] == ["300 ms", ""]
    charts = "[...document.querySelectorAll('.chart')].map((c) => [c.innerText, c.className])"
    own, beside = browser.run(charts)[:2]
    assert re.search(r"mean of 10\s*12", own[0])
    assert own[1] == "chart over"
    assert re.search(r"mean of 0\s*–", beside[0])
    assert beside[1] == "chart"
    busy.alarms = (replace(alarm("no_read_rate-cam1"), camera_id="cam1", shelved=True),)
    browser.wait(f"{numbers}['read, last 280'][1] === 'warn'")


@pytest.mark.needs_chromium
def test_picture_and_angle_are_of_one_fruit_at_every_moment(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    browser.open(server.url + ONE)
    browser.wait(f"{ANGLE} === '12.5°'")
    see(busy, 2, 2.5)
    browser.wait(f"{ANGLE} === '2.5°'")
    browser.run(WATCH)
    told, shown = 2, "new Set(window.pairs.map((pair) => pair[1])).size"

    def more() -> bool:
        nonlocal told
        told += 1
        see(busy, told, told % 180 + 0.5)
        return int(browser.run(shown)) >= 8

    wait_until(more, 60, "eight fruit on the page")
    pairs = browser.run("window.pairs")
    assert {(number, f"{number % 180 + 0.5:.1f}°") for number, _ in pairs} == {
        (number, angle) for number, angle in pairs
    }
    assert browser.errors == []


@pytest.mark.needs_chromium
def test_a_map_says_which_fruit_it_explains_and_a_picture_without_a_fruit_has_no_angle(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    old = frame(seq=7, mono=time.monotonic() - 60)
    selection = Selection(
        "job-1", old, segmentation(old), SamplingClass.PERIODIC, Rung.EXACT, 0.0, 4.0
    )
    busy.newest.on_explanation(explanation(old, (overlay("suture"),)), selection)
    same = frame(seq=1, mono=time.monotonic())
    busy.newest.on_explanation(explanation(same, (overlay("stem"),)))
    browser.open(server.url + ONE)
    browser.wait("document.querySelectorAll('.map:not([hidden])').length === 2")
    whose = "[...document.querySelectorAll('.whose')].map((w) => w.textContent)"
    browser.wait(f"{ANGLE} === '12.5°' && {whose}.includes('the fruit shown')")
    assert re.search(r"another fruit, \d+ s ago: cam1-7f-000007", str(browser.run(whose)))
    assert browser.run("document.querySelectorAll('.map.other.aged .whose img[src]').length") == 1
    browser.wait("document.querySelector('.whose img').naturalWidth === 64")
    gone = frame(seq=3, mono=time.monotonic() - 34)  # the last fruit passed; the cups are empty
    busy.newest.on_segmented(gone, segmentation(gone))
    busy.newest.on_fruit(fruit(gone))
    busy.telemetry.count("frames_captured", camera="cam1")
    busy.telemetry.count("frames_segmented", camera="cam1")
    browser.wait(f"{ANGLE} === '–'")
    assert re.match(r"no fruit for 3\d s\s+the last: 12\.5°", browser.text(".reading .soft"))
    assert browser.text(".frame figcaption").startswith("the camera now, no fruit")


@pytest.mark.needs_chromium
def test_every_alarm_can_be_seen_by_cause_and_those_that_do_not_ring_with_why(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    now, day = 1_700_000_000_000, 86_400_000
    lanes = [f"cam{i}" for i in range(1, 41)]
    ring = [
        replace(alarm(f"{cause}-{lane}", severity=severity), camera_id=lane, title=title,
                priority=priority, active_since_ms=now - 3 * day, message=f"{title} on {lane}.")
        for cause, title, priority, severity in (
            ("no_read_rate", "<b>Not read</b>", "medium", 500),
            ("camera_lost", "Lost", "high", 800),
        )
        for lane in lanes
    ]  # fmt: skip
    idle = alarm("latency_budget-cam1", active=False)
    quiet = (
        replace(idle, state=AlarmState.RTN_UNACK, title="Late", cleared_at_ms=now),
        replace(idle, alarm_id="spool_loss-agent", state=AlarmState.SHELVED, shelved=True,
                shelved_until_ms=now + 2 * day, comment="until Friday"),
        replace(idle, alarm_id="a-cam1", state=AlarmState.SUPPRESSED, suppressed=True,
                active=True, suppressed_by="its camera is lost"),
        replace(idle, alarm_id="b-cam1", state=AlarmState.OUT_OF_SERVICE, suppressed=True),
    )  # fmt: skip
    busy.alarms = (*ring, *quiet)
    browser.open(server.url)
    browser.wait(f"{ANGLE} === '12.5°'")
    assert browser.text("#state") == "80 alarms"
    heads = "[...document.querySelectorAll('.alarm')].map((a) => [a.className, a.innerText])"
    (first, text), (second, markup) = browser.run(heads)
    assert (first, second) == ("alarm high several", "alarm medium several")
    assert "Lost: 40" in text
    assert "<b>Not read</b>: 40" in markup, "words of others are text, never markup"
    assert re.search(r"since \d+ Nov 2023 \d\d:", text), "with its date, for it is not today"
    lane_words = set(re.findall(r"\bcam\d+\b", text))
    assert lane_words == set(lanes), "one with its sentence, and the lane of every other"
    browser.run("document.querySelector('.alarm .others summary').click()")
    opened = browser.text(".alarm")
    assert all(re.search(rf"on {lane}\.", opened) for lane in lanes), "none is cut"
    shapes = (
        "[...document.querySelectorAll('.mark')].map((m) => [getComputedStyle(m).backgroundColor,"
        " getComputedStyle(m, '::before').clipPath])"
    )
    (colour, shape), (other_colour, other_shape) = browser.run(shapes)
    assert colour != other_colour
    assert shape != other_shape
    badges = (
        "[...document.querySelectorAll('.card')].map((c) => c.querySelector('.rings').innerText)"
    )
    assert browser.run(badges) == ["Lost, <b>Not read</b>"] * 2
    assert browser.run("document.querySelectorAll('.card.rings.high').length") == 2
    lists = (
        "[...document.querySelectorAll('.quiet')].map((q) => [q.hidden,"
        " q.children[0].textContent.split(':')[0], q.children[1].textContent])"
    )
    shown = browser.run(lists)
    assert [name for hidden, name, _ in shown if not hidden] == [
        "Returned, not acknowledged", "Shelved", "Suppressed", "Out of service"
    ]  # fmt: skip
    returned, shelved, suppressed, out = (why for _, _, why in shown)
    assert re.search(r"Late · cam2 · from \d\d:\d\d:\d\d to \d\d:", returned)
    assert re.search(r"until \d+ Nov 2023 \d\d:.* · until Friday", shelved)
    assert "true now · for as long as: its camera is lost" in suppressed
    assert "until it is put back into service" in out
    assert browser.errors == []


@pytest.mark.long
@pytest.mark.needs_chromium
def test_the_page_says_that_the_agent_is_gone_and_when_it_is_back(
    busy: FakeAgent, browser: Chromium
) -> None:
    server = Served(config.Http(port=0), busy.state())
    server.start()
    browser.open(server.url + ONE)
    browser.wait(f"{ANGLE} === '12.5°'")
    assert server.stop()
    browser.wait("!document.getElementById('gone').hidden", 15)
    assert re.match(r"The agent does not answer \(since .*\): what is shown below is old",
                    browser.text("#gone"))  # fmt: skip
    assert browser.text("#state") == "No contact"
    again = Served(config.Http(port=server.port), busy.state())
    again.start()
    try:
        browser.wait("document.getElementById('gone').hidden", 15)
        assert browser.text("#state") == "1 alarm"
    finally:
        again.stop()


GONE = "document.getElementById('gone').innerText"


@pytest.mark.needs_chromium
def test_a_page_that_is_refused_says_so_and_not_that_the_agent_is_away(
    busy: FakeAgent, serve: ServeAgent, browser: Chromium
) -> None:
    first = serve()
    browser.open(first.url)
    browser.wait(f"{ANGLE} === '12.5°'")
    assert first.stop()
    # The token is set, or changed, while the page is open.
    second = serve(port=first.port, token="t" * 32)
    browser.wait(f"{GONE}.startsWith('The agent wants a token: a token is needed')", 15)
    assert browser.text("#state") == "Not signed in"
    assert "what is shown below is old" in browser.text("#gone")
    assert second.stop()
    serve(port=first.port, limits={"requests_per_s": 1, "burst": 2})
    often = "setInterval(() => document.dispatchEvent(new Event('visibilitychange')), 50); 0"
    browser.run(often)
    browser.wait(f"{GONE}.startsWith('The agent is asked too often from this address')", 15)
    assert browser.text("#state") == "Must wait"


@pytest.mark.needs_chromium
def test_behind_a_proxy_the_page_works_at_a_prefix_without_a_slash(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    with prefixed(server.url, "/line1") as address:
        browser.open(address)  # as an operator types it
        browser.wait(f"{ANGLE} === '12.5°'")
        browser.wait("[...document.images].filter((i) => i.src).every((i) => i.naturalWidth > 0)")
        links = browser.run("[...document.querySelectorAll('nav a')].map((a) => a.href)")
        assert links[0] == f"{address}/api/v1/status"
        browser.open(address.replace("://", "://anna:word@"))  # from it nothing can be fetched
        browser.wait(f"{ANGLE} === '12.5°'")
    assert browser.errors == []


@pytest.mark.needs_chromium
def test_a_camera_that_does_not_deliver_never_looks_alive(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    busy.statuses = (status("cam1", CameraState.FROZEN), status("cam2"))
    browser.open(server.url + ONE)
    browser.wait("document.querySelector('.card.old figcaption')?.textContent.startsWith('OLD')")
    assert browser.text(".card.old .badge") == "frozen"


@pytest.mark.needs_chromium
def test_the_keyboard_reaches_every_picture_and_keeps_its_place(
    busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    browser.open(server.url + ONE)
    browser.wait(f"{ANGLE} === '12.5°'")
    browser.wait("document.querySelectorAll('.map:not([hidden])').length === 2")
    focus = "document.activeElement.getAttribute('aria-label')"
    reached = []
    while (
        "What the model looked at for the suture on cam1, enlarge" not in reached
        and len(reached) < 20
    ):
        browser.press("Tab")
        reached.append(browser.run(focus))
    assert "Picture of cam1, enlarge" in reached
    assert "What the model looked at for the suture on cam1, enlarge" in reached
    held = browser.run(focus)
    see(busy, 2, 33.0)
    browser.wait(f"{ANGLE} === '33.0°'")
    assert browser.run(focus) == held
    browser.press("Enter")
    browser.wait("document.getElementById('large').open")
    assert browser.run("document.querySelector('#large img').naturalWidth > 0")
    browser.press("Escape")
    browser.wait("!document.getElementById('large').open")
    browser.press("2")
    browser.wait(f"{focus} === 'Camera cam2'")
    browser.press("Escape")
    browser.wait("document.body.classList.contains('grid')")


SEEN = (
    "[...document.querySelectorAll('.card')].filter((c) => c.offsetParent)"
    ".map((c) => [c.querySelector('h2').innerText, Math.round(c.getBoundingClientRect().top)])"
)
SIZES = "[...document.querySelectorAll('{}')].map((n) => parseFloat(getComputedStyle(n).fontSize))"


@pytest.mark.needs_chromium
@pytest.mark.parametrize(("lanes", "size"), [(4, PANEL), (8, (1920, 1080))], ids=["four", "eight"])
def test_all_lanes_stand_on_one_screen_and_one_opens_by_click_key_and_address(
    lanes: int, size: tuple[int, int], eight: FakeAgent, serve: ServeAgent, browser: Chromium
) -> None:
    eight.cameras = eight.cameras[:lanes]
    server = serve()
    browser.size(*size)
    browser.open(server.url)
    browser.wait(f"document.querySelectorAll('.card[data-frame]').length === {lanes}")
    browser.wait("[...document.images].filter((i) => i.src).every((i) => i.naturalWidth > 0)")
    whole = browser.run(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert whole[0] <= size[0]
    assert whole[1] <= size[1], "nothing to scroll, two alarms or not"
    sides = browser.run("[...document.querySelectorAll('.frame img')].map((i) => i.clientWidth)")
    assert min(sides) >= 140
    texts = browser.run("[...document.querySelectorAll('.card')].map((card) => card.innerText)")
    assert all("95\u202f%" in text and "model: " in text for text in texts)
    assert "no read" in texts[1]
    assert "no suture" in texts[1]
    assert ["as usual" in text for text in texts[:4]] == [True, True, False, True]
    least = {".card .angle": 48, ".card .reading .soft": 22, ".card .kept dt": 22, ".badge": 22,
             ".light": 22, ".alarm p": 22}  # fmt: skip
    for selector, px in least.items():
        assert min(browser.run(SIZES.format(selector))) >= px, selector
    asked = (
        "performance.getEntriesByType('resource').filter((e) => e.name.includes('/cam/')).length"
    )
    assert browser.run(asked) == 0, "maps are for the lane that is opened"
    small = "[...document.querySelectorAll('.frame img')].every((i) => i.src.endsWith('&small=1'))"
    assert browser.run(small)
    browser.run("document.querySelector('.card:nth-child(3)').click()")
    browser.wait("!document.body.classList.contains('grid')")
    assert [name for name, _ in browser.run(SEEN)] == ["lane-3"]
    browser.wait("!document.querySelector('.card:not([hidden]) .frame img').src.includes('small')")
    browser.wait("document.querySelectorAll('.map:not([hidden])').length === 1")
    browser.press("Escape")
    browser.wait("document.body.classList.contains('grid')")
    browser.run("document.querySelector('.card:nth-child(2) .frame button').focus()")
    browser.press("Enter")
    browser.wait(f"{SEEN}.length === 1 && {SEEN}[0][0] === 'lane-2'")
    browser.open("about:blank")
    browser.open(server.url + "/#lane-4")
    browser.wait(f"{SEEN}.length === 1 && {SEEN}[0][0] === 'lane-4'")
    assert browser.errors == []


@pytest.mark.needs_chromium
def test_a_telephone_shows_the_worst_lane_first(
    eight: FakeAgent, server: Served, browser: Chromium
) -> None:
    browser.size(*TELEPHONE, touch=True)
    browser.open(server.url)
    browser.wait("document.querySelectorAll('.card[data-frame]').length === 8")
    order = [name for name, _ in sorted(browser.run(SEEN), key=lambda one: one[1])]
    assert order == ["lane-4", "lane-2", *(f"lane-{i}" for i in (1, 3, 5, 6, 7, 8))]
    assert browser.run("document.documentElement.scrollWidth") <= TELEPHONE[0]


FONT = "parseFloat(getComputedStyle(document.querySelector('{}')).fontSize)"


@pytest.mark.needs_chromium
@pytest.mark.parametrize("size", [PANEL, TELEPHONE], ids=["panel", "telephone"])
def test_what_an_operator_needs_is_large_and_nothing_runs_off_the_side(
    size: tuple[int, int], busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    browser.size(*size, touch=size == TELEPHONE)
    browser.open(server.url + ONE)
    browser.wait(f"{ANGLE} === '12.5°'")
    assert browser.run("document.documentElement.scrollWidth") <= size[0]
    alarm_px = 22 if size == PANEL else 19  # a panel is read at two metres, a telephone in the hand
    for selector, least_px in (
        (".angle", 80),
        ("#state", 28),
        (".alarm p", alarm_px),
        (".reading dd", 30),
    ):
        assert browser.run(FONT.format(selector)) >= least_px, selector


CONTRAST = """(() => {
  const light = (c) => c.match(/\\d+/g).slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (n) => { for (; n; n = n.parentElement) {
    const c = getComputedStyle(n).backgroundColor;
    if (!c.startsWith('rgba(0, 0, 0, 0')) return c; } };
  return [...document.querySelectorAll('p, small, dt, dd, h1, h2, h3, .badge, figcaption, b')]
    .filter((n) => n.offsetParent && n.textContent.trim()).map((n) => {
      const [a, b] = [light(getComputedStyle(n).color), light(ground(n))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), n.className || n.tagName, n.textContent.slice(0, 30)]; })
    .sort((x, y) => x[0] - y[0])[0]; })()"""


@pytest.mark.needs_chromium
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_word_stands_out_from_its_ground(
    dark: bool, busy: FakeAgent, server: Served, browser: Chromium
) -> None:
    browser.size(*PANEL, dark=dark)
    browser.open(server.url + ONE)
    browser.wait(f"{ANGLE} === '12.5°'")
    ratio, *where = browser.run(CONTRAST)
    assert ratio >= 4.5, where
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (max(int(v) for v in re.findall(r"\d+", ground)) < 60) is dark


def test_the_page_asks_nobody_else_and_posts_nothing_but_commands() -> None:
    text = load_page(load_words(), map_scale())[0].decode()
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"PUT|DELETE|sendBeacon|WebSocket|@import|<link(?! rel=\"icon\")", text)
    assert re.findall(r"fetch\(([^,]+), \{\s*method: \"POST\"", text) == [
        "`${location.origin}${location.pathname}api/v1/actions/${command}`"
    ]
    assert text.count("POST") == 1
    assert not re.search(r"localStorage|sessionStorage|document\.cookie|indexedDB", text)
    assert not re.search(r"randomUUID|crypto\.subtle", text), "not there on http:// of a plant"
    assert re.findall(r"<form method=\"(\w+)\"", text) == ["dialog"]


def test_while_nobody_looks_no_snapshot_and_no_picture_is_made(
    busy: FakeAgent, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_args: object) -> None:
        raise AssertionError("encoded although nobody looks")

    monkeypatch.setattr(cv2, "imencode", never)
    for seq in range(20):
        see(busy, seq, 1.0)
    assert busy.views == 0
