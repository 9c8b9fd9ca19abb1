"""The views that are kept, and the agents that they look at."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

PANEL, HD, TELEPHONE = (1280, 800), (1920, 1080), (390, 844)
LANE = "sim:?rate={rate}&seed={seed}&lot=400&variety=golden,blush"
MACHINE = b'{"state": "running", "lot": "4711-B", "variety": "golden"}'


@dataclass(frozen=True)
class View:
    """One picture: its name, the screen, and where the page is opened.

    ``needs``: an expression that is true when what the view shows has come; ``gone``: the agent has
    been killed.
    """

    name: str
    size: tuple[int, int] = PANEL
    at: str = "/"
    dark: bool = False
    needs: str = "true"
    gone: bool = False


@dataclass(frozen=True)
class Scene:
    """One agent: so many lanes with their faults, and the views that look at it."""

    name: str
    lanes: int
    views: tuple[View, ...]
    rate: int = 40
    faults: dict[int, str] = field(default_factory=dict)
    more: str = ""
    wait_s: float = 30.0

    def configuration(self, state_dir: str) -> str:
        lines = [
            f"id: line1\nmqtt: {{broker: none}}\nstate_dir: '{state_dir}'\n{self.more}cameras:"
        ]
        for number in range(1, self.lanes + 1):
            source = LANE.format(rate=self.rate, seed=number)
            if number in self.faults:  # a camera that is opened again finds it where it would be
                source += f"&anchor={time.monotonic():.0f}&fault={self.faults[number]}"
            lines.append(f"  - {{name: lane{number}, source: '{source}'}}")
        return "\n".join(lines) + "\n"


SHOWN = "[...document.querySelectorAll('.card')].every((c) => c.dataset.frame)"
EXPLAINED = "document.querySelectorAll('.map:not([hidden])').length >= 2"
RINGS = "document.querySelectorAll('#ringing .alarm').length >= 2"
QUICK = "ablation: {workers: {priority: normal}}\n"
FAULTY = {2: "defocus@10*1", 4: "lost@40"}

SCENES = (
    Scene(
        "ordinary", 4, more=QUICK, wait_s=60,
        views=(
            View("panel", needs=SHOWN),
            View("hd", HD, needs=SHOWN),
            View("lane", at="/#lane1", needs=EXPLAINED),
            View("dark", at="/#lane2", dark=True, needs=EXPLAINED),
            View("telephone", TELEPHONE, needs=SHOWN),
            View("gone", needs="!document.getElementById('gone').hidden", gone=True),
        ),
    ),
    Scene(
        "alarm", 4, rate=70, faults=FAULTY, more="alarms: {language: en}\n", wait_s=75,
        views=(View("alarm", needs=RINGS), View("alarm_telephone", TELEPHONE, needs=RINGS)),
    ),
    Scene(
        "italian", 4, rate=70, faults=FAULTY, more="alarms: {language: it}\n", wait_s=75,
        views=(View("italian", needs=RINGS), View("italian_lane", at="/#lane2", needs=EXPLAINED)),
    ),
    Scene("eight", 8, rate=30, views=(View("eight", HD, needs=SHOWN),)),
)  # fmt: skip
