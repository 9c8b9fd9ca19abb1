"""The topics of one edge node: ``spBv1.0/{group}/{type}/{node}[/{device}]`` (section 4)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from agent.config import Site

NAMESPACE = "spBv1.0"


class Type(enum.StrEnum):
    """The message types of an edge node."""

    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"


@dataclass(frozen=True, slots=True)
class NodeTopics:
    """``group`` and ``node`` are made of topic levels, which hold no ``+``, ``/`` or ``#``."""

    group: str
    node: str

    @classmethod
    def of(cls, site: Site, agent_id: str) -> NodeTopics:
        return cls(f"{site.enterprise}-{site.site}", agent_id)

    def topic(self, message: Type, device: str = "") -> str:
        """Return the topic of one message; ``device`` belongs to the D... types alone."""
        node = f"{NAMESPACE}/{self.group}/{message.value}/{self.node}"
        return f"{node}/{device}" if device else node


def state_topics(host_id: str) -> tuple[str, str]:
    """Where a host application says that it is there: by version 3, and as before it."""
    return f"{NAMESPACE}/STATE/{host_id}", f"STATE/{host_id}"
