"""``cameras[].genicam``: what a camera of the GenICam standard is told when it is opened."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from agent.config.rules import Broken
from agent.config.sections.base import Extent, Pixel, Section, text

FEATURE: Final = r"^[A-Za-z_][A-Za-z0-9_]*=[^\r\n]*$"
LINE: Final = r"^[A-Za-z][A-Za-z0-9_]*$"
TRIGGER: Final = (
    r"^(off|software|[A-Za-z][A-Za-z0-9_]*:(RisingEdge|FallingEdge|AnyEdge|LevelHigh|LevelLow))$"
)

Feature = Annotated[str, text(FEATURE, "NAME=VALUE, as in GainAuto=Off")]
NodeName = Annotated[str, text(LINE, "a name of the camera, as in Line1")]
Auto = Literal["off", "once", "continuous"]


class GenicamBackend(enum.StrEnum):
    """Which driver reads the camera."""

    AUTO = "auto"
    """gentl where a producer is named, by ``cti`` or GENICAM_GENTL64_PATH; else aravis."""
    GENTL = "gentl"
    ARAVIS = "aravis"


class GenicamOptions(Section):
    """What is written to the camera, in this order: ``user_set``, ``features_file``, ``features``,
    then what the other keys say. Each write is read back, and a difference is told."""

    backend: GenicamBackend = GenicamBackend.AUTO
    cti: Path | None = None
    """The GenTL producer; None: the first in the folders of GENICAM_GENTL64_PATH."""
    interface: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Network or bus on which the camera is: its name or address on this computer."""
    user_set: NodeName | None = None
    """Set of features that the camera itself has stored, loaded first."""
    features_file: Path | None = None
    """Saved features, a name and a value a line, written in their order."""
    features: tuple[Feature, ...] = ()
    """Written in their order, so that a selector stands before what it selects."""
    trigger: (
        Annotated[str, text(TRIGGER, "off, software, or LINE:EDGE as in Line1:RisingEdge")] | None
    ) = None
    """What begins a picture; None: as the camera is set. software: at ``fps``, else with each
    fruit that the machine names."""
    exposure_auto: Auto = "off"
    gain_auto: Auto = "off"
    white_balance_auto: Auto = "off"
    exposure_us: Annotated[float, Field(gt=0, le=60_000_000)] | None = None
    gain_db: Annotated[float, Field(ge=-100, le=100)] | None = None
    strobe: NodeName | None = None
    """Output line that is active during the exposure."""
    pixel_format: NodeName | None = None
    """As the camera names it (Mono8, BayerRG8); None: as it is set."""
    roi: tuple[Pixel, Pixel, Extent, Extent] | None = None
    """x, y, width, height in pixels of the sensor; None: as it is set."""
    packet_size: Annotated[int, Field(ge=576, le=16_260)] | None = None
    """Bytes of a stream's packet with its IP header, at most the MTU. None: as it is set."""
    packet_delay: Annotated[int, Field(ge=0)] | None = None
    """Pause between packets, in ticks of the camera's clock (GevSCPD)."""
    buffers: Annotated[int, Field(ge=2, le=256)] = 8
    """Pictures that may wait for this process; beyond it the oldest is overwritten and counted."""
    ptp: Literal["off", "slave"] | None = None
    """Clock by the Precision Time Protocol; None: as it is set."""
    stamp: Literal["host", "camera"] = "host"
    """Which clock says when a picture was taken: arrival here, or the camera's own."""
    chunks: tuple[NodeName, ...] = ()
    """Facts that the camera puts into every picture (ChunkSelector): switched on, and read."""

    def rule_cti(self) -> Iterator[Broken]:
        if self.cti is not None and self.backend is GenicamBackend.ARAVIS:
            yield Broken(("cti",), "has no effect beside this backend", "backend: gentl")

    def rule_exposure_us(self) -> Iterator[Broken]:
        if self.exposure_us is not None and self.exposure_auto != "off":
            yield Broken(("exposure_us",), "has no effect beside exposure_auto", "one of the two")

    def rule_gain_db(self) -> Iterator[Broken]:
        if self.gain_db is not None and self.gain_auto != "off":
            yield Broken(("gain_db",), "has no effect beside gain_auto", "one of the two")

    def rule_strobe(self) -> Iterator[Broken]:
        if self.strobe is not None and (self.trigger or "").partition(":")[0] == self.strobe:
            yield Broken(("strobe",), "is the line of the trigger", "another line")
