"""Faults of the broker and of what comes from it: from what a connection hears on."""

from __future__ import annotations

import json

from agent.publishing.connection.link import Cause
from tests.soak.year.told import Beside
from tests.soak.year.virtual.broker import Broker
from tests.soak.year.virtual.of_cameras import RESTARTED
from tests.soak.year.virtual.plant import VARIETY, Plant
from tests.soak.year.virtual.planting import Act, Planting, Plantings

NO_ALARM = "no alarm falls into it"
ALSO = Beside(
    metrics={
        "broker_connects": "it is tried again",
        "broker_disconnects": "",
        "messages_dropped": "states that newer ones replace, fruit that is too old",
        "messages_replayed": "what may not have come is sent again",
        "publish_results": "",
    },
    log={"broker_lost": "", "broker_connect_failed": "", "publish_refused": "each topic once"},
)

ANEW = Beside(metrics={**RESTARTED.metrics, **ALSO.metrics}, log={**RESTARTED.log, **ALSO.log})


def _connects(how: str, cut: Cause | None = Cause.LOST) -> Act:
    def begin(plant: Plant, _camera: str) -> None:
        plant.broker.connects = how
        if cut is not None:
            plant.broker.cut(cut)

    return begin


def well(plant: Plant, _camera: str) -> None:
    """The broker is as it should be from now on."""
    usual = Broker()
    for name in ("connects", "answers", "limit_bytes", "hangs_up_at"):
        setattr(plant.broker, name, getattr(usual, name))


def _anew(plant: Plant, camera: str) -> None:
    """What was learnt of it holds for a start."""
    well(plant, camera)
    plant.restart()


def _away(how: str, lasts_s: float = 20.0) -> Planting:
    return Planting(begin=_connects(how), end=well, lasts_s=lasts_s, beside=ALSO)


def _answers(reason: str, family: str = "*") -> Act:
    def begin(plant: Plant, _camera: str) -> None:
        plant.broker.answers[family] = reason

    return begin


def _denied(plant: Plant, _camera: str) -> None:
    plant.broker.answers["subscribe"] = "not_authorized"
    plant.broker.cut(Cause.LOST)


def _hangs_up(plant: Plant, _camera: str) -> None:
    plant.broker.hangs_up_at = "/metric/cam1/fps"
    plant.broker.cut(Cause.LOST)


def _refuses(plant: Plant, _camera: str) -> None:
    odd = int(plant.mono()) // 10 % 2
    plant.broker.answers["*"] = "not_authorized" if odd else "quota_exceeded"
    plant.say_running()


def _another_agent(plant: Plant, _camera: str) -> None:
    """A status of a session that is older than ours."""
    status = {
        "session": "another",
        "timestamp_ms": plant.utc_ms(),
        "uptime_s": 10 * 365 * 86_400.0,
        "state": "running",
        "online": True,
    }
    plant.broker.say(plant.topics.of("status"), json.dumps(status).encode())


def _cut(cause: Cause) -> Act:
    return lambda plant, _camera: plant.broker.cut(cause)


def _word(*payloads: bytes) -> Act:
    def begin(plant: Plant, _camera: str) -> None:
        for payload in payloads:
            plant.broker.say(f"{plant.topics.base}/machine", payload, now=plant.mono())

    return begin


def _flood(plant: Plant, _camera: str) -> None:
    for _ in range(1500):
        plant.say(state="running", variety=VARIETY)


def _command(plant: Plant, name: str, *, retained: bool = False, **fields: object) -> None:
    known = {
        "command_id": f"c{plant.draw.integers(1 << 60)}",
        "issued_ms": plant.utc_ms(),
        "user": "year",
    }
    payload = json.dumps({**known, **fields}).encode()
    plant.broker.say(f"{plant.topics.base}/cmd/{name}", payload, retained=retained)


def _not_allowed(plant: Plant, camera: str) -> None:
    _command(plant, "disable", alarm_id=f"camera_lost-{camera}")
    _command(plant, "explain", camera="?")
    _command(plant, "explain", camera=camera, issued_ms=plant.utc_ms() - 600_000)


def _commands(plant: Plant, camera: str) -> None:
    for _ in range(60):
        _command(plant, "explain", camera=camera)


def _shelved(plant: Plant, camera: str) -> None:
    _command(plant, "shelve", alarm_id=f"camera_frozen-{camera}", duration_s=60)
    _command(plant, "shelve", alarm_id=f"latency_budget-{camera}", duration_s=86_400)


PLANTINGS: Plantings = {
    "broker-killed": _away("unreachable"),
    "broker-refuses": _away("unreachable"),
    "broker-name-unknown": _away("unreachable"),
    "broker-away-for-long": Planting(
        begin=_connects("unreachable"),
        end=well,
        lasts_s=2700.0,
        within_s=60.0,
        back_s=900.0,
        beside=ALSO,
        unseen={
            "messages_in_flight{topic_family=event}": NO_ALARM,
            "spool_oldest_seconds{topic_family=event}": NO_ALARM,
        },
    ),
    "broker-silent-at-the-connect": _away("no_answer", 40.0),
    "broker-wrong-password": Planting(
        begin=_connects("unauthorised"), end=well, back_s=900.0, beside=ALSO
    ),
    "broker-not-trusted": _away("tls"),
    "broker-speaks-garbage": _away("refused"),
    "broker-speaks-an-older-protocol": Planting(
        begin=_connects("unsupported_protocol"), end=_anew, beside=ANEW
    ),
    "broker-can-do-less": Planting(
        begin=_connects("retain_not_supported"), end=_anew, beside=ANEW
    ),
    "broker-denies-a-subscription": Planting(
        begin=_denied,
        end=_anew,
        beside=ANEW,
        unseen={
            "subscription_denied": "of a broker that hangs up at it",
            "wildcards_refused": "of one that takes no wildcards",
            "subscription_at_qos_0": "of one that takes it at a lower quality",
        },
    ),
    "broker-denies-a-topic": Planting(
        begin=_hangs_up, end=_anew, within_s=600.0, back_s=900.0, beside=ANEW
    ),
    "broker-frozen": Planting(
        begin=_answers("never"), end=well, lasts_s=60.0, back_s=900.0, beside=ALSO
    ),
    "connection-cut": Planting(begin=_cut(Cause.LOST), lasts_s=5.0, beside=ALSO),
    "answer-swallowed": Planting(
        begin=_answers("never", "metric"),
        end=well,
        lasts_s=40.0,
        back_s=900.0,
        beside=ALSO,
        unseen={"messages_replayed": "it is a message that is not kept"},
    ),
    "broker-refuses-messages": Planting(
        begin=_refuses,
        again=_refuses,
        end=well,
        lasts_s=60.0,
        back_s=900.0,
        beside=ALSO,
        unseen={"messages_dropped": "fruit are sent at a quality that is not answered"},
    ),
    "two-agents-of-one-id": Planting(begin=_another_agent, back_s=1800.0, beside=ALSO),
    "session-taken-over": Planting(begin=_cut(Cause.TAKEN_OVER), back_s=1800.0, beside=ALSO),
    "machine-message-invalid": Planting(
        begin=_word(b"{", b"", b'{"timestamp_ms": 1, "state": "running", "variety": 5}'),
        unseen={"machine_messages{transport=http,outcome=incomplete}": "there is no page here"},
    ),
    "machine-message-flood": Planting(
        begin=_flood, unseen={"machine_words_unused": "what is over the rate is not read"}
    ),
    "machine-lane-unknown": Planting(
        begin=lambda plant, _camera: plant.say(state="running", variety=VARIETY, lane="cam7")
    ),
    "command-retained": Planting(
        begin=lambda plant, camera: _command(plant, "explain", retained=True, camera=camera)
    ),
    "command-flood": Planting(begin=_commands),
    "command-not-allowed": Planting(
        begin=_not_allowed, unseen={"page_action": "they come from the broker"}
    ),
    "command-twice": Planting(
        begin=lambda plant, camera: _command(plant, "unshelve", alarm_id=f"camera_lost-{camera}")
    ),
    "alarm-shelved-and-forgotten": Planting(
        begin=_shelved, lasts_s=70.0,
        beside=Beside(metrics={"commands": "that it was done"}),
    ),
}  # fmt: skip
