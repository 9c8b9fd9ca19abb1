"""Is this bundle what its maker made, and for this machine? Standard library and openssl only."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SUMS, SIGNATURE, ABOUT = "SHA256SUMS", "SHA256SUMS.sig", "bundle.json"
FORMAT = 1
LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


class BundleError(Exception):
    """A bundle that is not to be installed here; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class About:
    """``bundle.json``: what a bundle holds and where it may be installed."""

    release: str
    version: str
    build: str
    python: str
    system: str
    machine: str
    glibc: tuple[int, int]
    installed_bytes: int


def sha256_of(file: Path) -> str:
    """sha256 of a file's content, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_of(bundle: Path) -> list[str]:
    """Every file of a bundle but sums and signature, by its path inside, in order."""
    found = (one for one in bundle.rglob("*") if not one.is_dir() or one.is_symlink())
    names = (one.relative_to(bundle).as_posix() for one in found)
    return sorted(one for one in names if one not in (SUMS, SIGNATURE))


def check_signature(bundle: Path, key: Path) -> None:
    """Raise BundleError unless the owner of ``key``, a public Ed25519 key, signed the sums."""
    if shutil.which("openssl") is None:
        raise BundleError("openssl is not installed, so the signature cannot be checked")
    if not key.is_file():
        raise BundleError(f"{key}: there is no such key; --key FILE names the maker's public key")
    for name in (SUMS, SIGNATURE):
        if not (bundle / name).is_file():
            raise BundleError(f"{name} is missing: the bundle is not signed, or not whole")
    done = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(key), "-rawin",
         "-in", str(bundle / SUMS), "-sigfile", str(bundle / SIGNATURE)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())[:200]
        raise BundleError(f"{SIGNATURE} was not made with the key that belongs to {key}: {said}")


def check_sums(bundle: Path) -> None:
    """Raise BundleError unless exactly the files of SHA256SUMS are there, each with its sum."""
    if not (bundle / SUMS).is_file():
        raise BundleError(f"{SUMS} is missing: {bundle} is no bundle, or not whole")
    wanted: dict[str, str] = {}
    for line in (bundle / SUMS).read_text(encoding="utf-8").splitlines():
        found = LINE.fullmatch(line)
        if found is None:
            raise BundleError(f"{SUMS}: not a sum and a file: {line[:80]}")
        wanted[found[2]] = found[1]
    there = files_of(bundle)
    if missing := sorted(set(wanted) - set(there)):
        raise BundleError(f"{missing[0]} is missing ({len(missing)} of {len(wanted)} files)")
    if more := sorted(set(there) - set(wanted)):
        raise BundleError(f"{more[0]} is not in {SUMS}: it is none of the bundle's files")
    for name, value in wanted.items():
        file = bundle / name
        if file.is_symlink() or not file.is_file():
            raise BundleError(f"{name} is no ordinary file")
        if sha256_of(file) != value:
            raise BundleError(f"{name} has another checksum than {SUMS}: copy the bundle again")


def about(bundle: Path) -> About:
    """Read ``bundle.json``; raise BundleError where it is not one that this program knows."""
    try:
        said = json.loads((bundle / ABOUT).read_text(encoding="utf-8"))
        if said["format"] != FORMAT:
            raise BundleError(f"{ABOUT}: format {said['format']}, this program reads {FORMAT}")
        major, minor = (int(part) for part in said["glibc"].split("."))
        release = str(said["release"])
        if not re.fullmatch(r"[0-9A-Za-z][\w.+-]*", release):
            raise BundleError(f"{ABOUT}: release {release!r} is no name for a folder")
        return About(
            release, said["version"], said["build"], said["python"], said["system"],
            said["machine"], (major, minor), int(said["installed_bytes"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{ABOUT} cannot be read: {error!r}") from error


def check_machine(of: About) -> None:
    """Raise BundleError unless this Python, system and C library can run what the bundle holds."""
    machine, system = platform.machine(), platform.system().lower()
    if (of.system, of.machine) != (system, machine):
        raise BundleError(
            f"the bundle is for {of.system} on {of.machine}, this machine is {system} on {machine}"
        )
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    if of.python != python or sys.implementation.name != "cpython":
        raise BundleError(
            f"the bundle is for CPython {of.python.removeprefix('cp3').join(('3.', ''))}, this is"
            f" {sys.implementation.name} {platform.python_version()} ({sys.executable}):"
            " start this program with the other one"
        )
    name, version = platform.libc_ver()
    have = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if name != "glibc" or have < of.glibc:
        wanted = ".".join(map(str, of.glibc))
        raise BundleError(f"the bundle needs glibc {wanted}, here is {name or 'another'} {version}")


def check(bundle: Path, key: Path | None) -> About:
    """Check everything, the signature first (``None``: not asked for); raise BundleError."""
    if not bundle.is_dir():
        raise BundleError(f"{bundle} is no folder; unpack the bundle first: tar -xf BUNDLE.tar")
    if key is not None:
        check_signature(bundle, key)
    check_sums(bundle)
    found = about(bundle)
    check_machine(found)
    return found
