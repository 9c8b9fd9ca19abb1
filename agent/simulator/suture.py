"""The suture as it looks: from a clear pale groove to a hardly visible brown line.

It is painted straight, as a strip (across, along), where everything that varies along it is one
dimensional, and then laid over the fruit by one affine warp.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.layout import Layout
from agent.simulator.noise import Field, between, chance, smooth_line, smoothstep

ACROSS_PX_AT_256 = 72
SHARE_OF_BROWN = 0.5
"""How much of the skin's brightness a full brown takes, on average over its tones."""
REACH = 1.15
"""Half length of the strip in radii, a little beyond the field of view."""


SHORT = 0.1
"""A visible piece of this share of the strip says half of its slope."""


def _visibility(rng: np.random.Generator, u: Field, floor: float) -> Field:
    """(length,) 0..1: how well a component shows along the line; ``u`` is radii from the stem."""
    noise = smooth_line(rng, len(u), int(rng.integers(4, 14)))
    bias = between(rng, -0.6, 1.2)
    seen = smoothstep(noise + np.float32(bias), -0.9, 0.7)
    if chance(rng, 0.5):  # fades away from the stem
        seen = seen * np.exp(-((u / np.float32(between(rng, 0.4, 1.6))) ** 2))
    if chance(rng, 0.15):  # on one side only
        sign = 1.0 if chance(rng, 0.5) else -1.0
        seen = seen * smoothstep(u * np.float32(sign), -0.1, 0.1)
    if chance(rng, 0.6):  # worn in places
        worn = smooth_line(rng, len(u), int(rng.integers(10, 30)))
        seen = seen * np.clip(0.75 + np.float32(between(rng, 0.1, 0.6)) * worn, 0, 1.5)
    return np.asarray(floor + (1 - floor) * seen, np.float32)


def paint_strip(
    rng: np.random.Generator, layout: Layout, size_px: int, contrast: float
) -> tuple[Field, Field]:
    """Relief and brown of the straight suture, (across, along) float32.

    Relief multiplies the colour by 1 + relief; brown is the opacity of a dark brown. Both are
    scaled together so that the mean over the line of its largest step against the skin beside it,
    within the field of view, is ``contrast`` (as a share of the skin's brightness).
    """
    scale = size_px / 256.0
    across = max(24, int(ACROSS_PX_AT_256 * scale))
    length = int(2 * REACH * size_px / 2)
    half = size_px / 2.0
    t = _radii(length, half)
    u = t - np.float32(layout.along)
    lateral = _lateral(rng, layout, u, scale)
    n = (np.arange(across, dtype=np.float32) - np.float32((across - 1) / 2))[:, None] - lateral[
        None, :
    ]
    # Nothing that grew has a ruled edge: the distance from the line is itself uneven.
    cells = (max(3, across // int(rng.integers(6, 12))), int(rng.integers(30, 70)))
    n += np.float32(between(rng, 0.4, 1.4) * scale) * _uneven(rng, n.shape, cells)
    relief = np.zeros((across, length), np.float32)
    brown = np.zeros((across, length), np.float32)
    if chance(rng, 0.75):  # the groove, pale or dark, with a lit and a shaded flank
        relief += _groove(rng, n, u, scale)
    if chance(rng, 0.25):  # one side of the line deeper in colour than the other
        width = between(rng, 2.5, 6.0) * scale
        side = np.tanh(n / np.float32(width)) * np.exp(-((n / np.float32(14 * scale)) ** 2))
        relief += np.float32(rng.normal(0, 0.4)) * _visibility(rng, u, 0.2) * side
    if chance(rng, 0.55) or not relief.any():  # a brown line
        seen = between(rng, 0.5, 1.2) * _visibility(rng, u, 0.1)
        brown += seen.astype(np.float32) * _thread(rng, n, scale)
    if chance(rng, 0.4):  # a line that is dark only close to the stem
        near = np.exp(-np.abs(u) / np.float32(between(rng, 0.15, 0.5)))
        seen = between(rng, 0.3, 1.0) * near * _visibility(rng, u, 0.2)
        brown += seen.astype(np.float32) * _thread(rng, n, scale)
    if layout.stem is not None and chance(rng, 0.7):  # it ends at the hollow's wall
        kept = between(rng, 0.0, 0.5)
        seen = kept + (1 - kept) * smoothstep(np.abs(u) / np.float32(layout.stem.a), 0.6, 1.1)
        relief *= seen
        brown *= seen
    relief *= _worn(rng, relief.shape, 0.25)
    brown *= _worn(rng, brown.shape, 0.4)
    _scale_to(contrast, relief, brown, _in_view(t, layout), 1.2 * scale)
    if chance(rng, 0.5):  # the broad valley between the cheeks; no edge that an eye would follow
        width = between(rng, 9.0, 18.0) * scale
        depth = between(rng, 0.02, 0.10) * min(1.0, contrast / 0.10)
        relief -= np.float32(depth) * np.exp(-((n / np.float32(width)) ** 2) / 2)
    edge = np.minimum(np.arange(across), np.arange(across)[::-1]).astype(np.float32)
    relief *= np.clip(edge / np.float32(6 * scale), 0, 1)[:, None]
    return relief, brown


def _radii(length: int, half_px: float) -> Field:
    """(length,) radii of the view from the point of the line nearest to the centre."""
    steps = np.arange(length, dtype=np.float32) + np.float32(0.5)
    return np.asarray(steps / np.float32(half_px) - np.float32(REACH), np.float32)


def _in_view(t: Field, layout: Layout) -> NDArray[np.bool_]:
    """(length,) where the line, at ``t`` radii, lies within the round field of view."""
    return np.asarray(np.abs(t) < np.sqrt(1 - layout.offset**2), np.bool_)


def _groove(rng: np.random.Generator, n: Field, u: Field, scale: float) -> Field:
    """Relief of the furrow; its width, depth and lit flank change along the way."""
    pale = chance(rng, 0.35)
    width = np.float32(between(rng, 3.5 if pale else 2.0, 8.0) * scale)
    width = width * np.exp(np.float32(0.25) * smooth_line(rng, len(u), int(rng.integers(4, 12))))
    bell = np.exp(-((n / width) ** 2) / 2)
    amount = between(rng, 0.3, 1.0) * (1 if pale else -1)
    flank = np.float32(between(rng, -0.8, 0.8)) * (
        1 + np.float32(0.5) * smooth_line(rng, len(u), 5)
    )
    return np.asarray(
        _visibility(rng, u, 0.25) * bell * (np.float32(amount) + flank / width * n), np.float32
    )


def _thread(rng: np.random.Generator, n: Field, scale: float) -> Field:
    """Profile of a dark line that thickens, thins and strays a little from the groove."""
    length = n.shape[1]
    width = np.float32(between(rng, 0.8, 3.2) * scale)
    width = width * np.exp(np.float32(0.4) * smooth_line(rng, length, int(rng.integers(8, 40))))
    stray = np.float32(between(rng, 0.1, 0.5) * scale) * smooth_line(
        rng, length, int(rng.integers(8, 32))
    )
    return np.asarray(np.exp(-(((n - stray) / width) ** 2) / 2), np.float32)


def _uneven(rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[int, int]) -> Field:
    """(across, along) noise of about unit variance with so many features across and along."""
    rough = rng.standard_normal(cells, dtype=np.float32)
    fine = cv2.resize(rough, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine, np.float32)


def _worn(rng: np.random.Generator, shape: tuple[int, ...], most: float) -> Field:
    """(across, along) factor around 1, finely uneven and drawn out along the line: skin is no ink,
    and a string of dots no seam."""
    fine = _uneven(rng, shape, (max(4, shape[0] // 3), max(4, shape[1] // 8)))
    return np.asarray(np.clip(1 + np.float32(between(rng, 0.15, most)) * fine, 0, 2), np.float32)


def _lateral(rng: np.random.Generator, layout: Layout, u: Field, scale: float) -> Field:
    """(length,) px: how far the drawn line leaves its bar; no mean slope, no shift at the stem."""
    bend = np.float32(layout.bow) * u * u + np.float32(rng.normal(0, 0.012)) * u * u * u
    bend -= u * np.float32((bend * u).sum() / max(float((u * u).sum()), 1e-6))
    wander = smooth_line(rng, len(u), int(rng.integers(3, 9))) * np.float32(
        between(rng, 0, 0.9) * scale
    )
    wander += smooth_line(rng, len(u), int(rng.integers(12, 26))) * np.float32(
        between(rng, 0, 0.6) * scale
    )
    return np.asarray(bend * np.float32(128 * scale) + wander, np.float32)


def _scale_to(
    contrast: float, relief: Field, brown: Field, inside: NDArray[np.bool_], sigma_px: float
) -> None:
    # Softened as a camera would, or a line of half a pixel would count as much as a broad one.
    shown = cv2.GaussianBlur(
        relief - np.float32(SHARE_OF_BROWN) * brown, (1, 0), sigmaX=0.01, sigmaY=sigma_px
    )
    step = np.abs(shown)[:, inside].max(0)
    factor = np.float32(contrast / max(float(step.mean()), 1e-6))
    relief *= factor
    brown *= factor
    np.clip(relief, -0.6, 0.8, out=relief)
    np.clip(brown, 0, 0.9, out=brown)


def _course(relief: Field, brown: Field, inside: NDArray[np.bool_]) -> tuple[float, float, float]:
    """(column, row, slope in rows a column) of the straight line about which the strip's visible
    contrast lies: its own middle, level, where nothing shows.

    Whoever paints a bar over a seam paints it along what shows, be that a lit flank, a bow to one
    side or one half of the line; an unlit half of the furrow does not draw the bar away from it.
    ``inside``: (length,) the columns in view. What shows on a short piece alone says little about a
    slope, so that is drawn towards level.
    """
    shown = ((relief - np.float32(SHARE_OF_BROWN) * brown) ** 2 * inside).astype(np.float64)
    weight = shown.sum(0)
    total = float(weight.sum())
    rows, columns = (np.arange(n, dtype=np.float64) for n in shown.shape)
    if total <= 0:
        return (len(columns) - 1) / 2.0, (len(rows) - 1) / 2.0, 0.0
    row = float(shown.sum(1) @ rows) / total
    column = float(weight @ columns) / total
    away = columns - column
    spread = float(weight @ away**2) / total + (SHORT * len(columns)) ** 2
    slope = float((rows - row) @ shown @ away) / total / spread
    return column, row, slope


def lay_strip(
    rng: np.random.Generator, planes: NDArray[np.float32], layout: Layout, contrast: float
) -> None:
    """Warp the strip onto ``planes`` (3, S, S), in place, what shows of it along the bar."""
    size = planes.shape[1]
    half = size / 2.0
    relief, brown = paint_strip(rng, layout, size, contrast)
    dx, dy = layout.direction()
    # strip (column s, row r) -> picture: centre + along * d + across * normal, normal = (-dy, dx)
    ox = half + half * (-dy * layout.offset)
    oy = half + half * (dx * layout.offset)
    inside = _in_view(_radii(relief.shape[1], half), layout)
    column, row, slope = _course(relief, brown, inside)
    s0, r0 = REACH * half, row - slope * column
    # across = r - r0 - slope * s: what shows comes to lie straight along the bar.
    to_picture = np.array(
        [
            [dx + slope * dy, -dy, ox - 0.5 - dx * (s0 - 0.5) + dy * r0],
            [dy - slope * dx, dx, oy - 0.5 - dy * (s0 - 0.5) - dx * r0],
        ]
    )
    # Brown, red, grey, and the blush that gathers in the furrow.
    tones = np.array(
        [[0.25, 0.55, 0.75], [0.35, 0.45, 0.70], [0.55, 0.65, 0.70], [0.35, 0.60, 0.88]], np.float32
    )
    tone = rng.dirichlet([0.9, 0.4, 0.4, 0.7]) @ tones
    tone[:2] *= between(rng, 0.6, 1.0)
    for channel, (plane, kept) in enumerate(zip(planes, tone, strict=True)):
        factor = (1 + relief) * (1 - np.float32(1 - kept) * brown)
        if channel == 0:
            factor += np.float32(0.4) * np.maximum(relief, 0)  # what is lit is also whiter
        plane *= cv2.warpAffine(factor, to_picture, (size, size), borderValue=1.0)
