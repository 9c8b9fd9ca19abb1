"""How a running agent is, as lines for a terminal and as one exit code. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent import __version__
from agent.records import AlarmState
from agent.upkeep.asking import Answer

WELL, TROUBLE, NOT_RUNNING = 0, 1, 3
"""Exit codes; 3 as of a service that is not running (LSB, "status")."""
LIVE = "live"
SILENCED = (AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE)
"""States of an alarm that calls for nobody, though its condition holds."""
MIB = 1 << 20


def troubles(answer: Answer) -> list[str]:
    """What is not as it should be, in words; nothing when all is well."""
    view = answer.view
    away = [
        f"camera {one['name']} {one['state'] or 'starting'}"
        for one in view["cameras"]
        if one["state"] != LIVE
    ]
    rings = [
        f"alarm {one['alarm_id']}"
        for one in view["alarms"]
        if one.get("active") and one.get("state") not in SILENCED
    ]
    link, workers = view.get("link"), view.get("workers")
    broker = [] if not link or link.get("connected") else ["the broker is not connected"]
    idle = []
    if workers and workers.get("workers") and not workers.get("ready"):
        idle = ["no worker is ready"]
    degraded = answer.storage.get("degraded")
    disk = [f"state is kept in memory alone: {degraded}"] if degraded else []
    return [*away, *rings, *broker, *idle, *disk]


def exit_code(answer: Answer) -> int:
    return TROUBLE if troubles(answer) else WELL


def as_json(answer: Answer) -> dict[str, Any]:
    """Everything that was answered, with the verdict."""
    return {
        "running": True,
        "well": not troubles(answer),
        "troubles": troubles(answer),
        "command_version": __version__,
        "pid": answer.pid,
        "owner": answer.owner,
        "status": answer.view,
        "storage": answer.storage,
        "disk_bytes": answer.disk,
    }


def lines(answer: Answer) -> Iterator[str]:
    """The same for people, a line a subject."""
    view = answer.view
    wrong = troubles(answer)
    up = _duration(view.get("uptime_s"))
    pid = f", process {answer.pid}" if answer.pid else ""
    yield f"Pitwatch {view['agent_id']}  {'TROUBLE' if wrong else 'well'}  up {up}{pid}"
    yield from (f"  ! {one}" for one in wrong)
    other = "" if view["version"] == __version__ else f" (this command is of {__version__})"
    yield f"version   {view['version']}{other}"
    yield f"model     {view['model_name']} {view['model_sha256'][:12]}, layer {view['layer']}"
    yield f"config    {view['config_hash'][:12]}{_changed(view)}"
    yield from (_camera(one) for one in view["cameras"])
    yield from _alarms(view["alarms"])
    yield from _parts(view)
    yield from _storage(answer)


def _camera(camera: Mapping[str, Any]) -> str:
    reading = camera.get("reading") or {}
    angle = f"angle {reading['angle_deg']:.1f} deg" if reading.get("read") else "no angle"
    if reading and not reading.get("read"):
        angle += f" ({reading.get('reason')})"
    p95 = _number((camera.get("capture_to_mask") or {}).get("p95_s"), 1000, "ms")
    return (
        f"lane      {camera['name']}  {camera['state'] or 'starting'}  "
        f"{camera['fruit']} fruit, {camera['fruit_no_read']} not read, "
        f"{_number(camera.get('fruit_per_minute'), 1, 'a minute')}, {angle}, p95 {p95}, "
        f"{camera['frames_dropped']} frames dropped"
    )


def _alarms(alarms: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    ringing = [one for one in alarms if one.get("active")]
    if not ringing:
        yield "alarms    none"
    for one in ringing:
        yield f"alarm     {one['alarm_id']}  {one.get('state')}  {one.get('message', '')}".rstrip()


def _parts(view: Mapping[str, Any]) -> Iterator[str]:
    workers, link, messages = view.get("workers"), view.get("link"), view["messages"]
    if workers:
        yield (
            f"workers   {workers['ready']} of {workers['workers']} ready, "
            f"{view['explanations']['completed']} explanations"
        )
    state = "off" if link is None else "connected" if link.get("connected") else "NOT connected"
    yield f"broker    {view.get('broker_url') or 'none'}  {state}"
    yield (
        f"messages  {messages['delivered']} delivered, {messages['in_flight']} waiting, "
        f"{messages['dropped']} dropped"
    )
    memory = {one["process"]: one["resident_bytes"] for one in view["processes"]}
    each = ", ".join(f"{name} {size // MIB}" for name, size in memory.items())
    yield f"memory    {sum(memory.values()) // MIB} MiB ({each})"


def _storage(answer: Answer) -> Iterator[str]:
    storage, disk = answer.storage, answer.disk
    if storage:
        waiting = sum(one["waiting"] for one in storage["messages"].values())
        held = ", ".join(
            f"{kind} {one['rows']} ({_size(one['bytes'])})"
            for kind, one in storage["messages"].items()
        )
        yield (
            f"state     schema {storage['schema']}, "
            f"{'on the disk' if storage['durable'] else 'NOT on the disk'}, "
            f"{waiting} messages wait, {storage['losses']} losses"
        )
        yield (
            f"holds     {held or 'no messages'}, pictures {_size(storage['evidence_bytes'])}, "
            f"history {storage['history_rows']} rows, audit {storage['audit_rows']} rows"
        )
    if disk:
        kinds = [f"{kind} {_size(size)}" for kind, size in disk.items() if size or kind == "free"]
        yield f"disk      {', '.join(kinds)}"


def _changed(view: Mapping[str, Any]) -> str:
    """Who changed the configuration of a running agent, and when, where it says so."""
    at, by = view.get("config_changed_utc_ms"), view.get("config_changed_by")
    if not at:
        return ", as at the start"
    when = datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    before = view.get("config_hash_before") or ""
    return f", changed {when} by {by or 'nobody known'}" + (
        f" from {before[:12]}" if before else ""
    )


def _duration(seconds: float | None) -> str:
    whole = int(seconds or 0)
    return f"{whole // 86400} d {whole // 3600 % 24:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def _number(value: float | None, scale: float, unit: str) -> str:
    return f"- {unit}" if value is None else f"{value * scale:.0f} {unit}"


def _size(size: float) -> str:
    return f"{size / MIB:.1f} MiB"
