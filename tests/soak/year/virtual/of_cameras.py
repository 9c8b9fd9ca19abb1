"""Faults of cameras: what their capture processes say and show, from their messages on."""

from __future__ import annotations

from agent.capture.messages import Failed, Remarked, Unreadable
from agent.capture.states import Cause as Why
from tests.soak.year.told import Beside
from tests.soak.year.virtual.cameras import CameraLife
from tests.soak.year.virtual.plant import Plant
from tests.soak.year.virtual.planting import Act, Planting, Plantings

ALSO = Beside(
    metrics={
        "camera_transitions": "it comes back, and goes again",
        "frames_dropped": "what a session that ended still held",
        "alarm_transitions": "an alarm that comes too often is suppressed for a while",
    },
    log={
        "camera_state": "each change of a camera",
        "camera_differs": "its size may be another one than before",
    },
)
RESTARTED = Beside(
    metrics={
        **ALSO.metrics,
        "broker_connects": "the agent is started anew",
        "broker_disconnects": "it ended",
        "messages_replayed": "what may not have come is sent again",
        "messages_dropped": "what the end left",
    },
    log=ALSO.log,
)
PICTURES = Beside(log={"pictures_unreadable": "in words"})


def _life(**changes: object) -> Act:
    def begin(plant: Plant, camera: str) -> None:
        for name, value in changes.items():
            setattr(plant.cameras.lives[camera], name, value)

    return begin


def well(plant: Plant, camera: str) -> None:
    """The camera is as it should be from now on."""
    plant.cameras.lives[camera] = life = CameraLife()
    for child in plant.cameras._children:
        if child.name == f"capture-{camera}":
            child._life = life


def _lost(**changes: object) -> Planting:
    return Planting(begin=_life(**changes), end=well, beside=ALSO)


def _read(reason: str) -> Planting:
    """The reading process names a reason and ends; the next one cannot open the camera."""
    message = Failed(reason, "planted", permanent=False)
    return _lost(reads=message)


def _open(reason: str = "no such device") -> Planting:
    gone = Failed(reason, "planted", permanent=False)
    return _lost(reads=gone, opens=gone)


def _for_good(plant: Plant, camera: str) -> None:
    failed = Failed("cannot be", "planted", permanent=True)
    _life(reads=failed)(plant, camera)


def _exchanged(plant: Plant, camera: str) -> None:
    """A camera that failed for good is tried again by a reload or a restart."""
    well(plant, camera)
    plant.restart()


def _says(message: Unreadable | Remarked) -> Planting:
    def begin(plant: Plant, camera: str) -> None:
        plant.cameras.lives[camera].says.append(message)

    return Planting(begin=begin, lasts_s=3.0, beside=PICTURES)


def _unreadable(reason: str) -> Planting:
    return _says(Unreadable({reason: 1}, "planted"))


def _remark(kind: str) -> Planting:
    return _says(Remarked({kind: 1}, {kind: "planted"}))


def _size(plant: Plant, camera: str) -> None:
    life = plant.cameras.lives[camera]
    life.size_px += 2  # the next session's
    life.reads = Failed(Why.SIZE_CHANGED, "planted", permanent=False)
    plant.since[camera] = plant.mono()


def _size_again(plant: Plant, camera: str) -> None:
    """Its next session delivers pictures of the new size."""
    if plant.mono() >= plant.since[camera] + 4.0:
        plant.cameras.lives[camera].reads = ""


def _loose_plug(plant: Plant, camera: str) -> None:
    """Away for 3 s of every 20."""
    away = plant.mono() % 20.0 < 3.0
    gone = Failed("connection reset", "planted", permanent=False)
    plant.cameras.lives[camera].reads = gone if away else ""


def _several(plant: Plant, camera: str) -> None:
    _life(reads="hangs")(plant, camera)


def _defect(plant: Plant, camera: str) -> None:
    """The next look at this camera raises."""
    (feed,) = (one for one in plant.stages.capture._feeds if one.camera.name == camera)
    receive = feed._receive

    def fails(now: float) -> object:
        feed._receive = receive
        raise RuntimeError("planted")

    feed._receive = fails


UNSEEN_DEVICE = {"camera_fps": "the same for all pretended cameras"}
PLANTINGS: Plantings = {
    "camera-absent": _open(),
    "camera-read-fails": _read("connection reset"),
    "camera-read-hangs": Planting(begin=_life(reads="hangs"), end=well, beside=ALSO),
    "camera-open-hangs": Planting(
        begin=_life(reads=Failed("x", "planted", permanent=False), opens="hangs"),
        end=well,
        beside=ALSO,
    ),
    "camera-silent": _lost(reads="silent"),
    "camera-never-delivers": Planting(
        begin=lambda plant, camera: _once_more(plant, camera), end=well, beside=ALSO
    ),
    "camera-frozen": Planting(begin=_life(reads="same"), end=well, beside=ALSO, lasts_s=6.0),
    "camera-repeats-through-an-encoder": Planting(
        begin=_life(reads="near"), end=well, beside=ALSO, lasts_s=6.0
    ),
    "camera-stays-frozen": Planting(begin=_life(reads="same"), end=well, beside=ALSO, lasts_s=60.0),
    "capture-process-killed": Planting(
        begin=_life(reads="dies"),
        end=well,
        beside=ALSO,
        lasts_s=2.0,
        unseen={"frames_dropped": "what its memory still holds is whole here, and is read"},
    ),
    "capture-process-crashes": _lost(reads="dies", opens="dies"),
    "capture-supervision-defect": Planting(
        begin=_defect,
        beside=Beside(
            metrics=ALSO.metrics,
            log={"camera_state": "", "capture_supervision_failed": "the defect itself"},
        ),
    ),
    "several-cameras-bad": Planting(begin=_several, end=well, beside=ALSO, lasts_s=20.0),
    "camera-picture-size-changes": Planting(begin=_size, again=_size_again, end=well, beside=ALSO),
    "lanes-cut-for-another-size": _open(Why.SIZE_CHANGED),
    "region-outside-the-picture": Planting(begin=_for_good, end=_exchanged, beside=RESTARTED),
    "camera-of-absurd-size": Planting(begin=_for_good, end=_exchanged, beside=RESTARTED),
    "producer-unusable": Planting(begin=_for_good, end=_exchanged, beside=RESTARTED),
    "device-busy": _open("device busy"),
    "camera-comes-and-goes": Planting(
        begin=_loose_plug,
        again=_loose_plug,
        end=well,
        lasts_s=240.0,
        within_s=600.0,
        back_s=1800.0,
        beside=ALSO,
    ),
    "camera-frozen-falls-silent": Planting(
        begin=_life(reads="same"),
        again=lambda plant, camera: _falls_silent(plant, camera),
        end=well,
        lasts_s=20.0,
        beside=ALSO,
    ),
    "shared-memory-short": Planting(
        begin=_life(reads="dies", spawn_fails=True), end=well, beside=ALSO
    ),
    "stream-server-killed": _open("connection refused"),
    "stream-server-stands": _lost(reads="hangs"),
    "stream-refused": _open("401 Unauthorized"),
    "network-stalls": Planting(
        begin=lambda plant, camera: _stalls(plant, camera),
        again=lambda plant, camera: _hands_out(plant, camera),
        end=well,
        beside=ALSO,
    ),
    "network-too-slow": Planting(
        begin=lambda plant, camera: _once_more(plant, camera, "stale"), end=well, beside=ALSO
    ),
    "machine-camera-unplugged": _read(Why.UNPLUGGED),
    "machine-camera-without-power": _read(Why.NO_ANSWER),
    "machine-camera-restarted": _read(Why.RESTARTED),
    "machine-camera-moved": _read(Why.MOVED),
    "machine-camera-taken": _read(Why.TAKEN),
    "machine-camera-changes-its-format": _read("pixel format"),
    "machine-camera-name-twice": _open("two cameras of that name"),
    "producer-hangs": _lost(reads="hangs"),
    "packet-above-the-mtu": _open("packet size above the MTU"),
    "folder-away": Planting(
        begin=_life(
            reads=Failed("no such folder", "planted", permanent=False),
            opens=Failed("no such folder", "planted", permanent=False),
        ),
        end=well,
        beside=ALSO,
    ),
    "picture-file-damaged": _unreadable("corrupt"),
    "picture-file-of-another-size": _unreadable("picture_size"),
    "picture-above-its-depth": _unreadable("depth"),
    "video-cut": _unreadable("truncated"),
    "stream-packets-lost": _unreadable("corrupt"),
    "stream-picture-damaged": _unreadable("corrupt"),
    "bit-depth-not-declared": _remark("top_bits_unused"),
    "several-pictures-in-a-file": _remark("further_pages"),
    "stream-stamps-no-clock": _remark("stamps_not_believed"),
    "pixels-not-square": _remark("pixels_not_square"),
    "camera-feature-differs": _remark("feature_differs"),
    "camera-clock-set": _remark("camera_clock_stepped"),
    "camera-clock-unknown": _remark("no_camera_clock"),
    "watched-folder-not-writable": _read("read-only"),
    "killed-while-watching": _lost(reads="dies"),
}


def _once_more(plant: Plant, camera: str, then: str = "silent") -> None:
    """Its session ends, and the next one opens and shows nothing."""
    for child in plant.cameras._children:
        if child.name == f"capture-{camera}":
            child._gone = True
    plant.cameras.lives[camera].reads = then


def _falls_silent(plant: Plant, camera: str) -> None:
    frozen = any(
        one.source_name == camera and one.state.value == "frozen"
        for one in plant.stages.capture.statuses()
    )
    if frozen:
        plant.cameras.lives[camera].reads = "silent"


def _stalls(plant: Plant, camera: str) -> None:
    plant.since[camera] = plant.mono()
    plant.cameras.lives[camera].reads = "silent"


def _hands_out(plant: Plant, camera: str) -> None:
    """After a while what stood on the way comes, too old, and then new pictures."""
    if plant.cameras.lives[camera].reads != "silent" or plant.mono() < plant.since[camera] + 8.0:
        return
    for child in plant.cameras._children:
        if child.name == f"capture-{camera}" and child._writer is not None:
            child._writer.leave_out()
    plant.cameras.lives[camera].reads = ""
