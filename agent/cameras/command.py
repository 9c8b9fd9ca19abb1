"""The list of cameras and that of the host, as tables, with their exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from agent.cameras.columns import columns, say
from agent.cameras.entry import CameraEntry
from agent.cameras.host import check_host
from agent.cameras.listing import all_cameras
from agent.config import GenicamOptions

EXIT_OK, EXIT_NOT_WELL = 0, 1


def list_cameras(options: GenicamOptions, as_json: bool) -> int:
    """Print every camera; 0 where there is one, 1 where there is none or a driver failed."""
    found, trouble = all_cameras(options)
    if as_json:
        say(json.dumps([asdict(each) for each in found]))
    else:
        for line in table(found):
            say(line)
        if not found:
            say("no V4L2 or GenICam camera; a network camera is named by its rtsp:// URL")
    if trouble:
        sys.stderr.write(f"pitwatch: GenICam: {trouble}\n")
    return EXIT_OK if found and not trouble else EXIT_NOT_WELL


def table(found: Sequence[CameraEntry]) -> list[str]:
    """A line a camera, columns under each other."""
    rows = [("source", "user name", "model", "address", "access", "picture", "formats")]
    for each in found:
        size = f"{each.width_px} x {each.height_px} {each.pixel_format}" if each.width_px else "-"
        rate = f" {each.fps:.3g}/s" if each.fps else ""
        used = f"{each.access} by {each.owner}" if each.owner else each.access
        formats = ", ".join(each.formats) or "-"
        rows.append(
            (each.url, each.user_name or "-", each.model, each.address, used, size + rate, formats)
        )
    return columns(rows) if found else []


def show_host(interface: str | None) -> int:
    """Print the checked list; 0 where nothing has to be done, hints left aside, else 1."""
    checks = check_host(interface)
    rows = [("", "what", "found", "wanted")]
    rows += [(one.mark, one.name, one.found, one.wanted) for one in checks]
    for line in columns(rows):
        say(line)
    for one in checks:
        if not one.good:
            say(f"{one.name}: {one.remedy}")
    return EXIT_OK if all(one.good or one.hint for one in checks) else EXIT_NOT_WELL
