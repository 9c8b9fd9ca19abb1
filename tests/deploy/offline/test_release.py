"""Releases side by side: installed, switched, gone back from; a stand-in for agent and systemd."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.offline.support import OFFLINE, Site, module
from tests.support import require_tool

RESTARTED = [
    "daemon-reload",
    "enable pitwatch.service pitwatch-backup.timer",
    "start pitwatch-backup.timer",
    "reset-failed pitwatch.service",
    "restart pitwatch.service",
]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    require_tool("openssl")
    return Site(tmp_path / "site")


def test_one_command_installs_and_says_what_it_did_not_start(site: Site) -> None:
    done = site.install(site.bundle("1.0", quick=False))
    assert done.returncode == 0, done.stderr
    assert "no systemd runs here: nothing was started" in done.stdout
    assert site.running() == "1.0"
    config = site.settings / "pitwatch.yaml"
    assert f"state_dir: {site.root}/var/lib/pitwatch" in config.read_text()
    assert (site.root / "usr/local/bin/pitwatch").resolve() == (
        site.home / "releases/1.0/bin/pitwatch"
    )
    assert (site.settings / "release.pub").read_bytes() == site.public.read_bytes()
    assert site.asked() == [f"1.0 check-config {config}"]
    assert "1.0\tcurrent" in site.release("list").stdout


def test_an_upgrade_asks_backs_up_switches_restarts_and_waits_in_this_order(site: Site) -> None:
    site.with_systemd()
    assert site.install(site.bundle("1.0")).returncode == 0
    assert site.systemd_was_asked() == RESTARTED
    config = site.settings / "pitwatch.yaml"
    config.write_text("of the plant")
    site.asked()
    second = site.bundle("2.0")
    done = site.release("install", second)  # with the key that the machine has kept
    assert done.returncode == 0, done.stderr
    assert site.running() == "2.0"
    assert config.read_text() == "of the plant"
    assert site.systemd_was_asked() == RESTARTED
    assert site.asked() == [
        f"2.0 check-config {config}",
        "2.0 upgrade --check",
        "2.0 state backup",
        "2.0 health --wait",
    ]
    done = site.release("rollback")
    assert done.returncode == 0, done.stderr
    assert site.running() == "1.0"
    assert "1.0 health --wait" in site.asked()
    assert site.release("rollback").returncode == 0
    assert site.running() == "2.0"


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("check-config", 78, "does not fit 2.0; nothing was switched"),
        ("upgrade", 78, "the state does not fit 2.0; nothing was switched"),
        ("state", 1, "could not be backed up; nothing was switched"),
        ("health", 1, "2.0 did not come up within 150 s; 1.0 runs again"),
    ],
)
def test_what_fails_leaves_the_old_release_running(
    site: Site, command: str, code: int, said: str
) -> None:
    site.with_systemd()
    site.install(site.bundle("1.0"))
    (site.root / "var/lib/pitwatch/pitwatch.db").touch()
    site.answer("2.0", command, "1")
    done = site.install(site.bundle("2.0"))
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert site.running() == "1.0"
    if command == "health":
        assert site.systemd_was_asked() == [*RESTARTED * 2, "stop pitwatch.service", *RESTARTED]
        assert site.asked()[-1] == "1.0 health --wait"
    (site.settings / f"2.0 {command}").unlink()
    assert site.release("install", site.where / "bundle-2.0").returncode == 0, "tried again"
    assert site.running() == "2.0"


@pytest.mark.long
def test_a_state_that_the_newer_release_migrated_is_put_back_by_it(site: Site) -> None:
    site.with_systemd()
    site.install(site.bundle("1.0"))
    site.install(site.bundle("2.0"))
    site.answer("1.0", "upgrade", "78 INCOMPATIBLE: state: pitwatch.db is of a later version")
    site.asked(), site.systemd_was_asked()
    assert site.release("rollback").returncode == 0
    assert [one for one in site.asked() if "--config" not in one and "check-config" not in one] == [
        "2.0 state backup",
        "1.0 upgrade --check",
        "2.0 state restore",
        "1.0 health --wait",
    ]
    assert site.systemd_was_asked() == ["stop pitwatch.service", *RESTARTED]
    assert site.running() == "1.0"


@pytest.mark.long
def test_secrets_that_go_with_the_service_are_no_reason_to_put_a_state_back(site: Site) -> None:
    """Its credentials are gone once it is stopped: an error of the configuration, not of the
    state."""
    site.with_systemd()
    site.install(site.bundle("1.0"))
    site.install(site.bundle("2.0"))
    site.answer("1.0", "upgrade", "78 INCOMPATIBLE: pitwatch.yaml: mqtt.password: cannot be read")
    site.asked()
    assert site.release("rollback").returncode == 0
    assert "2.0 state restore" not in site.asked()
    assert site.running() == "1.0"


@pytest.mark.long
def test_a_check_has_the_variables_of_the_unit_that_runs(site: Site) -> None:
    site.with_systemd()
    site.install(site.bundle("1.0"))
    for command in ("check-config", "upgrade"):
        site.answer("2.0", command, "variable PLANT_TOKEN")
    bundle = site.bundle("2.0")
    service = subprocess.Popen(
        ["/bin/cat"], stdin=subprocess.PIPE, env={"PLANT_TOKEN": "x", "NOTIFY_SOCKET": "y"}
    )
    try:
        site.with_unit(service.pid, Environment="PLANT_TOKEN=x")
        done = site.install(bundle)
        site.answer("1.0", "check-config", "variable NOTIFY_SOCKET")
        refused = site.release("rollback")
    finally:
        service.communicate()
    assert (done.returncode, site.running()) == (0, "2.0"), done.stderr
    assert refused.returncode == 78, "what is the process's own goes to nobody else"


@pytest.mark.long
@pytest.mark.parametrize("name", ["LoadCredential", "EnvironmentFiles"])
def test_a_stopped_unit_with_secrets_checks_its_configuration_at_its_start(
    site: Site, name: str
) -> None:
    site.with_systemd()
    site.install(site.bundle("1.0"))
    site.with_unit(0)
    site.answer("2.0", "check-config", "78")
    site.answer("2.0", "upgrade", "78 INCOMPATIBLE: pitwatch.yaml: mqtt.password: cannot be read")
    bundle = site.bundle("2.0")
    done = site.install(bundle)
    assert (done.returncode, site.running()) == (78, "1.0"), "no secrets: the file is wrong"
    site.with_unit(0, **{name: "mqtt_password:/etc/credstore/pitwatch.mqtt_password"})
    site.answer("2.0", "upgrade", "78 INCOMPATIBLE: state: pitwatch.db is of a later version")
    done = site.install(bundle)
    assert (done.returncode, site.running()) == (78, "1.0")
    assert "the state does not fit 2.0" in done.stderr
    site.answer("2.0", "upgrade", "78 NOT NOW: /var/lib/pitwatch: too little room for the backup")
    assert site.install(bundle).returncode == 78
    site.answer("2.0", "upgrade", "78 INCOMPATIBLE: pitwatch.yaml: mqtt.password: cannot be read")
    done = site.install(bundle)
    assert (done.returncode, site.running()) == (0, "2.0"), done.stderr
    assert "its start checks the configuration" in done.stdout


def test_a_rollback_that_does_not_come_up_goes_forth_again(site: Site) -> None:
    site.with_systemd()
    site.install(site.bundle("1.0"))
    site.install(site.bundle("2.0"))
    site.answer("1.0", "health", "1")
    done = site.release("rollback")
    assert (done.returncode, site.running()) == (1, "2.0")
    assert "1.0 did not come up; 2.0 runs again" in done.stderr


def test_without_a_state_there_is_nothing_to_back_up(site: Site) -> None:
    site.install(site.bundle("1.0"))
    site.answer("2.0", "state", "1")
    done = site.install(site.bundle("2.0"))
    assert (done.returncode, site.running()) == (0, "2.0")
    assert "has no state yet" in done.stdout


def test_a_service_that_does_not_start_is_gone_back_from(site: Site) -> None:
    site.with_systemd()
    site.install(site.bundle("1.0"))
    site.with_systemd(f"readlink {site.home}/current | grep -q '1[.]0$'")
    done = site.install(site.bundle("2.0"))
    assert (done.returncode, site.running()) == (1, "1.0"), done.stderr
    assert "1.0 runs again" in done.stderr


@pytest.mark.long
def test_a_release_that_failed_is_not_the_one_that_rollback_leads_to(site: Site) -> None:
    site.with_systemd()
    site.install(site.bundle("1.0"))
    site.install(site.bundle("2.0"))
    site.answer("3.0", "health", "1")
    assert site.install(site.bundle("3.0")).returncode == 1
    assert (site.running(), (site.home / "previous").readlink().name) == ("2.0", "1.0")
    assert site.release("rollback").returncode == 0
    assert site.running() == "1.0"


def test_after_a_failed_second_release_there_is_nothing_to_roll_back_to(site: Site) -> None:
    site.with_systemd()
    site.install(site.bundle("1.0"))
    site.answer("2.0", "health", "1")
    assert site.install(site.bundle("2.0")).returncode == 1
    done = site.release("rollback")
    assert (done.returncode, site.running()) == (1, "1.0")
    assert "no release before" in done.stderr


@pytest.mark.parametrize("answer", ["0", "1"])
def test_an_agent_without_http_is_asked_by_its_socket(site: Site, answer: str) -> None:
    site.with_systemd()
    site.install(site.bundle("1.0"))
    site.answer("2.0", "health", "78")  # http.enabled: false, or http.port: 0
    site.answer("2.0", "status", answer)
    site.asked()
    done = site.install(site.bundle("2.0"))
    assert (done.returncode, site.running()) == (0, "2.0"), done.stderr
    assert [one.split(" --")[0] for one in site.asked()[-2:]] == ["2.0 health", "2.0 status"]


def test_an_agent_without_http_is_asked_until_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = module("pitwatch-release")
    now, answers, asked = [0.0], [78, *[3] * 30, 0], []

    def pitwatch(_place: object, _release: Path, *words: str) -> int:
        asked.append(words[0])
        return answers[min(len(asked) - 1, len(answers) - 1)]

    monkeypatch.setattr(program, "pitwatch", pitwatch)
    monkeypatch.setattr(program.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(program.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    place = program.Place(tmp_path)
    assert program.comes_up(place, tmp_path), "the last answer in time is yes"
    assert asked == ["health", *["status"] * 31]
    assert now[0] == program.HEALTH_S
    now[0], answers[:] = 0.0, [78, 3]
    asked.clear()
    assert not program.comes_up(place, tmp_path)
    assert now[0] == program.HEALTH_S


@pytest.mark.parametrize("command", ["upgrade", "state"])
def test_a_first_bundle_looks_at_a_state_that_is_there_already_and_backs_it_up(
    site: Site, command: str
) -> None:
    state = site.root / "var/lib/pitwatch"
    state.mkdir(parents=True)
    (state / "pitwatch.db").touch()
    site.answer("1.0", command, "1")
    bundle = site.bundle("1.0")
    done = site.install(bundle)
    assert "nothing was switched" in done.stderr
    assert done.returncode != 0
    assert not (site.home / "current").exists()
    (site.settings / f"1.0 {command}").unlink()
    site.asked()
    assert site.install(bundle).returncode == 0
    assert site.asked()[1:] == ["1.0 upgrade --check", "1.0 state backup"]


def test_a_first_release_that_does_not_come_up_stays_to_be_looked_at(site: Site) -> None:
    site.with_systemd()
    site.answer("1.0", "health", "1")
    done = site.install(site.bundle("1.0"))
    assert done.returncode == 1
    assert "1.0 did not come up; look at: journalctl -u pitwatch" in done.stderr
    assert site.running() == "1.0"


@pytest.mark.long
@pytest.mark.parametrize("command", ["state", "health"])
def test_a_kill_at_any_step_leaves_a_whole_release_and_the_next_try_works(
    site: Site, command: str
) -> None:
    site.with_systemd()
    site.install(site.bundle("1.0"))
    site.answer("2.0", command, "kill")
    assert site.install(site.bundle("2.0")).returncode == -9
    assert site.running() == ("2.0" if command == "health" else "1.0")
    (site.settings / f"2.0 {command}").unlink()
    done = site.release("install", site.where / "bundle-2.0")
    assert (done.returncode, site.running()) == (0, "2.0"), done.stderr
    assert site.release("rollback").returncode == 0
    assert site.running() == "1.0"


def test_a_release_that_was_never_finished_is_made_again(site: Site) -> None:
    bundle = site.bundle("1.0")
    left = site.home / "releases/1.0/bin"
    left.mkdir(parents=True)
    (left / "half").touch()
    assert "1.0\tnot whole" in site.release("list").stdout
    assert site.install(bundle).returncode == 0
    assert not (left / "half").exists()
    assert site.running() == "1.0"


@pytest.mark.long
def test_old_releases_go_but_never_the_two_that_are_linked(site: Site) -> None:
    for version in ("1.0", "2.0", "3.0"):
        assert site.install(site.bundle(version), "--keep", "2").returncode == 0
    names = sorted(one.name for one in (site.home / "releases").iterdir())
    assert names == ["2.0", "3.0"]
    assert (site.home / "previous").readlink().name == "2.0"


@pytest.mark.long
def test_a_wheel_of_another_hash_is_not_installed(site: Site) -> None:
    """Also where the sums were made, and signed, after it was exchanged."""
    bundle = site.bundle("1.0", quick=False)
    wanted = bundle / "requirements.txt"
    wanted.write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", wanted.read_text()))
    module("make").seal(bundle, site.private)
    done = site.install(bundle)
    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert not (site.home / "current").exists()


def test_two_at_once_are_told_apart(site: Site) -> None:
    bundle = site.bundle("1.0")
    (site.home / "releases").mkdir(parents=True)
    with (site.home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = site.install(bundle)
    assert done.returncode == 75
    assert "another pitwatch-release is at work" in done.stderr
    assert not (site.home / "current").exists()


def test_too_little_room_is_said_before_anything_is_written(site: Site) -> None:
    done = site.install(site.bundle("1.0", installed_bytes=2**60))
    assert done.returncode == 1
    assert "MiB are free" in done.stderr
    assert list((site.home / "releases").iterdir()) == []


def test_uninstalling_asks_and_keeps_what_is_the_plants(site: Site) -> None:
    site.with_systemd()
    site.install(site.bundle("1.0"))
    networks = site.home / "networks"
    networks.mkdir()
    state = site.root / "var/lib/pitwatch/pitwatch.db"
    state.touch()
    site.systemd_was_asked()
    done = site.release("uninstall", typed="n\n")
    assert (done.returncode, "nothing was removed" in done.stderr) == (1, True)
    assert site.running() == "1.0"
    assert site.release("uninstall", typed="y\n").returncode == 0
    asked = site.systemd_was_asked()
    assert asked == ["disable --now pitwatch.service pitwatch-backup.timer", "daemon-reload"]
    assert [one.name for one in site.home.iterdir()] == ["networks"]
    assert state.exists()
    assert (site.settings / "pitwatch.yaml").exists()
    assert not list((site.root / "etc/systemd/system").iterdir())
    assert not list((site.root / "usr/local/bin").iterdir())
    assert site.release("uninstall", "--purge", "--yes").returncode == 0
    assert not state.parent.exists()
    assert not site.settings.exists()
    done = site.release("uninstall", "--yes")
    assert "nothing is installed" in done.stderr


@pytest.mark.long
def test_going_back_without_a_release_before_is_refused(site: Site) -> None:
    site.install(site.bundle("1.0"))
    done = site.release("rollback")
    assert (done.returncode, site.running()) == (1, "1.0")
    assert "no release before" in done.stderr
    site.install(site.bundle("2.0"))
    shutil.rmtree(site.home / "releases/1.0")  # by hand
    done = site.release("rollback")
    assert (done.returncode, site.running()) == (1, "2.0"), "no link that leads nowhere"


def test_the_program_of_a_bundle_changes_nothing_in_it_and_is_kept_for_the_next(site: Site) -> None:
    bundle = site.bundle("1.0")
    for _ in range(2):
        done = site.release("install", bundle, "--key", site.public, program=bundle)
        assert done.returncode == 0, done.stderr
    for name in ("pitwatch-release", "bundle_check.py", "release_place.py"):
        assert (site.home / "bin" / name).read_bytes() == (OFFLINE / name).read_bytes()
    shutil.rmtree(site.where / "bundle-1.0")
    assert (site.root / "usr/local/bin/pitwatch-release").resolve().is_file()
