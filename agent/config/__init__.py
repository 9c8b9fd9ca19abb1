"""The configuration: typed models with their rules, and files read into them.

The models are this package's names: ``from agent import config``, then ``config.Camera``. Each
section of a file has a module in ``agent.config.sections``, named as its key is.
"""

from agent.config.models import Config
from agent.config.sections.ablation import Ablation, PoolKind, Priority, Ray, Workers
from agent.config.sections.alarms import (
    WEEKDAYS,
    AlarmBudget,
    AlarmLimits,
    Alarms,
    ChangeOver,
    Weekday,
)
from agent.config.sections.base import (
    Extent,
    LongSeconds,
    Name,
    Pixel,
    Seconds,
    Section,
    Share,
)
from agent.config.sections.cameras import Camera, Lane, SimValue, Transport
from agent.config.sections.commands import CommandName, Commands
from agent.config.sections.genicam import GenicamBackend, GenicamOptions
from agent.config.sections.http import Http, HttpLimits, HttpTls
from agent.config.sections.logging import Logging
from agent.config.sections.model import Head, Model, ModelFormat, Preprocessing
from agent.config.sections.mqtt import Mqtt, Protocol, Sparkplug, Tls
from agent.config.sections.recording import Explained, Recording, Wanted
from agent.config.sections.sampling import Sampling
from agent.config.sections.segmentation import Segmentation
from agent.config.sections.site import Site
from agent.config.sections.storage import Storage
from agent.score_names import Score

__all__ = [
    "WEEKDAYS",
    "Ablation",
    "AlarmBudget",
    "AlarmLimits",
    "Alarms",
    "Camera",
    "ChangeOver",
    "CommandName",
    "Commands",
    "Config",
    "Explained",
    "Extent",
    "GenicamBackend",
    "GenicamOptions",
    "Head",
    "Http",
    "HttpLimits",
    "HttpTls",
    "Lane",
    "Logging",
    "LongSeconds",
    "Model",
    "ModelFormat",
    "Mqtt",
    "Name",
    "Pixel",
    "PoolKind",
    "Preprocessing",
    "Priority",
    "Protocol",
    "Ray",
    "Recording",
    "Sampling",
    "Score",
    "Seconds",
    "Section",
    "Segmentation",
    "Share",
    "SimValue",
    "Site",
    "Sparkplug",
    "Storage",
    "Tls",
    "Transport",
    "Wanted",
    "Weekday",
    "Workers",
]
