"""One lane's pairing: the state at the capture of a picture, and the fruit's id. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent.capture.pairing.clock import MachineClock
from agent.capture.pairing.history import MachineHistory, Word
from agent.capture.pairing.pictures import KEPT
from agent.capture.pairing.triggers import PairingSettings, TriggerPairing
from agent.records import CaptureMode, FruitReading, MachineInfo, Origin


class LanePairing:
    """``count`` is told, by reason, of what the machine said that names no picture."""

    def __init__(
        self,
        mode: CaptureMode,
        settings: PairingSettings,
        clock: MachineClock,
        count: Callable[[str], None],
    ) -> None:
        self._delay_s = settings.delay_s
        self._moments: dict[int, float] = {}  # of the newest pictures, by their number
        self._count = count
        self._operator: MachineInfo | None = None  # what an operator said last, while it holds
        self._history = MachineHistory(clock, settings.tolerance_s)
        self._triggers = (
            TriggerPairing(settings, clock, count) if mode is CaptureMode.TRIGGERED else None
        )

    def heard(self, word: Word) -> None:
        """Take a message of the machine that concerns this lane."""
        word = replace(word, info=self._in_force(word.info))
        if self._history.heard(word):
            self._count("overflow")
        if self._triggers is not None:
            self._triggers.trigger(word)

    def _in_force(self, info: MachineInfo) -> MachineInfo:
        """The message, with the variety and lot that an operator said where it names none: a
        machine that does not know them says so with each fruit."""
        if info.origin is Origin.OPERATOR:
            self._operator = info
            return info
        said = self._operator
        if said is None or info.variety is not None:
            self._operator = None
            return info
        if info.lot is not None:
            said = self._operator = replace(said, lot=info.lot)
        return replace(info, variety=said.variety, lot=said.lot)

    def picture(self, seq: int, mono: float, now: float) -> MachineInfo:
        """Take notice of a picture; return what was valid when it was captured.

        ``mono``: when it was captured, or came to a watched folder. Of a triggered camera without
        the id, which ``identified`` says later.
        """
        self._moments[seq] = mono
        if len(self._moments) > KEPT:
            del self._moments[next(iter(self._moments))]
        valid = self._history.at(mono + self._delay_s)
        if self._triggers is None:
            return valid
        self._triggers.picture(seq, mono, now)
        return replace(valid, fruit_id=None, machine_timestamp_ms=0)

    @property
    def waiting(self) -> bool:
        """Whether a picture may be waiting for the machine's next word."""
        return self._triggers is not None and self._triggers.waiting

    def identified(
        self, reading: FruitReading, now: float, *, final: bool = False
    ) -> FruitReading | None:
        """Return the reading with its fruit's id and how certain that is.

        None while its id may still come, which ``final`` ends.
        """
        seen = reading.segmentation
        said = seen.machine
        mono = self._moments.get(seen.seq, seen.captured_mono)
        if self._triggers is None:
            if said.pictured:
                return reading
            reason = self._history.certainty(mono + self._delay_s, said.fruit_id)
            return replace(reading, id_reason=reason)
        verdict = self._triggers.decide(seen.seq, now, final=final or said.pictured)
        if verdict is None or said.pictured:
            return reading if said.pictured else None
        if verdict.info is not None:
            said = self._with(said, verdict.info, mono)
        return replace(
            reading,
            segmentation=replace(seen, machine=said),
            id_reason=verdict.reason,
            waited_s=max(0.0, now - seen.done_mono),
        )

    def _with(self, said: MachineInfo, trigger: MachineInfo, mono: float) -> MachineInfo:
        """The word of the trigger, but for what the picture itself has said otherwise."""
        valid = self._history.at(mono + self._delay_s)
        return replace(
            trigger,
            state=trigger.state if said.state is valid.state else said.state,
            variety=trigger.variety if said.variety == valid.variety else said.variety,
            lot=trigger.lot if said.lot == valid.lot else said.lot,
            encoder=trigger.encoder if said.encoder == valid.encoder else said.encoder,
        )
