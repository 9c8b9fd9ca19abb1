"""The stem cavity: a ringed hollow, with or without the woody scar."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.layout import Stem
from agent.simulator.noise import Field, between, chance, fractal_field, smooth_line, smoothstep

PATCH_PX = 64
SPOKES = 128
EXTENT = 1.9
"""Half width of the patch in semi-axes: the halo reaches beyond the cavity."""

EDGE = 0.1
"""Half width of the ring, in semi-axes, in which the drawn edge is set against the mask's."""
EDGE_AT = 0.96
"""Where the hollow is half as deep; its halo and its rim lie beyond and count as well."""

Tone = NDArray[np.float32]


@functools.cache
def _grid() -> tuple[Field, Field, Field, NDArray[np.int32]]:
    """x, y, distance from the centre and spoke of every pixel of a patch; not to be written to."""
    axis = np.linspace(-EXTENT, EXTENT, PATCH_PX, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    turn = np.arctan2(y, x) % np.float32(2 * np.pi)
    index = (turn * np.float32(SPOKES / (2 * np.pi))).astype(np.int32) % SPOKES
    return x, y, np.hypot(x, y), index


@functools.cache
def _edge() -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(P, P) the ring about the mask's edge, and (SPOKES,) how many of its pixels share a spoke, at
    least 1; not to be written to."""
    _, _, radius, index = _grid()
    ring = np.abs(radius - 1) < EDGE
    return ring, np.maximum(np.bincount(index[ring], minlength=SPOKES), 1)


class _Patch:
    """Premultiplied BGR planes and opacity of a round cavity of radius 1, painted layer by layer.

    ``rho`` and ``turn`` are polar coordinates, ``rho`` with the cavity's own unroundness.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.x, self.y, self.round, self.index = _grid()
        wobble = closed_line(rng, int(rng.integers(4, 8))) * np.float32(between(rng, 0.02, 0.12))
        self.rough = fractal_field(rng, PATCH_PX, 9, 3)
        self.rho = self.round * (1 + wobble)[self.index]
        self.rho += np.float32(between(rng, 0.02, 0.12)) * self.rough
        self.rho -= _unlike_an_ellipse(self.rho)
        uneven = np.float32(between(rng, 0.15, 0.5))
        within = 1 - smoothstep(self.round, 1.5, EXTENT)  # nothing reaches the patch's own edge
        self.grain = np.clip(1 + uneven * self.rough, 0.2, 1.3) * within
        self.paint = np.zeros((3, PATCH_PX, PATCH_PX), np.float32)
        self.cover = np.zeros((PATCH_PX, PATCH_PX), np.float32)

    def lay(self, tone: Tone, alpha: Field) -> None:
        """Lay ``tone`` (3,) with opacity ``alpha`` (P, P) over what is there."""
        alpha = np.clip(alpha * self.grain, 0, 1)
        keep = 1 - alpha
        self.paint *= keep
        self.paint += tone[:, None, None] * alpha
        self.cover *= keep
        self.cover += alpha

    def around(self, rng: np.random.Generator, least: float) -> Field:
        """(P, P) 0..1: strength that comes and goes on the way round."""
        line = np.clip(0.5 + 0.6 * closed_line(rng, int(rng.integers(3, 10))), least, 1)
        return np.asarray(line.astype(np.float32)[self.index], np.float32)

    def spokes(self, rng: np.random.Generator) -> Field:
        """(P, P) around 0: lines that run together on the middle, bent by the roughness."""
        line = closed_line(rng, int(rng.integers(14, 34)))
        bent = (self.index + (5 * self.rough).astype(np.int32)) % SPOKES
        return np.asarray(line[bent], np.float32)


def _unlike_an_ellipse(rho: Field) -> Field:
    """(P, P): what to take from ``rho`` so that the unit circle is the ellipse that a person would
    draw over the uneven edge: the edge's mean, first and second harmonic, which would be another
    size, place and ratio of axes. None at the centre."""
    _, _, radius, index = _grid()
    ring, shared = _edge()
    waves = np.fft.rfft(np.bincount(index[ring], (rho - radius)[ring], SPOKES) / shared)
    waves[3:] = 0
    smooth = np.fft.irfft(waves, SPOKES).astype(np.float32)
    return np.asarray(smooth[index] * np.minimum(radius, 1), np.float32)


def _tone(rng: np.random.Generator, ground: Tone) -> Tone:
    """Colour of the hollow: the skin's own, darker, greener or greyer."""
    bright = float(ground.mean())
    olive = ground * np.array([0.9, 0.68, 0.55], np.float32)
    brown = ground * np.array([0.6, 0.50, 0.60], np.float32)
    grey = np.array([0.62, 0.80, 0.84], np.float32) * bright
    mix = rng.dirichlet([0.9, 1.0, 0.5, 0.9])
    tone = mix[0] * olive + mix[1] * brown + mix[2] * grey + mix[3] * ground * 0.7
    return np.asarray(tone * between(rng, 0.6, 1.1), np.float32)


def paint_patch(rng: np.random.Generator, ground: Tone) -> tuple[Tone, Field]:
    """Premultiplied BGR planes (3, P, P) and opacity (P, P) of a round cavity of radius 1.

    ``ground`` is the skin's colour around it, (3,) BGR.
    """
    patch = _Patch(rng)
    rho, x, y = patch.rho, patch.x, patch.y
    tone = _tone(rng, ground)
    if chance(rng, 0.8):  # halo: a greenish, pale or dusky surround, wider on one side
        side = np.float32(rng.normal(0, 0.2)) * x + np.float32(rng.normal(0, 0.2)) * y
        halo = ground * np.float32(between(rng, 0.75, 1.1)) * (0.5 + 0.5 * tone / tone.max())
        strength = np.float32(between(rng, 0.1, 0.6))
        patch.lay(halo.astype(np.float32), strength * (1 - smoothstep(rho + side, 0.8, 1.85)))
    # The mask ends where the hollow is about half as deep as within, however softly it begins.
    depth, half = between(rng, 0.3, 0.85), between(rng, 0.06, 0.3)
    patch.lay(tone, np.float32(depth) * (1 - smoothstep(rho, EDGE_AT - half, EDGE_AT + half)))
    shift = rng.normal(0, 0.15, 2)  # the pit lies aside
    inner = np.hypot(x - np.float32(shift[0]), y - np.float32(shift[1])) + (rho - patch.round)
    _rings(rng, patch, tone, inner)
    _rim(rng, patch, ground)
    if chance(rng, 0.7):  # folds of the wall, dark and lit
        ring = smoothstep(inner, 0.15, 0.5) * (1 - smoothstep(rho, 0.8, 1.3))
        folds = np.float32(between(rng, 0.05, 0.35)) * ring * patch.spokes(rng)
        patch.lay(tone * np.float32(0.5), folds)
        patch.lay(np.minimum(ground * np.float32(1.1), 1), np.float32(-0.6) * folds)
    # A lamp from one side: the near wall is dark, the far wall lit.
    angle = between(rng, 0, 2 * np.pi)
    facing = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    wall = smoothstep(rho, 0.1, 0.7) * (1 - smoothstep(rho, 0.8, 1.1))
    lean = np.float32(between(rng, 0, 0.35)) * wall * facing
    patch.lay(ground * np.float32(0.15), lean)
    patch.lay(np.minimum(ground * np.float32(1.15), 1), -lean)
    if chance(rng, 0.65):
        _scar(rng, patch, tone, inner)
    elif chance(rng, 0.6):  # a bare deep pit
        pit = 1 - smoothstep(inner, 0.05, between(rng, 0.3, 0.7))
        patch.lay(tone * np.float32(between(rng, 0.2, 0.5)), pit * np.float32(0.8))
    # Seldom as sharp as the skin around it: it lies deeper, out of focus.
    sigma = between(rng, 0.5, 2.0)
    soft = cv2.GaussianBlur(cv2.merge([*patch.paint, patch.cover]), (0, 0), sigma)
    *planes, cover = cv2.split(soft)
    return np.stack(planes).astype(np.float32), np.asarray(cover, np.float32)


def _rings(rng: np.random.Generator, patch: _Patch, tone: Tone, inner: Field) -> None:
    """Dark rings, none of them whole; ``inner`` is the distance from the pit."""
    aside = patch.rho + np.float32(0.1) * patch.x
    rings = ((patch.rho, 0.84, 1.0, 0.85), (aside, 0.6, 0.9, 0.35), (inner, 0.35, 0.65, 0.3))
    for radius, low, high, likely in rings:
        if not chance(rng, likely):
            continue
        where, width = between(rng, low, high), between(rng, 0.05, 0.2)
        rim = tone * np.float32(between(rng, 0.35, 0.75))
        ring = np.exp(-(((radius - np.float32(where)) / np.float32(width)) ** 2) / 2)
        patch.lay(rim, np.float32(between(rng, 0.2, 0.85)) * ring * patch.around(rng, 0))


def _rim(rng: np.random.Generator, patch: _Patch, ground: Tone) -> None:
    """The rim of most cavities catches light where it is not broken."""
    if not chance(rng, 0.6):
        return
    where, width = between(rng, 0.95, 1.15), between(rng, 0.04, 0.14)
    lip = np.exp(-(((patch.rho - np.float32(where)) / np.float32(width)) ** 2))
    lit = np.minimum(ground * np.array([1.5, 1.2, 1.15], np.float32), 1).astype(np.float32)
    patch.lay(lit, np.float32(between(rng, 0.2, 0.8)) * lip * (patch.around(rng, 0) - 0.2))


def _scar(rng: np.random.Generator, patch: _Patch, tone: Tone, inner: Field) -> None:
    """Where the stalk was: wood, a dark heart that is not round, a fleck or two of light."""
    near = inner + np.float32(0.05) * patch.rough
    radius = between(rng, 0.16, 0.42)
    wood = np.array([0.20, 0.33, 0.42], np.float32) * np.float32(between(rng, 0.5, 1.3))
    wood = np.float32(0.5) * (wood + tone)
    soft = 1 - smoothstep(near, radius * 0.6, radius * 1.25)
    patch.lay(wood, soft * np.float32(between(rng, 0.4, 0.95)))
    if chance(rng, 0.7):
        heart = radius * between(rng, 0.4, 0.85)
        dark = 1 - smoothstep(near, heart * 0.4, heart * 1.1)
        patch.lay(tone * np.float32(between(rng, 0.15, 0.45)), dark * patch.around(rng, 0.5))
    for _ in range(int(rng.integers(0, 3))):
        dx, dy = rng.normal(0, 0.18, 2)
        spot = np.hypot(patch.x - np.float32(dx), patch.y - np.float32(dy))
        fleck = np.array([0.62, 0.70, 0.80], np.float32)
        light = 1 - smoothstep(spot, 0.02, between(rng, 0.08, 0.2))
        patch.lay(fleck, light * np.float32(between(rng, 0.2, 0.8)))


def closed_line(rng: np.random.Generator, cells: int) -> Field:
    """(SPOKES,) a smooth line whose end meets its beginning."""
    line = smooth_line(rng, SPOKES, cells)
    fade = np.linspace(0, 1, SPOKES // 4, dtype=np.float32)
    line[-len(fade) :] = line[-len(fade) :] * (1 - fade) + line[0] * fade
    return line


def lay_stem(rng: np.random.Generator, planes: NDArray[np.float32], stem: Stem) -> None:
    """Warp the cavity onto ``planes`` (3, S, S), in place; only its own box is touched."""
    size = planes.shape[1]
    half = size / 2.0
    cx, cy = (stem.x + 1) * half - 0.5, (stem.y + 1) * half - 0.5
    reach = EXTENT * stem.a * half + 2
    x0, x1 = max(0, int(cx - reach)), min(size, int(cx + reach) + 1)
    y0, y1 = max(0, int(cy - reach)), min(size, int(cy + reach) + 1)
    if x0 >= x1 or y0 >= y1:
        return
    box = planes[:, y0:y1, x0:x1]
    paint, cover = paint_patch(rng, box.mean((1, 2)))
    a = np.radians(stem.tilt_deg)
    c, s = np.cos(a), -np.sin(a)
    unit = 2 * EXTENT / (PATCH_PX - 1)  # semi-axes per patch pixel
    mid = (PATCH_PX - 1) / 2
    m = np.array([[c * stem.a, -s * stem.b], [s * stem.a, c * stem.b]]) * (half * unit)
    shift = np.array([cx - x0, cy - y0]) - m @ np.array([mid, mid])
    to_box = np.concatenate([m, shift[:, None]], 1)
    shape = (x1 - x0, y1 - y0)
    box *= 1 - cv2.warpAffine(cover, to_box, shape)
    for plane, laid in zip(box, paint, strict=True):
        plane += cv2.warpAffine(laid, to_box, shape)
