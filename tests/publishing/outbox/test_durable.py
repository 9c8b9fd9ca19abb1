"""The durable outbox, without a broker: what is kept, what is sent again, and in which order."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from agent.config import Storage
from agent.publishing.outbox.durable import NO_SUBSCRIBERS, DurableOutbox
from agent.publishing.outbox.memory import MemoryOutbox
from agent.publishing.outbox.replay import LATE_MAX, UNHEARD_RETRY_S
from agent.publishing.wire.messages import Entry, Message
from agent.records import TopicFamily
from agent.storage.rows import Kind
from agent.storage.store import Clocks, Store
from tests.publishing.examples import Books, FakeClock

UTC_MS = 1_760_000_000_000
DAY_MS = 86_400_000


class Plant:
    """An outbox over a store, with both clocks in hand; ``restart`` is a new process."""

    def __init__(self, folder: Path | None, **settings: Any) -> None:
        self.folder = folder
        self.settings = Storage(**({"replay_per_s": 10_000.0} | settings))
        self.clock = FakeClock()
        self.utc_ms = UTC_MS
        self.synchronised = True
        self.seq = 0
        self.restart(close=False)

    def restart(self, *, close: bool = True, clean: bool = False) -> None:
        if close:
            if clean:
                self.box.close("shutdown", clean=True)
            self.store.close()  # also what the kernel does for a process that was killed
        self.books = Books()
        clocks = Clocks(self.clock, lambda: self.utc_ms, lambda: self.synchronised)
        self.store = Store(self.folder, self.books, clocks, self.settings)
        memory = MemoryOutbox(100, self.books)
        self.box = DurableOutbox(memory, self.store, self.settings, self.books, self.clock)

    def reboot(self) -> None:
        """The computer starts again, and its monotonic clock with it."""
        self.store.database.run(lambda c: c.execute("UPDATE outbox SET boot = boot || '-before'"))
        self.clock.now = 5.0
        self.restart()

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.utc_ms += round(seconds * 1000)
        self.box.tick(self.clock.now)
        self.settle()

    def pass_time_in_memory(self, seconds: float) -> None:
        """The same while memory stands in for a disk that does not answer."""
        self.clock.now += seconds
        self.utc_ms += round(seconds * 1000)
        self.box.tick(self.clock.now)

    def settle(self) -> None:
        """Everything that the disk is to do is done, and the outbox knows it."""
        for _ in range(2):  # the second time for what the first one asked for
            assert self.store.database.settle()
            self.box.tick(self.clock.now)

    def put(self, route: str = "event_alarm", *, size: int = 0) -> None:
        self.seq += 1
        payload = f'{{"seq":{self.seq},"filler":"{"x" * size}","replayed":false}}'.encode()
        topic, kind = f"B/{route}", "application/json"
        if route == "evidence":
            topic, kind, payload = f"B/evidence/e{self.seq}/image", "image/jpeg", bytes(size)
        message = Message(topic, route, payload, kind)
        self.box.put(Entry((message,), self.clock.now), self.clock.now)

    def put_many(self, count: int, *routes: str, size: int = 0) -> None:
        """In one transaction, to spare the disk of the tests."""

        def work(_connection: object) -> None:
            for _ in range(count):
                for route in routes:
                    self.put(route, size=size)

        self.store.database.run(work)

    def connect(self) -> None:
        self.box.snapshot(self.clock.now)

    def lose(self, *entries: Entry) -> None:
        self.box.lost([(entry, entry.messages) for entry in entries])

    def take(self) -> Entry | None:
        self.clock.now += 0.001
        entry = self.box.take(self.clock.now)
        for _ in Kind:  # it may have to be read, kind after kind
            if entry is None and not self.store.database.stands_in:
                assert self.store.database.settle()
                entry = self.box.take(self.clock.now)
        return entry

    def deliver(self, count: int = 10_000, reason: str | None = None) -> list[dict[str, Any]]:
        """Send and settle up to ``count`` entries; return what a subscriber would read."""
        told = []
        while count and (entry := self.take()) is not None:
            count -= 1
            self.box.settle(entry, entry.messages[0], reason)
            told.append(json.loads(entry.messages[0].payload))
        return told

    def seqs(self, **kwargs: Any) -> list[int]:
        return [told["seq"] for told in self.deliver(**kwargs)]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def test_what_waits_survives_a_kill_and_is_replayed_in_order_and_marked(plant: Plant) -> None:
    for _ in range(3):
        plant.put()
    plant.restart()
    assert plant.books.total("messages_enqueued", "event") == 3
    plant.connect()
    told = plant.deliver()
    assert [(event["seq"], event["replayed"]) for event in told] == [
        (1, True),
        (2, True),
        (3, True),
    ]
    assert plant.books.total("messages_replayed", "event") == 3
    plant.books.balance()


def test_a_new_event_goes_out_at_once_and_is_not_marked(plant: Plant) -> None:
    plant.connect()
    plant.put()
    assert plant.deliver() == [{"seq": 1, "filler": "", "replayed": False}]


def test_what_the_broker_acknowledged_is_sent_again_after_an_unclean_loss_for_ten_minutes(
    plant: Plant,
) -> None:
    plant.connect()
    plant.put()
    assert plant.seqs() == [1]
    plant.pass_time(300)
    plant.put()
    assert plant.seqs() == [2]
    plant.pass_time(301)  # the first one's ten minutes are over
    plant.pass_time(6)
    plant.lose()
    plant.connect()
    assert [(event["seq"], event["replayed"]) for event in plant.deliver()] == [(2, True)]
    plant.books.balance()
    plant.lose()
    plant.connect()  # the next loss finds it once more
    assert plant.seqs() == [2]
    plant.pass_time(700)
    plant.lose()
    plant.connect()
    assert plant.seqs() == []


def test_a_connection_that_is_lost_again_and_again_repeats_nothing_for_ever(plant: Plant) -> None:
    plant.connect()
    plant.put()
    sent = plant.seqs()
    for _ in range(5):
        plant.pass_time(250)
        plant.lose()
        plant.connect()
        sent += plant.seqs()
    assert sent == [1, 1, 1], "twice within ten minutes, and then no more"


def test_after_a_clean_stop_nothing_that_was_acknowledged_is_sent_again(plant: Plant) -> None:
    plant.connect()
    plant.put()
    assert plant.seqs() == [1]
    plant.restart(clean=True)
    plant.connect()
    assert plant.seqs() == []
    plant.lose()  # but the broker that took it may still die before it delivers
    plant.connect()
    assert plant.seqs() == [1]


def test_after_a_kill_what_was_acknowledged_is_sent_again_with_the_same_number(
    plant: Plant,
) -> None:
    plant.connect()
    plant.put()
    assert plant.seqs() == [1]
    plant.pass_time(1)
    plant.restart()
    plant.connect()
    assert plant.seqs() == [1]


def test_what_was_in_flight_when_the_connection_went_is_sent_again(plant: Plant) -> None:
    plant.connect()
    for _ in range(3):
        plant.put()
    taken = [plant.take(), plant.take()]
    plant.lose(*[entry for entry in taken if entry is not None])
    plant.connect()
    assert plant.seqs() == [1, 2, 3]
    plant.books.balance()


def test_new_alarms_go_before_those_of_the_outage_and_these_before_the_snapshot(
    plant: Plant,
) -> None:
    for _ in range(3):
        plant.put()
    plant.box.put(Entry((Message("B/status", "status", b"{}"),), plant.clock.now), plant.clock.now)
    cam = (Message("B/i", "cam_image", b"x"), Message("B/m", "cam_meta", b"{}"))
    plant.box.put(Entry(cam, plant.clock.now), plant.clock.now)
    plant.connect()
    plant.put()
    assert plant.store.database.settle(), "what is asked for at the connect is read"
    order = []
    while (entry := plant.take()) is not None:
        order.append(entry.messages[-1].topic + str(json.loads(entry.messages[-1].payload)))
        plant.box.settle(entry, entry.messages[-1], None)
    assert [topic.split("{")[0] for topic in order] == [
        "B/status", "B/event_alarm", "B/event_alarm", "B/event_alarm", "B/event_alarm", "B/m",
    ]  # fmt: skip
    assert [word for line in order for word in line.split("'seq': ")[1:]] == [
        f"{seq}, 'filler': '', 'replayed': {replayed}}}"
        for seq, replayed in ((4, False), (1, True), (2, True), (3, True))
    ]


def test_what_has_been_given_out_once_and_more_than_a_few_come_after_the_snapshot(
    plant: Plant,
) -> None:
    plant.connect()
    plant.put_many(2, "event_alarm")
    assert plant.seqs() == [1, 2]
    plant.lose()
    plant.put_many(LATE_MAX + 5, "event_alarm")
    cam = (Message("B/i", "cam_image", b"x"), Message("B/m", "cam_meta", b'{"seq":"states"}'))
    plant.box.put(Entry(cam, plant.clock.now), plant.clock.now)
    plant.connect()
    assert plant.store.database.settle()
    told: list[object] = []
    while (entry := plant.take()) is not None:
        told.append(json.loads(entry.messages[-1].payload)["seq"])
        plant.box.settle(entry, entry.messages[-1], None)
    late = list(range(3, LATE_MAX + 8))
    assert told == [*late[:LATE_MAX], "states", 1, 2, *late[LATE_MAX:]], "each once, in order"
    plant.books.balance()


def test_replay_is_paced_and_never_fills_the_window(tmp_path: Path) -> None:
    plant = Plant(tmp_path, replay_per_s=10.0)
    for _ in range(100):
        plant.put()
    plant.connect()
    first = len(plant.deliver())
    assert first <= 3
    sent = 0
    for _ in range(20):
        plant.pass_time(0.1)
        sent += len(plant.deliver())
    assert 18 <= sent <= 22
    taken = []
    for _ in range(50):
        plant.pass_time(1.0)
        taken += [plant.take()]
    assert sum(entry is not None for entry in taken) == 5
    plant.put()
    live = plant.take()
    assert live is not None
    assert json.loads(live.messages[0].payload)["replayed"] is False


def test_the_owner_is_told_when_the_next_old_message_may_go(tmp_path: Path) -> None:
    plant = Plant(tmp_path, replay_per_s=10.0)
    plant.connect()
    assert plant.box.due_in(plant.clock.now) == math.inf
    plant.lose()
    for _ in range(5):
        plant.put()
    plant.connect()
    plant.deliver()
    assert 0 < plant.box.due_in(plant.clock.now) <= 0.1


def test_an_event_for_nobody_waits_and_is_tried_again(plant: Plant) -> None:
    plant.connect()
    plant.put()
    assert len(plant.deliver(count=1, reason=NO_SUBSCRIBERS)) == 1
    assert plant.seqs() == []
    assert plant.books.total("messages_dropped") == 0
    plant.pass_time(UNHEARD_RETRY_S + 1)
    assert plant.seqs() == [1]
    plant.books.balance()


def test_an_event_that_is_sent_again_for_nobody_is_in_the_books_once(plant: Plant) -> None:
    """Each further try entered it anew, and two messages were in flight for ever."""
    plant.connect()
    plant.put_many(2, "event_alarm")
    plant.deliver()
    plant.lose()
    plant.connect()
    assert len(plant.deliver(count=1, reason=NO_SUBSCRIBERS)) == 1
    taken = plant.take()
    plant.lose(*([taken] if taken else []))
    plant.connect()
    assert len(plant.deliver(count=1, reason=NO_SUBSCRIBERS)) == 1
    plant.pass_time(UNHEARD_RETRY_S + 1)
    assert plant.seqs() == [1, 2]
    assert set(plant.books.in_flight().values()) == {0}
    plant.lose()
    plant.connect()
    plant.deliver(count=1, reason=NO_SUBSCRIBERS)
    plant.pass_time(700)  # kept for long enough
    plant.pass_time(10)
    assert set(plant.books.in_flight().values()) == {0}
    plant.books.balance()


def test_an_event_for_nobody_is_given_up_as_such_when_it_is_too_old(tmp_path: Path) -> None:
    plant = Plant(tmp_path, alarm_age_s=3600.0)
    plant.connect()
    plant.put()
    plant.deliver(count=1, reason=NO_SUBSCRIBERS)
    plant.pass_time(3601)
    plant.pass_time(10)
    assert plant.books.total("messages_dropped", "event", NO_SUBSCRIBERS) == 1
    assert plant.store.status().losses == 0  # nobody wanted it
    plant.books.balance()


@pytest.mark.parametrize("route", ["event_alarm", "evidence", "explanation"])
def test_what_was_refused_for_a_reason_that_may_pass_waits_and_is_offered_again(
    plant: Plant, route: str
) -> None:
    plant.connect()
    plant.put(route)
    for _ in range(2):
        refused = plant.take()
        assert refused is not None
        plant.box.settle(refused, refused.messages[0], "quota_exceeded")
        assert plant.take() is None
        plant.pass_time(UNHEARD_RETRY_S - 1)
        assert plant.take() is None
        plant.pass_time(1)
    taken = plant.take()
    assert taken is not None
    plant.box.settle(taken, taken.messages[0], None)
    plant.pass_time(UNHEARD_RETRY_S + 1)
    assert plant.take() is None
    assert plant.books.total("messages_dropped") == 0
    assert plant.books.total("messages_delivered", taken.family) == 1
    plant.books.balance()


def test_what_is_refused_for_good_goes(plant: Plant) -> None:
    plant.connect()
    plant.put()
    plant.deliver(count=1, reason="packet_too_large")
    assert plant.books.total("messages_dropped", "event", "packet_too_large") == 1
    plant.books.balance()


def test_explanations_go_first_then_evidence_and_alarms_last(tmp_path: Path) -> None:
    plant = Plant(tmp_path, limit_bytes=8 * 1024 * 1024)
    incompressible = 1500
    plant.put_many(300, "explanation", size=incompressible)
    plant.put_many(300, "evidence", size=20_000)
    dropped = plant.books.total("messages_dropped", "evidence", "spool_full")
    assert 0 < dropped < 300  # its own quota, a half
    assert plant.books.total("messages_dropped", "explanation") == 0
    plant.put_many(4000, "event_alarm", size=10)
    assert plant.books.total("messages_dropped", "event") == 0
    used, _ = plant.store.database.size_bytes()
    assert used <= 8 * 1024 * 1024
    plant.books.balance()


def test_alarms_beyond_the_cap_push_out_everything_else_first_and_are_a_loud_loss(
    tmp_path: Path,
) -> None:
    plant = Plant(tmp_path, limit_bytes=8 * 1024 * 1024)
    plant.put_many(20, "explanation", "evidence", size=50_000)
    message = Message("B/event_alarm", "event_alarm", bytes(60_000), "application/x-raw")
    for _ in range(200):
        plant.box.put(Entry((message,), plant.clock.now), plant.clock.now)
    assert plant.books.total("messages_dropped", "explanation", "spool_full") == 20
    assert plant.books.total("messages_dropped", "evidence", "spool_full") == 20
    lost = plant.books.total("messages_dropped", "event", "spool_full")
    assert 0 < lost < 200
    assert plant.store.status().losses > 0
    assert "alarm" in plant.store.status().loss
    plant.books.balance()


def test_a_disk_that_fills_up_stops_explanations_and_evidence_before_alarms(
    tmp_path: Path,
) -> None:
    plant = Plant(tmp_path)
    plant.store.spool.capacity._free_bytes = lambda _folder: (
        50 * 1024 * 1024
    )  # below the reserve of 128
    plant.store.spool.capacity.look_at_disk()
    plant.put_many(30, "explanation", "evidence", "event_alarm", size=20_000)
    assert plant.books.total("messages_dropped", "event") == 0
    assert plant.books.total("messages_dropped", "evidence", "spool_full") >= 25
    plant.books.balance()


def test_ages_do_not_follow_a_wall_clock_that_steps(plant: Plant) -> None:
    plant.put()
    plant.utc_ms += 10 * 365 * 86_400_000
    plant.pass_time(10)
    plant.restart()
    plant.pass_time(10)
    plant.connect()
    assert plant.seqs() == [1]


def test_after_a_reboot_the_age_is_that_of_a_synchronised_wall_clock(tmp_path: Path) -> None:
    plant = Plant(tmp_path, alarm_age_s=3600.0)
    plant.put()
    plant.utc_ms += 3_700_000
    plant.reboot()
    plant.pass_time(10)
    assert plant.books.total("messages_dropped", "event", "expired") == 1
    plant.books.balance()


@pytest.mark.parametrize("days", [-30, 3650])
def test_events_of_a_clock_that_was_wrong_wait_as_long_as_those_of_this_start(
    tmp_path: Path, days: int
) -> None:
    """They went all at once when the clock was set right."""
    plant = Plant(tmp_path)
    plant.synchronised = False
    plant.utc_ms = UTC_MS + days * DAY_MS
    plant.put_many(9, "event_alarm")
    plant.utc_ms, plant.synchronised = UTC_MS, True
    plant.reboot()
    plant.pass_time(plant.settings.alarm_age_s - 10)
    assert plant.books.total("messages_dropped") == 0
    plant.connect()
    assert plant.seqs() == list(range(1, 10))
    plant.books.balance()


@pytest.mark.parametrize("days", [-3650, 3650])
def test_a_start_with_a_wrong_clock_gives_up_no_event_that_was_stamped_right(
    tmp_path: Path, days: int
) -> None:
    plant = Plant(tmp_path)
    plant.put_many(9, "event_alarm")
    plant.utc_ms, plant.synchronised = UTC_MS + days * DAY_MS, False
    plant.reboot()
    plant.pass_time(60)
    plant.reboot()  # and so does the next one
    plant.pass_time(60)
    plant.utc_ms, plant.synchronised = UTC_MS + DAY_MS, True
    plant.pass_time(60)
    assert plant.books.total("messages_dropped") == 0
    plant.connect()
    assert plant.seqs() == list(range(1, 10))


def test_an_event_that_was_stamped_right_has_its_true_age_once_the_time_server_is_found(
    tmp_path: Path,
) -> None:
    plant = Plant(tmp_path)
    plant.put()
    plant.utc_ms, plant.synchronised = UTC_MS - 3650 * DAY_MS, False
    plant.reboot()
    plant.pass_time(60)
    plant.utc_ms, plant.synchronised = UTC_MS + 6 * DAY_MS, True
    plant.pass_time(10)
    age_s = plant.books.gauges[("spool_oldest_seconds", "event")]
    assert age_s == pytest.approx(6 * 86_400, abs=60)
    plant.put()
    plant.pass_time(86_400 + 60)
    assert plant.books.total("messages_dropped", "event", "expired") == 1
    plant.connect()
    assert plant.seqs() == [2]


def test_without_a_disk_what_waits_is_lost_at_the_end_and_counted() -> None:
    plant = Plant(None)
    plant.put()
    plant.box.close("shutdown")
    assert plant.books.total("messages_dropped", "event", "shutdown") == 1
    plant.put()
    assert plant.books.total("messages_dropped", "event", "shutdown") == 2
    plant.books.balance()


def test_a_disk_that_fails_in_the_middle_costs_no_message(plant: Plant) -> None:
    plant.connect()
    plant.put()
    pages = plant.store.database.rows("PRAGMA page_count")[0][0]
    plant.store.database.rows(f"PRAGMA max_page_count = {pages}")
    for _ in range(500):
        plant.put("explanation", size=100)
        plant.put()
    assert plant.store.status().degraded
    told = [event["seq"] for event in plant.deliver()]
    assert sorted(told) == list(range(1, 1002))
    plant.put()
    plant.pass_time(60)  # the way back to the disk
    assert not plant.store.status().degraded
    plant.restart()
    plant.connect()
    assert plant.seq in plant.seqs()


def test_the_age_of_what_waits_is_measured_against_its_limit(plant: Plant) -> None:
    plant.put()
    plant.pass_time(100)
    gauges = plant.books.gauges
    assert gauges[("spool_oldest_seconds", "event")] == pytest.approx(100)
    assert gauges[("spool_age_limit_seconds", "event")] == 604_800
    assert 0 < gauges[("storage_bytes",)] < gauges[("storage_limit_bytes",)]


def test_waiting_says_what_a_stop_should_still_send(plant: Plant) -> None:
    plant.put()
    assert plant.box.waiting() == 0  # it is safe where it is
    plant.connect()
    plant.put()
    assert plant.box.waiting() == 1
    plant.box.discard("shutdown")
    assert plant.box.waiting() == 0
    assert plant.take() is None


def test_a_refusal_of_a_durable_family_is_in_its_books(plant: Plant) -> None:
    plant.box.refuse(TopicFamily.EVIDENCE, "oversized")
    plant.box.refuse(TopicFamily.CAM, "oversized")
    assert plant.books.total("messages_dropped", "evidence", "oversized") == 1
    assert plant.books.total("messages_dropped", "cam", "oversized") == 1
    plant.books.balance()


def test_an_alarm_and_its_event_go_before_the_answers_to_a_flood_of_commands() -> None:
    plant = Plant(None)
    plant.connect()
    for i in range(50):
        result = Message(f"B/answer/{i}", "cmd_result", b"{}")
        plant.box.put(Entry((result,), plant.clock.now), plant.clock.now)
    plant.put("event_alarm")
    state = Message("B/alarm/a", "alarm", b"{}")
    plant.box.put(Entry((state,), plant.clock.now), plant.clock.now)
    taken = [plant.take() for _ in range(3)]
    assert [entry.messages[0].route for entry in taken if entry] == [
        "event_alarm",
        "alarm",
        "cmd_result",
    ]
