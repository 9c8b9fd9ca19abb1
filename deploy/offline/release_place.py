"""Where releases are on a machine, the small steps that change something there, and what is asked:
a release's own command about the machine, and systemd about the unit.

A configuration may take secrets of the unit: credentials, which are there while it runs, and
variables, which its process has. A command of a release gets the variables of that process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FAILED, BUNDLE, BUSY, CONFIG = 1, 65, 75, 78
"""Exit codes: not done, the bundle refused, another command at work, configuration or state."""
COMPLETE = "complete"
"""The file that a release gets last: a folder without it is what a broken installation left."""
UNIT = "pitwatch.service"
NO_COMMAND = 2
"""Exit code of a release from before there was ``upgrade``."""
REFUSES_STATE = "INCOMPATIBLE: state:"
HINDERS = (REFUSES_STATE, "INCOMPATIBLE: reference:", "NOT NOW:")
"""How ``upgrade --check`` begins what is about the state, and all that is not the configuration."""
SECRETS = (
    "LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted",
    "ImportCredential", "Environment", "EnvironmentFiles",
)  # fmt: skip
OF_ONE_PROCESS = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "JOURNAL_STREAM", "MAINPID")


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


# --- asked --------------------------------------------------------------------------------------


def as_agent(place: Place) -> dict[str, object]:
    """Arguments of subprocess that make a command the service's user, where there is that user:
    a database that root opens may leave files that the agent cannot write."""
    if not place.real or os.geteuid() != 0:
        return {}
    with contextlib.suppress(KeyError):
        user = pwd.getpwnam("pitwatch")
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return {}


def pitwatch(place: Place, release: Path, *words: str) -> int:
    """Run a command of one release about the machine's configuration; its exit code."""
    command = [str(release / "bin/pitwatch"), *words, "--config", str(place.config)]
    if words[0] == "check-config":
        command = [*command[:-2], str(place.config)]
    say(" ".join(["pitwatch", *command[1:]]))
    return _run(place, command).returncode


def systemctl(place: Place, *words: str) -> int | None:
    """Ask systemd; None where none runs."""
    if not (place.root / "run/systemd/system").is_dir():
        return None
    say(" ".join(["systemctl", *words]))
    return subprocess.run(["systemctl", *words], check=False).returncode


def state_refused(place: Place, release: Path, said: str | tuple[str, ...] = REFUSES_STATE) -> bool:
    """Whether a release cannot start with the state, whatever it says of the configuration: it has
    a line that begins as ``said``."""
    command = [str(release / "bin/pitwatch"), "upgrade", "--check", "--config", str(place.config)]
    say(" ".join(["pitwatch", *command[1:]]))
    done = _run(place, command, stdout=subprocess.PIPE, text=True, errors="replace")
    print(done.stdout, end="", flush=True)
    lines = done.stdout.splitlines()
    return done.returncode == NO_COMMAND or any(one.startswith(said) for one in lines)


def secrets_are_away(place: Place) -> bool:
    """Whether the unit is stopped, and has secrets that only its start can read."""
    unit = _unit(place)
    return unit.get("MainPID") == "0" and any(unit.get(name) for name in SECRETS)


def _unit(place: Place) -> dict[str, str]:
    """What systemd says of the unit; empty where none runs, or it says nothing."""
    if not (place.root / "run/systemd/system").is_dir():
        return {}
    names = [f"--property={name}" for name in ("MainPID", *SECRETS)]
    done = subprocess.run(
        ["systemctl", "show", UNIT, *names],
        stdout=subprocess.PIPE, text=True, errors="replace", check=False,
    )  # fmt: skip
    lines = (line.partition("=") for line in done.stdout.split("\n"))
    return {name: value for name, _, value in lines}


def _environment(place: Place) -> dict[str, str]:
    """This process's variables, with those that the unit's process was started with."""
    found = dict(os.environ)
    process = _unit(place).get("MainPID", "0")
    with contextlib.suppress(OSError):
        for one in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
            name, _, value = os.fsdecode(one).partition("=")
            if name and name not in OF_ONE_PROCESS:
                found[name] = value
    return found


def _run(place: Place, command: list[str], **more: object) -> subprocess.CompletedProcess[str]:
    more |= {"env": _environment(place), **as_agent(place)}
    return subprocess.run(command, check=False, cwd="/", **more)  # type: ignore[call-overload, no-any-return]
