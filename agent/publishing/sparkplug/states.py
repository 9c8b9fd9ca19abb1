"""The states of an edge node: which there are, and what leads from one to another."""

from __future__ import annotations

import enum


class NodeState(enum.Enum):
    OFFLINE = "offline"
    WAITING = "waiting"  # connected, and not born: for the first values, or the primary host
    ONLINE = "online"
    LEAVING = "leaving"  # must say NDEATH and disconnect


class Cause(enum.StrEnum):
    """Why the state changes."""

    CONNECTED = "connected"
    BORN = "born"
    HOST_OFFLINE = "host_offline"
    DISCONNECTED = "disconnected"


_S = NodeState
EDGES: dict[tuple[NodeState, Cause], NodeState] = {
    (_S.OFFLINE, Cause.CONNECTED): _S.WAITING,
    (_S.WAITING, Cause.BORN): _S.ONLINE,
    (_S.ONLINE, Cause.HOST_OFFLINE): _S.LEAVING,
    **{(state, Cause.DISCONNECTED): _S.OFFLINE for state in _S},
}
