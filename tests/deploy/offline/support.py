"""The programs of ``deploy/offline`` as modules; small bundles with a stand-in for the agent."""

from __future__ import annotations

import base64
import ensurepip
import hashlib
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[3]
OFFLINE = ROOT / "deploy" / "offline"

STAND_IN = '''
import os, pathlib, signal, sys

def main():
    """Write down what was asked; answer as the files beside the configuration say."""
    words = sys.argv[1:]
    config = pathlib.Path(words[-1])
    here = config.parent
    told = here / "asked"
    if words != ["--help"]:
        with told.open("a") as log:
            log.write(f"{VERSION} {' '.join(words[:2])}\\n")
    answer = here / f"{VERSION} {words[0]}"
    if len(words) > 3 and (here / f"{answer.name} {words[1]}").exists():
        answer = here / f"{answer.name} {words[1]}"
    if answer.exists():
        text, _, said = answer.read_text().partition(" ")
        if text == "kill":
            os.kill(os.getppid(), signal.SIGKILL)
        if text == "variable":
            sys.exit(0 if said in os.environ else 78)
        if said:
            print(said)
        sys.exit(int(text))
'''

QUICK_PIP = """
import pathlib, sys, zipfile

words = sys.argv[1:]
assert words[0] == "install" and "--require-hashes" in words and "--no-index" in words
wheels = pathlib.Path(words[words.index("--find-links") + 1])
place = next(pathlib.Path(sys.prefix).glob("lib/python3*/site-packages"))
for wheel in wheels.glob("*.whl"):
    zipfile.ZipFile(wheel).extractall(place)
program = pathlib.Path(sys.prefix) / "bin" / "pitwatch"
program.write_text(f"#!{sys.executable}\\nimport stand_in\\nstand_in.main()\\n")
program.chmod(0o755)
"""
"""What stands in for pip where it is not what is tested: pip itself takes seconds."""


def module(name: str) -> ModuleType:
    """One of the programs, imported under its name with ``_``."""
    if str(OFFLINE) not in sys.path:
        sys.path.insert(0, str(OFFLINE))
    loader = SourceFileLoader(name.replace("-", "_"), str(OFFLINE / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = made
    loader.exec_module(made)
    return made


def keys(folder: Path, name: str = "release") -> tuple[Path, Path]:
    """A new private key and its public one, by the documented commands."""
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    for command in (
        f"openssl genpkey -algorithm ed25519 -out {private}",
        f"openssl pkey -in {private} -pubout -out {public}",
    ):
        subprocess.run(command.split(), check=True, capture_output=True, timeout=30)
    return private, public


def wheel_of_stand_in(folder: Path, version: str) -> Path:
    """A wheel named pitwatch whose command is the stand-in."""
    files = {
        "stand_in.py": f"VERSION = {version!r}\n{STAND_IN}",
        f"pitwatch-{version}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: pitwatch\nVersion: {version}\nLicense: none\n"
        ),
        f"pitwatch-{version}.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        f"pitwatch-{version}.dist-info/entry_points.txt": (
            "[console_scripts]\npitwatch = stand_in:main\n"
        ),
    }
    record = f"pitwatch-{version}.dist-info/RECORD"
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for name, text in files.items()
    ]
    files[record] = "\n".join([*lines, f"{record},,"]) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"pitwatch-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


@dataclass(slots=True)
class Site:
    """A machine in a folder, and the maker's keys."""

    where: Path
    private: Path = field(init=False)
    public: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        self.private, self.public = keys(self.where)

    @property
    def root(self) -> Path:
        return self.where / "root"

    @property
    def home(self) -> Path:
        return self.root / "opt/pitwatch"

    @property
    def settings(self) -> Path:
        return self.root / "etc/pitwatch"

    def bundle(self, version: str = "1.0", quick: bool = True, **said: object) -> Path:
        """A signed bundle of the stand-in; ``said`` goes into its bundle.json. Without ``quick``
        it has the pip that Python brings."""
        make = module("make")
        bundle = self.where / f"bundle-{version}"
        wheel_of_stand_in(bundle / "wheels", version)
        (bundle / "tools").mkdir()
        if quick:
            with zipfile.ZipFile(bundle / "tools/pip-0.whl", "w") as archive:
                archive.writestr("pip/__main__.py", QUICK_PIP)
        else:
            (pip,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
            shutil.copy(pip, bundle / "tools")
        (bundle / "requirements.txt").write_text(make.requirements(bundle / "wheels"))
        (bundle / "system").mkdir()
        for name in make.SYSTEM:
            text = (ROOT / "deploy/systemd" / name).read_text()
            (bundle / "system" / name).write_text(f"# of {version}\n{text}")
        for name in (*make.PROGRAMS, "pitwatch.yaml"):
            shutil.copy(OFFLINE / name, bundle)
        about = {
            "format": 1,
            "release": version,
            "version": version,
            "build": "cpu",
            "python": f"cp{sys.version_info[0]}{sys.version_info[1]}",
            "system": platform.system().lower(),
            "machine": platform.machine(),
            "glibc": "2.17",
            "installed_bytes": 2**20,
            **said,
        }
        (bundle / "bundle.json").write_text(json.dumps(about))
        make.seal(bundle, self.private)
        return bundle

    def with_systemd(self, restart: str = "exit 0") -> None:
        """From now on a systemd that writes down what it is asked runs here."""
        (self.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
        programs = self.where / "programs"
        programs.mkdir(exist_ok=True)
        program = programs / "systemctl"
        program.write_text(
            f'#!/bin/sh\n[ "$1" = show ] && exec cat {self.where}/unit\n'
            f'echo "$@" >>{self.where}/systemctl\n'
            f'[ "$1" = restart ] || exit 0\n{restart}\n'
        )
        program.chmod(0o755)
        (self.where / "unit").touch()

    def with_unit(self, process: int, **said: str) -> None:
        """What that systemd says of the unit; ``process`` 0: it is stopped."""
        lines = [f"MainPID={process}", *(f"{name}={value}" for name, value in said.items())]
        (self.where / "unit").write_text("\n".join(lines) + "\n")

    def release(
        self, *words: object, typed: str = "", program: Path = OFFLINE
    ) -> subprocess.CompletedProcess[str]:
        """Run pitwatch-release about this machine."""
        path = f"{self.where}/programs:/usr/sbin:/usr/bin:/bin"
        return subprocess.run(
            [sys.executable, str(program / "pitwatch-release"), "--root", str(self.root)]
            + [str(one) for one in words],
            capture_output=True, text=True, timeout=100, check=False, input=typed,
            env={"PATH": path, "HOME": str(self.where)},
        )  # fmt: skip

    def install(self, bundle: Path, *more: object) -> subprocess.CompletedProcess[str]:
        return self.release("install", bundle, "--key", self.public, *more)

    def answer(self, version: str, command: str, text: str) -> None:
        """What the stand-in of one version is to do when it is asked: an exit code, and what to
        print; kill; or variable NAME, without which the configuration does not fit."""
        self.settings.mkdir(parents=True, exist_ok=True)
        (self.settings / f"{version} {command}").write_text(text)

    def asked(self) -> list[str]:
        """What the stand-ins were asked since the last call."""
        file = self.settings / "asked"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def systemd_was_asked(self) -> list[str]:
        file = self.where / "systemctl"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def running(self) -> str:
        """The release behind ``current``, by what its own command and unit say."""
        name = (self.home / "current").readlink().name
        unit = (self.root / "etc/systemd/system/pitwatch.service").read_text()
        assert unit.startswith(f"# of {name}\n"), "the unit is of the release that runs"
        return name
