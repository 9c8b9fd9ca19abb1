"""What is decided of models, in memory and on the disk, for the threads that decide and try."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from agent.pipeline.model_swap import files
from agent.pipeline.model_swap.prepared import Prepared
from agent.pipeline.model_swap.state import Staged, State, StateError, StateFile
from agent.telemetry import log_event

logger = logging.getLogger(__name__)


class Book:
    """The state, and the model that is live. Every change is on the disk before it is here."""

    def __init__(self, file: StateFile, live: Prepared) -> None:
        self._file = file
        self.folder = file.folder
        self._state = file.read()
        self._live = live
        self._saved = self._state.staged
        self._writing = threading.Lock()  # taken before the other: what is written last is newest
        self.changed = threading.Condition()  # guards what is here, for moments

    @property
    def state(self) -> State:
        return self._state

    @property
    def live(self) -> Prepared:
        """The model that reads the fruit."""
        return self._live

    @property
    def staged(self) -> Staged | None:
        return self._state.staged

    def change(self, state: State, live: Prepared) -> None:
        """``StateError`` where the disk does not take it; nothing is changed then."""
        with self._writing:
            self._file.write(state)
            with self.changed:
                self._state, self._live, self._saved = state, live, state.staged
                self.changed.notify_all()

    def step(self, before: Staged, after: Staged) -> bool:
        """What a trial has found, in memory; false where its model is not staged any more."""
        with self.changed:
            if self._state.staged is not before:
                return False
            self._state = self._state.model_copy(update={"staged": after})
            self.changed.notify_all()
        return True

    def wait(self, until: Callable[[], bool], timeout_s: float) -> None:
        """Until a change after which ``until`` holds."""
        with self.changed:
            self.changed.wait_for(until, timeout_s)

    def save(self) -> None:
        """What a trial has found since the last time. A disk that does not take it costs that."""
        with self._writing:
            state = self._state
            if state.staged is self._saved:
                return
            try:
                self._file.write(state)
                self._saved = state.staged
            except StateError as error:
                known = {"reason": str(error)}
                log_event(logger, logging.WARNING, "model_state_not_written", **known)

    def prune(self) -> None:
        """Remove copies of files that nothing here names."""
        if self.folder is None:
            return
        state = self._state
        kept = [state.running, state.previous]
        kept += [one.chosen for one in (state.staged, state.promoted) if one is not None]
        files.prune(self.folder, [path for one in kept if one is not None for path in one.files])
