"""A folder that can never serve is refused before anything is opened, and left as it is."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent import preflight
from agent.config.problems import ConfigErrors
from agent.preflight import load_config
from agent.storage.errors import StateDirError
from agent.storage.file import migrations
from agent.storage.file.state_dir import FILE, file_version
from agent.storage.store import Store
from agent.telemetry import NullTelemetry

LATER = 99


def of_a_later_version(folder: Path) -> dict[str, bytes]:
    connection = sqlite3.connect(folder / FILE)
    connection.execute(f"PRAGMA user_version = {LATER}")
    connection.close()
    return contents(folder)


def killed_before_its_log_was_written_back(folder: Path) -> dict[str, bytes]:
    """A later version that migrated the file and was killed: the number stands in the log alone."""
    Store(folder, NullTelemetry()).close()
    code = f"""
import os, signal, sqlite3
connection = sqlite3.connect({str(folder / FILE)!r}, isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA user_version = {LATER}")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (folder / f"{FILE}-wal").stat().st_size > 0
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("make", [of_a_later_version, killed_before_its_log_was_written_back])
def test_a_file_of_a_later_version_is_refused_and_not_touched(tmp_path: Path, make) -> None:
    before = make(tmp_path)
    with pytest.raises(StateDirError, match=f"schema {LATER}") as caught:
        Store(tmp_path, NullTelemetry())
    assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["run", "check-config"])
def test_every_command_that_reads_the_configuration_ends_with_78(
    tmp_path: Path, command: str
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    before = of_a_later_version(state)
    file = tmp_path / "pitwatch.yaml"
    file.write_text(f"state_dir: {state}\ncameras: [{{name: cam1, source: 'sim:'}}]\n")
    options = ["--plain", "--config", str(file)] if command == "run" else [str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "agent", command, *options],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 78, said
    assert "state_dir" in said
    assert "later version" in said
    assert "damaged" not in said
    assert contents(state) == before


def test_the_version_of_this_program_is_read_as_the_database_says_it(tmp_path: Path) -> None:
    store = Store(tmp_path, NullTelemetry())
    store.close()
    assert file_version(tmp_path / FILE) == migrations.VERSION


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", os.urandom(5000)])
def test_what_is_no_database_has_no_version(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    (tmp_path / f"{FILE}-wal").write_bytes(content)
    assert file_version(tmp_path / FILE) == 0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_an_error_of_the_configuration(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was called a folder that another process uses."""

    def refuse(_file: object, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(StateDirError, match="without locks"):
        Store(tmp_path, NullTelemetry())
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "pitwatch.yaml"
    file.write_text(f"state_dir: {tmp_path}\ncameras: [{{name: cam1, source: 'sim:'}}]\n")
    with pytest.raises(ConfigErrors) as caught:
        load_config(file)
    (said,) = [one.message for one in caught.value.problems if one.path == "state_dir"]
    assert "without locks" in said


def test_a_disk_that_hangs_does_not_hold_up_the_look_at_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start stood for as long as the disk, before it had said or begun anything."""
    answers = threading.Event()
    monkeypatch.setattr(preflight, "refusal", lambda *_: answers.wait(60) and None)
    monkeypatch.setattr(preflight, "LOOK_S", 0.01)
    file = tmp_path / "pitwatch.yaml"
    cameras = "cameras: [{name: cam1, source: 'sim:'}]"
    file.write_text(f"state_dir: {tmp_path}\nmqtt: {{broker: none}}\n{cameras}\n")
    try:
        assert load_config(file).config.state_dir == tmp_path
        assert not answers.is_set()
    finally:
        answers.set()
