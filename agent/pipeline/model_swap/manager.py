"""Stages, promotes and takes back models of the running agent, as commands ask for it.

Every change is first in the state file and then in force, so that a kill at any moment leaves one
of the two: the agent before the change, or the one after it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from agent.alarms.charts.reference import ReferenceFileError
from agent.config import Config
from agent.models.errors import ModelError
from agent.pipeline.model_swap import report
from agent.pipeline.model_swap.arguments import kept, stage_request
from agent.pipeline.model_swap.book import Book
from agent.pipeline.model_swap.prepared import Prepared, key_of
from agent.pipeline.model_swap.shadow import ShadowSettings
from agent.pipeline.model_swap.state import (
    Change,
    Chosen,
    Phase,
    Staged,
    State,
    StateError,
    StateFile,
    afresh,
)
from agent.pipeline.model_swap.trials import Trials
from agent.supervision.control.protocol import Peer, RefusedError
from agent.supervision.control.server import Handler
from agent.telemetry import Clock, Telemetry, log_event, wall_clock_ms

logger = logging.getLogger(__name__)

STAGE_ANSWER_S = 100.0
"""How long ``stage`` waits to say whether the model could be loaded."""


@dataclass(frozen=True, slots=True)
class SwapHooks:
    """What the wiring does. ``prepare`` loads, and raises ``ModelError`` or ``ReferenceFileError``;
    ``go_live`` puts a model in force between two fruit and does not wait; ``renewed``: whether
    every worker has the live model. ``reached`` is told each step, for tests that end there."""

    prepare: Callable[[Chosen], Prepared]
    go_live: Callable[[Prepared], None]
    renewed: Callable[[], bool]
    trial: ShadowSettings
    reached: Callable[[str], None] = lambda _step: None
    utc_ms: Callable[[], int] = wall_clock_ms


class ModelSwap:
    """``config``: as the file says it, whatever was promoted. ``first``: what the agent began with.

    ``trials`` is offered pictures and explanations; the handlers may take their time.
    """

    def __init__(
        self,
        config: Config,
        first: Prepared,
        hooks: SwapHooks,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._config = config
        self._hooks = hooks
        self._telemetry = telemetry
        self._book = Book(StateFile(config.state_dir), first)
        self.trials = Trials(self._book, hooks.trial, hooks.reached, telemetry, clock)
        self._ready = {_name_of(first.chosen): first}
        self._changing = threading.Lock()  # one change at a time

    @property
    def live(self) -> Prepared:
        """The model that reads the fruit."""
        return self._book.live

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By command of the control socket."""
        return {
            "model.stage": self._on_stage,
            "model.status": lambda _arguments, _peer: self.status(),
            "model.promote": self._on_promote,
            "model.rollback": self._on_rollback,
            "model.discard": self._on_discard,
        }

    def status(self) -> dict[str, object]:
        """Everything a person asks for, as JSON values."""
        state, live = self._book.state, self.live
        staged = state.staged
        return {
            "live": report.of_model(live.chosen),
            "decided_by": "configuration" if state.running is None else "promotion",
            "workers_renewed": self._hooks.renewed(),
            "varieties_charted": sorted(live.references),
            "previous": report.of_model(state.previous) if state.previous else None,
            "staged": report.of_staged(staged, self._hooks.trial) if staged else None,
            "changes": [one.model_dump(mode="json") for one in state.changes],
        }

    # --- commands --------------------------------------------------------------------------------

    def _on_stage(self, arguments: Mapping[str, object], peer: Peer) -> Mapping[str, object]:
        folder = self._book.folder
        if folder is None:
            raise RefusedError("state_dir is not set: there is no place for a staged model")
        with self._one_change():
            request = stage_request(arguments, self._config.model)
            staged = Staged(
                chosen=kept(request, folder),
                phase=Phase.LOADING,
                given=request.given,
                varieties=request.varieties,
                by_uid=peer.uid,
                since_utc_ms=self._hooks.utc_ms(),
            )
            self._replace_staged(staged, "staged", peer, request.given)
            self._hooks.reached("staged")
        self._book.wait(self._is_loaded, STAGE_ANSWER_S)
        found = self._book.staged
        ours = found is not None and found.since_utc_ms == staged.since_utc_ms
        if found is not None and ours and found.phase is Phase.REFUSED:
            raise RefusedError(found.told)
        return self.status()

    def _on_discard(self, _arguments: Mapping[str, object], peer: Peer) -> Mapping[str, object]:
        with self._one_change():
            staged = self._book.staged
            if staged is None:
                raise RefusedError("no model is staged")
            self._replace_staged(None, "discarded", peer, staged.given)
        return self.status()

    def _on_promote(self, arguments: Mapping[str, object], peer: Peer) -> Mapping[str, object]:
        with self._one_change():
            staged = self._book.staged
            if staged is None:
                raise RefusedError("no model is staged: pitwatch model stage FILE")
            if why := _not_yet(staged, early=arguments.get("early") is True):
                raise RefusedError(why)
            prepared = self._prepared(staged.chosen)
            if prepared.model.sha256 == self.live.model.sha256:
                raise RefusedError(f"{staged.given} is the model that is live already")
            state = self._book.state.model_copy(
                update={
                    "key": key_of(self._config),
                    "running": prepared.chosen,
                    "previous": self.live.chosen,
                    "staged": None,
                    "promoted": staged,
                }
            )
            self._change(state, prepared, "promoted", peer)
        return self.status()

    def _on_rollback(self, _arguments: Mapping[str, object], peer: Peer) -> Mapping[str, object]:
        with self._one_change():
            before = self._book.state
            previous = before.previous
            if previous is None:
                raise RefusedError("there is no model to go back to")
            prepared = self._prepared(previous)
            # One that is in the shadow meanwhile stays staged; else the one taken back is. One that
            # is live again is not staged beside itself.
            staged = self._book.staged or before.promoted
            if staged is not None and staged.chosen.sha256 == prepared.model.sha256:
                staged = None
            state = self._book.state.model_copy(
                update={
                    "key": key_of(self._config),
                    "running": None if previous.from_configuration else prepared.chosen,
                    "previous": self.live.chosen,
                    "staged": afresh(staged) if staged is not None else None,
                    "promoted": None,
                }
            )
            self._change(state, prepared, "rolled_back", peer)
        return self.status()

    # --- how a change is made --------------------------------------------------------------------

    @contextlib.contextmanager
    def _one_change(self) -> Iterator[None]:
        if not self._changing.acquire(blocking=False):
            raise RefusedError("another change of the model is under way")
        try:
            yield
        finally:
            self._changing.release()

    def _prepared(self, chosen: Chosen) -> Prepared:
        """Loaded in this thread, or as it was loaded before."""
        found = self._ready.get(_name_of(chosen))
        if found is None:
            try:
                found = self._hooks.prepare(chosen)
            except (ModelError, ReferenceFileError) as error:
                raise RefusedError(str(error)) from error
        self._hooks.reached("prepared")
        return replace(found, chosen=chosen)

    def _change(self, state: State, prepared: Prepared, action: str, peer: Peer) -> None:
        """Another model is live: written, then in force."""
        before = self.live
        was, now = before.model, prepared.model
        self._write(state, prepared, self._line(action, peer, was.sha256, now.sha256))
        self._hooks.reached("written")
        self._hooks.go_live(prepared)
        self._hooks.reached("live")
        self._ready = {_name_of(one.chosen): one for one in (before, prepared)}
        self._telemetry.count("model_changes", action=action)
        log_event(
            logger,
            logging.INFO,
            f"model_{action}",
            was=f"{was.name} {was.sha256[:12]}",
            now=f"{now.name} {now.sha256[:12]}",
            by_uid=peer.uid,
        )
        self._book.prune()

    def _replace_staged(self, staged: Staged | None, action: str, peer: Peer, file: str) -> None:
        state = self._book.state.model_copy(update={"staged": staged})
        self._write(state, self.live, self._line(action, peer, why=file))
        self._telemetry.count("model_changes", action=action)
        log_event(logger, logging.INFO, f"model_{action}", file=file, by_uid=peer.uid)
        self._book.prune()

    def _write(self, state: State, live: Prepared, change: Change) -> None:
        try:
            self._book.change(state.noting(change), live)
        except StateError as error:
            raise RefusedError(f"nothing was changed: {error}") from error
        self.trials.wake()

    def _line(
        self, action: str, peer: Peer, was: str = "", now: str = "", why: str = ""
    ) -> Change:  # fmt: skip
        return Change.model_validate(
            {
                "utc_ms": self._hooks.utc_ms(),
                "by_uid": peer.uid,
                "action": action,
                "was": was,
                "now": now,
                "why": why[:300],
            }
        )

    def _is_loaded(self) -> bool:
        staged = self._book.staged
        return staged is None or staged.phase is not Phase.LOADING


def _name_of(chosen: Chosen) -> str:
    return chosen.model_copy(update={"from_configuration": False}).model_dump_json()


def _not_yet(staged: Staged, *, early: bool) -> str:
    """Why this model cannot be promoted now, in words; empty where it can."""
    if staged.phase is Phase.READY or (staged.phase is Phase.SHADOW and early):
        return ""
    if staged.phase is Phase.REFUSED:
        return f"{staged.given} is refused: {staged.told}"
    if staged.phase is Phase.SHADOW:
        seen = f"{staged.tally.pictures} pictures in {staged.shadow_s:.0f} s"
        return f"{staged.given} is still in the shadow ({seen}); --early promotes it all the same"
    return f"{staged.given} is not audited yet (it is at {staged.phase.value})"
