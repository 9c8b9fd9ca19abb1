"""What makes a bundle: what it says of its wheels, and that its programs are in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.offline.support import OFFLINE, ROOT, keys, module, wheel_of_stand_in
from tests.support import require_tool

MAKE = module("make")


def test_the_oldest_glibc_is_that_of_the_most_demanding_wheel(tmp_path: Path) -> None:
    for name in (
        "a-1-py3-none-any.whl",
        "b-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "c-1-cp311-abi3-manylinux_2_26_x86_64.manylinux_2_28_x86_64.whl",
    ):
        (tmp_path / name).touch()
    assert MAKE.glibc_of(tmp_path) == "2.26"
    (tmp_path / "d-1-cp311-cp311-manylinux_2_34_x86_64.whl").touch()
    assert MAKE.glibc_of(tmp_path) == "2.34"


def test_everything_is_required_by_its_hash_the_agent_too(tmp_path: Path) -> None:
    wheel = wheel_of_stand_in(tmp_path, "1.0")
    line = MAKE.requirements(tmp_path)
    assert line == f"pitwatch==1.0 --hash=sha256:{MAKE.sha256_of(wheel)}\n"
    assert MAKE.unpacked_bytes(tmp_path) > 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one of --key FILE and --unsigned"),
        (["--unsigned", "--key", "a"], "one of --key FILE and --unsigned"),
        (["--key", "/nowhere/release.key"], "/nowhere/release.key: there is no such key"),
    ],
)
def test_a_bundle_is_signed_or_it_is_said_that_it_is_not(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        MAKE.main(words)
    assert said in capsys.readouterr().err


def test_a_key_that_is_no_key_is_named(tmp_path: Path) -> None:
    require_tool("openssl")
    (tmp_path / "key").write_text("no key")
    (tmp_path / "bundle").mkdir()
    with pytest.raises(MAKE.MakeError, match="openssl pkeyutl -sign"):
        MAKE.seal(tmp_path / "bundle", tmp_path / "key")


def test_the_documented_commands_make_keys_that_fit(tmp_path: Path) -> None:
    require_tool("openssl")
    private, public = keys(tmp_path)
    page = (OFFLINE / "README.md").read_text()
    assert "openssl genpkey -algorithm ed25519 -out release.key" in page
    assert "openssl pkey -in release.key -pubout -out release.pub" in page
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "file").write_text("of the bundle")
    MAKE.seal(bundle, private)
    check = module("bundle_check.py")
    check.check_signature(bundle, public)
    check.check_sums(bundle)


def test_the_proofs_namespace_has_loopback_up_and_nothing_else(tmp_path: Path) -> None:
    require_tool("unshare")
    if subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        pytest.skip("needs root, to make a network namespace")
    asks = (
        "import socket; one = socket.create_server(('127.0.0.1', 0));"
        "socket.create_connection(one.getsockname(), 5);"
        "print([name for _, name in socket.if_nameindex()])"
    )
    assert MAKE.without_network([sys.executable, "-c", asks], tmp_path) == "['lo']\n"
    with pytest.raises(MAKE.MakeError, match=r"unreachable"):
        MAKE.without_network(
            [sys.executable, "-c", "import socket; socket.create_connection(('192.0.2.1', 9), 5)"],
            tmp_path,
        )


def test_every_file_that_a_bundle_takes_is_there() -> None:
    for name in (*MAKE.PROGRAMS, "README.md", "pitwatch.yaml", "sbom.py", "locks/resolved.json"):
        assert (OFFLINE / name).is_file(), name
    shipped = {one.name for one in (ROOT / "deploy/systemd").iterdir()}
    assert shipped == set(MAKE.SYSTEM)
    assert set(module("pitwatch-release").UNITS) == {
        one for one in shipped if one.endswith(("service", "timer"))
    }
    assert set(module("pitwatch-release").PROGRAMS) == set(MAKE.PROGRAMS)


@pytest.mark.timeout(300)
def test_the_types_of_the_programs_are_in_order() -> None:
    programs = ["make", "lock", "install-locked", "pitwatch-release"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--scripts-are-modules",
         f"--cache-dir={ROOT}/.mypy_cache", *programs],
        cwd=OFFLINE, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
