"""Faults that change what a network makes of pictures: planted in the signals that it gives."""

from __future__ import annotations

import json

from agent.records import NoReadReason
from tests.soak.year.told import Beside
from tests.soak.year.virtual.fruit import LaneLook
from tests.soak.year.virtual.of_cameras import RESTARTED
from tests.soak.year.virtual.plant import VARIETY, Plant
from tests.soak.year.virtual.planting import Act, Planting, Plantings

CHARTS_S = 1500.0
"""Several windows of a chart, and what a slow one needs more."""
NOT_RUN = "the network is not run here: what it says is given instead"
ON_TIME = {"charts_moving": "asked for once in ten minutes, which may have been before"}
ALSO = Beside(
    metrics={"jobs_dropped": "a job whose fruit is too old", "alarm_transitions": "chattering"},
    log={"job_failed": "the same"},
)


def _look(signals: dict[str, float] | None = None, **changes: object) -> Act:
    def begin(plant: Plant, lane: str) -> None:
        look = plant.fruit.looks[lane]
        look.moved |= signals or {}
        for name, value in changes.items():
            setattr(look, name, value)

    return begin


def as_usual(plant: Plant, lane: str) -> None:
    """Fruit look as they usually do."""
    plant.fruit.looks[lane] = LaneLook()


def _charted(signals: dict[str, float], **changes: object) -> Planting:
    """Found by a chart, or by a limit."""
    return Planting(
        begin=_look(signals, **changes),
        end=as_usual,
        lasts_s=60.0,
        within_s=CHARTS_S,
        back_s=3600.0,
        beside=ALSO,
        unseen=ON_TIME,
    )


def _read(share: float, reason: NoReadReason, lasts_s: float = 60.0) -> Planting:
    return Planting(
        begin=_look(unread=share, reason=reason),
        end=as_usual,
        lasts_s=lasts_s,
        within_s=CHARTS_S,
        back_s=3600.0,
        beside=ALSO,
        unseen={**ON_TIME, "logits_not_finite": NOT_RUN, "picture_refused": NOT_RUN},
    )


def _without_a_reference(plant: Plant, lane: str) -> None:
    plant.say(state="running", variety="plum", lane=lane)


def _with_it_again(plant: Plant, lane: str) -> None:
    as_usual(plant, lane)
    plant.say(state="running", variety=VARIETY, lane=lane)


def _unread_without_a_reference(plant: Plant, lane: str) -> None:
    _without_a_reference(plant, lane)
    _look(unread=0.9)(plant, lane)


def _dark_from_the_start(plant: Plant, lane: str) -> None:
    _look(DARK, unread=1.0, reason=NoReadReason.IMAGE_QUALITY)(plant, lane)
    plant.restart()


def _another_model(plant: Plant, _lane: str) -> None:
    plant.fruit.explained_sha256 = "1" * 64


def _its_own(plant: Plant, _lane: str) -> None:
    plant.fruit.explained_sha256 = plant.fruit.model_sha256


def _changes_its_mind(plant: Plant, lane: str) -> None:
    variety = VARIETY if int(plant.mono()) % 2 else "plum"
    plant.say(state="running", variety=variety, lane=lane)


def _asked_without_fruit(plant: Plant, lane: str) -> None:
    plant.say(state="stopped", lane=lane)
    plant.cameras.lives[lane].reads = "silent"
    words = {"command_id": f"e{int(plant.mono())}", "issued_ms": plant.utc_ms(), "user": "year"}
    plant.broker.say(
        f"{plant.topics.base}/cmd/explain", json.dumps({**words, "camera": lane}).encode()
    )


def _fruit_again(plant: Plant, lane: str) -> None:
    plant.cameras.lives[lane].reads = ""
    plant.say(state="running", variety=VARIETY, lane=lane)


DARK = {"brightness": 3.0, "aperture": 0.0, "focus": 0.5, "warmth": 0.0}
SEES_WORSE = {"foreground_input": 0.4, "mass_suture": 0.3, "suture_margin": 3.0, "agreement": 0.3}

PLANTINGS: Plantings = {
    "lamp-fails": _charted(DARK, unread=1.0, reason=NoReadReason.IMAGE_QUALITY),
    "lamp-off-from-the-start": Planting(
        begin=_dark_from_the_start, end=as_usual, within_s=CHARTS_S, back_s=3600.0, beside=RESTARTED
    ),
    "pictures-black": _charted(DARK, unread=1.0, reason=NoReadReason.IMAGE_QUALITY),
    "planted-lamp-fade": _charted({"brightness": 70.0}),
    "planted-lamp-flicker": _charted({"brightness": 100.0}),
    "planted-colour-cast": _charted({"warmth": 65.0}),
    "planted-exposure-jump": _charted({"brightness": 180.0}),
    "planted-colour-order": _charted({"warmth": -40.0}),
    "planted-defocus": _charted({"focus": 12.0}),
    "planted-lens-smear": _charted({"focus": 20.0, "suture_margin": 5.0}),
    "planted-droplet": _charted({"focus": 24.0}),
    "planted-dust": _charted({"focus": 25.0, "brightness": 112.0}),
    "planted-vibration": _charted({"focus": 15.0}),
    "planted-camera-shift": _charted({"aperture": 0.6}),
    "planted-camera-rotation": _charted({"aperture": 0.7, "focus": 26.0}),
    "planted-saturated": _charted({"brightness": 250.0, "focus": 2.0}, unread=0.9),
    "planted-torn": _charted({"focus": 45.0}, unread=0.5),
    "planted-corrupt": _charted({"focus": 60.0}),
    "variety-unknown": _charted({"suture_margin": 4.0, "confidence": 0.8}),
    "variety-not-announced": _charted({"warmth": 60.0, "suture_margin": 5.0}),
    "fruit-unread": Planting(
        begin=_unread_without_a_reference, end=_with_it_again, within_s=CHARTS_S, beside=ALSO
    ),
    "fruit-unread-in-usual-pictures": _read(0.9, NoReadReason.AMBIGUOUS),
    "no-fruit-under-the-camera": _read(0.9, NoReadReason.IMPLAUSIBLE),
    "two-fruit-in-a-cup": _read(0.1, NoReadReason.AMBIGUOUS),
    "feed-runs-empty": Planting(begin=_look(empty=True), end=as_usual, lasts_s=90.0, beside=ALSO),
    "model-untrained": _charted(SEES_WORSE, unread=0.5),
    "model-shuffled": _charted(SEES_WORSE, other_channels=True),
    "model-noisy": _charted({"mass_suture": 0.5, "agreement": 0.5}),
    "model-blind": _charted({"foreground_input": 0.02, "suture_margin": 4.0}, angles="alike"),
    "model-shortcut": _charted({"reliance_input": 0.8, "background_input": 0.6}),
    "model-leans-on-the-background": _charted({"reliance_input": 0.9}),
    "model-ignores-the-suture": _charted({"foreground_input": 0.02}, angles="alike"),
    "model-reads-something-else": _charted({"foreground_input": 0.02}),
    "model-uses-other-channels": _charted({}, other_channels=True),
    "model-sees-less": _charted({"suture_margin": 3.0}),
    "bad-pictures-with-everything": _charted(
        {"focus": 10.0, "suture_margin": 3.0, "confidence": 0.7}
    ),
    "logits-not-finite": _read(0.2, NoReadReason.IMAGE_QUALITY, 20.0),
    "picture-that-is-none": _read(0.2, NoReadReason.IMAGE_QUALITY, 20.0),
    "network-raises": Planting(begin=_look(raises=True), end=as_usual, lasts_s=5.0, beside=ALSO),
    "explanations-say-nothing": Planting(
        begin=_look(explainable=False), end=as_usual, within_s=300.0, beside=ALSO
    ),
    "model-explained-is-another": Planting(
        begin=_another_model, end=_its_own, within_s=300.0, back_s=900.0, beside=ALSO
    ),
    "reference-missing-for-the-variety": Planting(
        begin=_without_a_reference, end=_with_it_again, beside=ALSO
    ),
    "machine-changes-its-mind": Planting(
        begin=_changes_its_mind, again=_changes_its_mind, end=_with_it_again, beside=ALSO
    ),
    "computer-too-slow": Planting(
        begin=_look(slow_s=0.6),
        end=as_usual,
        within_s=400.0,
        back_s=900.0,
        beside=ALSO,
        unseen={"frames_dropped": "the lateness is given, and no queue runs full"},
    ),
    "explanation-asked-for-and-no-fruit": Planting(
        begin=_asked_without_fruit, end=_fruit_again, within_s=200.0, beside=ALSO
    ),
}
