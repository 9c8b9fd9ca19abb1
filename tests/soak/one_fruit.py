"""What the page shows of a lane is of one fruit: screenshots whose pictures carry their number."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.truth_log import BITS, read_number
from tests.support.chromium import Chromium, chromium
from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import running_agent

LANES = tuple(f"lane{number}" for number in range(1, 5))
RATE_PER_MINUTE = 280
SCREEN = (1280, 800)
ROUNDED_DEG = 0.05 + 0.0005 + 1e-9
"""The page shows tenths of a degree, a message thousandths."""
PAUSE_S = 0.2
ATTEMPTS = 10
"""So many screenshots for one that can be judged: a page that changes meanwhile shows either."""
LOOK = """JSON.stringify([...document.querySelectorAll('.card')].map((card) => {
  const at = card.querySelector('.frame img').getBoundingClientRect();
  return {lane: card.querySelector('h2').innerText, frame: card.dataset.frame || '',
    angle: card.querySelector('.angle').innerText, at: [at.x, at.y, at.width, at.height]}; }))"""


@dataclass
class Found:
    """Of one lane: pairs of picture and angle by what became of them."""

    same: int = 0
    mixed: list[str] = field(default_factory=list)
    changing: int = 0
    without: int = 0
    fruit: set[str] = field(default_factory=set)

    @property
    def judged(self) -> int:
        return self.same + len(self.mixed)


def one_fruit(folder: Path, screenshots: int) -> tuple[list[str], list[str]]:
    """Run, and return the table's lines and the bars that were missed."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {lane: Found() for lane in LANES}
    with mosquitto(folder) as broker, Observer(broker.port) as seen, chromium(folder) as browser:
        file = folder / "agent.yaml"
        file.write_text(_config(folder, broker.url))
        with running_agent(folder, "--config", str(file)) as agent:
            agent.wait_ready()
            browser.size(*SCREEN)
            browser.open(f"http://127.0.0.1:{agent.port}/")
            browser.wait(f"document.querySelectorAll('.card[data-frame]').length === {len(LANES)}")
            taken = 0
            while any(one.judged < screenshots for one in found.values()):
                taken += 1
                assert taken <= ATTEMPTS * screenshots, found
                before, picture, after = _shot(browser)
                truth = {lane: _truth(folder / f"{lane}.log") for lane in LANES}
                told = {lane: _told(seen, lane) for lane in LANES}
                for one, other in zip(before, after, strict=True):
                    _judge(found[one["lane"]], one, other, picture, truth, told)
                threading.Event().wait(PAUSE_S)
            agent.stop()
    lines = [
        f"{taken} screenshots of {len(LANES)} lanes at {RATE_PER_MINUTE} fruit a minute: the "
        "number in the picture, by the simulator's own log, and the angle beside it, by MQTT",
        "",
        "| lane | of one fruit | mixed | changed meanwhile, not judged | without a fruit | different fruit |",
        "|---|---|---|---|---|---|",
        *(
            f"| {lane} | {one.same} | {len(one.mixed)} | {one.changing} | {one.without} | {len(one.fruit)} |"
            for lane, one in found.items()
        ),
        *(f"- {lane}: {words}" for lane, one in found.items() for words in one.mixed[:5]),
        "",
    ]
    mixed = sum(len(one.mixed) for one in found.values())
    return lines, [f"{mixed} mixed pairs"] if mixed else []


def _shot(browser: Chromium) -> tuple[list[Any], NDArray[np.uint8], list[Any]]:
    """What the page says before and after a screenshot, and the screenshot between them."""
    before = json.loads(browser.run(LOOK))
    png = np.frombuffer(browser.screenshot(), np.uint8)
    after = json.loads(browser.run(LOOK))
    picture = cv2.imdecode(png, cv2.IMREAD_COLOR)
    assert picture is not None
    return before, picture.astype(np.uint8), after


def _judge(
    found: Found,
    one: dict[str, Any],
    other: dict[str, Any],
    picture: NDArray[np.uint8],
    truth: dict[str, dict[int, str]],
    told: dict[str, dict[str, tuple[str, float | None]]],
) -> None:
    if one != other:
        found.changing += 1
        return
    if one["frame"] == "newest":  # the camera's newest picture, without a reading
        found.without += 1
        return
    lane = one["lane"]
    x, y, width, height = (round(value) for value in one["at"])
    number = read_number(picture[y : y + height, x : x + width])
    fruit = truth[lane].get(number if number is not None else -1, "no fruit")
    frame, angle_deg = told[lane].get(fruit, ("not told", None))
    if frame == one["frame"] and _same(one["angle"], angle_deg):
        found.same += 1
        found.fruit.add(fruit)
    else:
        found.mixed.append(
            f"number {number}, fruit {fruit}: {frame}, {angle_deg}; shown {one['frame']}, "
            f"{one['angle']}"
        )


def _truth(log: Path) -> dict[int, str]:
    """The machine's name of the fruit by the number in its picture, of complete lines."""
    lines = log.read_text().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines if line.endswith("\n")]
    return {row["picture"] % (1 << BITS): f"f{row['truth']['fruit']}" for row in rows}


def _told(seen: Observer, lane: str) -> dict[str, tuple[str, float | None]]:
    """Frame and angle in degrees, None where it was not read, by the fruit's name."""
    readings = (json.loads(one.payload) for one in seen.all(f"/fruit/{lane}"))
    return {
        one["fruit_id"]: (one["frame_id"], one["angle_deg"] if one["read"] else None)
        for one in readings
    }


def _same(shown: str, told_deg: float | None) -> bool:
    """Whether the page's text is the angle of the message; both have rounded it."""
    if told_deg is None or not shown.endswith("°"):
        return told_deg is None and shown == "no read"
    return abs(float(shown[:-1]) - told_deg) <= ROUNDED_DEG


def _config(folder: Path, broker: str) -> str:
    sources = {
        lane: f"sim:?rate={RATE_PER_MINUTE}&seed={seed}&numbers=1&log={folder / (lane + '.log')}"
        for seed, lane in enumerate(LANES, 1)
    }
    cameras = "".join(f"  - {{name: {lane}, source: '{sources[lane]}'}}\n" for lane in LANES)
    return f"id: line1\nmqtt: {{broker: '{broker}'}}\ncameras:\n{cameras}"
