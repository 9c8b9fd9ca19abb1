"""Alive and ready, and the reasons when not."""

from __future__ import annotations

from agent.observability.health import Readiness, Verdict, livez, readyz
from agent.records import CameraState


def test_alive_while_every_loop_moves_within_the_limit() -> None:
    assert livez({"live": 0.1, "desk": 5.0}, limit_s=5.0) == Verdict(ok=True, reasons=())


def test_one_stalled_loop_ends_life_and_is_named_with_its_age() -> None:
    verdict = livez({"live": 0.1, "desk": 5.01, "explain": 60.0}, limit_s=5.0)
    assert not verdict.ok
    assert verdict.reasons == (
        "loop desk has not moved for 5.0 s (limit 5 s)",
        "loop explain has not moved for 60.0 s (limit 5 s)",
    )


def test_an_agent_without_a_loop_is_not_alive() -> None:
    assert livez({}, limit_s=5.0).reasons == ("no loop has started",)


def test_ready_with_a_tested_model_and_one_live_source_among_lost_ones() -> None:
    cameras = {"cam1": CameraState.LIVE, "cam2": CameraState.BACKOFF}
    assert readyz(Readiness(model_loaded=True, model_self_tested=True, cameras=cameras)).ok


def test_every_reason_for_not_being_ready_is_listed() -> None:
    assert readyz(Readiness()).reasons == ("the model is not loaded", "capture has not started")
    failed = Readiness(model_loaded=True, cameras={})
    assert readyz(failed).reasons == (
        "the model has not passed its self-test",
        "no source is live: none is configured",
    )


def test_the_states_of_sources_that_are_not_live_are_named() -> None:
    cameras = {"b": CameraState.FROZEN, "a": CameraState.BACKOFF}
    verdict = readyz(Readiness(model_loaded=True, model_self_tested=True, cameras=cameras))
    assert verdict.reasons == ("no source is live: a backoff, b frozen",)
