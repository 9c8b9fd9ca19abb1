"""The locks belong to this checkout, and a change that they do not know is named."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.offline.support import OFFLINE, ROOT, module

LOCK = module("lock")
INSTALL = module("install-locked")

OTHER = f"pillow==1.0 \\\n    --hash=sha256:{64 * '0'}\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the locks are made of, and the locks, to be changed."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(OFFLINE / "locks", tmp_path / "locks")
    return tmp_path


def wrong(checkout: Path) -> list[str]:
    found: list[str] = LOCK.check(checkout, checkout / "locks")
    return found


def test_the_locks_belong_to_this_checkout(checkout: Path) -> None:
    assert wrong(checkout) == []
    done = subprocess.run(
        [sys.executable, str(OFFLINE / "lock"), "--check"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_the_check_of_the_project_begins_with_them() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert script.index("deploy/offline/lock --check") < script.index("command_of run-command")


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("pyproject.toml", '"pillow>=11"', '"pillow>=12"', "cpu.txt was made from another"),
        ("constraints.txt", "ray==2.60.0", "ray==2.61.0", "ray.txt was made from another"),
        ("pyproject.toml", '"pillow>=11"', '"nothing-of-it"', "cpu.txt lacks nothing-of-it"),
        ("pyproject.toml", '"jinja2>=3.1"', '"nothing-of-it"', "study.txt lacks nothing-of-it"),
        ("locks/cpu.txt", "pillow==", "pillow>=", "cpu.txt: not NAME==VERSION with sha256 hashes"),
        ("locks/cpu.txt", "--hash=sha256:0", "--hash=md5:0", "cpu.txt: not NAME==VERSION"),
        ("locks/cpu.txt", "\namqtt", "\n--index-url x\namqtt", "cpu.txt: not NAME==VERSION"),
        ("locks/cpu.txt", "\namqtt", "\n./a.whl\namqtt", "cpu.txt: not NAME==VERSION"),
        ("locks/study.txt", "cycler==", f"{OTHER}cycler==", "study.txt has pillow 1.0, cpu.txt"),
    ],
)
def test_a_change_that_the_locks_do_not_know_is_named(
    checkout: Path, file: str, before: str, after: str, said: str
) -> None:
    text = (checkout / file).read_text()
    assert before in text
    (checkout / file).write_text(text.replace(before, after, 1))
    assert any(one.startswith(said) for one in wrong(checkout)), wrong(checkout)


def test_a_comment_of_the_constraints_changes_nothing(checkout: Path) -> None:
    with (checkout / "constraints.txt").open("a") as file:
        file.write("# a comment\n")
    assert wrong(checkout) == []


@pytest.mark.parametrize("name", ["cuda.txt", "resolved.json"])
def test_a_lock_that_is_missing_is_named(checkout: Path, name: str) -> None:
    (checkout / "locks" / name).unlink()
    assert wrong(checkout) == [f"{name} is missing"]


def test_no_lock_names_a_place() -> None:
    for file in (OFFLINE / "locks").iterdir():
        text = file.read_text()
        assert "://" not in text, file
        assert not re.search(r"(^|[\s\"'])/\w", text), file


def test_the_two_builds_differ_in_torch_and_what_it_brings_alone() -> None:
    cpu, cuda = (
        {(pin.name, pin.version, pin.marker) for pin in LOCK.pins_of(text)}
        for text in ((OFFLINE / f"locks/{name}.txt").read_text() for name in ("cpu", "cuda"))
    )
    assert {name for name, _, _ in cpu - cuda} == {"torch"}
    assert all(LOCK.CUDA_ONLY.fullmatch(n) or n == "torch" for n, _, _ in cuda - cpu)
    (pinned,) = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    of_torch = {(version, marker) for name, version, marker in cpu if name == "torch"}
    assert of_torch == {
        (f"{pinned}+cpu", "sys_platform == 'linux'"), (pinned, "sys_platform != 'linux'"),
    }  # fmt: skip


def test_cpu_builds_of_torch_are_found_in_a_folder_and_on_a_page(tmp_path: Path) -> None:
    (tmp_path / "torch-1.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").write_bytes(b"one")
    (tmp_path / "torch-1.0-cp311-cp311-manylinux_2_28_x86_64.whl").write_bytes(b"of CUDA")
    (found,) = LOCK.cpu_builds("1.0", str(tmp_path))
    assert found == LOCK.sha256_of(next(tmp_path.glob("torch-1.0+cpu*")))
    with pytest.raises(SystemExit, match=r"no CPU build of torch 2\.0 in"):
        LOCK.cpu_builds("2.0", str(tmp_path))


def test_installing_takes_torch_first_then_what_belongs_to_its_build(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(INSTALL, "pip", lambda *words: asked.append(words))
    there = iter((True, False, False))
    monkeypatch.setattr(INSTALL, "cpu_build", lambda how, loud: next(there))
    locks = str(OFFLINE / "locks")
    for build in ("cpu", "cuda"):
        asked.clear()
        assert INSTALL.main(["study", "-q", "--", "--no-cache-dir"]) == 0
        files = ("-r", f"{locks}/{build}.txt", "-r", f"{locks}/study.txt")
        rest, own = asked
        assert rest == ("-q", "--no-cache-dir", "--require-hashes", *files)
        assert {"--no-deps", "--no-build-isolation", "-e"} <= set(own)
    assert INSTALL.main(["--build", "cpu"]) == 1, "asked for, and not there"
    with pytest.raises(SystemExit):
        INSTALL.main(["nonsense"])
    assert "no extra 'nonsense'; there are: cluster, genicam" in capsys.readouterr().err


def test_outside_of_an_environment_nothing_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with pytest.raises(SystemExit):
        INSTALL.main([])
    assert "make one: python3 -m venv .venv" in capsys.readouterr().err
