"""Which trigger belongs to which picture, with a machine and a network that do what they can."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capture.pairing.clock import MachineClock
from agent.capture.pairing.history import Word
from agent.capture.pairing.triggers import KEPT, SILENT, PairingSettings, TriggerPairing
from agent.records import IdReason, MachineInfo, MachineState, Origin
from tests.capture.pairing.plant import PERIOD_S, Plant, play


def prompt(rng: Random) -> float:
    return rng.uniform(0.001, 0.01)


def any_delay(rng: Random) -> float:
    """Mostly prompt; now and then periods late, so that messages overtake each other."""
    return prompt(rng) if rng.random() < 0.7 else rng.uniform(0, 3 * PERIOD_S)


class Delay:
    """Evenly between nothing and so many periods."""

    def __init__(self, periods: float) -> None:
        self._s = periods * PERIOD_S

    def __call__(self, rng: Random) -> float:
        return rng.uniform(0.0, self._s)


# --- never a wrong id that is called certain ------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("stamped", [True, False], ids=["stamps", "no_stamps"])
@pytest.mark.parametrize("delay", [any_delay, Delay(1.2), Delay(3.0)])
def test_ten_thousand_triggers_with_delays_losses_and_doubles_name_no_wrong_fruit(
    stamped: bool, delay: Callable[[Random], float]
) -> None:
    plant = Plant(delay, 10_000, stamped, lost=0.03, doubled=0.05, unseen=0.01)
    outcome = play(plant)
    assert outcome.wrong == []
    assert outcome.used_twice == []
    assert outcome.reasons["missing"] > 100
    assert outcome.counts["doubled"] > (100 if stamped else 10)
    assert outcome.counts["late"] + outcome.counts["surplus"] > 100
    if stamped and delay is any_delay:
        assert outcome.right > 0.7, "stamps tell late messages from lost ones"


@pytest.mark.long
@pytest.mark.parametrize("stamped", [True, False], ids=["stamps", "no_stamps"])
@pytest.mark.parametrize(("period_s", "triggers"), [(PERIOD_S, 10_000), (0.06, 3000), (0.86, 3000)])
def test_with_jitter_under_half_a_period_and_nothing_lost_nearly_all_are_certain(
    stamped: bool, period_s: float, triggers: int
) -> None:
    delay = Delay(0.48 * period_s / PERIOD_S)
    times = {"shutter_s": 0.05 * period_s, "transfer_s": 0.1 * period_s}
    outcome = play(Plant(delay, triggers, stamped, period_s=period_s, **times))
    assert outcome.wrong == []
    assert outcome.right >= (0.99 if triggers == 10_000 else 0.985)  # the start costs 40
    assert max(waited for *_, waited in outcome.readings) < period_s / 2


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.booleans(),
    st.floats(0.05, 2.5),
    st.floats(0, 0.2),
    st.floats(0, 0.2),
    st.floats(0, 0.1),
    st.floats(0.1, 1.5),
)
def test_no_delay_loss_or_double_makes_a_wrong_id_certain_or_gives_one_twice(
    seed: int,
    stamped: bool,
    periods: float,
    lost: float,
    doubled: float,
    unseen: float,
    period_s: float,
) -> None:
    """Without stamps, delays either stay within half a period or keep changing by more."""
    if not stamped and 0.45 < periods < 0.8:
        periods = 0.45
    delay = Delay(periods * period_s / PERIOD_S)
    outcome = play(Plant(delay, 300, stamped, lost, doubled, unseen, period_s=period_s, seed=seed))
    assert outcome.wrong == []
    assert outcome.used_twice == []


@pytest.mark.parametrize("periods", [1.5, 3.0])
def test_no_start_takes_a_slow_message_for_the_fastest(periods: float) -> None:
    """Hundreds of starts on a network that is hardly ever fast."""
    for seed in range(120):
        outcome = play(Plant(Delay(periods), 60, lost=0.03, doubled=0.03, seed=seed))
        assert outcome.wrong == [], seed


# --- the agent is stopped -------------------------------------------------------------------------

STOPS = tuple((20.0 + 15 * i, 21.6 + 15 * i) for i in range(20))


def test_a_stopped_agent_pairs_by_the_stamps_what_came_in_a_burst() -> None:
    outcome = play(Plant(prompt, 1500, stops=STOPS))
    assert outcome.wrong == []
    assert outcome.right > 0.99


def test_without_stamps_a_burst_makes_no_id_certain() -> None:
    outcome = play(Plant(prompt, 1500, stamped=False, stops=STOPS))
    assert outcome.wrong == []
    assert outcome.reasons["missing"] >= 6 * len(STOPS), "fruit of the stop have no id"
    assert outcome.right > 0.4, "and certainty comes back after each"


# --- the machine's clock steps --------------------------------------------------------------------


@pytest.mark.parametrize(
    "step_s", [-3600, -1.5, -0.5, -0.3, -PERIOD_S, -0.15, -0.05, 0.05, 0.15, PERIOD_S, 0.5, 3600]
)
def test_a_clock_that_steps_makes_no_wrong_id_certain(step_s: float) -> None:
    def clock(now: float) -> float:
        return step_s * (now // 40 % 2)

    outcome = play(Plant(prompt, 1200, lost=0.03, clock=clock))
    assert outcome.wrong == []
    steps = 1200 * PERIOD_S // 40
    if abs(step_s) >= 0.15:
        assert outcome.counts["clock_step"] >= steps / 2
    assert outcome.right > 0.75


def test_a_clock_that_drifts_is_followed() -> None:
    outcome = play(Plant(prompt, 3000, clock=lambda now: 2e-4 * now))
    assert outcome.wrong == []
    assert outcome.right > 0.99


def test_single_stamps_that_are_a_second_off_cost_little_more_than_themselves() -> None:
    outcome = play(Plant(prompt, 3000, lost=0.01, glitches=0.02))
    assert outcome.wrong == []
    assert outcome.right > 0.9


def test_stamps_that_are_no_milliseconds_are_never_trusted() -> None:
    outcome = play(Plant(prompt, 500, clock=lambda now: -0.999 * now))
    assert outcome.reasons["none"] == 0
    assert outcome.wrong == []


# --- single messages ------------------------------------------------------------------------------


class Line:
    """A lane whose machine has stamped promptly for a while; the next picture is at ``now``."""

    def __init__(
        self, settings: PairingSettings | None = None, stamped: bool = True, warm: int = 40
    ) -> None:
        self.clock, self.counts, self.stamped = MachineClock(), list[str](), stamped
        self.pairing = TriggerPairing(
            settings or PairingSettings(period_s=0.2), self.clock, self.counts.append
        )
        self.now, self.seq = 100.0, 0
        for _ in range(warm):
            self.say(f"a{self.seq}")
            self.picture()
            assert self.pairing.decide(self.seq, self.now) is not None
            self.now += 0.2

    def say(self, name: str, *, at: float | None = None, origin: Origin = Origin.MACHINE) -> None:
        """A message that arrives now, stamped ``at`` or now."""
        stamp_ms = round(1000 * (self.now if at is None else at)) if self.stamped else 0
        generation = self.clock.generation
        if stamp_ms and origin is Origin.MACHINE:
            generation = self.clock.heard(self.now, stamp_ms)
        info = MachineInfo(
            MachineState.RUNNING,
            name,
            machine_timestamp_ms=stamp_ms,
            arrived_mono=self.now,
            origin=origin,
        )
        self.pairing.trigger(Word(info, generation))

    def picture(self) -> None:
        self.seq += 1
        self.pairing.picture(self.seq, self.now, self.now)

    def decide(self, after_s: float = 0.0) -> tuple[str | None, IdReason] | None:
        self.now += after_s
        verdict = self.pairing.decide(self.seq, self.now)
        if verdict is None:
            return None
        return verdict.info.fruit_id if verdict.info else None, verdict.reason


@pytest.fixture(params=[True, False], ids=["stamps", "no_stamps"])
def line(request: pytest.FixtureRequest) -> Line:
    return Line(stamped=request.param)


def test_a_trigger_before_its_picture_names_it(line: Line) -> None:
    line.now -= 0.01
    line.say("b")
    line.now += 0.02
    line.picture()
    assert line.decide() == ("b", IdReason.NONE)


def test_a_picture_waits_for_a_trigger_that_is_late_and_no_longer(line: Line) -> None:
    line.picture()
    assert line.decide() is None
    assert line.decide(0.01) is None
    line.say("b", at=line.now - 0.01)
    assert line.decide() == ("b", IdReason.NONE)
    line.now += 0.19
    line.picture()
    assert line.decide(0.099) is None
    assert line.decide(0.002) == (None, IdReason.MISSING)


def test_a_trigger_that_comes_after_the_answer_names_no_other_fruit(line: Line) -> None:
    line.picture()
    assert line.decide(0.101) == (None, IdReason.MISSING)
    line.say("b", at=line.now - 0.101)
    assert line.counts == (["late"] if line.stamped else [])
    line.now += 0.099
    line.picture()
    line.say("c")
    name, reason = line.decide() or (None, IdReason.NONE)
    if line.stamped:
        assert (name, reason) == ("c", IdReason.NONE)
    else:
        assert reason is not IdReason.NONE


def test_without_a_stamp_nothing_is_certain_after_a_loss_until_it_is_proven() -> None:
    line = Line(stamped=False)
    line.picture()
    assert line.decide(0.101) == (None, IdReason.MISSING)
    line.now += 0.099
    reasons = []
    for _ in range(40):
        line.say(f"c{line.seq}")
        line.picture()
        name, reason = line.decide() or (None, IdReason.NONE)
        assert name == f"c{line.seq - 1}"
        reasons.append(reason)
        line.now += 0.2
    assert reasons == [IdReason.UNPROVEN] * 8 + [IdReason.NONE] * 32


def test_a_doubled_trigger_is_used_once(line: Line) -> None:
    first = line.now
    line.say("b")
    line.picture()
    assert line.decide() == ("b", IdReason.NONE)
    line.now += 0.2
    line.say("c")
    line.picture()
    line.say("b", at=first)
    assert line.decide() == ("c", IdReason.NONE)
    assert line.counts == ["doubled"]
    line.now += 0.2
    line.say("b", at=first)
    line.picture()
    assert line.decide(0.101) == (None, IdReason.MISSING)


def test_the_last_id_said_again_with_another_lot_is_no_new_fruit(line: Line) -> None:
    line.say("b")
    line.picture()
    assert line.decide() == ("b", IdReason.NONE)
    line.now += 0.2
    line.say("b")
    line.picture()
    assert line.decide(0.101) == (None, IdReason.MISSING)
    assert line.counts == []


@pytest.mark.parametrize("origin", [Origin.STORED, Origin.OPERATOR])
def test_what_a_broker_kept_or_an_operator_changed_names_no_fresh_picture(
    line: Line, origin: Origin
) -> None:
    line.say("b", origin=origin)
    line.picture()
    assert line.decide(0.101) == (None, IdReason.MISSING)


def test_a_stored_id_alone_says_that_the_machine_names_fruit() -> None:
    pairing = TriggerPairing(PairingSettings(), MachineClock(), lambda _reason: None)
    pairing.picture(1, 10.0, 10.0)
    silent = pairing.decide(1, 10.0)
    info = MachineInfo(fruit_id="old", arrived_mono=10.1, origin=Origin.STORED)
    pairing.trigger(Word(info, 0))
    pairing.picture(2, 10.2, 10.2)
    named = pairing.decide(2, 10.8)
    assert silent is not None
    assert (silent.info, silent.reason) == (None, IdReason.NONE)
    assert named is not None
    assert (named.info, named.reason) == (None, IdReason.MISSING)


def test_two_triggers_for_one_picture_are_ambiguous(line: Line) -> None:
    line.say("b")
    line.say("c", at=line.now + 0.001)
    line.picture()
    name, reason = line.decide() or (None, IdReason.NONE)
    assert name in ("b", "c")
    assert reason is IdReason.AMBIGUOUS


def test_triggers_out_of_order_find_their_pictures_by_their_stamps() -> None:
    line = Line()
    start, first = line.now, line.seq + 1
    line.now += 0.45  # the agent was held up
    for i in range(3):
        line.pairing.picture(first + i, start + 0.2 * i, line.now)
    for i in (2, 0, 1):
        line.say(f"b{i}", at=start + 0.2 * i)
    for i in range(3):
        line.seq = first + i
        assert line.decide() == (f"b{i}", IdReason.NONE)


def test_a_counter_that_wraps_names_new_fruit_where_it_is_stamped(line: Line) -> None:
    line.now += 60
    line.say("a0")
    line.picture()
    expected = IdReason.NONE if line.stamped else IdReason.AMBIGUOUS
    assert line.decide() == ("a0", expected)


def test_a_picture_that_never_came_shifts_no_id() -> None:
    line = Line()
    line.say("lost")
    line.now += 0.2
    line.say("b")
    line.picture()
    assert line.decide() == ("b", IdReason.NONE)
    assert line.counts == ["no_picture"]


def test_a_machine_that_falls_silent_is_waited_for_no_more(line: Line) -> None:
    waits = []
    for _ in range(SILENT + 2):
        line.picture()
        waits.append(line.decide() is None)
        assert line.decide(0.101) == (None, IdReason.MISSING)
        line.now += 0.099
    assert waits == [True] * SILENT + [False] * 2


def test_a_flood_of_triggers_stays_bounded_and_is_counted(line: Line) -> None:
    for i in range(4 * KEPT):
        line.now += 0.0002
        line.say(f"flood{i}")
    assert len(line.pairing._open) <= KEPT
    assert line.counts.count("overflow") + len(line.pairing._open) + line.counts.count(
        "surplus"
    ) >= 4 * KEPT - line.counts.count("no_picture")
    line.picture()
    name, reason = line.decide() or (None, IdReason.NONE)
    assert reason is not IdReason.NONE, name


@pytest.mark.parametrize(("delay_s", "fruit_later"), [(-0.4, 2), (0.0, 0), (0.05, 0)])
def test_a_delay_that_is_declared_is_taken_off(
    line: Line, delay_s: float, fruit_later: int
) -> None:
    """-0.4: the PLC names a fruit two periods before the camera sees it."""
    line = Line(PairingSettings(delay_s=delay_s, period_s=0.2), line.stamped, warm=0)
    names = []
    for i in range(80):
        line.picture()
        line.now += max(0.0, delay_s)
        line.say(f"b{i}")
        names.append(line.decide() or line.decide(0.101 - max(0.0, delay_s)))
        line.now = 100.0 + 0.2 * (i + 1)
    assert names[-20:] == [(f"b{i - fruit_later}", IdReason.NONE) for i in range(60, 80)]


def test_two_pictures_of_one_trigger_do_not_both_get_it(line: Line) -> None:
    line.say("b")
    line.picture()
    assert line.decide() == ("b", IdReason.NONE)
    line.now += 0.03
    line.picture()
    assert line.decide(0.15) == (None, IdReason.MISSING)
