"""TIFF: whether it is whole, how many pages it has, and what its 16-bit values mean.

OpenCV takes what libtiff could read of a damaged strip, and keeps the error to itself; so the file
is read by Pillow as well, which stops there.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from agent.picture_files.errors import PictureError

_BITS, _PHOTOMETRIC = 258, 262
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    ZeroDivisionError,
    struct.error,
)
"""What Pillow raises of a broken file, by the part of it that is broken."""


@dataclass(frozen=True, slots=True)
class TiffFacts:
    """``bits`` a sample in the file, ``photometric`` as the format counts it; -1: not known."""

    pages: int = 1
    bits: int = -1
    photometric: int = -1


def read_tiff(data: bytes) -> TiffFacts:
    """Read a TIFF to its end. ``PictureError`` (``corrupt``) where it cannot be.

    Of a kind that Pillow does not know nothing is said; OpenCV is then the only judge.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tags that nobody here reads
        try:
            picture = Image.open(io.BytesIO(data), formats=("TIFF",))
        except UnidentifiedImageError:
            return TiffFacts()
        except Image.DecompressionBombError as error:
            raise PictureError("corrupt", str(error)) from error
        except _DAMAGE as error:
            raise PictureError("corrupt", f"{type(error).__name__}: {error}") from error
        try:
            bits = picture.tag_v2.get(_BITS, (1,))  # type: ignore[attr-defined]
            facts = TiffFacts(
                pages=getattr(picture, "n_frames", 1),
                bits=max(bits) if isinstance(bits, tuple) else int(bits),
                photometric=int(picture.tag_v2.get(_PHOTOMETRIC, -1)),  # type: ignore[attr-defined]
            )
            picture.seek(0)
            picture.load()
        except _DAMAGE as error:
            raise PictureError("corrupt", f"{type(error).__name__}: {error}") from error
    return facts
