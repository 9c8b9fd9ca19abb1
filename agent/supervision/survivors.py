"""Children that should be dead: ended once more until they are.

Ending a child can fail, and then the child may go on with the camera, the GPU or the port that the
next one needs. Whoever replaces children must not fail of that as well.
"""

from __future__ import annotations

import logging

from agent.supervision.child import KILL_WAIT_S, Child

logger = logging.getLogger(__name__)

SURVIVORS_MAX = 16
"""More that cannot be ended, and none is started in their place."""


class Survivors:
    """For one thread, the one that spawned the children."""

    def __init__(self) -> None:
        self._killed: list[Child] = []  # in a system call: they never run their code again
        self._not_killed: list[Child] = []

    def __len__(self) -> int:
        return len(self._killed) + len(self._not_killed)

    def end(self, child: Child, wait_s: float = KILL_WAIT_S) -> str:
        """Kill a child and return how it ended, in words; what is not dead is kept. Never raises:
        an error is logged."""
        try:
            if child.kill(wait_s):
                return child.describe_exit()
            self._killed.append(child)
        except Exception:  # whatever it is, the next child must be able to start
            logger.exception("child_not_killed", extra={"fields": {"child": child.name}})
            self._not_killed.append(child)
        return "not dead yet"

    def again(self) -> None:
        """Try once more, without waiting, and forget those that are dead."""
        tried, self._not_killed = self._not_killed, []
        for child in tried:
            try:
                if child.alive() and not child.kill(0.0):
                    self._killed.append(child)
            except Exception:  # noqa: BLE001 - it was logged when it failed first
                self._not_killed.append(child)
        self._killed = [child for child in self._killed if child.alive()]

    def check_room(self) -> None:
        """``ChildProcessError`` while too many are left for another one to be started."""
        self.again()
        if len(self) >= SURVIVORS_MAX:
            raise ChildProcessError(f"{len(self)} processes cannot be ended")
