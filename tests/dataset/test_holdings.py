"""Quotas in bytes, age and share: who goes for a newcomer."""

from __future__ import annotations

import random
from pathlib import Path

from agent.dataset.holdings import Held, Holdings, Quotas
from agent.dataset.record import Reason

SHARES = {Reason.NO_READ: 0.25, Reason.IMPLAUSIBLE: 0.25, Reason.RANDOM: 0.5}


def held(at: int, reason: Reason, size: int = 10) -> Held:
    return Held(at, Path(f"{reason}-{at}"), size, reason)


def filled(*reasons: Reason, limit: int = 100) -> Holdings:
    found = Holdings(Quotas(limit, 1e9, SHARES))
    for at, reason in enumerate(reasons):
        found.add(held(at, reason))
    return found


def test_nothing_goes_while_there_is_room() -> None:
    assert filled(Reason.NO_READ).make_room(90, Reason.RANDOM) == []


def test_the_oldest_goes_of_the_reason_that_holds_most_for_its_share() -> None:
    holdings = filled(*[Reason.RANDOM] * 4, *[Reason.NO_READ] * 5, Reason.IMPLAUSIBLE)
    gone = holdings.make_room(10, Reason.RANDOM)
    assert gone == [held(4, Reason.NO_READ)]
    assert holdings.size_bytes == 90


def test_a_reason_within_its_share_loses_nothing_to_another() -> None:
    holdings = filled(Reason.IMPLAUSIBLE, Reason.NO_READ, *[Reason.RANDOM] * 8)
    for at in range(100, 400):
        for one in holdings.make_room(10, Reason.RANDOM) or []:
            assert one.reason is Reason.RANDOM
        holdings.add(held(at, Reason.RANDOM))
    assert holdings.counts()[Reason.IMPLAUSIBLE] == holdings.counts()[Reason.NO_READ] == 1


def test_a_reason_without_a_share_takes_only_what_nobody_wants() -> None:
    holdings = filled(Reason.SURE, *[Reason.RANDOM] * 9)
    assert holdings.make_room(10, Reason.RANDOM) == [held(0, Reason.SURE)]
    assert holdings.make_room(20, Reason.SURE) is None
    assert holdings.size_bytes == 90


def test_a_record_above_the_cap_is_refused_and_nothing_goes_for_it() -> None:
    holdings = filled(Reason.RANDOM, Reason.RANDOM)
    assert holdings.make_room(101, Reason.RANDOM) is None
    assert holdings.size_bytes == 20
    assert holdings.counts()[Reason.RANDOM] == 2


def test_a_record_is_booked_under_the_rarest_of_its_reasons() -> None:
    holdings = filled(Reason.NO_READ, Reason.NO_READ, Reason.IMPLAUSIBLE)
    assert holdings.booked_under((Reason.NO_READ, Reason.IMPLAUSIBLE)) is Reason.IMPLAUSIBLE
    assert holdings.booked_under((Reason.NO_READ, Reason.SURE)) is Reason.NO_READ


def test_what_is_too_old_goes_whatever_it_was_kept_for() -> None:
    holdings = Holdings(Quotas(1000, 60.0, SHARES))
    for at, reason in ((0, Reason.RANDOM), (50_000, Reason.NO_READ), (90_000, Reason.RANDOM)):
        holdings.add(held(at, reason))
    assert holdings.too_old(60_000) == []
    assert sorted(one.captured_utc_ms for one in holdings.too_old(140_000)) == [0, 50_000]
    assert holdings.oldest_utc_ms() == 90_000
    assert holdings.size_bytes == 10


def test_a_cap_that_is_lowered_takes_the_fullest_first() -> None:
    holdings = filled(*[Reason.RANDOM] * 6, Reason.NO_READ)
    holdings.quotas = Quotas(30, 1e9, SHARES)
    assert all(one.reason is Reason.RANDOM for one in holdings.over())
    assert holdings.size_bytes == 30
    assert holdings.counts()[Reason.NO_READ] == 1


def test_the_quota_is_kept_through_many_records() -> None:
    rng = random.Random(1)
    quotas = Quotas(3_000_000, 6_000.0, dict.fromkeys(Reason, 1 / 7))
    holdings = Holdings(quotas)
    weights = [1, 200, 3, 10, 5, 50, 400]
    rare: list[int] = []
    for at_s in range(8_000):
        now_ms = 1000 * at_s
        assert all(now_ms - one.captured_utc_ms > 6_000_000 for one in holdings.too_old(now_ms))
        reasons = tuple(set(rng.choices(tuple(Reason), weights, k=rng.choice((1, 1, 2)))))
        reason = holdings.booked_under(reasons)
        size = rng.randrange(2_000, 20_000)
        gone = holdings.make_room(size, reason)
        assert gone is not None
        holdings.add(Held(now_ms, Path(str(at_s)), size, reason))
        if reason is Reason.NO_READ:
            rare.append(now_ms)
        assert holdings.size_bytes <= quotas.limit_bytes
    still = [at for at in rare if at >= 1000 * 7_999 - 6_000_000]
    assert holdings.counts()[Reason.NO_READ] >= min(len(still), 20)
    assert holdings.counts()[Reason.SURE] > 0
