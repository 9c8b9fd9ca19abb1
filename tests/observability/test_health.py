"""Alive and ready, and the reasons when not."""

from __future__ import annotations

from agent.observability.health import Verdict, livez, readyz
from agent.records import CameraState


def test_alive_while_every_loop_moves_within_the_limit() -> None:
    assert livez({"live": 0.1, "desk": 5.0}, limit_s=5.0) == Verdict()


def test_one_stalled_loop_ends_life_and_is_named_with_its_age() -> None:
    verdict = livez({"live": 0.1, "desk": 5.01, "explain": 60.0}, limit_s=5.0)
    assert not verdict.ok
    assert verdict.reasons == (
        "loop desk has not moved for 5.0 s (limit 5 s)",
        "loop explain has not moved for 60.0 s (limit 5 s)",
    )


def test_an_agent_without_a_loop_is_not_alive() -> None:
    assert livez({}, limit_s=5.0).reasons == ("no loop has started",)


def test_ready_with_one_live_source_among_lost_ones() -> None:
    assert readyz({"cam1": CameraState.LIVE, "cam2": CameraState.BACKOFF}).ok


def test_an_agent_without_a_source_is_not_ready() -> None:
    verdict = readyz({})
    assert not verdict.ok
    assert verdict.reasons == ("no source is live: none is configured",)


def test_the_states_of_sources_that_are_not_live_are_named() -> None:
    verdict = readyz({"b": CameraState.FROZEN, "a": CameraState.BACKOFF})
    assert verdict.reasons == ("no source is live: a backoff, b frozen",)
