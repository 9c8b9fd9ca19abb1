"""What is noticed of damage to JPEG files: ``python -m tests.picture_files.damage [TIMES]``.

Simulated fruit, written in seven ways, damaged in nine. A damage counts as visible where more than
0.2 % of the pixels of what OpenCV makes of it are off by more than 16 grey levels, or where it
makes nothing.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping

import cv2
import numpy as np

from agent.picture_files.decode import decode
from agent.picture_files.errors import PictureError
from agent.simulator.render import Renderer
from tests.picture_files.support import encode, pillow

SIDE_PX = 256
OFF_LEVELS, OFF_SHARE = 16, 0.002

Damage = Callable[[bytes, random.Random], bytes]


def _cv(*parameters: int) -> Callable[[np.ndarray], bytes]:
    return lambda image: encode(".jpg", image, *parameters)


WRITERS: Mapping[str, Callable[[np.ndarray], bytes]] = {
    "quality 90": _cv(cv2.IMWRITE_JPEG_QUALITY, 90),
    "quality 75": _cv(cv2.IMWRITE_JPEG_QUALITY, 75),
    "progressive": _cv(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restart markers": _cv(cv2.IMWRITE_JPEG_RST_INTERVAL, 8),
    "own Huffman tables": _cv(cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "no subsampling": lambda image: pillow(image, "JPEG", subsampling=0),
    "grey": lambda image: encode(".jpg", image[:, :, 1]),
}


def pixels_begin(data: bytes) -> int:
    """Where the first scan's coded pixels begin."""
    place = data.find(b"\xff\xda")
    return place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def _place(data: bytes, rng: random.Random, length: int = 0) -> int:
    return rng.randrange(pixels_begin(data), len(data) - 2 - length)


def _flipped(bits: int) -> Damage:
    def damage(data: bytes, rng: random.Random) -> bytes:
        out = bytearray(data)
        for _ in range(bits):
            out[_place(data, rng)] ^= 1 << rng.randrange(8)
        return bytes(out)

    return damage


def _zeros(length: int) -> Damage:
    def damage(data: bytes, rng: random.Random) -> bytes:
        place = _place(data, rng, length)
        return data[:place] + bytes(length) + data[place + length :]

    return damage


def _random(data: bytes, rng: random.Random) -> bytes:
    length = rng.choice([4, 16, 64, 512])
    place = _place(data, rng, length)
    return data[:place] + rng.randbytes(length) + data[place + length :]


def _missing(data: bytes, rng: random.Random) -> bytes:
    length = rng.choice([1, 8, 64, 512])
    place = _place(data, rng, length)
    return data[:place] + data[place + length :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: _place(data, rng)]


DAMAGES: Mapping[str, Damage] = {
    "1 bit flipped": _flipped(1),
    "8 bits flipped": _flipped(8),
    "16 bytes zero": _zeros(16),
    "400 bytes zero": _zeros(400),
    "4 to 512 bytes random": _random,
    "1 to 512 bytes missing": _missing,
    "cut short": _cut,
    "cut short and closed": lambda data, rng: _cut(data, rng) + b"\xff\xd9",
}


def spliced(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """The beginning of one file and the rest of another."""
    start = max(pixels_begin(data), pixels_begin(other))
    place = rng.randrange(start, min(len(data), len(other)) - 2)
    return data[:place] + other[place:]


def is_corrupt(data: bytes) -> bool:
    """Whether the file is refused for damage."""
    try:
        decode(data)
    except PictureError as error:
        return error.reason == "corrupt"
    return False


def _shown(data: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def is_visible(damaged: bytes, whole: bytes) -> bool:
    """Whether OpenCV shows something else than of the whole file."""
    found, wanted = _shown(damaged), _shown(whole)
    if found is None or wanted is None or found.shape != wanted.shape:
        return True
    off = np.abs(found.astype(int) - wanted).max(axis=2) > OFF_LEVELS
    return bool(off.mean() > OFF_SHARE)


def main(times: int) -> None:
    """Print the table."""
    renderer, rng = Renderer(SIDE_PX), random.Random(1)
    images = [renderer.fruit(seed).image for seed in range(6)]
    other = renderer.fruit(999).image
    refused = [is_corrupt(write(image)) for write in WRITERS.values() for image in images]
    print(f"whole files refused: {sum(refused)} of {len(refused)}\n")
    print("| damage | files | visible | of those noticed |\n|---|---|---|---|")
    splice = "another file's rest"
    for name in (*DAMAGES, splice):
        visible = noticed = files = 0
        for write in WRITERS.values():
            for number in range(times):
                whole = write(images[number % len(images)])
                damage = DAMAGES.get(name)
                damaged = damage(whole, rng) if damage else spliced(whole, write(other), rng)
                files += 1
                if damaged != whole and is_visible(damaged, whole):
                    visible += 1
                    noticed += is_corrupt(damaged)
        print(f"| {name} | {files} | {visible} | {noticed / max(1, visible):.0%} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
