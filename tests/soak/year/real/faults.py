"""Every fault that is planted in real processes."""

from __future__ import annotations

import signal

from tests.soak.year.real import acts
from tests.soak.year.real.plant import step_clock
from tests.soak.year.real.planting import Planting, Plantings
from tests.soak.year.told import Beside

BACK = Beside(
    metrics={
        "camera_transitions": "it comes back",
        "frames_dropped": "what its process still held",
        "messages_dropped": "states that newer ones replace",
    },
    log={"camera_state": "each change of it"},
)
BROKER = Beside(
    metrics={
        "broker_connects": "it is tried again",
        "broker_disconnects": "",
        "messages_dropped": "states that newer ones replace, fruit that is too old",
        "messages_replayed": "what may not have come is sent again",
        "publish_results": "",
    },
    log={"broker_lost": "", "broker_connect_failed": "", "publish_refused": ""},
)
WORKER = Beside(
    metrics={"jobs_dropped": "the job that it had", "worker_restarts": ""},
    log={"job_failed": "the job that it had", "worker_ended": ""},
)
DISK = Beside(
    metrics={
        "messages_replayed": "what waited in memory",
        "messages_dropped": "",
        "history_rows": "a minute that no disk took",
        "log_file_lines_lost": "",
    },
    log={
        "storage_degraded": "",
        "storage_recovered": "",
        "history_not_written": "",
        "spool_loss": "",
    },
)
START = Beside(
    metrics={
        **BROKER.metrics,
        **BACK.metrics,
        "worker_restarts": "",
        "http_restarts": "",
    },
    log={**BROKER.log, **BACK.log, "worker_ended": ""},
)
AN_HOUR = "its alarm stands for an hour, so that it is seen; a start ends it"


PLANTINGS: Plantings = {
    "capture-process-killed": Planting(
        begin=acts.child("capture", signal.SIGKILL),
        on="cameras",
        beside=BACK,
        unseen={"frames_dropped": "what its memory still holds is read"},
    ),
    "camera-read-hangs": Planting(
        begin=acts.child("capture", signal.SIGSTOP), on="cameras", lasts_s=8.0, beside=BACK
    ),
    "folder-away": Planting(begin=acts.away, end=acts.here, on="cameras", lasts_s=5.0, beside=BACK,
        unseen={"camera_transitions{state=backoff,reason=open_failed}": "the first of two causes"}),
    "picture-file-damaged": Planting(
        begin=acts.damaged_picture, end=acts.whole_picture, on="cameras", lasts_s=8.0, beside=BACK
    ),
    "picture-file-of-another-size": Planting(
        begin=acts.other_size, end=acts.whole_picture, on="cameras", lasts_s=8.0, beside=BACK
    ),
    "worker-killed": Planting(
        begin=acts.child("worker", signal.SIGKILL), on="workers", beside=WORKER
    ),
    "worker-hangs": Planting(
        begin=acts.child("worker", signal.SIGSTOP), on="workers", lasts_s=5.0, beside=WORKER
    ),
    "broker-killed": Planting(
        begin=acts.kill_broker, end=acts.start_broker, on="broker", lasts_s=5.0, beside=BROKER
    ),
    "broker-frozen": Planting(
        begin=lambda plant: plant.broker.freeze(),
        end=lambda plant: plant.broker.thaw(),
        on="broker",
        lasts_s=8.0,
        beside=BROKER,
    ),
    "page-server-dies": Planting(
        begin=acts.child("http", signal.SIGKILL),
        on="page",
        unseen={
            "http_restarts{reason=silent}": "one of three ways",
            "http_restarts{reason=memory}": "one of three ways",
        },
    ),
    "disk-full": Planting(
        begin=acts.fill, end=acts.empty, on="disk", lasts_s=4.0, beside=DISK, anew=AN_HOUR,
        unseen={"storage_recovered": "told when there is room again"},
    ),
    "disk-hangs": Planting(
        begin=acts.freeze, end=acts.unfreeze, on="disk", lasts_s=6.0, beside=DISK, anew=AN_HOUR,
        unseen={
            "storage_recovered": "told when it answers again",
            "storage_commit_seconds": "told when it answers again",
        },
    ),
    "state-folder-replaced": Planting(
        begin=acts.replace_folder, end=acts.forget_folder, on="disk", beside=DISK, anew=AN_HOUR
    ),
    "log-file-taken-away": Planting(begin=acts.rotate_log),
    "wall-clock-steps": Planting(
        begin=lambda plant: step_clock(plant, 3600), end=lambda plant: step_clock(plant, 0),
        on="clock",
    ),
    "machine-stands": Planting(
        begin=acts.stands, end=acts.runs, on="machine",
        unseen={"charts_held": "no chart is at work without a reference"},
    ),
    "machine-message-invalid": Planting(begin=acts.invalid_words, on="broker"),
    "machine-message-flood": Planting(
        begin=acts.flood_of_words, on="broker",
        unseen={"machine_words_unused": "what is over the rate is not read"},
    ),
    "machine-lane-unknown": Planting(
        begin=lambda plant: plant.machine(state="running", lane="cam7"), on="machine"
    ),
    "command-flood": Planting(begin=acts.flood_of_commands, on="broker"),
    "command-not-allowed": Planting(
        begin=acts.commands_that_may_not_be, on="broker",
        unseen={"page_action": "they come from the broker"},
    ),
    "reload-mistaken": Planting(
        begin=acts.reload(more="nonsense: 1\n"), end=acts.as_before, on="configuration"
    ),
    "reload-twice-at-once": Planting(begin=acts.reload_twice, end=acts.as_before, on="configuration"),
    "reload-needs-a-restart": Planting(
        begin=acts.needs_a_restart, end=acts.as_before, on="configuration"
    ),
    "page-of-another-site": Planting(begin=acts.another_site, on="page"),
    "page-clients-slow": Planting(begin=acts.slow_clients, on="page"),
    "control-socket-away": Planting(
        begin=acts.remove_socket,
        on="control",
        unseen={"control_refused": "it is there again before anybody could be told"},
    ),
    "staged-model-refused": Planting(begin=acts.no_model, on="model"),
    "control-socket-misused": Planting(
        begin=acts.misuse_socket, on="control",
        unseen={
            "control_requests{result=denied}": "of another user alone",
            "control_requests{result=busy}": "of many at once alone",
            "control_requests{result=failed}": "of a defect alone",
            "control_denied": "of another user alone",
        },
    ),
    "agent-killed": Planting(begin=acts.kill_agent, on="agent", beside=START),
    "agent-stopped-by-a-signal": Planting(begin=acts.restart, on="agent", beside=START),
    "agent-stands-still": Planting(
        begin=acts.stop_agent, end=acts.go_on, on="agent", lasts_s=3.0, beside=START, holds_up=True
    ),
    "computer-asleep": Planting(
        begin=acts.stop_agent, end=acts.go_on, on="agent", lasts_s=12.0, beside=START, holds_up=True
    ),
}  # fmt: skip
