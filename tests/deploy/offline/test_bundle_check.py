"""Bundles that are refused, each naming what is wrong, and nothing installed."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.offline.support import Site, keys, module
from tests.support import require_tool

HERE = f"{platform.system().lower()} on {platform.machine()}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    require_tool("openssl")
    return Site(tmp_path / "site")


def refused(site: Site, bundle: Path, *more: object) -> str:
    """What an installation says that changes nothing."""
    done = site.install(bundle, *more)
    assert done.returncode == 65, done.stdout + done.stderr
    assert list(site.root.iterdir()) == [], "nothing was written"
    assert done.stderr.startswith("pitwatch-release: refused: ")
    return done.stderr


def changed(bundle: Path) -> None:
    wheel = next((bundle / "wheels").iterdir())
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)


def with_other_sums(bundle: Path) -> None:
    sums = bundle / "SHA256SUMS"
    changed(bundle)
    module("make").seal(bundle, None)
    assert sums.is_file()
    (bundle / "SHA256SUMS.sig").write_bytes(b"\x00" * 64)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (changed, "pitwatch-1.0-py3-none-any.whl has another checksum"),
        (with_other_sums, "SHA256SUMS.sig was not made with the key"),
        (lambda b: (b / "requirements.txt").unlink(), "requirements.txt is missing (1 of"),
        (lambda b: (b / "wheels/more.whl").touch(), "wheels/more.whl is not in SHA256SUMS"),
        (lambda b: (b / "SHA256SUMS.sig").unlink(), "SHA256SUMS.sig is missing"),
        (lambda b: (b / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
        (lambda b: (b / "link").symlink_to("/etc/passwd"), "link is not in SHA256SUMS"),
    ],
    ids=["wheel", "signature", "missing", "more", "unsigned", "no sums", "link"],
)
def test_a_bundle_that_is_not_what_its_maker_made_is_refused(
    site: Site, damage: Callable[[Path], object], said: str
) -> None:
    bundle = site.bundle()
    damage(bundle)
    assert said in refused(site, bundle)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"machine": "riscv64"}, f"is for linux on riscv64, this machine is {HERE}"),
        ({"system": "plan9"}, "is for plan9 on"),
        ({"python": "cp399"}, "is for CPython 3.99, this is cpython 3."),
        ({"glibc": "9.99"}, "needs glibc 9.99, here is glibc"),
        ({"format": 2}, "format 2, this program reads 1"),
        ({"release": "../../etc"}, "'../../etc' is no name for a folder"),
        ({"glibc": "new"}, "bundle.json cannot be read"),
        ({"installed_bytes": None}, "bundle.json cannot be read"),
    ],
    ids=lambda one: "" if isinstance(one, str) else "-".join(one),
)  # fmt: skip
def test_a_bundle_for_another_machine_is_refused_and_names_both(
    site: Site, wrong: dict[str, object], said: str
) -> None:
    assert said in refused(site, site.bundle(**wrong))


def test_a_bundle_of_another_maker_is_refused(site: Site) -> None:
    _, other = keys(site.where, "other")
    said = site.release("install", site.bundle(), "--key", other)
    assert (said.returncode, "was not made with the key" in said.stderr) == (65, True)


def test_without_a_key_nothing_is_installed_unless_that_is_said(site: Site) -> None:
    bundle = site.bundle()
    done = site.release("install", bundle)
    assert done.returncode == 65
    assert "release.pub: there is no such key; --key FILE" in done.stderr
    (bundle / "SHA256SUMS.sig").unlink()
    assert site.release("install", bundle, "--unsigned").returncode == 0
    assert not (site.settings / "release.pub").exists()


@pytest.mark.parametrize("what", ["bundle.tar", "nowhere"])
def test_what_is_no_unpacked_bundle_is_told_how(site: Site, what: str) -> None:
    (site.where / "bundle.tar").touch()
    assert "unpack the bundle first: tar -xf" in refused(site, site.where / what)


def test_the_documented_commands_check_a_bundle_without_any_of_its_programs(site: Site) -> None:
    page = (Path(__file__).parents[3] / "deploy/offline/README.md").read_text()
    lines = [one for one in page.splitlines() if one.startswith(("openssl pkeyutl", "sha256sum"))]
    assert len(lines) == 2
    bundle = site.bundle()
    script = " && ".join(lines).replace("/media/keys/release.pub", str(site.public))

    def checked() -> int:
        return subprocess.run(
            ["sh", "-c", script], cwd=bundle, capture_output=True, timeout=30, check=False
        ).returncode

    assert checked() == 0
    changed(bundle)
    assert checked() != 0


def test_sums_are_those_that_sha256sum_writes(site: Site) -> None:
    bundle = site.bundle()
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
        cwd=bundle, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    about = module("bundle_check.py").about(bundle)
    assert about.python == f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert json.loads((bundle / "bundle.json").read_text())["release"] == about.release
