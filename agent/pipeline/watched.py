"""Which alarms there are, once configuration or references are others."""

from __future__ import annotations

from agent.alarms.catalogue import watched_ids
from agent.config import Config
from agent.pipeline import factories
from agent.pipeline.build import Stages


def watch_alarms(stages: Stages, config: Config) -> None:
    """Go on with the alarms that ``config`` and the references in force ask for, and publish what
    that changes; an errand of the alarms."""
    cameras = [camera.name for camera in config.cameras]
    ids = watched_ids(tuple(factories.lanes_of(config)), cameras, stages.running.charted())
    stages.alarm_loop.announce(stages.persistence.configure(config.alarms, ids))
