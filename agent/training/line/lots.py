"""Which lot a picture of a folder is of, as the folder's ``dataset.json`` says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from agent.strict_json import read_object
from agent.training.errors import TrainingError

CARD = "dataset.json"
VERSION = 1
LIMIT_BYTES = 256 << 20
PREDICTED = "predicted_sha256"
"""A key of pictures that were exported; import takes it away."""


def lots_of(folder: Path) -> Mapping[str, str]:
    """Lot by name of picture, "" where the card knows none; empty where the folder has no card.

    ``TrainingError`` naming the file, and in it the picture, for a card that cannot be used, and
    for that of an export whose labels were not imported.
    """
    path = folder / CARD
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read: {error.strerror}") from error
    found = read_object(data, LIMIT_BYTES)
    if found.wrong:
        raise TrainingError(f"{path}: {found.wrong}")
    if found.values.get("version") != VERSION:
        raise TrainingError(f"{path}: version {found.values.get('version')!r}, expected {VERSION}")
    rows = found.values.get("pictures")
    if not isinstance(rows, dict):
        raise TrainingError(f"{path}: pictures: is no object")
    if any(isinstance(row, dict) and PREDICTED in row for row in rows.values()):
        raise TrainingError(
            f"{path}: an export: its masks are the model's own; pitwatch import its labels first"
        )
    lots: dict[str, str] = {}
    for name, row in rows.items():
        lot = row.get("lot") if isinstance(row, dict) else None
        if not isinstance(lot, str):
            raise TrainingError(f"{path}: {name}: lot: is no text")
        lots[name] = lot
    return lots


def held_out_lots(lots: Iterable[str], share: float) -> frozenset[str]:
    """About ``share`` of the lots, chosen by name, so that a lot that is added moves none of the
    others; at least one is held out and one is not, so that this holds only from some ten lots on:
    of fewer, the one held out may be the first in rank alone. ``TrainingError`` for one lot."""
    ranked = sorted(set(lots), key=_digest)
    if len(ranked) < 2:
        raise TrainingError(
            f"all pictures are of lot {', '.join(ranked)}: none can be held out, since no lot is "
            "both trained on and judged by; add pictures of another lot, or take "
            f"{CARD} away to hold out pictures by name"
        )
    limit = format(int(share * 256), "02x")
    held = [lot for lot in ranked if _digest(lot)[:2] < limit] or ranked[:1]
    return frozenset(held[: len(ranked) - 1])


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
