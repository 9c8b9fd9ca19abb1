"""The audit as a picture: each fruit with the map of its suture, and what was measured of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2

from agent import drawing
from agent.ablation.overlay import blended, colour_range
from agent.commissioning.audit import Audit, Audited
from agent.commissioning.errors import CommissioningError
from agent.drawing import Image

SIDE_PX = 224
COLUMNS = 5


def write_sheet(audit: Audit, path: Path) -> None:
    """Write the sheet as PNG; ``CommissioningError`` where it cannot be written."""
    try:
        written = cv2.imwrite(str(path), sheet(audit))
    except cv2.error:
        written = False
    if not written:
        raise CommissioningError(f"{path}: the pictures of the audit cannot be written")


def sheet(audit: Audit) -> Image:
    """(H, W, 3) BGR: the findings, then a tile for each fruit."""
    lines = ["The audit is passed" if audit.passed else "The audit is not passed"]
    lines += [
        f"{'ok' if one.passed else 'REFUSED'}  {one.name}: {one.text}" for one in audit.findings
    ]
    return drawing.sheet(lines, [_tile(case) for case in audit.cases], SIDE_PX, COLUMNS)


def _tile(case: Audited) -> tuple[Image, Sequence[str]]:
    image = drawing.in_colour(case.frame.image)
    found = case.suture
    if found is None:
        return image, ["no suture to explain"]
    lines = (
        ("suture hidden", found.input_sensitivity_foreground),
        ("background share", found.input_context_reliance),
    )
    shown = blended(
        drawing.scaled(image, SIDE_PX),
        found.map,
        colour_range(found, None, None).value,
        (case.result.mask == 1) & case.result.aperture,
    )
    return shown, [
        f"{name} {'undefined' if math.isnan(value) else f'{value:.2f}'}" for name, value in lines
    ]
