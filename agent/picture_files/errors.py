"""The error of one picture."""

from __future__ import annotations


class PictureError(Exception):
    """One picture cannot be used; it costs itself, is counted by ``reason``, and the next is read.

    ``reason``: ``corrupt``, ``picture_size``, ``channels``, ``depth`` or ``empty_aperture``. The
    parent adds ``timeout`` and ``crashed``: of a file in which a capture child hung or died.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
