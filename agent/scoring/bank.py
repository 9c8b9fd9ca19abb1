"""A folder of recordings: ordinary lots of a variety, and lots under each fault and strength.

Every lot is a file, written whole or not at all, so that an interrupted bank goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.scoring.errors import ScoringError
from agent.scoring.protocol import Protocol, Trial
from agent.scoring.recording import Recorder, Recording, Told, load_recording, save_recording


@dataclass(frozen=True, slots=True)
class Wanted:
    """One recording of the bank: where it is, and what it is made of."""

    path: Path
    variety: str
    seed: int
    cups: int
    trial: Trial | None

    @property
    def title(self) -> str:
        """``golden, lot 3`` or ``golden, lamp_fade at 0.85``, for people."""
        if self.trial is None:
            return f"{self.variety}, {self.path.stem}"
        return f"{self.variety}, {self.trial.name} at {self.trial.strength:.3g}"


class Bank:
    """The recordings that a protocol asks for, in ``folder``."""

    def __init__(self, folder: Path, protocol: Protocol, recorder: Recorder) -> None:
        self._folder, self._protocol, self._recorder = folder, protocol, recorder

    def lots(self, variety: str) -> list[Wanted]:
        """Ordinary production of this variety."""
        protocol = self._protocol
        return [
            Wanted(
                self._folder / variety / f"lot-{lot:03d}.npz",
                variety,
                protocol.bank_seed(variety, lot),
                protocol.lot_cups,
                None,
            )
            for lot in range(protocol.lots)
        ]

    def faults(self, variety: str, trial: Trial) -> list[Wanted]:
        """Lots of this variety under this fault."""
        protocol = self._protocol
        name = f"{trial.name}-{trial.strength:.4f}"
        return [
            Wanted(
                self._folder / variety / f"{name}-{lot}.npz",
                variety,
                protocol.fault_seed(trial.name, lot),
                protocol.fault_cups,
                trial,
            )
            for lot in range(protocol.fault_lots)
        ]

    def about(self, one: Wanted) -> dict[str, Any]:
        """What this recording is, or would be, made with."""
        return self._recorder.about(one.variety, one.seed, one.cups, one.trial)

    def record(self, one: Wanted, told: Told = lambda _cups: None) -> None:
        """Make a recording where it is missing. ``ScoringError`` where the disk refuses.

        ``told`` hears how many cups have passed.
        """
        if not one.path.exists():
            made = self._recorder.record(one.variety, one.seed, one.cups, one.trial, told)
            save_recording(made, one.path)

    def read(self, wanted: Sequence[Wanted]) -> list[Recording]:
        """The recordings; ``ScoringError`` for one that is missing, damaged or made otherwise."""
        missing = [one.title for one in wanted if not one.path.exists()]
        if missing:
            raise ScoringError(
                f"{self._folder}: {len(missing)} of {len(wanted)} recordings are missing "
                f"({', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}): record them first"
            )
        return [load_recording(one.path, self.about(one)) for one in wanted]
