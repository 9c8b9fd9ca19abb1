"""Writes the three dashboards: ``python deploy/grafana/make.py``. A test keeps the files current.

One line per panel here is easier to keep true than thousands of lines of JSON: every panel gets its
unit, title and description, every query the same labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
OWN = 'job=~"$job", instance=~"$instance"'
CAM = OWN + ', camera=~"$camera"'
ALARM = OWN + ', camera=~"$camera|agent", alarm=~"$alarm"'
RATE = "[$__rate_interval]"
WIDTH, HEIGHT = 24, 8
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """``queries`` are (expression, legend); ``width`` is in 24ths of the page. A legend begins with
    the instance: machines are never mixed."""

    title: str
    description: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: str = "timeseries"
    width: int = 8
    height: int = HEIGHT
    most: float | None = None  # end of the axis
    red_from: float | None = None
    green_from: float | None = None  # below it is red
    active: str | None = None  # colour of 1 in a state timeline; 0 is left empty
    each_agent: bool = False  # repeated for each agent: its kind cannot tell them apart
    own: bool = True  # of an agent; the others are of other exporters


def by_agent(labels: str) -> str:
    """What series are told apart by: always the agent, and ``labels``."""
    return ", ".join(dict.fromkeys(["job", "instance", *filter(None, labels.split(", "))]))


def rate(metric: str, by: str, labels: str = CAM) -> str:
    return f"sum by ({by_agent(by)}) (rate({metric}{{{labels}}}{RATE}))"


def hourly(metric: str, by: str, labels: str = CAM) -> str:
    return f"sum by ({by_agent(by)}) (increase({metric}{{{labels}}}[1h]))"


def or_zero(expression: str, zero: str, on: str) -> str:
    """A reason that never occurred has no series: say 0 instead of nothing, where ``zero`` shows
    that the agent would have counted it. For counters alone: a gauge without a series is not known.
    """
    return f"{expression} or on ({on}) 0 * {zero}"


def quantiles(metric: str, by: str = "", labels: str = CAM) -> tuple[tuple[str, str], ...]:
    group = by_agent(f"{by}, le" if by else "le")
    legend = (
        f"{{{{{{{{instance}}}}}}}} p{{}} {{{{{{{{{by}}}}}}}}}" if by else "{{{{instance}}}} p{}"
    )
    return tuple(
        (
            f"histogram_quantile({q}, sum by ({group}) (rate({metric}_bucket{{{labels}}}{RATE})))",
            legend.format(round(100 * q)),
        )
        for q in (0.5, 0.95, 0.99)
    )


def since_start(metric: str, labels: str) -> tuple[tuple[str, str], ...]:
    """Of events too rare for a rate."""
    return tuple(
        (
            f"histogram_quantile({q}, sum by ({by_agent('le')}) ({metric}_bucket{{{labels}}}))",
            f"{{{{instance}}}} p{round(100 * q)} since start",
        )
        for q in (0.5, 0.95, 0.99)
    )


FRUIT = rate("pitwatch_fruit_total", "job, instance, camera")
CAPTURED = rate("pitwatch_frames_captured_total", "job, instance, camera")
SELECTED = rate("pitwatch_jobs_selected_total", "job, instance, camera")
ENQUEUED = rate("pitwatch_messages_enqueued_total", "job, instance", OWN)
NO_READ = rate("pitwatch_fruit_no_read_total", "job, instance, camera")
ALL_FRUIT = f"sum by (job, instance) (rate(pitwatch_fruit_total{{{CAM}}}{RATE}))"


def limit(name: str) -> tuple[str, str]:
    unit = "seconds" if name.endswith("_s") else "ratio"
    query = f'pitwatch_alarm_limit_{unit}{{{OWN}, limit="{name}"}}'
    return (f"max by (job, instance) ({query})", "{{instance}} limit")


def compared(alarm: str, unit: str = "ratio") -> tuple[str, str]:
    """What an alarm compares with its limit, over its own window."""
    labels = f'{CAM}, alarm="{alarm}"'
    return (
        f"pitwatch_alarm_value_{unit}{{{labels}}}",
        "{{instance}} {{camera}} as the alarm sees it",
    )


def sensitivity(region: str, place: str) -> tuple[str, str]:
    labels = f'{CAM}, region="{region}", place="{place}"'
    return (f"pitwatch_sensitivity_ratio{{{labels}}}", "{{camera}} {{class}}")


LINE = (
    Panel("Fruit a minute", "Fruit that passed, read or not, over all cameras shown.", "none",
          ((f"60 * {ALL_FRUIT}", ""),), "stat", 6, 4),
    Panel("Not read", "Share of the fruit that got no angle, over the window of the alarm; nothing "
          "until the alarm can judge it. Colour as of the limit that is configured by default.",
          "percentunit", ((f'pitwatch_alarm_value_ratio{{{CAM}, alarm="no_read_rate"}}', "{{camera}}"),),
          "stat", 6, 4, red_from=0.2),
    Panel("Active alarms", "Conditions that are true now, shelved and suppressed ones too.", "none",
          ((f"sum by (job, instance) (pitwatch_alarm_active{{{ALARM}}})", ""),), "stat", 6, 4,
          red_from=1),
    Panel("Cameras live", "Lanes whose camera delivers.", "none",
          ((f'sum by (job, instance) (pitwatch_camera_state{{{CAM}, state="live"}})', ""),), "stat",
          6, 4, green_from=1),
    Panel("Fruit rate", "Fruit a minute by lane: a lane that falls behind has empty cups or a "
          "camera that misses triggers.", "none", ((f"60 * {FRUIT}", "{{camera}}"),), width=12),
    Panel("Not read, by reason", "Fruit a minute without an angle. No suture or ambiguous: look at "
          "the fruit; low confidence: at the model; image quality: at lamp and lens; implausible: "
          "what lies under the camera is not the fruit that the model was made for.", "none",
          (("60 * (" + or_zero(rate("pitwatch_fruit_no_read_total", "job, instance, camera, reason"),
                               FRUIT, "job, instance, camera") + ")", "{{camera}} {{reason}}"),),
          width=12),
    Panel("Suture angle", "Distribution of the angles to the cutting line. On a machine that does "
          "not orient its fruit all are as likely; a peak says that something does.", "degree",
          ((f"sum by (job, instance, le) (increase(pitwatch_suture_angle_degrees_bucket{{{CAM}}}"
            f"{RATE}))", "{{le}}"),), "heatmap", 12, each_agent=True),
    Panel("Margins", "How far the network is from another answer, by class, newest fruit.", "none",
          ((f"pitwatch_margin{{{CAM}}}", "{{camera}} {{class}}"),), width=6),
    Panel("Confidence", "Probability that the angle is right to 5 degrees, 0 without an angle; how "
          "like the fruit that the model was made for the picture is. Newest fruit.", "percentunit",
          ((f"pitwatch_reading_confidence_ratio{{{CAM}}}", "{{camera}}"),
           (f"pitwatch_reading_plausibility_ratio{{{CAM}}}", "{{camera}} plausibility")),
          width=6, most=1),
    Panel("Alarms", "Each alarm while its condition is true.", "none",
          ((f"max by (job, instance, alarm, camera) (pitwatch_alarm_active{{{ALARM}}})",
            "{{alarm}} {{camera}}"),), "state-timeline", 12, 10, active="red"),
    Panel("Camera states", "The state that each camera is in.", "none",
          ((f"max by (job, instance, camera, state) (pitwatch_camera_state{{{CAM}}})", "{{camera}} {{state}}"),),
          "state-timeline", 12, 10, active="blue"),
    Panel("Empty cups", "Cups a minute without a fruit.", "none",
          ((f"60 * {rate('pitwatch_cups_empty_total', 'camera')}", "{{camera}}"),)),
    Panel("Alarm records", "Raised, cleared, acknowledged ... in the last hour.", "none",
          ((hourly("pitwatch_alarm_transitions_total", "alarm, camera, transition", ALARM),
            "{{alarm}} {{camera}} {{transition}}"),)),
    Panel("Machine's word", "Reports of the machine's state a minute, by transport and outcome.",
          "none", (("60 * (" + or_zero(rate("pitwatch_machine_messages_total",
                                            "job, instance, transport, outcome", OWN),
                                       ENQUEUED, "job, instance") + ")",
                    "{{transport}} {{outcome}}"),)),
    Panel("Fruit ids", "Fruit a minute of a machine that names them; none: the id is certain, any "
          "other word says why it is not.", "none",
          (("60 * (" + or_zero(rate("pitwatch_fruit_ids_total", "job, instance, camera, reason"),
                               FRUIT, "job, instance, camera") + ")", "{{camera}} {{reason}}"),)),
    Panel("Machine words for no picture", "Fruit ids a minute that named no picture, by reason.",
          "none",
          (("60 * (" + or_zero(rate("pitwatch_machine_words_unused_total",
                                    "job, instance, camera, reason"),
                               FRUIT, "job, instance, camera") + ")", "{{camera}} {{reason}}"),)),
)  # fmt: skip

MODEL = (
    Panel("Looks at the class", "How much the answer changes when the class itself is hidden in the "
          "picture. Below the limit the model does not look at the suture.", "percentunit",
          (sensitivity("foreground", "input"), compared("foreground_insensitive"),
           limit("foreground_sensitivity")), most=1),
    Panel("Looks at the background", "How much it changes when as much background is hidden.",
          "percentunit", (sensitivity("background", "input"),), most=1),
    Panel("Reliance on the background", "Share of the background in both. Above the limit an alarm "
          "is raised.", "percentunit",
          ((f'pitwatch_context_reliance_ratio{{{CAM}, place="input"}}', "{{camera}} {{class}}"),
           compared("background_reliance"), limit("background_reliance")), most=1),
    Panel("At the layer: class", "As above, hidden in the activation maps. Skip connections bypass "
          "it: for the trend, not for the limit.", "percentunit",
          (sensitivity("foreground", "layer"),), most=1),
    Panel("At the layer: background", "As above, of the background.", "percentunit",
          (sensitivity("background", "layer"),), most=1),
    Panel("Relevance mass", "Where the heat map of the suture has its weight: suture, stem, "
          "elsewhere.", "percentunit",
          ((f'pitwatch_signal{{{CAM}, signal=~"mass_.+"}}', "{{camera}} {{signal}}"),), most=1),
    Panel("Drift signals", "Shares and likenesses of the newest explanation that the drift alarms "
          "watch. What is undefined has no line.", "none",
          ((f'pitwatch_signal{{{CAM}, signal=~"all_ones_share|agreement|profile_.+"}}',
            "{{camera}} {{signal}}"),)),
    Panel("Drift charts", "Each control chart as a share of its limit: at 1 its alarm is due. Empty "
          "where nothing is charted, which is so without a commissioning reference.", "percentunit",
          (("max by (job, instance, camera, signal, side, chart) "
            f"(pitwatch_chart_value{{{CAM}}} / pitwatch_chart_limit{{{CAM}}})",
            "{{camera}} {{signal}} {{side}} {{chart}}"),), width=16),
    Panel("Charts held", "1 while nothing is charted: the machine stands, or the reference does not "
          "fit. Empty without a reference.", "none",
          ((f"pitwatch_charts_held{{{CAM}}}", "{{camera}}"),)),
    Panel("Window means", "Means of the signals over their newest windows, which the charts judge. "
          "Empty without a reference.", "none",
          ((f"pitwatch_signal_mean{{{CAM}}}", "{{camera}} {{signal}}"),)),
    Panel("Score and total effect", "The score that is explained, and the sum of the effects of all "
          "channels, in logits.", "none",
          ((f'pitwatch_signal{{{CAM}, signal=~"score|total_effect"}}', "{{camera}} {{signal}}"),)),
    Panel("Age of the newest explanation", "Beyond the limit the alarm agent_no_data is due.", "s",
          ((f"time() - pitwatch_last_explanation_timestamp_seconds{{{CAM}}}", "{{camera}}"),
           limit("no_explanation_s"))),
    Panel("Explanations by class", "Frames a minute that were chosen, by why.", "none",
          ((f"60 * {rate('pitwatch_jobs_selected_total', 'camera, class')}",
            "{{camera}} {{class}}"),)),
    Panel("Explanations by rung", "Explanations a minute by quality: exact, or what was left out for "
          "want of time.", "none",
          ((f"60 * {rate('pitwatch_jobs_completed_total', 'camera, rung')}",
            "{{camera}} {{rung}}"),)),
    Panel("Jobs lost", "Jobs a minute that gave no explanation, by reason.", "none",
          (("60 * (" + or_zero(rate("pitwatch_jobs_dropped_total",
                                    "job, instance, camera, stage, reason"),
                               SELECTED, "job, instance, camera") + ")",
            "{{camera}} {{stage}} {{reason}}"),)),
    Panel("Frames let go", "Frames a minute that sampling did not choose, by reason.", "none",
          ((f"60 * {rate('pitwatch_candidates_skipped_total', 'camera, reason')}",
            "{{camera}} {{reason}}"),)),
    Panel("Compute time by method", "p50, p95, p99 of the compute time of one explanation.", "s",
          quantiles("pitwatch_ablation_seconds", "method", OWN), width=16),
)  # fmt: skip


def stage(
    title: str,
    description: str,
    metric: str,
    by: str = "",
    labels: str = CAM,
    more: tuple[tuple[str, str], ...] = (),
) -> Panel:
    queries = (*quantiles(metric, by, labels), *more)
    return Panel(title, f"p50, p95 and p99. {description}", "s", queries)


AGENT = (
    Panel("Versions", "What runs where.", "none",
          ((f"max by (job, instance, version, model, config_hash) (pitwatch_info{{{OWN}}})",
            "{{instance}} {{version}} {{model}} {{config_hash}}"),), "table", 12, 5),
    Panel("Up", "1 while Prometheus can scrape the agent.", "none",
          ((f"min by (job, instance) (up{{{OWN}}})", "{{instance}}"),), "stat", 4, 5, green_from=1),
    Panel("Clock and disk", "1 while the clock is synchronised, and every commit reaches the disk.",
          "none", ((f"pitwatch_clock_synchronised{{{OWN}}}", "clock"),
                   (f"pitwatch_storage_durable{{{OWN}}}", "disk")), "stat", 8, 5, green_from=1),
    stage("Grab to grab", "Time between two grabs.", "pitwatch_capture_interval_seconds", "camera"),
    stage("Waiting", "Time before each stage.", "pitwatch_queue_wait_seconds", "stage", OWN),
    stage("Segmentation", "One batch through the network.", "pitwatch_segmentation_seconds", "", OWN),
    stage("Grab to reading", "What the machine waits for.", "pitwatch_capture_to_mask_seconds",
          "camera", more=(compared("latency_budget", "seconds"), limit("latency_p95_s"))),
    stage("Explanation", "Compute time, all methods.", "pitwatch_ablation_seconds", "", OWN),
    stage("Grab to explanation", "Waiting included.", "pitwatch_explanation_wait_seconds", "camera"),
    stage("Grab to heat map delivered", "Until the broker acknowledged it.",
          "pitwatch_cam_to_puback_seconds", "camera"),
    Panel("Grab to alarm delivered", "p50, p95 and p99 until the broker acknowledged it, since the "
          "agent's start: alarms are rare.", "s",
          since_start("pitwatch_alarm_to_puback_seconds", OWN)),
    Panel("Commit to disk", "p50, p95 and p99 of one transaction with its sync, since the start.",
          "s", since_start("pitwatch_storage_commit_seconds", OWN)),
    Panel("Frame age", "Time since the newest frame of each camera.", "s",
          ((f"time() - pitwatch_last_frame_timestamp_seconds{{{CAM}}}", "{{camera}}"),)),
    Panel("Frame rate", "Frames segmented a second, and what the source reports.", "hertz",
          ((rate("pitwatch_frames_segmented_total", "camera"), "{{camera}} segmented"),
           (f"pitwatch_camera_fps{{{CAM}}}", "{{camera}} reported"))),
    Panel("Frames in flight", "Between grab and mask.", "none",
          ((f"pitwatch_frames_in_flight{{{CAM}}}", "{{camera}}"),)),
    Panel("Frames lost", "Frames a second by stage and reason.", "cps",
          ((or_zero(rate("pitwatch_frames_dropped_total", "job, instance, camera, stage, reason"),
                    CAPTURED, "job, instance, camera"), "{{camera}} {{stage}} {{reason}}"),)),
    Panel("Pictures unreadable or late", "Pictures a second that never became a frame, that came "
          "for a fruit already answered, or whose facts were too long.", "cps",
          ((or_zero(rate("pitwatch_pictures_unreadable_total", "job, instance, camera, reason"),
                    CAPTURED, "job, instance, camera"), "{{camera}} {{reason}}"),
           (rate("pitwatch_pictures_late_total", "camera"), "{{camera}} late"),
           (rate("pitwatch_picture_facts_lost_total", "camera"), "{{camera}} facts lost"))),
    Panel("Camera changes", "Changes of state in the last hour.", "none",
          ((hourly("pitwatch_camera_transitions_total", "camera, state, reason"),
            "{{camera}} {{state}} {{reason}}"),)),
    Panel("Workers", "Ablation workers by state.", "none",
          ((f"sum by (job, instance, state) (pitwatch_workers{{{OWN}}})", "{{state}}"),)),
    Panel("Workers replaced, breaker", "Replacements in the last hour by reason; the breaker is 1 "
          "while explanations are switched off.", "none",
          ((or_zero("sum by (job, instance, reason) "
                    f"(increase(pitwatch_worker_restarts_total{{{OWN}}}[1h]))",
                    f"pitwatch_breaker_open{{{OWN}}}", "job, instance"), "{{reason}}"),
           (f"pitwatch_breaker_open{{{OWN}}}", "breaker open"))),
    Panel("Cluster", "1 while the agent is part of its Ray cluster, and while workers of its own computer "
          "stand in; drivers that ended in the last hour by reason.", "none",
          ((f"pitwatch_cluster_connected{{{OWN}}}", "connected"),
           (f"pitwatch_workers_stand_in{{{OWN}}}", "local workers stand in"),
           (hourly("pitwatch_cluster_driver_restarts_total", "reason", OWN), "driver {{reason}}"))),
    Panel("Jobs in flight", "Explanations under way.", "none",
          ((f"pitwatch_jobs_in_flight{{{CAM}}}", "{{camera}}"),)),
    Panel("Messages waiting", "Messages that the broker has not acknowledged. The limit is of those in "
          "memory: events, evidence and explanations wait on the disk, see Spool.",
          "none", ((f"sum by (job, instance, topic_family) (pitwatch_messages_in_flight{{{OWN}}})",
                    "{{topic_family}}"),
                   (f"pitwatch_messages_limit{{{OWN}}}", "limit"))),
    Panel("Messages", "Delivered a second by topic family.", "cps",
          ((rate("pitwatch_messages_delivered_total", "topic_family", OWN), "{{topic_family}}"),)),
    Panel("Since the last delivery", "Time since the broker was last seen to take a message; the agent "
          "publishes several a second.", "s",
          ((f"time() - max by (job, instance) (pitwatch_last_delivered_timestamp_seconds{{{OWN}}})",
            "{{instance}}"),)),
    Panel("Spool", "Bytes in the database of state, events and evidence, and its cap: at the cap "
          "explanations go first, alarms last.", "bytes",
          ((f"max by (job, instance) (pitwatch_storage_bytes{{{OWN}}})", "{{instance}}"),
           (f"pitwatch_storage_limit_bytes{{{OWN}}}", "limit"))),
    Panel("Spool age", "Age of the oldest message that waits on the disk, and the age at which it is "
          "given up.", "s",
          ((f"max by (job, instance, topic_family) (pitwatch_spool_oldest_seconds{{{OWN}}})", "{{topic_family}}"),
           (f"min by (job, instance, topic_family) (pitwatch_spool_age_limit_seconds{{{OWN}}})",
            "{{topic_family}} limit"))),
    Panel("Waiting for a disk", "Messages in memory alone: after a kill they are gone.", "none",
          ((f"max by (job, instance) (pitwatch_storage_pending{{{OWN}}})", "{{instance}}"),)),
    Panel("Replayed", "Messages a second sent from the disk after an outage.", "cps",
          ((or_zero(rate("pitwatch_messages_replayed_total", "job, instance, topic_family", OWN),
                    ENQUEUED, "job, instance"), "{{topic_family}}"),)),
    Panel("Messages lost", "A second, by topic family and reason.", "cps",
          ((or_zero(rate("pitwatch_messages_dropped_total", "job, instance, topic_family, reason",
                         OWN), ENQUEUED, "job, instance"), "{{topic_family}} {{reason}}"),)),
    Panel("Broker", "1 while a client is connected; connections made and ended in the last hour.",
          "none",
          ((f"min by (job, instance, client) (pitwatch_broker_connected{{{OWN}}})", "{{client}} connected"),
           (hourly("pitwatch_broker_connects_total", "outcome", OWN), "{{outcome}}"),
           (or_zero("sum by (job, instance, reason) "
                    f"(increase(pitwatch_broker_disconnects_total{{{OWN}}}[1h]))",
                    f"pitwatch_broker_connected{{{OWN}}}", "job, instance"), "ended {{reason}}"))),
    Panel("Broker's answers", "A second, by reason.", "cps",
          ((rate("pitwatch_publish_results_total", "topic_family, reason", OWN),
            "{{topic_family}} {{reason}}"),)),
    Panel("Embedded broker replaced", "Processes of the embedded broker in the last hour.", "none",
          ((or_zero("sum by (job, instance, reason) "
                    f"(increase(pitwatch_broker_restarts_total{{{OWN}}}[1h]))",
                    f"pitwatch_broker_connected{{{OWN}}}", "job, instance"), "{{reason}}"),)),
    Panel("HTTP server replaced", "Processes of the HTTP server in the last hour.", "none",
          ((or_zero("sum by (job, instance, reason) "
                    f"(increase(pitwatch_http_restarts_total{{{OWN}}}[1h]))",
                    f"pitwatch_clock_synchronised{{{OWN}}}", "job, instance"), "{{reason}}"),)),
    Panel("Memory", "Resident, by kind of process. Shared pages count in each.", "bytes",
          ((f"sum by (job, instance, process) (pitwatch_process_memory_bytes{{{OWN}}})", "{{process}}"),
           (f"sum by (job, instance, slot) (pitwatch_worker_memory_bytes{{{OWN}}})", "worker {{slot}}"),
           (f"process_virtual_memory_bytes{{{OWN}}}", "agent, virtual"))),
    Panel("CPU of the agent", "Cores that the parent process uses; workers and capture are others.",
          "none", ((f"sum by (job, instance) (rate(process_cpu_seconds_total{{{OWN}}}{RATE}))",
                    "{{instance}}"),)),
    Panel("Files of the agent", "Open, and how many may be.", "none",
          ((f"max by (job, instance) (process_open_fds{{{OWN}}})", "{{instance}} open"),
           (f"min by (job, instance) (process_max_fds{{{OWN}}})", "{{instance}} limit"))),
    Panel("Loops", "Time since each loop of the parent last moved.", "s",
          ((f"max by (job, instance, loop) (pitwatch_loop_age_seconds{{{OWN}}})", "{{loop}}"),)),
    Panel("Log", "Events a minute by level, and repeats not written.", "none",
          ((f"60 * {rate('pitwatch_log_events_total', 'level', OWN)}", "{{level}}"),
           (f"60 * {rate('pitwatch_log_events_suppressed_total', 'instance', OWN)}", "repeats"))),
    Panel("Requests", "HTTP requests a second by route and status.", "reqps",
          ((rate("pitwatch_http_requests_total", "route, status", OWN), "{{route}} {{status}}"),)),
    Panel("Own mistakes", "Wrong calls of telemetry, news lost at the alarm desk and failures of "
          "storage, since the start. All zero is right.", "none",
          ((f"sum by (job, instance, reason) (pitwatch_telemetry_errors_total{{{OWN}}})", "telemetry {{reason}}"),
           (or_zero(f"sum by (job, instance, kind) (pitwatch_news_lost_total{{{OWN}}})",
                    f"pitwatch_info{{{OWN}}}", "job, instance"), "news {{kind}}"),
           (or_zero(f"sum by (job, instance, reason) (pitwatch_storage_losses_total{{{OWN}}})",
                    f"pitwatch_info{{{OWN}}}", "job, instance"), "storage {{reason}}"))),
    Panel("Ray actors", "Of all agents, by state, from the cluster's own metrics; a worker is one.",
          "none", (("sum by (State) (ray_gcs_actors_count)", "{{State}}"),), own=False),
    Panel("GPU use", "Of each GPU, from NVIDIA's DCGM exporter on the same host.", "percent",
          (("DCGM_FI_DEV_GPU_UTIL", "{{Hostname}} {{gpu}}"),), own=False, most=100),
    Panel("GPU memory", "Used, from the DCGM exporter, which reports MiB.", "decmbytes",
          (("DCGM_FI_DEV_FB_USED", "{{Hostname}} {{gpu}}"),), own=False),
    Panel("GPU temperature", "From the DCGM exporter.", "celsius",
          (("DCGM_FI_DEV_GPU_TEMP", "{{Hostname}} {{gpu}}"),), own=False),
)  # fmt: skip

DASHBOARDS = {
    "line": ("Pitwatch: Line", "The fruit and what SCADA is told of them.", LINE),
    "model": ("Pitwatch: Model", "What the model looks at, and how often that is checked.", MODEL),
    "agent": (
        "Pitwatch: Agent",
        "The program itself: stages, losses, workers, wire, memory.",
        AGENT,
    ),
}


def variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name, "label": label, "type": "query", "datasource": DATASOURCE,
        "query": {"query": query, "refId": f"variable-{name}"},
        "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*", "hide": 0,
        "regex": "", "skipUrlSync": False, "options": [],
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }  # fmt: skip


def variables() -> list[Json]:
    source = {
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
        "hide": 0, "refresh": 1, "regex": "", "multi": False, "includeAll": False,
        "skipUrlSync": False, "options": [],
    }  # fmt: skip
    return [
        source,
        variable("job", "Job", "label_values(pitwatch_info, job)"),
        variable("instance", "Instance", 'label_values(pitwatch_info{job=~"$job"}, instance)'),
        variable(
            "camera", "Camera", f"label_values(pitwatch_frames_captured_total{{{OWN}}}, camera)"
        ),
        variable("alarm", "Alarm", f"label_values(pitwatch_alarm_active{{{OWN}}}, alarm)"),
        {
            "name": "scheme",
            "label": "Page by",
            "type": "custom",
            "query": "http,https",
            "multi": False,
            "includeAll": False,
            "hide": 0,
            "skipUrlSync": False,
            "current": {"selected": True, "text": "http", "value": "http"},
            "options": [
                {"selected": name == "http", "text": name, "value": name}
                for name in ("http", "https")
            ],
        },
    ]


PAGE = "${scheme}://${__field.labels.instance}/"
"""The agent serves its page where Prometheus scrapes it."""


def links(panel: Panel) -> list[Json]:
    """From a series to the page of its agent: to its lane, and to its alarms with their pictures."""
    if not panel.own or panel.kind == "heatmap":  # a heat map has no series to click on
        return []
    said = " ".join(query for query, _ in panel.queries)
    found = [("Page of ${__field.labels.instance}", PAGE)]
    if "pitwatch_alarm_" in said:
        found = [("Alarms and their evidence on ${__field.labels.instance}", PAGE + "#alarms")]
    elif "camera=~" in said:
        found = [("${__field.labels.camera} on the page", PAGE + "#${__field.labels.camera}")]
    return [{"title": title, "url": url, "targetBlank": True} for title, url in found]


def annotation(name: str, colour: str, expression: str, title: str, text: str) -> Json:
    return {
        "name": name, "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": colour,
        "expr": expression, "step": "", "titleFormat": title, "textFormat": text,
        "useValueForTime": False,
    }  # fmt: skip


SEEN = f"last_over_time(pitwatch_info{{{OWN}}}[1h] offset 1m)"
ANNOTATIONS = (
    annotation("Alarms", "red", f"pitwatch_alarm_active{{{ALARM}}} == 1", "{{alarm}} {{camera}}",
               "{{instance}}"),
    annotation("Restarts", "orange",
               f"changes(process_start_time_seconds{{{OWN}}}{RATE}) > 0", "Restart", "{{instance}}"),
    annotation("Change of model", "purple",
               f"pitwatch_info{{{OWN}}} unless on (job, instance, model_sha256) {SEEN}"
               f" and on (job, instance) {SEEN}", "Model {{model}}", "{{instance}} {{model_sha256}}"),
    annotation("Change of variety", "blue",
               f"changes(pitwatch_variety_change_timestamp_seconds{{{OWN}}}{RATE}) > 0",
               "Another variety", "{{instance}}"),
)  # fmt: skip


def options(panel: Panel) -> Json:
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {
        "timeseries": {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
        "stat": {"reduceOptions": reduce, "colorMode": "value", "graphMode": "area",
                 "justifyMode": "auto", "orientation": "auto", "textMode": "auto"},
        "state-timeline": {"legend": legend, "showValue": "never", "mergeValues": True,
                           "alignValue": "left", "rowHeight": 0.9, "tooltip": {"mode": "single",
                                                                                "sort": "none"}},
        "heatmap": {"calculate": False, "cellGap": 1, "yAxis": {"unit": panel.unit},
                    "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64,
                              "exponent": 0.5, "fill": "dark-orange"},
                    "legend": {"show": True}, "tooltip": {"mode": "single", "yHistogram": False}},
        "table": {"showHeader": True, "cellHeight": "sm"},
    }[panel.kind]  # fmt: skip


def named(panel: Panel, legend: str) -> str:
    """The legend, with the agent in front."""
    if not panel.own or panel.kind == "heatmap" or legend.startswith("{{instance}}"):
        return legend
    return f"{{{{instance}}}} {legend}".rstrip()


def drawn(panel: Panel, number: int, x: int, y: int) -> Json:
    judged = panel.red_from is not None or panel.green_from is not None
    base = "red" if panel.green_from is not None else "green" if judged else "text"
    steps: list[Json] = [{"color": base, "value": None}]
    if panel.green_from is not None:
        steps.append({"color": "green", "value": panel.green_from})
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    defaults: Json = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
        "links": links(panel),
    }
    if panel.active is not None:
        shown = {"0": ("", "transparent"), "1": ("yes", panel.active)}
        defaults["mappings"] = [
            {
                "type": "value",
                "options": {
                    value: {"text": text, "color": colour, "index": i}
                    for i, (value, (text, colour)) in enumerate(shown.items())
                },
            },
        ]
    if panel.kind == "timeseries":
        defaults["min"] = None if panel.unit == "none" else 0
        defaults["custom"] = {"lineWidth": 2, "fillOpacity": 5, "showPoints": "never"}
    if panel.most is not None:
        defaults["max"] = panel.most
    defaults = {key: value for key, value in defaults.items() if value not in (None, [])}
    repeated = {"repeat": "instance", "repeatDirection": "h", "maxPerRow": 2}
    each = repeated if panel.each_agent else {}
    title = f"{panel.title}, $instance" if panel.each_agent else panel.title
    return {
        "id": number, "type": panel.kind, "title": title, "description": panel.description, **each,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options(panel),
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": DATASOURCE, "expr": expression,
             "legendFormat": named(panel, legend), "editorMode": "code",
             "instant": panel.kind == "table", "range": panel.kind != "table",
             "format": {"heatmap": "heatmap", "table": "table"}.get(panel.kind, "time_series")}
            for i, (expression, legend) in enumerate(panel.queries)
        ],
    }  # fmt: skip


def dashboard(name: str) -> Json:
    """The whole of one dashboard."""
    title, description, panels = DASHBOARDS[name]
    x = y = row = 0
    placed = []
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y, row = 0, y + row, 0
        placed.append(drawn(panel, number, x, y))
        x, row = x + panel.width, max(row, panel.height)
    return {
        "uid": f"pitwatch-{name}", "title": title, "description": description,
        "tags": ["pitwatch"], "schemaVersion": 39, "version": 1, "editable": False,
        "graphTooltip": 1, "refresh": "5s", "time": {"from": "now-30m", "to": "now"},
        "timezone": "", "annotations": {"list": list(ANNOTATIONS)}, "links": [
            {"type": "dashboards", "title": "Pitwatch", "tags": ["pitwatch"], "asDropdown": False,
             "includeVars": True, "keepTime": True, "icon": "", "targetBlank": False,
             "tooltip": "", "url": ""}],
        "templating": {"list": variables()}, "panels": placed,
    }  # fmt: skip


def text(name: str) -> str:
    """As it stands in the file."""
    return json.dumps(dashboard(name), indent=1) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each}.json").write_text(text(each))
