"""The parts of a support archive, each as text. Errors of disk and agent are the caller's."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from agent import __version__
from agent.config.load import effective_yaml
from agent.storage.file.identity import owner_at
from agent.storage.file.migrations import VERSION
from agent.storage.file.state_dir import FILE, file_version
from agent.storage.upkeep.disk_use import disk_use, is_log
from agent.storage.upkeep.held import held
from agent.storage.upkeep.look import look_at, require_folder, set_aside_in
from agent.upkeep.asking import Answer, NoAnswerError, get
from agent.upkeep.settings import Settings
from agent.upkeep.status import as_json

JOURNAL_S = 10.0
JOURNAL_LINES = 5000
PAST_ALARMS = 500
LOOKED = ("/proc/loadavg", "/proc/meminfo", "/proc/uptime", "/etc/os-release")


def config_text(settings: Settings) -> str:
    """The effective configuration, or what is wrong with it."""
    if settings.loaded is None:
        return settings.wrong
    return effective_yaml(settings.loaded.config)


def versions(settings: Settings) -> str:
    """What is installed, and what the state is of."""
    state = settings.state_dir
    packages = {one.metadata["Name"]: one.version for one in distributions()}
    return _json(
        {
            "pitwatch": __version__,
            "schema": VERSION,
            "python": sys.version,
            "platform": platform.platform(),
            "config_sha256": settings.loaded.sha256 if settings.loaded else None,
            "state_schema": file_version(state / FILE) if state else None,
            "state_of": owner_at(state / FILE) if state else None,
            "references": {
                variety: str(path)
                for variety, path in getattr(
                    getattr(settings.config, "alarms", None), "reference", {}
                ).items()
            },
            "packages": dict(sorted(packages.items(), key=lambda one: str(one[0]).lower())),
        }
    )


def system(settings: Settings) -> str:
    """The computer: load, memory, disks."""
    parts = [f"cores {os.cpu_count()}"]
    for name in LOOKED:
        path = Path(name)
        if path.is_file():
            parts.append(f"--- {name}\n{path.read_text(errors='replace')[:8192]}")
    places = [one for one in (settings.state_dir, settings.log_file, Path("/")) if one is not None]
    disks = [f"--- disk of {one}: {shutil.disk_usage(one)}" for one in places if one.exists()]
    return "\n".join((*parts, *disks))


def disk(settings: Settings) -> str:
    return _json(disk_use(settings.state_dir, settings.log_file))


def status(settings: Settings, answer: Answer | None, timeout_s: float) -> str:
    """How the agent is, with its books; over HTTP its readiness, too."""
    if answer is None:
        raise NoAnswerError("no agent answers")
    found = as_json(answer)
    for path in ("/livez", "/readyz"):
        try:
            found[path] = json.loads(get(settings, path, timeout_s))
        except (NoAnswerError, ValueError) as error:
            found[path] = str(error)
    return _json(found)


def alarms(settings: Settings, answer: Answer | None, timeout_s: float) -> str:
    """The last alarms: the running agent's, or those in the database of one that is down."""
    if answer is not None:
        found: dict[str, Any] = {"now": answer.view["alarms"]}
        try:
            found["past"] = json.loads(get(settings, "/api/v1/alarms", timeout_s))
        except (NoAnswerError, ValueError) as error:
            found["past"] = str(error)
        return _json(found)
    folder = require_folder(settings.state_dir)
    with held(folder / FILE) as connection:
        past = connection.execute(
            "SELECT record FROM occurrence ORDER BY id DESC LIMIT ?", (PAST_ALARMS,)
        ).fetchall()
        states = connection.execute("SELECT state FROM alarm").fetchall()
        asked = connection.execute(
            "SELECT received_utc_ms, command, user, outcome, detail FROM audit "
            "ORDER BY id DESC LIMIT ?",
            (PAST_ALARMS,),
        ).fetchall()
    return _json(
        {
            "states": [json.loads(row[0]) for row in states],
            "past": [json.loads(row[0]) for row in past],
            "audit": asked,
        }
    )


def state(settings: Settings, answer: Answer | None) -> str:
    """How the database is: by the agent's word, or looked through where none runs."""
    aside = [one.name for one in set_aside_in(settings.state_dir)] if settings.state_dir else []
    if answer is not None and answer.storage:
        return _json({"by": "the running agent", **answer.storage, "set_aside": aside})
    looked = look_at(require_folder(settings.state_dir) / FILE)
    return _json(
        {
            "by": "looked through",
            "whole": True,
            "schema": looked.schema,
            "agent": looked.owner,
            "bytes": looked.bytes,
            "rows": looked.rows,
            "waiting": looked.waiting,
            "set_aside": aside,
        }
    )


def log_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The log and its earlier files, the newest first, as members."""
    log = settings.log_file
    if log is None or not log.parent.is_dir():
        return
    for path in sorted(log.parent.iterdir(), key=lambda one: (len(one.name), one.name)):
        if is_log(path, log) and path.is_file():
            yield f"logs/{path.name}", path


def end_of(path: Path, limit_bytes: int) -> str:
    """The last whole lines of a file."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - limit_bytes))
        text = file.read(limit_bytes).decode(errors="replace")
    return text if size <= limit_bytes else text.partition("\n")[2]


def journal() -> str:
    """What the journal has of the unit; ``ValueError`` where there is none."""
    program = shutil.which("journalctl")
    if program is None:
        raise ValueError("this computer has no journalctl")
    command = [program, "-u", "pitwatch", "-n", str(JOURNAL_LINES), "--no-pager", "-o", "short-iso"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=JOURNAL_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"journalctl has not answered within {JOURNAL_S:g} s") from error
    if done.returncode != 0:
        raise ValueError(f"journalctl: {done.stderr.strip()[:200] or done.returncode}")
    return done.stdout


def _json(found: object) -> str:
    return json.dumps(found, indent=1, default=str)
