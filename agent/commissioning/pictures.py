"""The audit as a picture: each fruit with the map of its suture, and what was measured of it."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.commissioning.audit import Audit, Audited
from agent.commissioning.errors import CommissioningError

SIDE_PX = 224
COLUMNS = 5
LINE_PX = 16
WHITE, RED, GREEN = (255, 255, 255), (60, 60, 255), (90, 220, 90)
Image = NDArray[np.uint8]


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
    tiles = [_tile(case) for case in audit.cases]
    width = COLUMNS * SIDE_PX
    height = LINE_PX * (len(audit.findings) + 1) + 8
    head = np.zeros((height, width, 3), np.uint8)
    for row, finding in enumerate(audit.findings):
        mark = "ok     " if finding.passed else "REFUSED"
        colour = GREEN if finding.passed else RED
        _write(head, f"{mark} {finding.name}: {finding.text}", (row + 1) * LINE_PX, colour)
    blank = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    tiles += [blank] * (-len(tiles) % COLUMNS)
    rows = [np.concatenate(tiles[i : i + COLUMNS], 1) for i in range(0, len(tiles), COLUMNS)]
    return np.asarray(np.concatenate([head, *rows]), np.uint8)


def _tile(case: Audited) -> Image:
    size = (SIDE_PX, SIDE_PX)
    image = np.asarray(cv2.resize(case.frame.image[..., :3], size), np.uint8)
    found = case.suture
    if found is None:
        _write(image, "no suture to explain", LINE_PX, RED)
        return image
    scale = float(np.abs(found.map).max()) or 1.0
    signed = cv2.resize(found.map / scale, size, interpolation=cv2.INTER_CUBIC)[..., None]
    tint = np.where(signed > 0, np.array(RED), np.array((255, 120, 40)))
    alpha = 0.6 * np.abs(signed).clip(0, 1)
    image = np.asarray(image * (1 - alpha) + tint * alpha, np.float32).clip(0, 255).astype(np.uint8)
    mask = cv2.resize((case.result.mask == 1).astype(np.uint8), size, interpolation=0)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(image, outlines, -1, WHITE, 1)
    lines = (
        ("suture hidden", found.input_sensitivity_foreground),
        ("background share", found.input_context_reliance),
    )
    for row, (name, value) in enumerate(lines):
        text = "undefined" if math.isnan(value) else f"{value:.2f}"
        _write(image, f"{name} {text}", (row + 1) * LINE_PX, WHITE)
    return image


def _write(image: Image, text: str, bottom: int, colour: tuple[int, int, int]) -> None:
    for place, shade in (((7, bottom + 1), (0, 0, 0)), ((6, bottom), colour)):
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, shade, 1, cv2.LINE_AA)
