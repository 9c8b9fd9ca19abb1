"""What takes over a changed key while the agent runs: for every key of the configuration.

Checked against the schema by the tests; ``config/README.md`` has it as a table, written by
``python -m agent.config.reload_table``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from agent.config.url import parse_broker


class Part(enum.StrEnum):
    """What is begun anew for a key, in the words of table, log and answer."""

    AT_ONCE = "at once"  # nothing is begun anew
    CAMERA = "that camera"  # its capture process, alone
    SERVER = "page server"  # the process behind http; the port stays open, clients wait a moment
    PUBLISHER = "publisher"  # the connections to the broker; nothing that waits is lost
    WORKERS = "workers"  # the processes that explain
    RESTART = "restart"  # the running agent keeps the value that it has


_AT_ONCE, _RESTART = Part.AT_ONCE, Part.RESTART

PARTS: Final[Mapping[str, Part]] = MappingProxyType(
    {
        "version": _RESTART,  # of the file's form; one that cannot be read is refused
        "id": _RESTART,
        "state_dir": _RESTART,
        "site": _RESTART,  # the old topics would keep their values
        "cameras": Part.CAMERA,
        "cameras[].cutting_line_deg": _AT_ONCE,
        "cameras[].mm_per_px": _AT_ONCE,
        "cameras[].lanes[].cutting_line_deg": _AT_ONCE,
        "cameras[].lanes[].mm_per_px": _AT_ONCE,
        "model": _RESTART,
        "segmentation": _AT_ONCE,
        "segmentation.batches": _RESTART,  # proven before the network runs
        "sampling": _AT_ONCE,
        "ablation": Part.WORKERS,
        "ablation.score": _RESTART,  # references are made with one
        "ablation.classes": _RESTART,  # with the fractions, the keys of topics and tags
        "ablation.fractions": _RESTART,
        "alarms": _AT_ONCE,
        "alarms.language": Part.SERVER,
        "alarms.reference": _RESTART,
        "storage": _AT_ONCE,
        "recording": _AT_ONCE,
        "recording.folder": _RESTART,
        "commands": Part.PUBLISHER,
        "mqtt": Part.PUBLISHER,
        "mqtt.embedded_port": _RESTART,
        "http": Part.SERVER,
        "http.enabled": _RESTART,
        "http.host": _RESTART,
        "http.port": _RESTART,
        "logging": _AT_ONCE,
        "logging.file": _RESTART,
        "logging.file_limit_bytes": _RESTART,
        "logging.file_count": _RESTART,
    }
)
"""By key; a key that is not here belongs to the nearest one above it that is."""

BROKER: Final = "mqtt.broker"


def part_of(key: str) -> Part:
    """Return the part of a key, ``cameras[].lanes[].region``; ``KeyError`` for none that is known.

    >>> part_of("mqtt.tls.ca").value, part_of("mqtt.embedded_port").value
    ('publisher', 'restart')
    """
    place = key
    while place not in PARTS:
        shorter = re.sub(r"(\.?[^.\[\]]+|\[\])$", "", place)
        if not shorter or shorter == place:
            raise KeyError(key)
        place = shorter
    return PARTS[place]


def part_of_change(key: str, before: object, after: object) -> Part:
    """As ``part_of``; of the broker, only a change from one address to another is taken over: to or
    from ``embedded`` or ``none`` needs a restart."""
    if key == BROKER and not (_is_network(before) and _is_network(after)):
        return Part.RESTART
    return part_of(key)


def _is_network(broker: object) -> bool:
    return isinstance(broker, str) and parse_broker(broker).kind == "network"
