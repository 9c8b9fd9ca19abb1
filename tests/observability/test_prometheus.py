"""The catalogue on a registry: what is exported, what is refused; nothing ends the loop."""

from __future__ import annotations

import math
import subprocess

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agent.observability.exposition import expose
from agent.observability.prometheus import VALUES_MAX_DEFAULT, PrometheusTelemetry
from agent.telemetry import CATALOGUE, Telemetry
from tests.observability.support import FakeClock, touch_everything
from tests.support import require_tool

OPENMETRICS = "application/openmetrics-text"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def telemetry(registry: CollectorRegistry, clock: FakeClock) -> PrometheusTelemetry:
    return PrometheusTelemetry(registry, clock)


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"pitwatch_{name}", labels)


def test_every_metric_of_the_catalogue_is_exported_once_touched(
    telemetry: PrometheusTelemetry, registry: CollectorRegistry
) -> None:
    touch_everything(telemetry)
    exported = {family.name for family in registry.collect() if family.samples}
    assert exported >= {f"pitwatch_{metric.name}" for metric in CATALOGUE}
    assert telemetry.total("telemetry_errors") == 1  # the one that touch_everything counts


def test_it_is_a_telemetry(telemetry: PrometheusTelemetry) -> None:
    accepted: Telemetry = telemetry
    accepted.count("fruit", camera="cam1")
    assert telemetry.total("fruit", camera="cam1") == 1


@pytest.mark.needs_prometheus
def test_promtool_finds_nothing_to_say_about_a_full_exposition(
    telemetry: PrometheusTelemetry, registry: CollectorRegistry
) -> None:
    require_tool("promtool")
    touch_everything(telemetry)
    text, _ = expose(registry)
    answer = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=30
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, b"", b"")


def test_a_latency_carries_the_frame_id_as_its_exemplar(
    telemetry: PrometheusTelemetry, registry: CollectorRegistry
) -> None:
    telemetry.observe("capture_to_mask_seconds", 0.03, exemplar="cam1-7f-000042", camera="cam1")
    text, content_type = expose(registry, f"{OPENMETRICS};version=1.0.0")
    assert content_type.startswith(OPENMETRICS)
    exemplars = [
        s.exemplar.labels
        for family in text_string_to_metric_families(text.decode())
        for s in family.samples
        if s.exemplar
    ]
    assert exemplars == [{"frame_id": "cam1-7f-000042"}]


def test_an_exemplar_that_is_too_long_is_left_out_and_the_value_kept(
    telemetry: PrometheusTelemetry, registry: CollectorRegistry
) -> None:
    telemetry.observe("capture_to_mask_seconds", 0.03, exemplar="x" * 500, camera="cam1")
    assert sample(registry, "capture_to_mask_seconds_count", camera="cam1") == 1
    assert b"xxxx" not in expose(registry, OPENMETRICS)[0]


def test_the_plain_format_is_the_answer_to_everyone_else(
    telemetry: PrometheusTelemetry, registry: CollectorRegistry
) -> None:
    telemetry.count("fruit", camera="cam1")
    text, content_type = expose(registry, "text/html\r\nX: y")
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b'pitwatch_fruit_total{camera="cam1"} 1.0' in text
    assert b"_created" not in text


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: t.count("no_such_metric"),
        lambda t: t.count("fruit"),
        lambda t: t.count("fruit", camera="cam1", reason="x"),
        lambda t: t.count("fruit", -1, camera="cam1"),
        lambda t: t.count("fruit", math.nan, camera="cam1"),
        lambda t: t.count("fruit", camera=["cam1"]),
        lambda t: t.count("fruit", "many", camera="cam1"),
        lambda t: t.gauge("fruit", 1, camera="cam1"),
        lambda t: t.gauge("margin", None, camera="cam1", **{"class": "suture"}),
        lambda t: t.gauge("margin", math.nan, camera="cam1"),
        lambda t: t.gauge("loop_age_seconds", 1, loop="live"),
        lambda t: t.observe("segmentation_seconds", math.inf),
        lambda t: t.observe("segmentation_seconds", 0.1, camera="cam1"),
    ],
)
def test_a_wrong_call_raises_when_strict_and_is_counted_and_logged_once_when_not(
    wrong: object,
    telemetry: PrometheusTelemetry,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert callable(wrong)
    with pytest.raises((KeyError, ValueError, TypeError)):
        wrong(PrometheusTelemetry(CollectorRegistry(), clock, strict=True))
    wrong(telemetry)
    wrong(telemetry)
    assert telemetry.breakdown("telemetry_errors", ("reason",)) == {
        "wrong_call": 2.0,
        "cardinality": 0.0,
    }
    assert [r.message for r in caplog.records] == ["telemetry_refused"]
    assert telemetry.total("fruit") == 0


def test_a_gauge_that_is_not_known_is_withdrawn_until_it_is(
    telemetry: PrometheusTelemetry, registry: CollectorRegistry
) -> None:
    labels = {"camera": "cam1", "class": "suture"}
    telemetry.gauge("margin", math.nan, **labels)
    telemetry.gauge("margin", 2.5, **labels)
    telemetry.gauge("margin", math.nan, **labels)
    assert sample(registry, "margin", **labels) is None
    telemetry.gauge("margin", 3.5, **labels)
    assert sample(registry, "margin", **labels) == 3.5


def test_label_values_beyond_the_limit_are_counted_under_other(
    telemetry: PrometheusTelemetry, registry: CollectorRegistry
) -> None:
    for number in range(10_000):
        telemetry.count("worker_restarts", reason=f"reason {number}")
    kept = telemetry.breakdown("worker_restarts", ("reason",))
    assert len(kept) == VALUES_MAX_DEFAULT + 1
    assert kept["other"] == 10_000 - VALUES_MAX_DEFAULT
    assert telemetry.total("telemetry_errors", reason="cardinality") == kept["other"]


@pytest.mark.parametrize("odd", ["a\nb", "x" * 200, "\x00"])
def test_an_odd_label_value_is_counted_under_other(
    odd: str, telemetry: PrometheusTelemetry
) -> None:
    telemetry.count("worker_restarts", reason=odd)
    assert telemetry.breakdown("worker_restarts", ("reason",)) == {"other": 1.0}


def test_the_age_of_a_loop_grows_while_the_loop_does_not_move(
    telemetry: PrometheusTelemetry, registry: CollectorRegistry, clock: FakeClock
) -> None:
    telemetry.beat("live")
    clock.now += 7.0
    telemetry.beat("desk")
    assert sample(registry, "loop_age_seconds", loop="live") == 7.0
    assert telemetry.loops.ages_s() == {"desk": 0.0, "live": 7.0}


def test_a_gauge_that_was_renamed_has_its_old_name_too(
    telemetry: PrometheusTelemetry, registry: CollectorRegistry
) -> None:
    of = {"camera": "cam1", "class": "suture", "place": "input"}
    telemetry.gauge("context_reliance_ratio", 0.3, **of)
    for name in ("context_reliance_ratio", "context_reliance"):
        assert sample(registry, name, **of) == 0.3
    telemetry.gauge("context_reliance_ratio", math.nan, **of)
    for name in ("context_reliance_ratio", "context_reliance"):
        assert sample(registry, name, **of) is None


def test_cameras_start_at_zero_when_primed(
    telemetry: PrometheusTelemetry, registry: CollectorRegistry
) -> None:
    telemetry.prime(["cam1"])
    assert sample(registry, "fruit_total", camera="cam1") == 0
    assert sample(registry, "capture_to_mask_seconds_count", camera="cam1") == 0


def test_the_process_reports_its_memory(
    telemetry: PrometheusTelemetry, registry: CollectorRegistry
) -> None:
    own = sample(registry, "process_memory_bytes", process="agent")
    assert own is not None
    assert own > 10e6
    assert registry.get_sample_value("process_resident_memory_bytes") == pytest.approx(own, rel=0.2)


def test_the_books_can_be_read_back_by_label(telemetry: PrometheusTelemetry) -> None:
    telemetry.count("frames_dropped", 2, camera="cam1", stage="capture", reason="expired")
    telemetry.count("frames_dropped", 1, camera="cam1", stage="capture", reason="overrun")
    telemetry.count("frames_dropped", 5, camera="cam2", stage="capture", reason="expired")
    assert telemetry.total("frames_dropped", camera="cam1") == 3
    assert telemetry.breakdown("frames_dropped", ("stage", "reason"), camera="cam1") == {
        "capture/expired": 2.0,
        "capture/overrun": 1.0,
    }


def test_quantiles_and_rates_of_the_last_minute_can_be_read_back(
    telemetry: PrometheusTelemetry, clock: FakeClock
) -> None:
    assert math.isnan(telemetry.quantiles("capture_to_mask_seconds", camera="cam1").p50_s)
    assert math.isnan(telemetry.per_second("fruit", camera="cam1"))
    for _ in range(40):
        clock.now += 0.25
        telemetry.count("fruit", camera="cam1")
        telemetry.observe("capture_to_mask_seconds", 0.02, camera="cam1")
    assert telemetry.quantiles("capture_to_mask_seconds", camera="cam1").count == 40
    assert telemetry.per_second("fruit", camera="cam1") == pytest.approx(4.0, rel=0.15)
