"""The GenTL producer, a vendor's shared library (``.cti``): which one, and whether it fits."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from agent.capture.source import SourceError
from agent.capture.sources.genicam.backends import PRODUCERS

_ELF = b"\x7fELF"
_64_BITS = 2
HEADER_BYTES = 64
_FIELDS = ((18, 20), (40, 48), (58, 60), (60, 62))
"""Of a header of 64 bits: ``e_machine``; where the table of sections begins, the size of an entry,
and their number. It stands at the end of a file."""
_MACHINES = {0x03: "i386", 0x28: "arm", 0x3E: "x86_64", 0xB7: "aarch64", 0xF3: "riscv64"}
"""By ``e_machine`` of an ELF header, in the kernel's words."""
_SAME = {"arm64": "aarch64", "amd64": "x86_64", "armv7l": "arm", "i686": "i386"}


def find_producer(cti: Path | None, environment: Mapping[str, str]) -> Path:
    """The producer: ``cti``, or the only one in the folders of GENICAM_GENTL64_PATH.

    ``SourceError``: ``no_backend`` where none is named or found, ``bad_producer`` where it cannot
    be loaded here; permanent, for a library does not come by itself.
    """
    if cti is None:
        cti = _only_one(environment.get(PRODUCERS, ""))
    check_producer(cti)
    return cti


def _only_one(folders: str) -> Path:
    named = [Path(folder) for folder in folders.split(os.pathsep) if folder]
    found = sorted(file for folder in named for file in folder.glob("*.cti"))
    if not named:
        raise _refused("no_backend", f"no producer: neither cti nor {PRODUCERS} names one")
    if not found:
        raise _refused("no_backend", f"no file *.cti in {PRODUCERS}, {folders}")
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise _refused(
            "no_backend", f"{len(found)} producers in {PRODUCERS}; cti says which: {listed}"
        )
    return found[0]


def check_producer(cti: Path) -> None:
    """``SourceError`` (``bad_producer``, permanent) unless it is a library of this architecture."""
    try:
        with cti.open("rb") as file:
            head = file.read(HEADER_BYTES)
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise _refused("bad_producer", f"{cti}: {error.strerror}") from error
    if len(head) < HEADER_BYTES or not head.startswith(_ELF):
        raise _refused("bad_producer", f"{cti} is no shared library of Linux")
    order: Literal["big", "little"] = "big" if head[5] == 2 else "little"
    code, *sections = (int.from_bytes(head[a:b], order) for a, b in _FIELDS)
    made_for, here = _MACHINES.get(code, f"machine {code}"), platform.machine()
    if made_for != _SAME.get(here.lower(), here):
        raise _refused("bad_producer", f"{cti} is made for {made_for}, and this computer is {here}")
    whole = sections[0] + sections[1] * sections[2]
    if head[4] == _64_BITS and size < whole:  # to load it would end this process
        raise _refused("bad_producer", f"{cti} is cut off: {size} of {whole} bytes")


def _refused(reason: str, detail: str) -> SourceError:
    return SourceError(reason, detail, permanent=True)
