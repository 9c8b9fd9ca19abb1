"""The unit: nothing to complain about for systemd, and true of the program that it starts."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from agent.config import Http
from agent.pipeline.runner import EXIT_CONFIG
from tests.support import require_tool

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "pitwatch.service"
README = (ROOT / "deploy" / "README.md").read_text()


def value(key: str) -> str:
    found = re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert len(found) == 1, (key, found)
    return str(found[0])


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there: all that systemd looks at besides the text."""
    here = tmp_path / "pitwatch.service"
    here.write_text(UNIT.read_text().replace("/opt/pitwatch/current/bin/pitwatch", "/bin/true"))
    return here


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    require_tool("systemd-analyze")
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_reload_asks_the_agent_that_the_unit_starts() -> None:
    start, again = (shlex.split(value(key)) for key in ("ExecStart", "ExecReload"))
    assert (again[0], again[1]) == (start[0], "reload")
    assert again[again.index("--config") + 1] == start[start.index("--config") + 1]
    assert again[again.index("--state-dir") + 1] == f"/var/lib/{value('StateDirectory')}"


def test_systemd_has_nothing_to_say(unit: Path) -> None:
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_key_that_systemd_does_not_know_is_found(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSeconds="))
    assert "WatchdogSeconds" in analyze("verify", "--man=no", str(unit)).stderr


def test_the_exposure_is_what_the_readme_says(unit: Path) -> None:
    done = analyze("security", "--offline=true", "--no-pager", str(unit))
    level = re.search(r"exposure level for pitwatch\.service: ([\d.]+)", done.stdout)
    written = re.search(r"exposure level ([\d.]+)", README)
    assert level is not None
    assert written is not None
    assert level[1] == written[1]


def test_the_unit_starts_a_command_that_there_is() -> None:
    program, *words = shlex.split(value("ExecStart"))
    assert program.endswith("/bin/pitwatch")
    done = subprocess.run(
        [sys.executable, "-m", "agent", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == EXIT_CONFIG  # its file is not here; the options were understood
    assert "/etc/pitwatch/pitwatch.yaml" in done.stderr


def test_the_unit_asks_the_agent_that_it_has_started() -> None:
    program, *words = shlex.split(value("ExecStartPost"))
    assert program == f"-{shlex.split(value('ExecStart'))[0]}", "and goes on whatever it says"
    assert words == ["health", *shlex.split(value("ExecStart"))[-2:]]


def test_errors_that_stay_are_not_tried_again() -> None:
    assert str(EXIT_CONFIG) in value("RestartPreventExitStatus").split()
    assert int(value("StartLimitBurst")) * float(value("RestartSec")) < float(
        value("StartLimitIntervalSec")
    ), "otherwise the limit is never reached"


def test_the_watchdog_leaves_time_to_name_the_loop_that_hangs() -> None:
    assert float(value("WatchdogSec")) > 2 * Http().loop_limit_s
    assert value("Type") == "notify"


def test_the_units_name_commands_that_there_are() -> None:
    check = shlex.split(value("ExecStartPre"))
    assert check == [
        shlex.split(value("ExecStart"))[0], "check-config", "/etc/pitwatch/pitwatch.yaml",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "agent", *check[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == EXIT_CONFIG
    assert "/etc/pitwatch/pitwatch.yaml" in done.stderr


@pytest.mark.parametrize("name", ["pitwatch-backup.service", "pitwatch-backup.timer"])
def test_systemd_has_nothing_to_say_of_the_backup(name: str, tmp_path: Path) -> None:
    for file in UNIT.parent.glob("pitwatch*.*e*r*"):
        text = file.read_text().replace("/opt/pitwatch/current/bin/pitwatch", "/bin/true")
        (tmp_path / file.name).write_text(text)
    done = analyze("verify", "--man=no", str(tmp_path / name))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_backup_is_confined_as_the_agent_is_and_nicer() -> None:
    text = (UNIT.parent / "pitwatch-backup.service").read_text()
    for key in ("User", "StateDirectory", "UMask", "ProtectSystem", "NoNewPrivileges"):
        assert f"\n{key}={value(key)}\n" in text
    assert "\nPrivateNetwork=yes\n" in text
    assert "\nNice=19\n" in text


def test_the_documented_commands_make_user_and_folders_as_the_unit_wants(tmp_path: Path) -> None:
    """The two commands of the unit's head, word for word, with a root of their own."""
    require_tool("systemd-sysusers", "systemd-tmpfiles")
    head = UNIT.read_text().partition("[Unit]")[0]
    commands = re.findall(r"^#   (systemd-\S+ .*)$", head, re.MULTILINE)
    assert [one.split()[0] for one in commands] == ["systemd-sysusers", "systemd-tmpfiles"]
    for name in ("sysusers", "tmpfiles"):
        (tmp_path / f"etc/{name}.d").mkdir(parents=True)
        file = tmp_path / f"etc/{name}.d/pitwatch.conf"
        file.write_text((UNIT.parent / f"pitwatch.{name}").read_text())
    (tmp_path / "var/lib").mkdir(parents=True)
    for command in commands:
        program, *words = command.split()
        words = [word.replace("/etc/", f"{tmp_path}/etc/") for word in words]
        done = subprocess.run(
            [program, f"--root={tmp_path}", *words],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    users = (tmp_path / "etc/passwd").read_text()
    assert re.search(r"^pitwatch:.*:/var/lib/pitwatch:/usr/sbin/nologin$", users, re.MULTILINE)
    user = int(users.split("pitwatch:")[1].split(":")[1])
    state, settings = tmp_path / "var/lib/pitwatch", tmp_path / "etc/pitwatch"
    assert (state.stat().st_mode & 0o7777, state.stat().st_uid) == (0o750, user)
    assert (settings.stat().st_mode & 0o7777, settings.stat().st_uid) == (0o750, 0)
    assert settings.stat().st_gid == state.stat().st_gid, "its user reads the configuration"
