"""What waits for the broker, and the books."""

from __future__ import annotations

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.publishing.outbox.memory import EVENT_BYTES_MAX, MemoryOutbox
from agent.publishing.outbox.outbox import LIVE_RANK, REFUSED_RETRY_S
from agent.publishing.wire.messages import Entry, Message
from agent.records import TopicFamily
from tests.publishing.examples import Books


def message(route: str, topic: str = "", payload: bytes = b"{}") -> Message:
    return Message(topic or f"B/{route}", route, payload)


def entry(route: str, topic: str = "", payload: bytes = b"{}", now: float = 0.0) -> Entry:
    return Entry((message(route, topic, payload),), now)


def cam(payload: bytes = b"{}") -> Entry:
    return Entry((message("cam_image", "B/i", b"jpeg"), message("cam_meta", "B/m", payload)), 0.0)


def outbox(cap: int = 100) -> tuple[MemoryOutbox, Books]:
    books = Books()
    return MemoryOutbox(cap, books), books


def payloads(box: MemoryOutbox, now: float = 0.0) -> list[bytes]:
    return [taken.messages[-1].payload for taken in iter(lambda: box.take(now), None)]


def test_of_a_state_only_the_newest_waits() -> None:
    box, books = outbox()
    for i in range(5):
        box.put(entry("metric", payload=b"%d" % i), 0.0)
    assert payloads(box) == [b"4"]
    assert books.total("messages_dropped", "metric", "superseded") == 4


def test_events_wait_in_order_up_to_the_cap_and_the_oldest_goes() -> None:
    box, books = outbox(cap=3)
    for i in range(5):
        box.put(entry("explanation", payload=b"%d" % i), 0.0)
    assert payloads(box) == [b"2", b"3", b"4"]
    assert books.total("messages_dropped", "explanation", "queue_full") == 2
    books.balance()


def test_the_waiting_pictures_of_events_are_bounded_in_bytes() -> None:
    box, books = outbox(cap=1000)
    for i in range(10):
        box.put(entry("evidence", f"B/{i}", bytes(EVENT_BYTES_MAX // 4)), 0.0)
    assert box.waiting() == 4
    assert books.total("messages_dropped", "evidence", "queue_full") == 6


def test_one_family_that_overflows_costs_no_other_its_place() -> None:
    box, books = outbox(cap=2)
    box.put(entry("event_alarm"), 0.0)
    for _ in range(10):
        box.put(entry("explanation"), 0.0)
    assert books.total("messages_dropped", "event") == 0
    assert box.waiting() == 3


def test_an_event_that_nobody_would_be_given_any_more_is_dropped_as_expired() -> None:
    box, books = outbox()
    box.put(entry("fruit", payload=b"old", now=0.0), 0.0)
    box.put(entry("fruit", payload=b"new", now=5.0), 5.0)
    assert payloads(box, now=12.0) == [b"new"]
    assert books.total("messages_dropped", "fruit", "expired") == 1


def test_status_and_alarms_go_before_pictures() -> None:
    box, _ = outbox()
    for waiting in (cam(), entry("metric"), entry("event_alarm"), entry("alarm"), entry("status")):
        box.put(waiting, 0.0)
    order = [taken.route.pattern for taken in iter(lambda: box.take(0.0), None)]
    assert order[:3] == ["status", "event/alarm", "alarm/{alarm_id}"]
    assert order[-1] == "cam/{camera}/{class}/meta"


def test_a_snapshot_sends_every_state_again_and_no_event() -> None:
    box, books = outbox()
    for first in (entry("status"), entry("alarm"), cam(), entry("explanation")):
        box.put(first, 0.0)
    for taken in list(iter(lambda: box.take(0.0), None)):
        for part in taken.messages:
            box.settle(taken, part, None, 0.0)
    box.snapshot(1.0)
    again = [taken.family for taken in iter(lambda: box.take(1.0), None)]
    assert again == [TopicFamily.STATUS, TopicFamily.ALARM, TopicFamily.CAM]
    assert books.total("messages_enqueued", "cam") == 4
    books.balance()


def test_a_state_that_has_expired_is_not_sent_again() -> None:
    box, _ = outbox()
    box.put(entry("metric", now=0.0), 0.0)
    taken = box.take(0.0)
    assert taken is not None
    box.settle(taken, taken.messages[0], None, 0.0)
    box.snapshot(301.0)
    assert box.take(301.0) is None


def test_the_latency_of_a_delivered_state_is_not_observed_again_with_the_snapshot() -> None:
    box, _ = outbox()
    alarm = Entry((Message("B/alarm/x", "alarm", b"{}", captured_mono=5.0),), 0.0)
    box.put(alarm, 0.0)
    taken = box.take(0.0)
    assert taken is alarm
    box.snapshot(0.0)
    undelivered = box.take(0.0)
    assert undelivered is not None
    assert undelivered.messages[0].captured_mono == 5.0
    box.settle(undelivered, undelivered.messages[0], None, 0.0)
    box.snapshot(0.0)
    again = box.take(0.0)
    assert again is not None
    assert again.messages[0].captured_mono == 0.0


def test_events_that_a_lost_connection_left_unanswered_go_out_again_in_order() -> None:
    box, books = outbox()
    for i in range(4):
        box.put(entry("event_alarm", payload=b"%d" % i), 0.0)
    taken = [box.take(0.0) for _ in range(3)]
    box.lost([(one, one.messages) for one in taken if one is not None])
    assert payloads(box) == [b"0", b"1", b"2", b"3"]
    assert books.total("messages_dropped") == 0


def test_states_that_a_lost_connection_left_unanswered_are_counted_and_come_with_the_snapshot() -> (
    None
):
    box, books = outbox()
    box.put(cam(), 0.0)
    taken = box.take(0.0)
    assert taken is not None
    box.settle(taken, taken.messages[0], None, 0.0)
    box.lost([(taken, taken.messages[1:])])
    books.balance()
    assert books.total("messages_dropped", "cam", "connection_lost") == 1
    box.snapshot(0.0)
    assert len(payloads(box)) == 1


def test_states_beyond_the_cap_push_out_the_oldest_of_the_least_important() -> None:
    box, books = outbox(cap=3)
    box.put(entry("status"), 0.0)
    for i in range(4):
        box.put(entry("metric", f"B/{i}", b"%d" % i), 0.0)
    assert payloads(box) == [b"{}", b"2", b"3"]
    assert books.total("messages_dropped", "metric", "state_full") == 2
    books.balance()


def test_closing_drops_and_counts_everything_that_waits() -> None:
    box, books = outbox()
    for one in (cam(), entry("fruit"), entry("status")):
        box.put(one, 0.0)
    box.close("shutdown")
    assert books.total("messages_dropped") == 4
    assert books.total("messages_dropped", "cam", "shutdown") == 2
    books.balance()


ROUTES = st.sampled_from(["status", "metric", "alarm", "fruit", "explanation", "event_alarm"])


def refuse_all(box: MemoryOutbox, reason: str, now: float) -> list[Entry]:
    taken = list(iter(lambda: box.take(now), None))
    for one in taken:
        for part in one.messages:
            box.settle(one, part, reason, now)
    return taken


def test_a_state_that_was_refused_is_offered_again_after_a_while_for_as_long_as_it_is() -> None:
    box, books = outbox()
    box.put(entry("alarm", "B/alarm/a"), 0.0)
    box.put(cam(), 0.0)
    for now in (0.0, REFUSED_RETRY_S, 2 * REFUSED_RETRY_S):
        box.tick(now)
        assert len(refuse_all(box, "quota_exceeded", now)) == 2
        box.tick(now + REFUSED_RETRY_S - 1.0)
        assert box.take(now + REFUSED_RETRY_S - 1.0) is None
    box.tick(3 * REFUSED_RETRY_S)
    for one in iter(lambda: box.take(3 * REFUSED_RETRY_S), None):
        for part in one.messages:
            box.settle(one, part, None, 3 * REFUSED_RETRY_S)
    box.tick(1000.0)
    assert box.take(1000.0) is None, "what was taken at last is not offered again"
    assert books.total("messages_dropped", "alarm", "quota_exceeded") == 3
    assert books.total("messages_delivered", "alarm") == 1
    assert books.total("messages_delivered", "cam") == 2
    books.balance()


def test_a_refused_state_is_offered_as_it_is_by_then() -> None:
    box, _ = outbox()
    box.put(entry("alarm", payload=b"old"), 0.0)
    refuse_all(box, "not_authorized", 0.0)
    box.put(entry("alarm", payload=b"new"), 5.0)
    assert payloads(box, 5.0) == [b"new"], "a change does not wait for the next offer"
    box.tick(100.0)
    assert box.take(100.0) is None


def test_what_has_expired_or_never_can_be_taken_is_not_offered_again() -> None:
    box, books = outbox()
    box.put(cam(), 0.0)
    refuse_all(box, "packet_too_large", 0.0)
    box.put(entry("metric"), 0.0)
    refuse_all(box, "not_authorized", 299.0)
    box.tick(400.0)
    assert box.take(400.0) is None
    books.balance()


def test_an_answer_that_was_refused_is_offered_again_and_a_fruit_is_too_old_by_then() -> None:
    box, books = outbox()
    box.put(entry("cmd_result", payload=b"answer"), 0.0)
    box.put(entry("fruit", payload=b"fruit"), 0.0)
    refuse_all(box, "not_authorized", 0.0)
    box.tick(REFUSED_RETRY_S)
    assert payloads(box, REFUSED_RETRY_S) == [b"answer"]
    books.balance()


def test_nothing_is_offered_again_after_the_end() -> None:
    box, books = outbox()
    box.put(entry("alarm"), 0.0)
    refuse_all(box, "not_authorized", 0.0)
    box.close("shutdown")
    box.tick(100.0)
    assert box.take(100.0) is None
    books.balance()


def test_fruit_and_what_is_new_of_alarms_go_before_the_snapshot() -> None:
    box, books = outbox()
    for name in ("a", "b"):
        box.put(entry("alarm", f"B/alarm/{name}", b"before " + name.encode()), 0.0)
    box.put(entry("metric", payload=b"metric"), 0.0)
    box.put(entry("status", payload=b"status"), 1.0)
    box.snapshot(1.0)
    box.put(entry("fruit", payload=b"fruit"), 1.0)
    box.put(entry("alarm", "B/alarm/b", b"now b"), 1.0)
    live = [one.messages[0].payload for one in iter(lambda: box.take(1.0, LIVE_RANK), None)]
    assert live == [b"status", b"now b", b"fruit"]
    assert payloads(box, 1.0) == [b"before a", b"metric"]
    books.balance()


def test_a_broker_that_retains_nothing_is_told_status_and_alarms_again_and_no_pictures() -> None:
    box, books = outbox()
    for one in (entry("status"), entry("alarm"), entry("metric"), cam()):
        box.put(one, 0.0)
        taken = box.take(0.0)
        assert taken is not None
        for part in taken.messages:
            box.settle(taken, part, None, 0.0)
    box.repeat(60.0)
    assert [one.family for one in iter(lambda: box.take(60.0), None)] == [
        TopicFamily.STATUS,
        TopicFamily.ALARM,
    ]
    books.balance()


class OutboxMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order: the books balance and the caps hold."""

    def __init__(self) -> None:
        super().__init__()
        self.box, self.books = outbox(cap=4)
        self.now = 0.0
        self.taken: list[tuple[Entry, list[Message]]] = []

    @rule(route=ROUTES, name=st.integers(0, 6))
    def put(self, route: str, name: int) -> None:
        self.box.put(entry(route, f"B/{route}/{name}", now=self.now), self.now)

    @rule()
    def put_cam(self) -> None:
        self.box.put(cam(), self.now)

    @rule()
    def take(self) -> None:
        taken = self.box.take(self.now)
        if taken is not None:
            self.taken.append((taken, list(taken.messages)))

    @rule(reason=st.sampled_from([None, "not_authorized"]), index=st.integers(0, 9))
    def settle(self, reason: str | None, index: int) -> None:
        if self.taken:
            taken, left = self.taken[index % len(self.taken)]
            self.box.settle(taken, left.pop(0), reason, self.now)
            if not left:
                self.taken.remove((taken, left))

    @rule()
    def lose(self) -> None:
        self.box.lost([(taken, tuple(left)) for taken, left in self.taken])
        self.taken.clear()

    @rule()
    def connect(self) -> None:
        self.box.snapshot(self.now)

    @rule(family=st.sampled_from(list(TopicFamily)))
    def refuse(self, family: TopicFamily) -> None:
        self.box.refuse(family, "oversized")

    @rule(seconds=st.sampled_from([1.0, 20.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.box.tick(self.now)

    @rule()
    def repeat(self) -> None:
        self.box.repeat(self.now)

    @invariant()
    def balanced(self) -> None:
        self.books.balance()
        handed = sum(len(left) for _, left in self.taken)
        in_flight = self.books.in_flight().values()
        assert sum(in_flight) >= handed >= 0
        assert all(count >= 0 for count in in_flight)

    def teardown(self) -> None:
        self.lose()
        self.box.close("shutdown")
        self.balanced()
        assert all(count == 0 for count in self.books.in_flight().values())


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = hypothesis_settings(max_examples=60, deadline=None)


def test_who_waits_for_a_state_is_told_when_the_broker_has_taken_the_whole_of_it() -> None:
    told: list[str] = []
    box = MemoryOutbox(10, Books())
    first = Message("B/cam/a/suture/image", "cam_image", b"x", "image/png")
    last = Message("B/cam/a/suture/meta", "cam_meta", b"{}")
    old = Entry((first, last), 0.0, delivered=lambda: told.append("old"))
    box.put(old, 0.0)
    assert box.take(0.0) is old
    box.put(Entry((first, last), 1.0, delivered=lambda: told.append("new")), 1.0)
    for message in (first, last):
        box.settle(old, message, None, 1.0)  # a newer one has taken its place
    new = box.take(1.0)
    assert new is not None
    box.settle(new, first, None, 1.0)
    assert told == []
    box.settle(new, last, None, 1.0)
    assert told == ["new"]
