"""The configuration as typed models: one section per stage, every key with its unit and range.

Reading files, environment references, nearest-key hints and masking live in ``agent.config.load``,
rules that join several keys in ``agent.config.rules``; this module says what each key may hold.
Unknown keys are errors everywhere.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from agent.config import rules
from agent.config.rules import Broken
from agent.config.url import mask_url
from agent.records import CaptureMode

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
LongSeconds = Annotated[float, Field(gt=0, le=31_536_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Pixel = Annotated[int, Field(ge=0, le=16384)]
Extent = Annotated[int, Field(ge=16, le=16384)]

RULES_LATER: Final = {"rules": "later"}
"""Validation context of a caller that walks ``broken`` itself, to hear of all rules at once."""


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error.

    No representation of a section or of its errors shows a secret: not a password in a URL either.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    def broken(self) -> Iterator[Broken]:
        """Yield the rules between keys of this section that do not hold."""
        yield from ()

    @model_validator(mode="after")
    def _rules_hold(self, info: ValidationInfo) -> Section:
        if info.context is RULES_LATER:
            return self
        broken = tuple(self.broken())
        if broken:
            text = "; ".join(f"{'.'.join(map(str, b.path))} {b.message}" for b in broken)
            raise PydanticCustomError("broken_rules", "{text}", {"text": text, "broken": broken})
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, mask_url(value) if isinstance(value, str) else value


# --- who we are ----------------------------------------------------------------------------------


class Site(Section):
    """Levels of the topic tree ``{root}/v1/{enterprise}/{site}/{area}/{line}/{machine}``."""

    root: Name = "pitwatch"
    enterprise: Name = "plant"
    site: Name = "site"
    area: Name = "area"
    line: Name = "line"
    machine: Name = "pitter"


# --- cameras -------------------------------------------------------------------------------------


class Lane(Section):
    """One lane of a picture: a camera of its own from here on."""

    name: Name
    region: tuple[Pixel, Pixel, Extent, Extent] | None = None
    """x, y, width, height in pixels of the source's picture; the whole picture when absent."""
    cutting_line_deg: Annotated[float, Field(ge=0, lt=180)] = 0.0
    mm_per_px: Annotated[float, Field(gt=0, le=100)] | None = None


SimValue = bool | int | float | str | tuple[str, ...]


class Camera(Section):
    """One physical source of pictures."""

    name: Name
    source: str
    """``sim:``, ``file:///folder``, a path to a folder or video, ``v4l2:///dev/video0``, ``rtsp://...``."""
    sim: dict[str, SimValue] | None = None
    """Parameters of the simulated machine, as its URL has them; ``fault`` and ``variety`` may be
    lists. ``agent.simulator.parameters`` says which there are."""
    mode: CaptureMode = CaptureMode.TRIGGERED
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Rate requested of the source, and the pace of a folder; triggered: pictures expected."""
    width_px: Annotated[int, Field(ge=16, le=16384)] | None = None
    height_px: Annotated[int, Field(ge=16, le=16384)] | None = None
    queue_slots: Annotated[int, Field(ge=2, le=256)] = 16
    max_age_s: Seconds = 2.0
    open_timeout_s: Seconds = 10.0
    read_timeout_s: Seconds = 5.0
    """A read that has not returned after this long is ended by killing the capture process."""
    frozen_after_s: Seconds = 3.0
    """A sensor's picture that has not changed for this long while the machine may run is frozen."""
    idle_after_s: Seconds = 60.0
    """Triggered, and no machine state known: silence shorter than this is a pause and no fault."""
    backoff_first_s: Seconds = 0.5
    backoff_max_s: Seconds = 30.0
    round_aperture: bool | None = None
    """True: a circle filling the lane is the field of view; None: the picture's alpha, if any."""
    cutting_line_deg: Annotated[float, Field(ge=0, lt=180)] = 0.0
    mm_per_px: Annotated[float, Field(gt=0, le=100)] | None = None
    lanes: tuple[Lane, ...] = ()

    def broken(self) -> Iterator[Broken]:
        yield from rules.camera_rules(self)

    def effective_lanes(self) -> tuple[Lane, ...]:
        """The configured lanes, or one lane that is the whole picture and has the camera's name."""
        if self.lanes:
            return self.lanes
        return (
            Lane(name=self.name, cutting_line_deg=self.cutting_line_deg, mm_per_px=self.mm_per_px),
        )


# --- the model -----------------------------------------------------------------------------------


class ModelFormat(enum.StrEnum):
    AUTO = "auto"  # by suffix: .safetensors, .pt/.pth (state dict), .pt2, .ts
    WEIGHTS = "weights"  # safetensors or a state dict for the built-in U-Net
    TORCHSCRIPT = "torchscript"
    EXPORT = "export"
    FACTORY = "factory"


class Head(enum.StrEnum):
    LOGITS = "logits"  # C channels
    SIGMOID = "sigmoid"  # one channel of probability; the other logit is 0
    SOFTMAX = "softmax"  # C channels of probability, inverted by log


class Preprocessing(Section):
    """How a uint8 picture becomes the network's input; declared, never guessed."""

    width_px: Annotated[int, Field(ge=16, le=4096)] = 192
    height_px: Annotated[int, Field(ge=16, le=4096)] = 192
    colour: Literal["rgb", "bgr", "gray"] = "rgb"
    scale: Annotated[float, Field(gt=0)] = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0, 1.0, 1.0)

    @model_validator(mode="before")
    @classmethod
    def _one_channel_for_gray(cls, data: Any) -> Any:
        """Grey has one channel, so its defaults have one value."""
        if isinstance(data, dict) and data.get("colour") == "gray":
            return {"mean": (0.0,), "std": (1.0,)} | data
        return data

    def broken(self) -> Iterator[Broken]:
        yield from rules.preprocessing_rules(self)


class Model(Section):
    """The segmentation network. Fields left at None come from the model card beside the weights."""

    path: Path | None = None
    """None: the model shipped with the package."""
    format: ModelFormat = ModelFormat.AUTO
    trust: Literal["data", "program"] = "data"
    """TorchScript, .pt2 and factories are programs: they load only as ``program`` with a sha256."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    factory: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    classes: tuple[Name, ...] | None = None
    head: Head | None = None
    output_key: str | None = None
    """Key of the logits when the network returns a dictionary (torchvision's ``out``)."""
    preprocessing: Preprocessing | None = None
    layer: str | None = None
    """Target layer of the ablation, by name."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads inside operators of the live path; more than one competes with the workers."""

    def broken(self) -> Iterator[Broken]:
        yield from rules.model_rules(self)


class Segmentation(Section):
    """From mask to reading."""

    batch_max: Annotated[int, Field(ge=1, le=64)] = 8
    min_suture_area: Share = 0.004
    """Share of the aperture that suture pixels must cover for a line to be fitted."""
    min_confidence: Share = 0.5
    empty_brightness: Annotated[float, Field(ge=0, le=255)] = 30.0
    """A cup whose aperture is darker than this grey level on over half of its area is empty."""
    empty_chroma: Annotated[float, Field(ge=0, le=255)] = 35.0
    """So is one without suture and stem whose mean chroma (largest minus smallest of the three
    colour values) is below this: bare metal or rubber. 0: not judged, for grey cameras."""


# --- explanation ---------------------------------------------------------------------------------


class Sampling(Section):
    """Which frames are explained, within a compute budget."""

    period_s: Seconds = 2.0
    """Wish of the periodic class, per lane."""
    cooldown_s: Annotated[float, Field(ge=0, le=86_400)] = 0.5
    """At least this long between two explanations of one lane, alarms and operators excepted."""
    duty_cycle: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the workers' time that explanations may use."""
    budget_window_s: Seconds = 10.0
    """Unused share of the workers' time that may be caught up, in seconds of the wall clock."""
    borrow_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """Worker-seconds by which alarms and operator requests may run ahead of the budget."""
    max_age_s: Seconds = 3.0
    deadline_s: Seconds = 10.0
    uncertain_margin: float = 1.0
    """A frame whose suture margin or confidence falls below goes to the uncertain class."""
    uncertain_confidence: Share = 0.6


class Priority(enum.StrEnum):
    IDLE = "idle"
    LOW = "low"
    NORMAL = "normal"


class Workers(Section):
    """The ablation pool."""

    count: Annotated[int, Field(ge=0, le=64)] | None = None
    """None: one per GPU, or one CPU worker where there is none; 0: no explanations."""
    devices: tuple[Annotated[str, Field(pattern=r"^(cpu|cuda:\d+)$")], ...] | None = None
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    priority: Priority = Priority.IDLE
    heartbeat_s: Seconds = 1.0
    heartbeat_timeout_s: Seconds = 5.0
    start_timeout_s: Seconds = 120.0
    restart_budget: Annotated[int, Field(ge=1, le=1000)] = 5
    restart_window_s: Seconds = 300.0
    breaker_cooldown_s: Seconds = 60.0
    memory_limit_mb: Annotated[int, Field(ge=128)] = 2048
    """A worker above this is replaced after its job."""
    recycle_after_jobs: Annotated[int, Field(ge=1)] = 100_000

    def broken(self) -> Iterator[Broken]:
        yield from rules.workers_rules(self)


class Score(enum.StrEnum):
    MARGIN = "margin"
    LOGIT_SUM = "logit_sum"
    DICE_DROP = "dice_drop"


class Ablation(Section):
    """What an explanation is."""

    classes: tuple[Name, ...] = ("suture", "stem")
    score: Score = Score.MARGIN
    baseline: Literal["zero", "mean"] = "zero"
    fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.25, 0.5, 0.75, 1.0)
    region_threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A cell of the layer belongs to a region when at least this share of its area does."""
    background_draws: Annotated[int, Field(ge=1, le=64)] = 4
    seed: Annotated[int, Field(ge=0)] = 0
    study_every: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    """One exact periodic explanation in so many gets the costly cross-checks; 0: none."""
    overlay_quality: Annotated[int, Field(ge=30, le=100)] = 85
    overlay_range: Annotated[float, Field(gt=0)] | None = None
    """One fixed colour range for all maps; None: from the model card's reference."""
    workers: Workers = Workers()

    def broken(self) -> Iterator[Broken]:
        yield from rules.ablation_rules(self)


class AlarmLimits(Section):
    """Fixed limits of the first alarms; window means over explanations or fruit."""

    background_reliance: Share = 0.6
    foreground_sensitivity: Share = 0.2
    """Of an occlusion in the input: at the layer, skips bypass it in a healthy model."""
    no_read_rate: Share = 0.2
    image_quality: Share = 0.2
    """Share of fruit whose picture is black, saturated, or no picture."""
    explanations_window: Annotated[int, Field(ge=1, le=1000)] = 10
    fruit_window: Annotated[int, Field(ge=10, le=100_000)] = 280
    no_explanation_s: Seconds = 60.0
    latency_p95_s: Seconds = 0.214
    unknown_silence_s: Seconds = 300.0
    """A lane without fruit is no alarm for this long while no machine state is known."""


class AlarmBudget(Section):
    """How rarely charts and rules together may alarm falsely; ``calibrate`` makes limits of it."""

    days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    """Production days with at most one false alarm, over all charts and rules of all lanes."""
    hours_a_day: Annotated[float, Field(gt=0, le=24)] = 8.0
    window_s: Annotated[float, Field(ge=10, le=3600)] = 60.0
    """One point of a chart."""


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
"""As ``datetime.weekday`` counts them."""


class ChangeOver(Section):
    """A change-over that comes by the clock: production counts as standing meanwhile."""

    at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    """When it begins, HH:MM in the local time of this computer."""
    minutes: Annotated[float, Field(gt=0, le=720)]
    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS
    """On which it begins."""


class Alarms(Section):
    ack_mode: Literal["scada", "operator"] = "scada"
    """``scada``: a cleared alarm is normal; ``operator``: it waits for an acknowledgement here."""
    shelve_max_s: Seconds = 28_800.0
    """Longest time for which an operator may shelve an alarm: one shift."""
    out_of_service: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")], ...] = ()
    """Alarms that never annunciate: a cause as ``no_read_rate``, or ``no_read_rate-cam1``."""
    language: Literal["en", "it"] = "en"
    """Of the titles, sentences and reasons that operators read; the log stays English."""
    change_overs: tuple[ChangeOver, ...] = ()
    """Charts stand still and production alarms are suppressed in them, as when the machine says
    ``change-over`` itself."""
    limits: AlarmLimits = AlarmLimits()
    reference: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_. -]{1,80}$")], Path] = {}
    """File of each variety, made by ``pitwatch calibrate``; without one there are no charts."""
    budget: AlarmBudget = AlarmBudget()


# --- the wire ------------------------------------------------------------------------------------


class Tls(Section):
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: SecretStr | None = None


Protocol = Annotated[
    Literal["auto", "5", "3.1.1"],
    BeforeValidator(lambda value: "5" if value == 5 else value),  # a bare 5 in YAML is a number
]


class Sparkplug(Section):
    """The agent as a Sparkplug B edge node: group ``{enterprise}-{site}``, node ``id``, one device
    per camera or lane. A client of its own, ``{id}-spb``, on the same broker."""

    enabled: bool = False
    primary_host: Annotated[str, Field(pattern=r"^[^+/#$\s\x00-\x1f\x7f]{1,80}$")] | None = None
    """Births wait until this host application says that it is online; None: they do not wait."""
    batch_s: Annotated[float, Field(ge=0.05, le=60)] = 0.2
    """Values of this long go out together, in one message per device."""
    rebirth_debounce_s: Annotated[float, Field(ge=0, le=3600)] = 5.0
    """At least this long between two births of the node that hosts ask for."""
    datatype_in_data: bool = False
    """Every value carries its data type, not births alone: for clients that do not remember it."""
    history_max: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    """Values kept while the broker is away; sent afterwards, marked as historical."""


class Mqtt(Section):
    broker: str | None = None
    """``mqtt://host:port``, ``mqtts://host:port``, ``embedded``, or ``none``."""
    protocol: Protocol = "auto"
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")] | None = None
    username: str | None = None
    password: SecretStr | None = None
    tls: Tls = Tls()
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    reconnect_first_s: Seconds = 1.0
    reconnect_max_s: Seconds = 60.0
    reconnect_penalty_s: Seconds = 60.0
    """Least wait after an authentication failure or a session takeover."""
    puback_timeout_s: Seconds = 20.0
    in_flight_max: Annotated[int, Field(ge=1, le=1000)] = 20
    queue_max: Annotated[int, Field(ge=10, le=100_000)] = 1000
    """Messages kept in memory while the broker is away; state topics keep only the newest."""
    status_interval_s: Seconds = 10.0
    metric_interval_s: Seconds = 30.0
    metric_deadband: Share = 0.01
    """Relative change below which a metric is not resent before its interval is over."""
    message_limit_bytes: Annotated[int, Field(ge=32 * 1024, le=10_000_000)] = 100 * 1024
    """At the least what the description of the agent (``meta``) takes: 16 KiB for two classes."""
    embedded_port: Annotated[int, Field(ge=0, le=65535)] = 18883
    sparkplug: Sparkplug = Sparkplug()

    def broken(self) -> Iterator[Broken]:
        yield from rules.mqtt_rules(self)


class HttpTls(Section):
    certificate: Path | None = None
    key: Path | None = None
    key_password: SecretStr | None = None
    client_ca: Path | None = None
    """Whoever shows a certificate of this authority may see page, API and pictures."""


class HttpLimits(Section):
    """What all clients, and what one address, may have at a time."""

    connections: Annotated[int, Field(ge=8, le=4096)] = 128
    """Beyond so many, the one that has waited longest makes room."""
    requests_per_s: Annotated[float, Field(ge=1, le=10_000)] = 100.0
    """Of one address, once it has used its burst; probes and metrics are exempt."""
    burst: Annotated[int, Field(ge=1, le=100_000)] = 400
    """Ten open pages ask about forty times a second, and together when a machine room wakes up."""


class Http(Section):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    public_url: str | None = None
    allow: tuple[str, ...] = (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
    """Networks that may ask for probes and metrics where the host is not loopback."""
    page: bool = True
    """False: probes and metrics only."""
    token: Annotated[SecretStr, Field(min_length=16, max_length=200)] | None = None
    """Asked for by page, API and pictures; needed, or tls.client_ca, where host is not loopback."""
    tls: HttpTls = HttpTls()
    picture_link_s: Seconds = 600.0
    """How long the links to pictures in messages hold, where a token is needed without them."""
    loop_limit_s: Seconds = 5.0
    """/livez fails when a loop of the parent has not moved for this long."""
    limits: HttpLimits = HttpLimits()

    def broken(self) -> Iterator[Broken]:
        yield from rules.http_rules(self)


class Logging(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["keyvalue", "json"] = "keyvalue"
    repeat_window_s: Seconds = 10.0
    """Repeats of one event beyond ``repeat_max`` in this window are counted instead of written."""
    repeat_max: Annotated[int, Field(ge=1)] = 5


class Storage(Section):
    limit_bytes: Annotated[int, Field(ge=8 * 1024 * 1024, le=1 << 40)] = 256 * 1024 * 1024
    """Cap of the database; beyond it explanations go first, then evidence, alarms last."""
    free_disk_bytes: Annotated[int, Field(ge=0, le=1 << 40)] = 128 * 1024 * 1024
    """Space that explanations and evidence leave free on the disk; alarms may use it."""
    alarm_age_s: LongSeconds = 604_800.0
    evidence_age_s: LongSeconds = 86_400.0
    explanation_age_s: LongSeconds = 86_400.0
    keep_acknowledged_s: Seconds = 600.0
    """How long alarm events are kept after the broker took them, to be sent again if it is lost."""
    replay_per_s: Annotated[float, Field(gt=0, le=10_000)] = 100.0


CommandName = Literal[
    "ack", "comment", "shelve", "unshelve", "disable", "enable", "explain", "sampling", "variety"
]


class Commands(Section):
    allow: tuple[CommandName, ...] = ("ack", "comment", "shelve", "unshelve", "explain", "variety")
    """What operators may ask for by MQTT; who may is decided by the broker."""
    max_age_s: Seconds = 60.0
    per_s: Annotated[float, Field(gt=0, le=1000)] = 5.0


class Config(Section):
    """The whole file."""

    id: Name = "pitwatch"
    state_dir: Path | None = None
    """Where what must survive a restart is kept; None: nothing survives (the demonstration)."""
    site: Site = Site()
    cameras: tuple[Camera, ...] = (Camera(name="cam1", source="sim:"),)
    model: Model = Model()
    segmentation: Segmentation = Segmentation()
    sampling: Sampling = Sampling()
    ablation: Ablation = Ablation()
    alarms: Alarms = Alarms()
    storage: Storage = Storage()
    commands: Commands = Commands()
    mqtt: Mqtt = Mqtt()
    http: Http = Http()
    logging: Logging = Logging()

    def broken(self) -> Iterator[Broken]:
        yield from rules.config_rules(self)
