"""The publisher on a real mosquitto: what a subscriber sees, and what the books say."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent.publishing.outbox import replay
from agent.publishing.publisher import Publisher, PublisherHooks
from agent.publishing.schemas import load_schema
from agent.publishing.wire.composer import Composer
from agent.publishing.wire.images import Image
from agent.records import (
    AlarmState,
    MachineState,
    Origin,
    Overlay,
    PublishedLane,
    Quality,
)
from agent.storage.store import Store
from tests.publishing import examples
from tests.publishing.examples import BASE
from tests.publishing.lexical import check_lexically
from tests.publishing.rig import Rig, running
from tests.support import free_port, require_tool, wait_until
from tests.support.mosquitto import Mosquitto, Observer, Seen, mosquitto, retained

pytestmark = pytest.mark.needs_mosquitto

SCHEMAS = {
    "/status": "status",
    "/meta": "meta",
    "metric": "metric",
    "fruit": "fruit",
    "explanation": "explanation",
    "cam": "cam_meta",
    "alarm": "alarm",
    "event": "event_alarm",
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as running_broker:
        yield running_broker


def read(seen: Seen) -> dict[str, Any]:
    """Read one JSON message, checked against the schema of its topic and lexically."""
    assert seen.content_type in (None, "application/json")
    payload = check_lexically(seen.payload)
    below = seen.topic.removeprefix(BASE)
    schema = SCHEMAS.get(below) or SCHEMAS[below.split("/")[1]]
    Draft202012Validator(load_schema(schema)).validate(payload)
    return payload


def publish_everything(publisher: Publisher) -> None:
    publisher.status("running", "", examples.STAMP)
    publisher.fruit(examples.fruit(), "cam1")
    publisher.metric("cam1", "fps", 4.67, Quality.GOOD, examples.STAMP)
    publisher.metric("agent", "cpu", 0.5, Quality.GOOD, examples.STAMP)
    publisher.explanation(examples.explanation(captured_mono=time.monotonic()))
    publisher.alarm(examples.alarm(captured_mono=time.monotonic()), examples.overlay())


EXPECTED = {  # topic below B -> (QoS as published once the topic is proven, retain, expiry)
    "status": (1, True, None),
    "meta": (1, True, None),
    "fruit/cam1": (0, False, 10),
    "metric/cam1/fps": (0, True, 300),
    "metric/agent/cpu": (0, True, 300),
    "explanation/cam1": (1, False, 600),
    "cam/cam1/suture/image": (0, True, 120),
    "cam/cam1/suture/meta": (1, True, 120),
    "event/alarm": (1, False, 86_400),
    "alarm/camera_lost-cam1": (1, True, None),
    "evidence/event-1/image": (1, True, 86_400),
}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_every_topic_arrives_with_its_qos_retain_flag_expiry_and_valid_payload(
    broker: Mosquitto, protocol: str
) -> None:
    with Observer(broker.port) as observer, running(broker.url, protocol=protocol) as rig:
        assert rig.publisher.link().protocol == protocol
        # Settled each time: a value that still waits when the next one comes is superseded by it.
        rig.settled()
        publish_everything(rig.publisher)
        for topic in EXPECTED:
            observer.wait(topic)
        rig.settled()
        observer.clear()
        publish_everything(rig.publisher)
        rig.settled()
        rig.publisher.metric("cam1", "fps", 5.0, Quality.GOOD, examples.STAMP)
        rig.publisher.metric("agent", "cpu", 0.7, Quality.GOOD, examples.STAMP)
        rig.publisher.status("running", "again", examples.STAMP)
        rig.settled()
        for topic, (qos, retain, expiry_s) in EXPECTED.items():
            if topic == "meta":
                continue
            seen = observer.wait(f"{BASE}/{topic}")[-1]
            assert (seen.qos, seen.retained) == (qos, retain), topic
            assert seen.expiry_s == (expiry_s if protocol == "5" else None), topic
            if topic.endswith("image"):
                assert seen.content_type == ("image/png" if protocol == "5" else None)
                assert seen.payload == examples.overlay().data
            else:
                read(seen)
        assert not rig.books.total("messages_dropped")
        assert len(rig.books.observed["cam_to_puback_seconds"]) == 2
        assert len(rig.books.observed["alarm_to_puback_seconds"]) == 2


def test_another_network_is_told_in_meta_at_once(broker: Mosquitto) -> None:
    with Observer(broker.port) as observer, running(broker.url) as rig:
        observer.wait(f"{BASE}/meta")
        rig.publisher.model("second", "b" * 64)
        wait_until(lambda: read(observer.all(f"{BASE}/meta")[-1])["model_sha256"] == "b" * 64, 10)
        assert read(observer.all(f"{BASE}/meta")[-1])["model"] == "second"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_what_stays_of_a_lane_that_is_gone_is_of_quality_bad_and_its_alarm_normal(
    broker: Mosquitto, protocol: str
) -> None:
    normal: list[str] = []
    told: list[str] = []
    with Observer(broker.port), running(broker.url, protocol=protocol) as earlier:
        publish_everything(earlier.publisher)
        earlier.settled()
    hooks = PublisherHooks(*[lambda _heard: None] * 3, normal.append)
    store = Store(None, examples.Books())
    settings = examples.settings(broker.url, "session-2", protocol=protocol)
    publisher = Publisher(settings, examples.Books(), time.monotonic, hooks, store)
    publisher.alarm(examples.alarm(active=True, transition="initial"))
    ended = examples.alarm(state=AlarmState.NORM, active=False, transition="cleared", seq=2)
    publisher.alarms([(ended, None)], lambda: None)
    gone = PublishedLane("cam1", ("fps", "angle_deg"), ("suture",))
    publisher.withdraw(gone, lambda: told.append("cam1"))
    assert (normal, told) == ([], [])  # nobody is told before the broker was
    publisher.start()
    try:
        wait_until(lambda: told and normal, 15, "the broker has taken it")
        kept = {one.topic.removeprefix(f"{BASE}/"): one for one in retained(broker.port)}
    finally:
        publisher.stop(3.0)
        store.close()
    assert set(normal) == {"camera_lost-cam1"}
    of_lane = {topic: read(seen) for topic, seen in kept.items() if topic.startswith("metric/cam1")}
    assert set(of_lane) == {"metric/cam1/fps", "metric/cam1/angle_deg"}
    assert {value["quality"] for value in of_lane.values()} == {"bad"}
    picture, described = kept["cam/cam1/suture/image"], read(kept["cam/cam1/suture/meta"])
    assert (described["quality"], described["bytes"]) == ("bad", len(picture.payload))
    assert (described["width"], described["height"]) == (1, 1)
    alarm = read(kept["alarm/camera_lost-cam1"])
    assert (alarm["state"], alarm["active"]) == ("NORM", False)


def test_the_first_message_of_each_qos_0_topic_is_sent_at_qos_1(broker: Mosquitto) -> None:
    with Observer(broker.port) as observer, running(broker.url) as rig:
        for _ in range(3):
            rig.publisher.fruit(examples.fruit(), "cam1")
            rig.settled()
        assert [seen.qos for seen in observer.wait("fruit/cam1", 3)] == [1, 0, 0]


def test_a_cam_arrives_as_its_picture_directly_followed_by_its_meta(broker: Mosquitto) -> None:
    with Observer(broker.port, f"{BASE}/cam/#") as observer, running(broker.url) as rig:
        for i in range(20):
            rig.publisher.explanation(
                examples.explanation(overlays=(examples.overlay(side_px=64 + i),))
            )
        rig.settled()
        newest = len(examples.overlay(side_px=83).data)
        wait_until(lambda: any(read(s)["bytes"] == newest for s in observer.all("meta")), 10)
        seen = observer.all()
        pairs = list(zip(seen[::2], seen[1::2], strict=True))
        for image, meta in pairs:
            assert image.topic.endswith("image")
            assert read(meta)["image_topic"] == image.topic
            assert read(meta)["bytes"] == len(image.payload)


def test_a_picture_above_the_limit_arrives_smaller_than_the_limit(broker: Mosquitto) -> None:
    with Observer(broker.port, f"{BASE}/cam/#") as observer, running(broker.url) as rig:
        large = examples.overlay(side_px=512, noise=True)
        rig.publisher.explanation(examples.explanation(overlays=(large,)))
        wait_until(lambda: any(len(seen.payload) > 20_000 for seen in observer.all("image")), 10)
        image = observer.all("image")[-1]
        assert len(image.payload) <= 100 * 1024
        assert image.content_type == "image/jpeg"


def test_status_is_a_heartbeat(broker: Mosquitto) -> None:
    with Observer(broker.port, f"{BASE}/status") as observer:
        with running(broker.url, status_interval_s=0.2) as rig:
            rig.publisher.status("running", "", examples.STAMP)
            seen = [read(one) for one in observer.wait("status", 5)]
        assert seen[-1]["state"] == "running"
        assert seen[-1]["uptime_s"] > seen[0]["uptime_s"]


def test_a_clean_stop_says_stopped_waits_for_its_answer_and_leaves_no_will(
    tmp_path: Path,
) -> None:
    with mosquitto(tmp_path) as broker, Observer(broker.port, f"{BASE}/status") as observer:
        rig = Rig(broker.url)
        rig.publisher.start()
        rig.wait_online()
        rig.publisher.fruit(examples.fruit(), "cam1")
        assert rig.publisher.stop(5.0)
        states = [read(seen) for seen in observer.wait("status", 2)]
        assert [state["state"] for state in states] == ["starting", "stopped"]
        assert states[-1]["online"] is False
        assert not rig.online()
        assert rig.books.total("messages_delivered", "fruit") == 1
        rig.books.balance()
        assert "Received DISCONNECT from pitwatch-uns" in broker.log
        (kept,) = retained(broker.port, f"{BASE}/status")
        assert json.loads(kept.payload)["state"] == "stopped"


def test_a_message_after_the_stop_is_refused_and_counted(broker: Mosquitto) -> None:
    rig = Rig(broker.url)
    rig.publisher.start()
    rig.wait_online()
    rig.publisher.stop(5.0)
    rig.publisher.fruit(examples.fruit(), "cam1")
    assert rig.books.total("messages_dropped", "fruit", "shutdown") == 1
    rig.books.balance()


def test_stopping_without_a_broker_is_quick_and_says_that_nobody_was_told() -> None:
    rig = Rig(f"mqtt://127.0.0.1:{free_port()}")
    rig.publisher.start()
    rig.publisher.fruit(examples.fruit(), "cam1")
    started = time.monotonic()
    assert not rig.publisher.stop(5.0)
    assert time.monotonic() - started < 3
    assert rig.books.total("messages_dropped", "fruit", "shutdown") == 1
    rig.books.balance()


def test_what_waits_goes_out_before_the_farewell(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, Observer(broker.port, f"{BASE}/#") as observer:
        rig = Rig(broker.url, in_flight_max=2)
        rig.publisher.start()
        rig.wait_online()
        for i in range(200):
            rig.publisher.explanation(examples.explanation(job_id=f"job-{i}", overlays=()))
        assert rig.publisher.stop(10.0)
        observer.wait("explanation/cam1", 200)
        wait_until(lambda: b"stopped" in observer.all("status")[-1].payload, 10)
        assert not rig.books.total("messages_dropped", "explanation")
        rig.books.balance()


def test_stopping_at_a_frozen_broker_ends_in_time_and_is_not_acknowledged(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        rig = Rig(broker.url)
        rig.publisher.start()
        rig.wait_online()
        rig.settled()
        broker.freeze()
        rig.publisher.alarm(examples.alarm())
        started = time.monotonic()
        assert not rig.publisher.stop(1.0)
        assert time.monotonic() - started < 4
        rig.books.balance()
        assert rig.in_flight() == 0
        assert rig.books.total("messages_dropped", "event", "shutdown") == 1


CLIENT = """
    import sys, time
    from agent.publishing.publisher import Publisher, PublisherHooks
    from agent.storage.store import Store
    from tests.publishing import examples
    books = examples.Books()
    hooks = PublisherHooks(print, print, print)
    store = Store(None, books)
    p = Publisher(examples.settings(sys.argv[1]), books, time.monotonic, hooks, store)
    p.start()
    p.status("running", "", 1)
    time.sleep(60)
"""


def test_kill_9_of_the_agent_makes_the_broker_publish_the_will(broker: Mosquitto) -> None:
    with Observer(broker.port, f"{BASE}/status") as observer:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CLIENT), broker.url],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: any(b"running" in s.payload for s in observer.all()), 30)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            wait_until(lambda: any(b'"lost"' in s.payload for s in observer.all()), 10, "will")
            will = observer.all()[-1]
        finally:
            process.kill()
            process.wait(10)
        assert (will.qos, will.retained) == (1, True)
        assert read(will)["online"] is False
        running_keys = next(read(s) for s in observer.all() if b"running" in s.payload)
        assert list(read(will)) == list(running_keys)


def test_a_broker_that_comes_back_empty_is_given_the_whole_state(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, running(broker.url) as rig:
        publish_everything(rig.publisher)
        rig.publisher.alarm(
            examples.alarm(alarm_id="no_read-cam1", state=AlarmState.NORM, active=False)
        )
        rig.settled(unheard=2)
        broker.kill()
        wait_until(lambda: not rig.online(), 10, "loss noticed")
        assert rig.links[-1].reason == "lost" or rig.links[-1].reason == "unreachable"
        broker.start()
        rig.wait_online()
        rig.wait_count(1, "messages_replayed", "evidence")
        rig.settled(unheard=2)
        kept = {seen.topic.removeprefix(f"{BASE}/"): seen for seen in retained(broker.port)}
        states = {t for t, (_, retain, _) in EXPECTED.items() if retain}
        assert set(kept) == states | {"alarm/no_read-cam1"}
        assert rig.publisher.link().reconnects == 1
        assert rig.books.total("broker_disconnects", "lost") == 1


def test_offline_only_the_newest_state_is_kept_and_fruit_are_bounded(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    try:
        with running(broker.url, wait=False, queue_max=10) as rig:
            for i in range(50):
                rig.publisher.metric("cam1", "fps", float(i), Quality.GOOD, i)
                rig.publisher.fruit(examples.fruit(), "cam1")
            assert rig.books.total("messages_delivered") == 0
            assert rig.books.total("messages_dropped", "metric", "superseded") == 49
            assert rig.books.total("messages_dropped", "fruit", "queue_full") == 40
            broker.start()
            rig.wait_online()
            with Observer(broker.port) as observer:
                rig.settled()
                assert read(observer.wait("fps")[-1])["value"] == 49.0
            assert rig.books.total("messages_delivered", "fruit") == 10
            assert rig.books.total("messages_delivered", "metric") == 1
    finally:
        broker.close()


def test_a_frozen_broker_is_noticed_by_the_answer_that_stays_away_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    quick = {"puback_timeout_s": 1.0, "status_interval_s": 0.5}
    with (
        mosquitto(tmp_path) as broker,
        running(broker.url, **quick) as rig,
        Observer(broker.port) as observer,
    ):
        rig.publisher.fruit(examples.fruit(), "cam1")
        rig.settled()
        broker.freeze()
        rig.publisher.alarm(examples.alarm(seq=7))
        rig.publisher.metric("cam1", "fps", 4.0, Quality.GOOD, 1)
        wait_until(lambda: not rig.online(), 10, "half-open connection noticed")
        assert rig.books.total("broker_disconnects", "silent") == 1
        broker.thaw()
        rig.wait_online(30)
        events = [read(seen) for seen in observer.wait("event/alarm", timeout_s=30)]
        assert {(event["event_id"], event["seq"]) for event in events} == {("event-1", 7)}
        assert read(observer.wait("fps")[-1])["value"] == 4.0
        rig.settled()
        assert rig.books.total("messages_delivered", "event") == 1


@pytest.mark.long
def test_a_frozen_broker_without_traffic_is_noticed_by_the_keepalive(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        quiet = {"status_interval_s": 3600, "puback_timeout_s": 3600, "keepalive_s": 5}
        with running(broker.url, **quiet) as rig:
            rig.settled()
            broker.freeze()
            wait_until(lambda: not rig.online(), 20, "half-open connection noticed")
            assert rig.books.total("broker_disconnects", "silent") == 1
            broker.thaw()
            rig.wait_online(30)


def test_a_refused_connection_is_tried_again_and_counted() -> None:
    with running(f"mqtt://127.0.0.1:{free_port()}", wait=False) as rig:
        wait_until(lambda: rig.books.total("broker_connects", "unreachable") >= 3, 20)
        assert rig.links[-1].reason == "unreachable"
        assert rig.books.gauges[("broker_connected", "uns")] == 0.0
        assert rig.books.beats > 3


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker with a password, which lets the agent publish everything but fruit and CAMs."""
    require_tool("mosquitto", "mosquitto_passwd")
    passwords, acl = tmp_path / "passwords", tmp_path / "acl"
    for user in ("agent", "scada"):
        subprocess.run(
            ["mosquitto_passwd", *(["-b"] if passwords.exists() else ["-c", "-b"]),
             str(passwords), user, f"{user}-secret"],
            check=True,
        )  # fmt: skip
    allowed = ("status", "meta", "metric/#", "explanation/#", "alarm/#", "event/#", "evidence/#")
    lines = ["user agent", *(f"topic write {BASE}/{topic}" for topic in allowed)]
    acl.write_text("\n".join([*lines, "user scada", "topic readwrite #"]) + "\n")
    for file in (passwords, acl):
        file.chmod(0o600)
    extra = f"password_file {passwords}\nacl_file {acl}"
    with mosquitto(tmp_path, extra, anonymous=False) as broker:
        yield broker


def test_a_wrong_password_is_counted_and_waits_for_the_penalty(guarded: Mosquitto) -> None:
    login = {"username": "agent", "password": "wrong", "reconnect_penalty_s": 30.0}
    with running(guarded.url, wait=False, **login) as rig:
        wait_until(lambda: rig.links and rig.links[-1].reason == "unauthorised", 10)
        assert rig.books.total("broker_connects", "unauthorised") == 1
        time.sleep(1.0)  # far longer than the back-off, far shorter than the penalty
        assert rig.books.total("broker_connects") == 1


def test_a_denied_topic_is_counted_under_its_family_also_where_it_is_sent_at_qos_0(
    guarded: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    login = {"username": "agent", "password": "agent-secret"}
    with running(guarded.url, **login) as rig:
        for i in range(3):
            publish_everything(rig.publisher)
            rig.settled(unheard=i + 1)
        denied = "not_authorized"
        assert rig.books.total("publish_results", "fruit", denied) == 3
        assert rig.books.total("messages_dropped", "fruit", denied) == 3
        assert rig.books.total("messages_dropped", "cam", denied) == 6
        assert rig.books.total("messages_delivered", "fruit") == 0
        assert rig.books.total("messages_delivered", "metric") >= 2
        assert rig.books.total("publish_results", "metric", denied) == 0
    refusals = [r.fields for r in caplog.records if r.getMessage() == "publish_refused"]  # type: ignore[attr-defined]
    topics = [fields["topic"] for fields in refusals if fields["reason"] == denied]
    assert sorted(topics) == [
        f"{BASE}/cam/cam1/suture/image",
        f"{BASE}/cam/cam1/suture/meta",
        f"{BASE}/fruit/cam1",
    ]
    assert "agent-secret" not in caplog.text


def test_an_alarm_event_without_a_subscriber_waits_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "UNHEARD_RETRY_S", 1.0)
    with mosquitto(tmp_path) as broker, running(broker.url) as rig:
        rig.publisher.alarm(examples.alarm())
        rig.publisher.explanation(examples.explanation(overlays=()))
        rig.settled(unheard=1)
        assert rig.books.total("messages_dropped", "event") == 0
        assert rig.books.total("messages_delivered", "event") == 0
        assert rig.books.total("messages_delivered", "explanation") == 1
        assert rig.books.total("publish_results", "explanation", "no_matching_subscribers") == 1
        with Observer(broker.port) as observer:
            rig.publisher.alarm(examples.alarm(seq=2))
            rig.settled()
            told = [read(seen) for seen in observer.wait("event/alarm", 2)]
            assert [(event["seq"], event["replayed"]) for event in told] == [(2, False), (1, True)]
            assert rig.books.total("messages_delivered", "event") == 2


@pytest.mark.long
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("own_client_ids", [False, True])
def test_of_two_agents_with_the_same_id_the_first_stays_and_the_other_steps_back(
    tmp_path: Path, protocol: str, own_client_ids: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Both stepped back, and nobody watched for a minute."""
    slow = {"protocol": protocol, "reconnect_penalty_s": 600.0}
    names = [{"client_id": name} if own_client_ids else {} for name in ("a", "b")]
    with mosquitto(tmp_path) as broker, running(broker.url, **slow, **names[0]) as first:
        status = f"{BASE}/status"
        with running(broker.url, wait=False, session="session-2", **slow, **names[1]) as second:
            second.wait_count(1, "broker_disconnects", "taken_over", timeout_s=30.0)
            wait_until(first.online, 20, "the first takes its session back")
            wait_until(lambda: first.links[-1].reason == "taken_over", 20, "and says why")
            # The count of what ended precedes the status, and each may have been cut meanwhile.
            wait_until(lambda: first.online() and not second.online(), 20, "one of them stays")
            wait_until(
                lambda: any(b"session-1" in one.payload for one in retained(broker.port, status)),
                20,
                "the word of the first is what is retained",
            )
            assert first.books.total("broker_disconnects", "taken_over") == 0
            attempts = sum(rig.books.total("broker_connects") for rig in (first, second))
            assert attempts <= 8
    said = [r.fields for r in caplog.records if r.getMessage() == "session_conflict"]  # type: ignore[attr-defined]
    verdicts = {(fields["other_session"], fields["steps_back"]) for fields in said}
    assert verdicts == {("session-1", "we"), ("session-2", "the other")}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_machine_state_arrives_retained_and_live_and_a_wrong_one_costs_only_itself(
    broker: Mosquitto, protocol: str
) -> None:
    with Observer(broker.port, "nothing") as plc:
        topic = f"{BASE}/machine"
        plc.client.publish(topic, b'{"state":"stopped"}', 1, retain=True).wait_for_publish(5)
        with running(broker.url, protocol=protocol) as rig:
            wait_until(lambda: rig.machine, 10, "the retained state")
            for payload in (b"\xff", b'{"state":"flying"}', b""):
                plc.client.publish(topic, payload, 1).wait_for_publish(5)
            live = b'{"state":"running","lot":"7","fruit_id":"f1"}'
            plc.client.publish(topic, live, 1, retain=True).wait_for_publish(5)
            wait_until(lambda: len(rig.machine) == 2, 10, "the live state")
            assert [info.state for info in rig.machine] == [
                MachineState.STOPPED,
                MachineState.RUNNING,
            ]
            assert [info.origin for info in rig.machine] == [Origin.STORED, Origin.MACHINE]
            assert rig.machine[1].lot == "7"
            assert rig.machine[1].arrived_mono > rig.machine[0].arrived_mono > 0
            assert rig.books.total("machine_messages", "mqtt", "accepted") == 2
            assert rig.books.total("machine_messages", "mqtt", "invalid") == 2
            assert rig.books.total("machine_messages", "mqtt", "empty") == 1
            assert rig.online()
        plc.client.publish(topic, b"", 1, retain=True).wait_for_publish(5)


def test_an_alarm_whose_picture_cannot_be_sent_arrives_without_it(broker: Mosquitto) -> None:
    nothing = Overlay("", "image/jpeg", b"", 0, 0)
    with Observer(broker.port) as seen, running(broker.url) as rig:
        rig.publisher.alarm(examples.alarm(), nothing)
        rig.settled()
        seen.wait("event/alarm")
        assert rig.books.total("messages_dropped", "evidence", "oversized") == 1


def test_a_reading_never_waits_for_a_picture_that_is_made_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig("mqtt://127.0.0.1:9")
    encoding, go_on = threading.Event(), threading.Event()

    def slow(_composer: Composer, _overlay: Overlay) -> Image:
        encoding.set()
        go_on.wait(10)
        return Image(b"x", "image/jpeg", 1, 1)

    monkeypatch.setattr(Composer, "image", slow)
    explaining = threading.Thread(target=rig.publisher.explanation, args=(examples.explanation(),))
    alarming = threading.Thread(
        target=rig.publisher.alarm, args=(examples.alarm(), examples.overlay())
    )
    explaining.start()
    alarming.start()
    assert encoding.wait(10)
    live = threading.Thread(target=rig.publisher.fruit, args=(examples.fruit(), "cam1"))
    live.start()
    live.join(5)
    assert not live.is_alive()
    go_on.set()
    explaining.join(10)
    alarming.join(10)
    rig.publisher.stop(0.1)


def test_a_message_that_cannot_be_made_costs_only_itself(broker: Mosquitto) -> None:
    with running(broker.url) as rig:
        rig.publisher.fruit(examples.fruit(), "no/such camera")
        rig.publisher.metric("cam1", "bad name", 1.0, Quality.GOOD, 1)
        rig.publisher.fruit(examples.fruit(), "cam1")
        rig.settled()
        assert rig.books.total("messages_dropped", "fruit", "invalid_topic") == 1
        assert rig.books.total("messages_dropped", "metric", "invalid_topic") == 1
        assert rig.books.total("messages_delivered", "fruit") == 1
