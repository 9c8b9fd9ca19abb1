"""The whole configuration: its sections, and the rules that join several of them.

Unknown keys are errors everywhere. Files are read by ``agent.config.load``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.config.rules import Broken, having
from agent.config.sections.ablation import Ablation
from agent.config.sections.alarms import Alarms
from agent.config.sections.base import Name, Section
from agent.config.sections.cameras import Camera
from agent.config.sections.commands import Commands
from agent.config.sections.http import Http
from agent.config.sections.logging import Logging
from agent.config.sections.model import Model
from agent.config.sections.mqtt import Mqtt
from agent.config.sections.recording import Recording
from agent.config.sections.sampling import Sampling
from agent.config.sections.segmentation import Segmentation
from agent.config.sections.site import Site
from agent.config.sections.storage import Storage
from agent.config.yaml import KeyPath
from agent.nearest import nearest

VERSION = 1
"""Of the form of the file: rises when a key changes its meaning."""
RECORD_BYTES = 64 * 1024
"""What a recorded picture takes beside its pixels: mask, text, folder."""


class Config(Section):
    """The whole file."""

    version: Annotated[int, Field(ge=1)] = VERSION
    """Of the form of this file: one that is written for a later version of pitwatch is refused."""
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
    recording: Recording = Recording()
    commands: Commands = Commands()
    mqtt: Mqtt = Mqtt()
    http: Http = Http()
    logging: Logging = Logging()

    @property
    def owner(self) -> str:
        """Which agent this is, wherever it runs: what the state on the disk belongs to."""
        site = self.site
        levels = (site.enterprise, site.site, site.area, site.line, site.machine)
        return "/".join((*levels, self.id))

    def rule_version(self) -> Iterator[Broken]:
        if self.version > VERSION:
            yield Broken(
                ("version",),
                "is of a later version of pitwatch, which may mean other things by the same keys",
                f"{VERSION}",
            )

    def rule_cameras(self) -> Iterator[Broken]:
        if not self.cameras:
            yield Broken(("cameras",), "is empty", "at least one camera")

    def rule_names(self) -> Iterator[Broken]:
        taken: dict[str, KeyPath] = {}
        for path, name in self._names():
            own_camera = (*path[:2], "name")
            if taken.get(name, own_camera) != own_camera:  # one lane may be called as its camera
                yield Broken(path, "is taken by another camera or lane", "a name of its own")
            else:
                taken[name] = path
            if name == "agent":
                yield Broken(path, "is reserved for the agent's own topics", "any other name")

    def rule_no_explanation(self) -> Iterator[Broken]:
        needed_s = self.sampling.period_s + self.sampling.deadline_s
        if self.ablation.workers.count != 0 and self.alarms.limits.no_explanation_s <= needed_s:
            yield Broken(
                ("alarms", "limits", "no_explanation_s"),
                "is not longer than sampling.period_s + sampling.deadline_s: it would alarm by "
                "design",
                f"more than {needed_s:g} seconds",
            )

    def rule_classes(self) -> Iterator[Broken]:
        if self.model.classes is None or "classes" not in self.ablation.model_fields_set:
            return
        for i, name in enumerate(self.ablation.classes):
            if name not in self.model.classes:
                yield Broken(
                    ("ablation", "classes", i),
                    "is no class of the model",
                    ", ".join(self.model.classes),
                    nearest(name, self.model.classes),
                )

    def rule_ports(self) -> Iterator[Broken]:
        ports_meet = self.http.port == self.mqtt.embedded_port != 0
        if self.mqtt.broker == "embedded" and self.http.enabled and ports_meet:
            yield Broken(("mqtt", "embedded_port"), "is the port of the HTTP server too")

    def rule_recording(self) -> Iterator[Broken]:
        recording = self.recording
        if recording.enabled and recording.place(self.state_dir) is None:
            yield Broken(
                ("recording", "enabled"),
                "has no place for pictures: neither recording.folder nor state_dir is set",
            )

    def rule_recording_limit(self) -> Iterator[Broken]:
        """What is smaller than one picture keeps none, or throws out each for the next."""
        recording, (picture_bytes, whose) = self.recording, self._largest_record()
        if recording.limit_bytes < picture_bytes:
            yield Broken(
                ("recording", "limit_bytes"),
                f"is smaller than one recorded picture of {whose}",
                f"at least {picture_bytes}",
            )
            return
        for name, wanted in recording.wanted.items():
            if wanted.per_minute and 0 < wanted.share * recording.limit_bytes < picture_bytes:
                yield Broken(
                    ("recording", name, "share"),
                    f"of recording.limit_bytes is smaller than one recorded picture of {whose}",
                    f"0, or at least {picture_bytes / recording.limit_bytes:.2g}",
                )

    def rule_sparkplug(self) -> Iterator[Broken]:
        if not self.mqtt.sparkplug.enabled:
            return
        if self.mqtt.broker == "none":
            yield Broken(("mqtt", "sparkplug", "enabled"), "has no effect: mqtt.broker is none")
        if self.mqtt.client_id == f"{self.id}-spb":
            yield Broken(
                ("mqtt", "client_id"),
                "is that of the Sparkplug client: two would throw each other out",
            )

    def _largest_record(self) -> tuple[int, str]:
        """Most that a picture takes as PNG, and of which lane; of cameras that say their size."""
        sizes = [(RECORD_BYTES, "any camera")]
        for _, camera in having("name", self.cameras):
            for lane in camera.effective_lanes():
                width, height = camera.width_px or 0, camera.height_px or 0
                if lane.region is not None:
                    width, height = lane.region[2:]
                sizes.append((RECORD_BYTES + 3 * width * height, lane.name))
        return max(sizes)

    def _names(self) -> Iterator[tuple[KeyPath, str]]:
        """The names of cameras and lanes, with the place of each."""
        for i, camera in enumerate(self.cameras):
            if hasattr(camera, "name"):
                yield ("cameras", i, "name"), camera.name
            for k, lane in having("name", getattr(camera, "lanes", ())):
                yield ("cameras", i, "lanes", k, "name"), lane.name
