"""The states of a camera and the edges between them, each with its causes: one table."""

from __future__ import annotations

import enum
import logging
from collections.abc import Mapping
from types import MappingProxyType

from agent.records import CameraState

CONNECTING, LIVE, STALLED = CameraState.CONNECTING, CameraState.LIVE, CameraState.STALLED
FROZEN, BACKOFF = CameraState.FROZEN, CameraState.BACKOFF
FAILED, ENDED = CameraState.FAILED, CameraState.ENDED


class Cause(enum.StrEnum):
    """Why a camera changed its state."""

    START = "start"
    RETRY = "retry"  # the back-off is over
    FIRST_FRAME = "first_frame"
    IDLE = "idle"  # open, no picture, and none is due: the machine stands or a trigger is away
    FRAMES_RESUMED = "frames_resumed"
    NO_FIRST_FRAME = "no_first_frame"  # open, and no picture although one is due
    SILENCE = "silence"  # no picture for max(1 s, 10 periods), or for longer than any pause so far
    SILENT_TOO_LONG = "silent_too_long"  # so long that a new handle is tried
    IDENTICAL = "identical"  # every pixel the same
    NEAR_IDENTICAL = "near_identical"  # the same but for the noise of an encoder
    PICTURE_CHANGED = "picture_changed"
    FROZEN_TOO_LONG = "frozen_too_long"
    OPEN_FAILED = "open_failed"
    OPEN_TIMEOUT = "open_timeout"
    READ_FAILED = "read_failed"
    READ_TIMEOUT = (
        "read_timeout"  # a read did not return in time; at the latest its process is killed
    )
    SIZE_CHANGED = "size_changed"  # the pictures have another size than before
    UNPLUGGED = "unplugged"  # the network card here has no link
    NO_ANSWER = "no_answer"  # a link, and nobody answers: no power, or a cable farther away
    TAKEN = "taken"  # another client controls the camera
    RESTARTED = "restarted"  # it answers, and knows this client no more
    MOVED = "moved"  # it answers at another address
    CHILD_DIED = "child_died"
    SUPERVISION_FAILED = "supervision_failed"  # an error of this program's own
    PERMANENT = "permanent"  # an error that no new try can mend
    END_OF_SOURCE = "end_of_source"


AWAY = frozenset({Cause.UNPLUGGED, Cause.NO_ANSWER, Cause.TAKEN, Cause.RESTARTED, Cause.MOVED})
"""What a source that can ask its camera says of it, as the reason of its error."""

_LOST = AWAY | frozenset(
    {
        Cause.READ_FAILED,
        Cause.READ_TIMEOUT,
        Cause.CHILD_DIED,
        Cause.SIZE_CHANGED,
        Cause.SUPERVISION_FAILED,
    }
)

EDGES: Mapping[tuple[CameraState, CameraState], frozenset[Cause]] = MappingProxyType(
    {
        (CONNECTING, LIVE): frozenset({Cause.FIRST_FRAME, Cause.IDLE}),
        (CONNECTING, FROZEN): frozenset({Cause.IDENTICAL, Cause.NEAR_IDENTICAL}),
        (CONNECTING, STALLED): frozenset({Cause.NO_FIRST_FRAME}),
        (CONNECTING, BACKOFF): _LOST | {Cause.OPEN_FAILED, Cause.OPEN_TIMEOUT},
        (LIVE, STALLED): frozenset({Cause.SILENCE}),
        (LIVE, FROZEN): frozenset({Cause.IDENTICAL, Cause.NEAR_IDENTICAL}),
        (LIVE, BACKOFF): _LOST,
        (STALLED, LIVE): frozenset({Cause.FRAMES_RESUMED, Cause.IDLE}),
        (STALLED, FROZEN): frozenset({Cause.IDENTICAL, Cause.NEAR_IDENTICAL}),
        (STALLED, BACKOFF): _LOST | {Cause.SILENT_TOO_LONG},
        (FROZEN, LIVE): frozenset({Cause.PICTURE_CHANGED, Cause.IDLE}),
        (FROZEN, STALLED): frozenset({Cause.SILENCE}),
        (FROZEN, BACKOFF): _LOST | {Cause.FROZEN_TOO_LONG},
        (BACKOFF, CONNECTING): frozenset({Cause.RETRY}),
        # Every state in which a session is open may see its end.
        **{
            (state, FAILED): frozenset({Cause.PERMANENT})
            for state in (CONNECTING, LIVE, STALLED, FROZEN)
        },
        **{
            (state, ENDED): frozenset({Cause.END_OF_SOURCE})
            for state in (CONNECTING, LIVE, STALLED, FROZEN)
        },
    }
)
"""(from, to) -> causes. FAILED and ENDED have no way out; what is not here cannot happen."""


LOG_LEVELS = {
    STALLED: logging.WARNING,
    FROZEN: logging.WARNING,
    BACKOFF: logging.WARNING,
    FAILED: logging.ERROR,
}
"""Of the event that tells a change; of any other state it is INFO."""


class IllegalEdge(Exception):  # noqa: N818 - a mistake of this program, never of a camera
    """A change of state that the table does not allow."""


def check_edge(origin: CameraState, to: CameraState, cause: Cause) -> None:
    """Raise ``IllegalEdge`` for a change that is not in the table."""
    if cause not in EDGES.get((origin, to), frozenset()):
        raise IllegalEdge(f"{origin} -> {to} by {cause}")
