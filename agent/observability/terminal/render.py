"""The snapshot as a person at the line reads it in a terminal; all of it in 80 columns. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.observability.view import AgentView, CameraView, ClassView, Percentiles
from agent.records import Alarm, CameraState, MachineState, PoolStatus

WIDE = 104
"""From this width on the bars of the sensitivities fit."""
COLUMNS = (
    ("state", 10),
    ("fps", 5),
    ("frames", 6),
    ("fruit", 5),
    ("a minute", 8),
    ("read", 4),
    ("angle", 6),
    ("conf", 4),
    ("p50/95/99 ms", 12),
    ("drops", 5),
)
"""Name and least width of every column but the camera's, which takes what is left."""
WIDE_ONLY = frozenset({"a minute"})
FIRST_TO_GO = ("p50/95/99 ms", "frames", "fps", "fruit", "conf", "drops", "angle", "read")
"""Columns that a narrow terminal has no room for: half a number would be another number."""
CAMERA_LEAST = 6
ALARMS_MAX = 5
EXPLAINED_MAX = 4
DASH = "-"
MIB = 1024 * 1024

STATE_STYLE = {
    CameraState.LIVE.value: "green",
    CameraState.CONNECTING.value: "yellow",
    CameraState.ENDED.value: "cyan",
}
GOOD, WARN, BAD, SOFT = "green", "yellow", "bold red", "dim"


def render(view: AgentView, width: int) -> RenderableType:
    """Return the whole view for a terminal of ``width`` columns; nothing is wider than that."""
    body = [
        *_explanations(view, width),
        _workers(view),
        _messages(view),
        _memory(view),
    ]
    parts: list[RenderableType] = [
        *_kept_short([_title(view), *_places(view, width)]),
        _cameras(view, width),
        Text(),
        *_alarms(view),  # a sentence for the operator wraps; it is never cut
        Text(),
        *_kept_short(body),
    ]
    return Group(*parts)


def duration(seconds: float) -> str:
    """Return ``1:02:03``, with days where there are some.

    >>> duration(3723), duration(90061)
    ('1:02:03', '1d 1:01:01')
    """
    if not math.isfinite(seconds):
        return DASH
    whole = int(seconds)
    days, rest = divmod(whole, 86_400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}d {clock}" if days else clock


def short(count: int) -> str:
    """Return a count in at most five characters.

    >>> short(9999), short(123456), short(12_345_678)
    ('9999', '123k', '12.3M')
    """
    for limit, divisor, unit in ((1e4, 1, ""), (1e5, 1e3, "k"), (1e6, 1e3, "k"), (1e9, 1e6, "M")):
        if count < limit:
            digits = 1 if unit and count / divisor < 100 else 0
            return f"{count / divisor:.{digits}f}{unit}"
    return f"{count / 1e9:.1f}G"


def number(value: float, digits: int = 0, scale: float = 1.0) -> str:
    """Return a number, or a dash where it is not known."""
    return f"{value * scale:.{digits}f}" if math.isfinite(value) else DASH


def percent(value: float) -> str:
    """Return a share of one as ``98%``."""
    return f"{100 * value:.0f}%" if math.isfinite(value) else DASH


def read_share(camera: CameraView) -> float:
    """Return which share of the fruit that the alarm judges got an angle; NaN before the first."""
    level = camera.levels.get("no_read_rate")
    return 1 - level.value if level else math.nan


def active_alarms(view: AgentView) -> list[Alarm]:
    """Return what is active and not hidden, the most severe first."""
    shown = (a for a in view.alarms if a.active and not a.shelved and not a.suppressed)
    return sorted(shown, key=lambda alarm: (-alarm.severity, alarm.active_since_ms))


def _kept_short(lines: Iterable[Text]) -> Iterator[Text]:
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
        yield line


def _title(view: AgentView) -> Text:
    text = Text.assemble(
        ("Pitwatch ", "bold"),
        (view.agent_id, "bold cyan"),
        f"  up {duration(view.uptime_s)}  model {view.model_name or DASH}",
        (f" {view.model_sha256[:8]}", SOFT),
    )
    if view.machine.state is not MachineState.UNKNOWN:
        running = view.machine.state is MachineState.RUNNING
        text.append(f"  machine {view.machine.state}", GOOD if running else WARN)
    return text


def _places(view: AgentView, width: int) -> list[Text]:
    page = Text.assemble(("page   ", SOFT), view.http_url or "off")
    broker = Text.assemble(("broker ", SOFT))
    if view.link is None:
        broker.append("off")
    elif view.link.connected:
        broker.append(f"{view.broker_url}  ").append(f"connected (MQTT {view.link.protocol})", GOOD)
    else:
        broker.append(f"away: {view.link.reason}" if view.link.reason else "away", BAD)
        broker.append(f"  {view.broker_url}")
    return [Text("   ").join([page, broker])] if width >= WIDE else [page, broker]


def _cameras(view: AgentView, width: int) -> Table:
    wide = width >= WIDE
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1 if wide else 0, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style=SOFT,
    )
    columns = _columns(width, wide=wide)
    left = width - sum(least + (2 if wide else 1) for least in columns.values())
    table.add_column("camera", no_wrap=True, overflow="ellipsis", max_width=max(CAMERA_LEAST, left))
    for name, least in columns.items():
        justify: Literal["left", "right"] = "left" if name == "state" else "right"
        table.add_column(name, no_wrap=True, min_width=least, justify=justify)
    for camera in view.cameras:
        cells = dict(zip((name for name, _ in COLUMNS), _camera(camera), strict=True))
        table.add_row(Text(camera.name), *(cells[name] for name in columns))
    return table


def _columns(width: int, *, wide: bool) -> dict[str, int]:
    """Those that fit beside the camera, with the least width of each."""
    columns = {name: least for name, least in COLUMNS if wide or name not in WIDE_ONLY}
    for name in FIRST_TO_GO:
        if CAMERA_LEAST + sum(least + 1 for least in columns.values()) <= width:
            break
        del columns[name]
    return columns


def _camera(camera: CameraView) -> Iterator[Text]:
    """A cell for each of ``COLUMNS``."""
    yield Text(camera.state or "starting", STATE_STYLE.get(camera.state, BAD))
    yield Text(number(camera.fps, 1))
    yield Text(short(camera.frames_captured))
    yield Text(short(camera.fruit))
    yield Text(number(camera.fruit_per_minute))
    yield Text(percent(read_share(camera)))
    # An old reading must not look like a new one.
    style = "" if camera.state in (CameraState.LIVE, CameraState.ENDED) else SOFT
    reading = camera.reading
    if reading is None:
        yield Text(DASH)
        yield Text(DASH)
    elif reading.read:
        yield Text(f"{reading.angle_deg:.1f}°", style or "bold")
        yield Text(percent(reading.confidence), style)
    else:
        yield Text("none", style or WARN)
        yield Text(percent(reading.confidence), style)
    yield Text(_quantiles_ms(camera.capture_to_mask))
    yield Text(short(camera.frames_dropped), BAD if camera.frames_dropped else "")


def _quantiles_ms(quantiles: Percentiles) -> str:
    values = (quantiles.p50_s, quantiles.p95_s, quantiles.p99_s)
    return "/".join(number(value, 0, 1000) for value in values)


def _alarms(view: AgentView) -> Iterator[Text]:
    active = active_alarms(view)
    if not active:
        yield Text("No alarm", GOOD)
    for alarm in active[:ALARMS_MAX]:
        since = duration((view.utc_ms - alarm.active_since_ms) / 1000)
        style = BAD if alarm.severity >= 500 else "bold yellow"
        yield Text.assemble(
            (f"! {alarm.priority.upper()} ", style), (alarm.message, style), (f" {since}", SOFT)
        )
    if len(active) > ALARMS_MAX:
        yield Text(f"  and {len(active) - ALARMS_MAX} more", BAD)


def _explanations(view: AgentView, width: int) -> Iterator[Text]:
    books = view.explanations
    yield Text.assemble(
        ("Explanations  ", "bold"),
        f"{short(books.completed)} done  {number(books.per_minute)}/min"
        f"  {number(books.compute.p50_s, 2)} s each  {books.in_flight} under way  ",
        (f"{short(books.dropped)} dropped", BAD if books.dropped else ""),
    )
    names = [c.class_name for one in books.newest for c in one.classes]
    cells = max((len(name) for name in names), default=0)
    for one in books.newest[:EXPLAINED_MAX]:
        yield Text.assemble(
            (f"  {one.camera}", "cyan"),
            (f"  {one.rung}, {one.sampling_class}, {one.layer}, ", SOFT),
            (f"{number(one.seconds, 2)} s, {number(one.age_s)} s ago", SOFT),
        )
        for explained in one.classes:
            yield _class(explained, cells, width)
    if len(books.newest) > EXPLAINED_MAX:
        yield Text(f"  and {len(books.newest) - EXPLAINED_MAX} more cameras", SOFT)


def _class(explained: ClassView, cells: int, width: int) -> Text:
    text = Text(f"    {explained.class_name:<{cells}}  ")
    if not explained.explainable:
        return text.append(explained.reason.replace("_", " "), SOFT)
    for name, value, good_is_high in (
        ("foreground", explained.input_sensitivity_foreground, True),
        ("background", explained.input_sensitivity_background, False),
        ("context", explained.input_context_reliance, False),
    ):
        text.append(f"{name} ", SOFT)
        if width >= WIDE:
            text.append(_bar(value), "cyan" if good_is_high else "magenta")
        text.append(f"{percent(value):>5}   ")
    return text


def _bar(value: float, cells: int = 10) -> str:
    full = round(cells * min(1.0, max(0.0, value))) if math.isfinite(value) else 0
    return "█" * full + "░" * (cells - full)


def _workers(view: AgentView) -> Text:
    text = Text.assemble(("Workers       ", "bold"))
    pool = view.workers
    if pool is None or pool.workers == 0:
        return text.append("none: frames are not explained", SOFT)
    if pool.breaker_open:
        text.append(f"switched off: {pool.reason or 'too many restarts'}  ", BAD)
    text.append(f"{pool.ready} of {pool.workers} ready", _ready_style(pool))
    text.append(f"  {pool.busy} busy  ")
    return text.append(f"{pool.restarts} restarts", WARN if pool.restarts else "")


def _ready_style(pool: PoolStatus) -> str:
    if pool.ready == pool.workers:
        return GOOD
    return WARN if pool.ready else BAD


def _messages(view: AgentView) -> Text:
    books = view.messages
    text = Text.assemble(
        ("Messages      ", "bold"),
        f"{short(books.delivered)} delivered  {short(books.in_flight)} in flight  ",
    )
    return text.append(f"{short(books.dropped)} dropped{_largest(books.drops)}",
                       BAD if books.dropped else "")  # fmt: skip


def _largest(drops: Mapping[str, int]) -> str:
    worst = sorted(((n, name) for name, n in drops.items() if n), reverse=True)[:2]
    return f" ({', '.join(f'{name} {short(n)}' for n, name in worst)})" if worst else ""


def _memory(view: AgentView) -> Text:
    parts: Iterable[str] = (
        f"{p.process}{f' x{p.count}' if p.count > 1 else ''} {p.resident_bytes / MIB:.0f}"
        for p in view.processes
    )
    total = sum(p.resident_bytes for p in view.processes) / MIB
    return Text.assemble(("Memory        ", "bold"), f"{total:.0f} MiB  ", (", ".join(parts), SOFT))
