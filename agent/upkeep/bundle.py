"""The support archive: everything that helps to find out what is wrong, and no secret.

A part that cannot be had is named in ``manifest.json`` and costs nothing else. Every text goes
through the same filter: values of the configuration's secret keys, users of URLs, tokens, keys.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import sqlite3
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.storage.errors import StorageError
from agent.storage.whole_file import whole_file
from agent.upkeep import contents
from agent.upkeep.asking import Answer, NoAnswerError, ask_status, get
from agent.upkeep.secrets import Filter, filter_of
from agent.upkeep.settings import Settings, read_settings

TOTAL_LIMIT_BYTES = 32 * 1024 * 1024
"""Of all members together, before they are packed."""
MEMBER_LIMIT_BYTES = 8 * 1024 * 1024
"""Of a longer text the end stays, where it is a log, else the beginning."""
SUFFIX = ".tar.gz"


class BundleError(Exception):
    """No archive could be written; the text names the file and why."""


@dataclass(slots=True)
class Packed:
    """What an archive holds; ``notes``: what is not in it, and why."""

    bytes: int = 0
    members: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def default_name() -> str:
    return time.strftime(f"pitwatch-%Y%m%dT%H%M%SZ{SUFFIX}", time.gmtime())


def pack(target: Path, config: Path | None, timeout_s: float) -> Packed:
    """Write the archive. ``BundleError`` where the file is there, or the disk does not take it;
    nothing half written is left."""
    if not target.name.endswith((SUFFIX, ".tgz")):
        raise BundleError(f"{target}: the file's name must end with {SUFFIX}")
    if target.exists():
        raise BundleError(f"{target}: is there already, and is left as it is")
    settings = read_settings(config)
    packed = Packed()
    members = _collect(settings, config, timeout_s, packed)
    try:
        with whole_file(target) as file:
            target.with_name(target.name + ".part").chmod(0o600)
            with (
                gzip.GzipFile(fileobj=file, mode="wb", filename="") as stream,
                tarfile.open(fileobj=stream, mode="w") as archive,
            ):
                for name, content in members.items():
                    _add(archive, name, content)
    except OSError as error:
        raise BundleError(f"{target}: cannot be written: {error.strerror}") from error
    packed.bytes = target.stat().st_size
    packed.members = list(members)
    return packed


def _collect(
    settings: Settings, config: Path | None, timeout_s: float, packed: Packed
) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    clean = filter_of(settings, config)
    room = TOTAL_LIMIT_BYTES

    def take(name: str, make: Callable[[], str], end: bool = False) -> None:
        nonlocal room
        try:
            text = make()
        except (OSError, ValueError, LookupError, StorageError, NoAnswerError) as error:
            packed.notes.append(clean(f"{name}: {error}"))
            return
        except sqlite3.Error as error:
            packed.notes.append(clean(f"{name}: {error}"))
            return
        content = _cut(clean(text).encode(errors="replace"), min(room, MEMBER_LIMIT_BYTES), end)
        if text and not content:
            packed.notes.append(f"{name}: the archive is full ({TOTAL_LIMIT_BYTES} bytes)")
            return
        members[name] = content
        room -= len(content)

    answer: Answer | None = None
    with contextlib.suppress(NoAnswerError):
        answer = ask_status(settings, timeout_s)
    take("config.yaml", lambda: contents.config_text(settings))
    take("versions.json", lambda: contents.versions(settings))
    take("system.txt", lambda: contents.system(settings))
    take("disk.json", lambda: contents.disk(settings))
    take("status.json", lambda: contents.status(settings, answer, timeout_s))
    take("metrics.txt", lambda: get(settings, "/metrics", timeout_s).decode(errors="replace"))
    take("alarms.json", lambda: contents.alarms(settings, answer, timeout_s))
    take("state.json", lambda: contents.state(settings, answer))
    for name, path in contents.log_files(settings):
        take(name, lambda at=path: contents.end_of(at, MEMBER_LIMIT_BYTES), end=True)  # type: ignore[misc]
    take("logs/journal.txt", contents.journal, end=True)
    members["manifest.json"] = _manifest(packed, members, clean).encode()
    return members


def _manifest(packed: Packed, members: dict[str, bytes], clean: Filter) -> str:
    return clean(
        json.dumps(
            {
                "made_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "files": {name: len(content) for name, content in members.items()},
                "left_out": packed.notes,
            },
            indent=1,
        )
    )


def _cut(content: bytes, limit: int, end: bool) -> bytes:
    if len(content) <= limit:
        return content
    return content[len(content) - limit :] if end else content[:limit]


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(f"pitwatch/{name}")
    member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
    archive.addfile(member, io.BytesIO(content))
