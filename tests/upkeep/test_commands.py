"""``pitwatch state``, ``upgrade``, ``status``, ``bundle``: of an agent that runs and of one
that is down."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.config.models import Config
from agent.storage.file.backup import backup_name
from agent.storage.file.migrations import VERSION
from agent.storage.file.state_dir import FILE, file_version
from agent.storage.store import Store
from agent.telemetry import NullTelemetry
from tests.storage.upkeep.files import UNDELIVERED, put_file_of_5, waiting_events
from tests.support import free_port
from tests.support.running import START_S, forked_agent

FILES = Path(__file__).parents[1] / "storage" / "files"
SECRETS = (
    "Sup3r-secret-mqtt",
    "http-token-of-the-plant-1",
    "rtsp-Passw0rd",
    "act-token-of-plant-22",
)


def pitwatch(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "300"})
    return done.exit_code, done.stdout + done.stderr


def config_of(folder: Path, more: str = "", port: int = 0) -> Path:
    """A configuration with secrets wherever it may have some."""
    file = folder / "pitwatch.yaml"
    log = folder / "log" / "pitwatch.log"
    file.write_text(
        f"state_dir: {folder / 'state'}\n"
        f"mqtt: {{broker: 'mqtt://127.0.0.1:{free_port()}', username: plant, "
        f"password: {SECRETS[0]}}}\n"
        f"http: {{port: {port or free_port()}, token: {SECRETS[1]}, "
        f"actions: {{token: {SECRETS[3]}}}}}\n"
        f"logging: {{file: {log}}}\n"
        "cameras: [{name: cam1, source: 'sim:'}, "
        f"{{name: cam2, source: 'rtsp://joe:{SECRETS[2]}@127.0.0.1:9/x'}}]\n"
        "ablation: {workers: {count: 0}}\n" + more
    )
    (folder / "state").mkdir(exist_ok=True)
    return file


def test_a_backup_and_a_check_of_an_agent_that_is_down(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    put_file_of_5(tmp_path / "state")
    for _ in range(2):
        code, said = pitwatch("state", "backup", "--config", config, "--keep", 1)
        if code == 0:
            continue
        assert "is there already" in said  # twice in one second
    (made,) = (tmp_path / "state" / "backups").iterdir()
    assert made.stat().st_mode & 0o077 == 0
    code, said = pitwatch("state", "check", made)
    assert code == 0, said
    assert f"schema {VERSION}" in said
    assert f"{UNDELIVERED} alarm" in said
    code, said = pitwatch("state", "backup", made, "--config", config)
    assert (code, "is there already" in said) == (1, True)


def test_a_backup_that_only_the_agent_sees_is_no_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit has a /tmp of its own: what the agent writes there, nobody else finds."""
    config = config_of(tmp_path)
    asked = []

    def ask(*arguments: object) -> dict[str, object]:
        asked.append(arguments)
        return {"bytes": 4096}

    monkeypatch.setattr("agent.upkeep.backups.ask", ask)
    copy = tmp_path / "copy.db"
    code, said = pitwatch("state", "backup", copy, "--config", config)
    assert code == 1
    assert "a /tmp of its own" in said
    assert f"choose a folder under {tmp_path / 'state'}" in said
    copy.write_bytes(b"of before")
    code, said = pitwatch("state", "backup", copy, "--config", config)
    assert (code, "is there already" in said, len(asked)) == (1, True, 1)
    assert copy.read_bytes() == b"of before"


def test_without_a_configuration_a_folder_is_of_the_agent_that_its_database_names(
    tmp_path: Path,
) -> None:
    ours, theirs = tmp_path / "state", tmp_path / "theirs"
    for folder, owner in ((ours, "e/s/a/l/m/ours"), (theirs, "e/s/a/l/m/theirs")):
        folder.mkdir()
        assert Store(folder, NullTelemetry(), owner=owner).close()
    before = (ours / FILE).read_bytes()
    other = theirs / FILE
    for command in (["restore"], ["adopt"], ["adopt", "--from", "e/s/a/l/m/third"]):
        code, said = pitwatch("state", *command, other, "--state-dir", ours)
        assert (code, "another agent: e/s/a/l/m/theirs" in said) == (1, True), said
    assert (ours / FILE).read_bytes() == before
    code, said = pitwatch("state", "adopt", "--state-dir", ours, "--from", "e/s/a/l/m/ours")
    assert (code, "--config FILE" in said) == (2, True), "to whom, only a configuration says"
    more = ("--state-dir", ours, "--from", "e/s/a/l/m/theirs")
    code, said = pitwatch("state", "adopt", other, *more)
    assert code == 0, said


def test_restore_and_adopt_say_what_they_did(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    path = tmp_path / "state" / FILE
    backup = put_file_of_5(tmp_path / "elsewhere")
    code, said = pitwatch("state", "restore", "--config", config)
    assert (code, "no backup made before a migration" in said) == (1, True)
    code, said = pitwatch("state", "restore", backup, "--config", config)
    assert code == 0, said
    aside = Path(shutil.copy(backup, tmp_path / "state" / f"{FILE}.corrupt-7"))
    os.truncate(backup, 200_000)
    code, said = pitwatch("state", "restore", backup, "--config", config)
    assert (code, "cut short" in said or "damaged" in said) == (1, True), said
    code, said = pitwatch("state", "adopt", aside, "--config", config)
    assert code == 0, said
    assert "carried over: 0 undelivered" in said
    assert len(waiting_events(path)) == UNDELIVERED


def test_a_folder_changes_hands_only_when_it_is_said(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    ours = Config().owner
    theirs = "plant/site/area/line-9/pitter/pitwatch"
    Store(tmp_path / "state", NullTelemetry(), owner=theirs).close()
    code, said = pitwatch("check-config", config)
    assert code == 78
    assert theirs in said
    assert ours in said
    assert pitwatch("upgrade", "--check", "--config", config)[0] == 78
    code, said = pitwatch("state", "adopt", "--config", config, "--from", theirs)
    assert code == 0, said
    assert pitwatch("check-config", config)[0] == 0


def test_an_upgrade_is_looked_at_without_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path)
    path = tmp_path / "state" / FILE
    assert pitwatch("upgrade", "--check", "--config", config)[0] == 0
    shutil.copy(FILES / "schema-4.db", path)
    before = path.read_bytes()
    code, said = pitwatch("upgrade", "--check", "--config", config)
    assert code == 0, said
    assert f"schema 4 to {VERSION}" in said
    assert backup_name(path, 4).name in said
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    with monkeypatch.context() as now:
        now.setattr(shutil, "disk_usage", lambda _path: usage)
        code, said = pitwatch("upgrade", "--check", "--config", config)
    assert (code, "too little room" in said) == (1, True)
    config_of(tmp_path, "nonsense: 1\n")
    code, said = pitwatch("upgrade", "--check", "--config", config)
    assert (code, "nonsense" in said) == (78, True)
    assert (path.read_bytes(), file_version(path)) == (before, 4)
    assert sorted(one.name for one in path.parent.iterdir()) == [FILE]


def texts(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as packed:
        found = {}
        for member in packed.getmembers():
            content = packed.extractfile(member)
            assert content is not None
            found[member.name.removeprefix("pitwatch/")] = content.read().decode()
        return found


def test_the_archive_of_an_agent_that_is_down_has_no_secret_in_any_place(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    store = Store(tmp_path / "state", NullTelemetry())
    event = json.dumps({"message": f"broker said {SECRETS[0]}"})
    store.database.run(
        lambda connection: connection.execute("INSERT INTO alarm VALUES ('a-cam1', ?)", (event,))
    )
    store.close()
    log = tmp_path / "log" / "pitwatch.log"
    log.parent.mkdir()
    log.write_text("\n".join(f"event=planted said=x{one}y" for one in SECRETS) + "\n")
    log.with_name("pitwatch.log.1").write_text("event=older Authorization: Bearer abcdefgh12345\n")
    archive = tmp_path / "out.tar.gz"
    code, said = pitwatch("bundle", archive, "--config", config, "--timeout", 1)
    assert code == 0, said
    found = texts(archive)
    whole = "\n".join(found.values())
    for secret in (*SECRETS, "abcdefgh12345", "joe:"):
        assert secret not in whole, secret
    assert "event=planted" in found["logs/pitwatch.log"]
    assert "event=older" in found["logs/pitwatch.log.1"]
    assert json.loads(found["state.json"])["schema"] == VERSION
    assert "numpy" in json.loads(found["versions.json"])["packages"]
    assert json.loads(found["alarms.json"])["states"]
    assert any("status.json" in one for one in json.loads(found["manifest.json"])["left_out"])
    assert archive.stat().st_mode & 0o077 == 0


def test_a_secret_is_hidden_as_json_and_urls_write_it(tmp_path: Path) -> None:
    secret = 'pä"ss\\w/1'
    (tmp_path / "password").write_text(secret)
    log = tmp_path / "pitwatch.log"
    written = [secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False)]
    written.append(quote(secret, safe=""))
    log.write_text("\n".join(f"event=planted said={one}" for one in written) + "\n")
    config = tmp_path / "pitwatch.yaml"
    config.write_text(
        f"mqtt: {{broker: none, username: plant, password: '${{FILE:{tmp_path}/password}}'}}\n"
        f"http: {{port: {free_port()}}}\nlogging: {{file: {log}}}\n"
    )
    archive = tmp_path / "out.tar.gz"
    assert pitwatch("bundle", archive, "--config", config, "--timeout", 0.2)[0] == 0
    found = texts(archive)["logs/pitwatch.log"]
    assert found.count("event=planted") == len(written)
    assert "ss" not in found.replace("event=", ""), found


@pytest.mark.parametrize("more", ["", "nonsense: 1\n"], ids=["valid", "with an error"])
def test_secrets_that_the_file_only_refers_to_are_in_no_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    (tmp_path / "mqtt-password").write_text(SECRETS[0] + "\n")
    (tmp_path / "token").write_text(SECRETS[1])
    monkeypatch.setenv("PLANT_CAMERA", f"rtsp://joe:{SECRETS[2]}@127.0.0.1:9/x")
    monkeypatch.setenv("PLANT_TOKEN", SECRETS[3])
    log = tmp_path / "pitwatch.log"
    log.write_text("\n".join(f"event=planted said=x{one}y" for one in SECRETS) + "\n")
    config = tmp_path / "pitwatch.yaml"
    config.write_text(
        f"mqtt: {{broker: 'mqtt://127.0.0.1:{free_port()}', username: plant, "
        f"password: '${{FILE:{tmp_path}/mqtt-password}}'}}\n"
        f"http: {{port: {free_port()}, token: '${{FILE:{tmp_path}/token}}', "
        "actions: {token: '${ENV:PLANT_TOKEN}'}}\n"
        f"logging: {{file: {log}}}\n"
        "cameras: [{name: cam2, source: '${ENV:PLANT_CAMERA}'}]\n" + more
    )
    archive = tmp_path / "out.tar.gz"
    code, said = pitwatch("bundle", archive, "--config", config, "--timeout", 0.2)
    assert code == 0, said
    found = texts(archive)
    assert found["logs/pitwatch.log"].count("event=planted") == len(SECRETS)
    for secret in SECRETS:
        assert secret not in "\n".join(found.values()), secret


def test_an_archive_never_takes_the_place_of_a_file_and_a_full_disk_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there.tar.gz"
    there.write_bytes(b"precious")
    code, said = pitwatch("bundle", there)
    assert (code, "is there already" in said) == (1, True)
    assert there.read_bytes() == b"precious"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agent.upkeep.bundle._add", full)
    code, said = pitwatch("bundle", tmp_path / "new.tar.gz", "--timeout", 0.2)
    assert (code, "No space left" in said) == (1, True)
    assert list(tmp_path.iterdir()) == [there]


def test_a_configuration_with_errors_is_packed_as_its_errors_without_its_secrets(
    tmp_path: Path,
) -> None:
    config = config_of(tmp_path, f"nonsense: 'token={SECRETS[1]}'\n")
    archive = tmp_path / "out.tar.gz"
    assert pitwatch("bundle", archive, "--config", config, "--timeout", 0.2)[0] == 0
    found = texts(archive)
    assert "nonsense" in found["config.yaml"]
    assert not any(one in "\n".join(found.values()) for one in SECRETS)


def test_nobody_who_answers_is_exit_code_3(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    code, said = pitwatch("status", "--config", config, "--timeout", 0.5)
    assert code == 3
    assert "no agent answers" in said
    code, said = pitwatch("status", "--json", "--config", config, "--timeout", 0.5)
    assert (code, json.loads(said.splitlines()[0])["running"]) == (3, False)


def test_of_a_running_agent(tmp_path: Path) -> None:
    """Status, a backup beside it, what it refuses meanwhile, the archive, the log file."""
    config = config_of(tmp_path)
    state, log = tmp_path / "state", tmp_path / "log" / "pitwatch.log"
    put_file_of_5(state)
    with forked_agent(tmp_path, "--config", str(config), http=False) as running:
        running.wait(lambda: (state / "control.sock").exists(), START_S, "its socket")
        ask: Callable[[], tuple[int, str]] = lambda: pitwatch(  # noqa: E731
            "status", "--json", "--config", config, "--timeout", 30
        )
        running.wait(lambda: json.loads(ask()[1])["running"], START_S, "an answer")
        code, said = ask()
        found = json.loads(said)
        assert code == 1  # cam2 is away and the broker, too
        assert any("cam2" in one for one in found["troubles"])
        assert found["storage"]["messages"]["alarm"]["waiting"] >= UNDELIVERED
        assert found["disk_bytes"]["database"] > 0
        assert found["owner"] == Config().owner
        code, said = pitwatch("status", "--config", config, "--timeout", 30)
        assert "broker" in said
        assert f"schema {VERSION}" in said

        code, said = pitwatch("state", "backup", tmp_path / "copy.db", "--config", config)
        assert code == 0, said
        for command in (["check"], ["restore", tmp_path / "copy.db"]):
            code, said = pitwatch("state", *command, "--config", config)
            assert (code, "in use by a running agent" in said) == (1, True), said
        code, said = pitwatch("upgrade", "--check", "--config", config)
        assert code == 0, said

        archive = tmp_path / "out.tar.gz"
        assert pitwatch("bundle", archive, "--config", config, "--timeout", 30)[0] == 0
        inside = texts(archive)
        assert "pitwatch_frames_captured_total" in inside["metrics.txt"]
        assert json.loads(inside["status.json"])["running"] is True
        assert not any(one in "\n".join(inside.values()) for one in SECRETS)

        assert "event=agent_started" in log.read_text()
        log.rename(log.with_name("taken.log"))
        running.process.send_signal(signal.SIGUSR1)
        assert running.stop()[0] == 0
    assert "event=agent_stopped" in log.read_text()
    assert pitwatch("state", "check", tmp_path / "copy.db")[0] == 0
    assert len(waiting_events(state / FILE)) >= UNDELIVERED
