"""What is written to a camera before its stream begins, in order. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.capture.source import SourceError
from agent.capture.sources.genicam.backend import Value
from agent.config import Camera, GenicamOptions
from agent.records import CaptureMode

EXECUTE = ""
"""The value of a command."""


@dataclass(frozen=True, slots=True)
class Write:
    """One node to be set. ``option``: whose doing it is, for people.

    ``names``: the node's names, the newer first; the first that the camera has counts. Without
    ``needed`` it is left out where the camera cannot do it.
    """

    option: str
    names: tuple[str, ...]
    value: Value
    needed: bool = True


def plan(camera: Camera, options: GenicamOptions) -> Iterator[Write]:
    """Yield the writes. ``SourceError`` (permanent) for a file of features that cannot be read.

    Names are those of the SFNC (Standard Features Naming Convention), then older ones.
    """
    # A client that was killed may have left the camera running, and locked what is set below.
    yield Write("stream", ("AcquisitionStop",), EXECUTE, needed=False)
    yield Write("stream", ("TLParamsLocked",), 0, needed=False)
    if options.user_set is not None:
        yield Write("user_set", ("UserSetSelector",), options.user_set)
        yield Write("user_set", ("UserSetLoad",), EXECUTE)
    if options.features_file is not None:
        yield from read_features(options.features_file)
    for feature in options.features:
        name, _, value = feature.partition("=")
        yield Write("features", (name,), value)
    yield Write("stream", ("AcquisitionMode",), "Continuous", needed=False)
    yield from _light(options)
    yield from _picture(camera, options)
    yield from _trigger(camera, options)
    if options.strobe is not None:
        yield Write("strobe", ("LineSelector",), options.strobe)
        yield Write("strobe", ("LineMode",), "Output", needed=False)
        yield Write("strobe", ("LineSource",), "ExposureActive")
    yield from _transport(options)


def _light(options: GenicamOptions) -> Iterator[Write]:
    for option, names, mode in (
        ("exposure_auto", ("ExposureAuto",), options.exposure_auto),
        ("gain_auto", ("GainAuto",), options.gain_auto),
        ("white_balance_auto", ("BalanceWhiteAuto",), options.white_balance_auto),
    ):
        yield Write(option, names, mode.capitalize(), needed=mode != "off")
    if options.exposure_us is not None:
        yield Write("exposure_us", ("ExposureMode",), "Timed", needed=False)
        yield Write("exposure_us", ("ExposureTime", "ExposureTimeAbs"), options.exposure_us)
    if options.gain_db is not None:
        yield Write("gain_db", ("GainSelector",), "All", needed=False)
        yield Write("gain_db", ("Gain", "GainAbs"), options.gain_db)


def _picture(camera: Camera, options: GenicamOptions) -> Iterator[Write]:
    if options.pixel_format is not None:
        yield Write("pixel_format", ("PixelFormat",), options.pixel_format)
    size = camera.requested_size
    if options.roi is not None:
        x, y, *size_of_roi = options.roi
        # At 0 first: where the old region is far to the right, the new width does not fit.
        yield Write("roi", ("OffsetX",), 0, needed=x != 0)
        yield Write("roi", ("OffsetY",), 0, needed=y != 0)
        yield Write("roi", ("Width",), size_of_roi[0])
        yield Write("roi", ("Height",), size_of_roi[1])
        yield Write("roi", ("OffsetX",), x, needed=x != 0)
        yield Write("roi", ("OffsetY",), y, needed=y != 0)
    elif size is not None:
        yield Write("width_px", ("Width",), size[0])
        yield Write("height_px", ("Height",), size[1])


def _trigger(camera: Camera, options: GenicamOptions) -> Iterator[Write]:
    match options.trigger:
        case None:
            pass
        case "off":
            for begins in ("AcquisitionStart", "FrameBurstStart", "FrameStart"):
                yield Write("trigger", ("TriggerSelector",), begins, needed=False)
                yield Write("trigger", ("TriggerMode",), "Off", needed=False)
        case told:
            line, _, edge = told.partition(":")
            source = "Software" if told == "software" else line
            yield Write("trigger", ("TriggerSelector",), "FrameStart", needed=False)
            # Many cameras let nobody choose another source while it is on.
            yield Write("trigger", ("TriggerMode",), "Off", needed=False)
            yield Write("trigger", ("TriggerSource",), source)
            if edge:
                yield Write("trigger", ("TriggerActivation",), edge)
            yield Write("trigger", ("TriggerMode",), "On")
    free = options.trigger in (None, "off")
    if free and camera.mode is CaptureMode.FREE_RUN and camera.fps is not None:
        yield Write("fps", ("AcquisitionFrameRateEnable",), True, needed=False)
        yield Write("fps", ("AcquisitionFrameRate", "AcquisitionFrameRateAbs"), camera.fps, False)


def _transport(options: GenicamOptions) -> Iterator[Write]:
    if options.packet_size is not None:
        yield Write("packet_size", ("GevSCPSPacketSize",), options.packet_size)
    if options.packet_delay is not None:
        yield Write("packet_delay", ("GevSCPD",), options.packet_delay)
    if options.ptp is not None:
        slave = options.ptp == "slave"
        yield Write("ptp", ("PtpSlaveOnly",), slave, needed=False)
        yield Write("ptp", ("PtpEnable", "GevIEEE1588"), slave, needed=slave)
    if options.chunks:
        yield Write("chunks", ("ChunkModeActive",), True)
    for chunk in options.chunks:
        yield Write("chunks", ("ChunkSelector",), chunk)
        yield Write("chunks", ("ChunkEnable",), True)


def read_features(file: Path) -> Iterator[Write]:
    """Yield what a file of saved features says: a name and a value a line, with a tab, ``=`` or
    blanks between; ``#`` begins a comment. Files that GenApi or a vendor's viewer has saved are of
    this form. ``SourceError`` (permanent) names the file and the line."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not text in UTF-8"
        raise SourceError("features_file", f"{file}: {why}", permanent=True) from error
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        parts = _apart(text)
        if not parts[0].isidentifier():
            detail = f"{file}: line {number} is no name and value: {text[:60]!r}"
            raise SourceError("features_file", detail, permanent=True)
        yield Write(f"{file.name} line {number}", (parts[0],), parts[1])


def _apart(text: str) -> tuple[str, str]:
    for mark in ("\t", "=", None):
        name, *rest = text.split(mark, 1)
        if rest:
            return name.strip(), rest[0].strip()
    return text, EXECUTE
