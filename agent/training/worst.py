"""A sheet of the cases that a model did worst on, as pictures."""

from __future__ import annotations

import heapq
import math

import cv2
import numpy as np

from agent import drawing
from agent.drawing import Image
from agent.segmentation.segmenter import Analysis
from agent.simulator.layout import MASK_STEM, MASK_SUTURE
from agent.training.cases import Case
from agent.training.evaluate import Outcome, badness

SIDE_PX, COLUMNS = 256, 5


class WorstSheet:
    """Keeps the ``count`` worst cases while an evaluation goes by."""

    def __init__(self, count: int = 20) -> None:
        self._count = count
        self._worst: list[tuple[tuple[float, ...], int, tuple[Case, Analysis, Outcome]]] = []
        self._seen = 0

    def add(self, case: Case, analysis: Analysis, outcome: Outcome) -> None:
        """To be passed to ``evaluate`` as ``on_case``."""
        self._seen += 1
        entry = (badness(outcome), self._seen, (case, analysis, outcome))
        self._worst = heapq.nlargest(self._count, [*self._worst, entry])

    def image(self) -> Image:
        """(H, W, 3) BGR, the worst first."""
        note = "The worst first. Tinted: predicted; red: the fitted line; white: the true one"
        tiles = [draw(*case) for _, _, case in self._worst]
        return drawing.sheet((note,), tiles, SIDE_PX, COLUMNS)


def draw(case: Case, analysis: Analysis, outcome: Outcome) -> tuple[Image, tuple[str, str]]:
    """The picture with the predicted classes tinted, the fitted line red, the true one white; its
    name, and what was read."""
    size = (SIDE_PX, SIDE_PX)
    image = np.asarray(cv2.resize(case.sample.image, size, interpolation=cv2.INTER_AREA), np.uint8)
    mask = cv2.resize(analysis.segmentation.mask, size, interpolation=cv2.INTER_NEAREST)
    for index, colour in ((MASK_SUTURE, (255, 200, 200)), (MASK_STEM, (80, 220, 80))):
        inside = mask == index
        image[inside] = (0.6 * image[inside] + 0.4 * np.array(colour)).astype(np.uint8)
    scale = SIDE_PX / case.sample.image.shape[1]
    wanted = case.sample.mask == MASK_SUTURE
    if wanted.any() and not math.isnan(case.angle_deg):
        rows, columns = np.nonzero(wanted)
        _line(image, columns.mean() * scale, rows.mean() * scale, case.angle_deg, (255, 255, 255))
    line = None if analysis.measurement is None else analysis.measurement.line
    if line is not None:
        _line(image, line.x * scale, line.y * scale, line.angle_deg, (0, 0, 255))
    verdict = f"{outcome.line_error_deg:.1f} deg" if outcome.read else outcome.reason
    return image, (outcome.name, f"{verdict}  p {outcome.confidence:.2f}")


def _line(image: Image, x: float, y: float, angle_deg: float, colour: tuple[int, int, int]) -> None:
    a = math.radians(angle_deg)
    dx, dy = math.cos(a) * 2 * SIDE_PX, -math.sin(a) * 2 * SIDE_PX
    ends = (round(x - dx), round(y - dy)), (round(x + dx), round(y + dy))
    cv2.line(image, ends[0], ends[1], colour, 1, cv2.LINE_AA)
