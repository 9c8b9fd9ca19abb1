"""Why a camera does not answer as it did: asked of this computer, of the camera, of the network."""

from __future__ import annotations

from agent.capture.source import SourceError
from agent.capture.sources.genicam.backend import DeviceRecord
from agent.capture.sources.genicam.gige import gvcp
from agent.capture.sources.genicam.gige.lookup import Sought, gige_cameras, refusal
from agent.capture.sources.genicam.gige.network import Network, network


def loss_of(record: DeviceRecord, sought: Sought, lane: Network, said: str) -> SourceError:
    """Ask whom it can be asked why a camera does not answer as it did; ``said`` by the driver."""
    now = network(lane.name)
    if now is None or not now.linked:
        return SourceError("unplugged", f"{record.ip}: {lane.name} has no link ({said})")
    try:
        here = gvcp.ask(record.ip)
    except OSError as error:
        return SourceError("unplugged", f"{record.ip}: {error.strerror} ({said})")
    if here is not None and (here.serial, here.mac) == (record.serial, record.key):
        used = refusal(record.ip)
        if used:
            return SourceError("taken", f"{record.ip}: {used}")
        return SourceError("restarted", f"{record.ip}: it answers, and has forgotten this client")
    if here is not None:
        other = here.serial or here.mac
        return SourceError("no_answer", f"{record.ip}: another camera is there now, {other}")
    if sought.address.by != "ip":
        for other_place in gige_cameras(lane.name):
            if (other_place.serial, other_place.key) == (record.serial, record.key):
                return SourceError("moved", f"{record.ip}: it is at {other_place.ip} now")
    return SourceError(
        "no_answer", f"{record.ip}: no power, or no cable behind {lane.name} ({said})"
    )
