"""Where releases are on a machine, and the small steps that change something there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FAILED, BUNDLE, BUSY, CONFIG = 1, 65, 75, 78
"""Exit codes: not done, the bundle refused, another command at work, configuration or state."""
COMPLETE = "complete"
"""The file that a release gets last: a folder without it is what a broken installation left."""


class NotDoneError(Exception):
    """Something that ends the command; ``code`` is its exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def say(text: str) -> None:
    print(f"pitwatch-release: {text}", flush=True)


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is; ``root`` is / but for a trial in a folder."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "opt/pitwatch"

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    @property
    def config(self) -> Path:
        return self.root / "etc/pitwatch/pitwatch.yaml"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/pitwatch"

    @property
    def key(self) -> Path:
        return self.root / "etc/pitwatch/release.pub"

    @property
    def real(self) -> bool:
        """Whether this is the machine itself, where users are made and rights are set."""
        return self.root == Path("/")

    def linked(self, name: str) -> Path | None:
        """The release behind ``current`` or ``previous``; None without one."""
        link = self.home / name
        found = self.releases / link.readlink().name if link.is_symlink() else None
        return found if found is not None and (found / COMPLETE).is_file() else None

    def links(self) -> dict[Path, Path]:
        """Commands on everybody's path, and what they lead to."""
        folder = self.root / "usr/local/bin"
        return {
            folder / "pitwatch": self.home / "current/bin/pitwatch",
            folder / "pitwatch-release": self.home / "bin/pitwatch-release",
        }


@contextlib.contextmanager
def alone(place: Place) -> Iterator[None]:
    """Only one of these commands at a time."""
    place.releases.mkdir(parents=True, exist_ok=True)
    with (place.home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NotDoneError("another pitwatch-release is at work", BUSY) from None
        yield


def put(link: Path, target: Path) -> None:
    """Make ``link`` a symbolic link to ``target`` in one step, and see it on the disk."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
    folder = os.open(link.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def copy(source: Path, target: Path, mode: int) -> None:
    """A copy that is whole or not there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, new)
    new.chmod(mode)
    new.replace(target)
