"""The whole configuration: its sections, and the rules that join several of them.

Unknown keys are errors everywhere. Files are read by ``agent.config.load``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.config.rules import Broken
from agent.config.sections.ablation import Ablation
from agent.config.sections.alarms import Alarms
from agent.config.sections.base import Name, Section
from agent.config.sections.cameras import Camera
from agent.config.sections.commands import Commands
from agent.config.sections.http import Http
from agent.config.sections.logging import Logging
from agent.config.sections.model import Model
from agent.config.sections.mqtt import Mqtt
from agent.config.sections.sampling import Sampling
from agent.config.sections.segmentation import Segmentation
from agent.config.sections.site import Site
from agent.config.sections.storage import Storage


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
        yield from _name_rules(self)
        yield from _sparkplug_rules(self)
        needed_s = self.sampling.period_s + self.sampling.deadline_s
        if self.ablation.workers.count != 0 and self.alarms.limits.no_explanation_s <= needed_s:
            yield Broken(
                ("alarms", "limits", "no_explanation_s"),
                "is not longer than sampling.period_s + sampling.deadline_s: it would alarm by "
                "design",
                f"more than {needed_s:g} seconds",
            )
        if self.model.classes is not None and "classes" in self.ablation.model_fields_set:
            for i, name in enumerate(self.ablation.classes):
                if name not in self.model.classes:
                    yield Broken(
                        ("ablation", "classes", i),
                        "is no class of the model",
                        ", ".join(self.model.classes),
                    )
        ports_meet = self.http.port == self.mqtt.embedded_port != 0
        if self.mqtt.broker == "embedded" and self.http.enabled and ports_meet:
            yield Broken(("mqtt", "embedded_port"), "is the port of the HTTP server too")


def _name_rules(whole: Config) -> Iterator[Broken]:
    if not whole.cameras:
        yield Broken(("cameras",), "is empty", "at least one camera")
    taken: dict[str, int] = {}  # name of a camera or lane -> index of the camera that has it
    for i, camera in enumerate(whole.cameras):
        path: tuple[str | int, ...] = ("cameras", i, "name")
        if camera.name in taken:
            yield Broken(path, "is taken by another camera or lane", "a name of its own")
        yield from _not_reserved(path, camera.name)
        taken.setdefault(camera.name, i)
        here: set[str] = set()
        for k, lane in enumerate(camera.lanes):
            path = ("cameras", i, "lanes", k, "name")
            if lane.name in here or taken.get(lane.name, i) != i:
                yield Broken(path, "is taken by another camera or lane", "a name of its own")
            yield from _not_reserved(path, lane.name)
            here.add(lane.name)
            taken.setdefault(lane.name, i)


def _not_reserved(path: tuple[str | int, ...], name: str) -> Iterator[Broken]:
    if name == "agent":
        yield Broken(path, "is reserved for the agent's own topics", "any other name")


def _sparkplug_rules(whole: Config) -> Iterator[Broken]:
    mqtt = whole.mqtt
    if not mqtt.sparkplug.enabled:
        return
    if mqtt.broker == "none":
        yield Broken(("mqtt", "sparkplug", "enabled"), "has no effect: mqtt.broker is none")
    if mqtt.client_id == f"{whole.id}-spb":
        yield Broken(
            ("mqtt", "client_id"), "is that of the Sparkplug client: two would throw each other out"
        )
