"""The configuration as a whole: every error at once, secrets nowhere, options over the file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr, ValidationError

from agent.config import Config, Section, Workers
from agent.config.load import ConfigErrors, Loaded, Overrides, effective_yaml
from agent.config.problems import ConfigProblem
from agent.config.rules import Broken
from agent.preflight import load_config

BROKER = "mqtt: {broker: embedded}\n"
CAMERA = "cameras: [{name: cam1, source: 'sim:'}]\n"


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        file = tmp_path / "pitwatch.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    return write


def problems(
    path: Path | None, overrides: Overrides | None = None, environment: dict[str, str] | None = None
) -> dict[str, ConfigProblem]:
    with pytest.raises(ConfigErrors) as caught:
        load_config(path, overrides, environment or {})
    assert caught.value.problems
    return {problem.path: problem for problem in caught.value.problems}


def loaded(path: Path | None, **changes: object) -> Loaded:
    return load_config(path, Overrides(**changes), {})


# --- what is right -------------------------------------------------------------------------------


def test_without_a_file_the_defaults_run_with_an_embedded_broker() -> None:
    result = load_config(None, environment={})
    assert result.config == Config(mqtt={"broker": "embedded"})
    assert result.warnings == ()


def test_a_file_needs_only_what_differs(write) -> None:
    result = loaded(write("id: line7\nmqtt:\n  broker: mqtt://10.0.0.1\ncameras:\n"
                          "  - {name: left, source: 'sim:', fps: 5}\n"))  # fmt: skip
    assert result.config.id == "line7"
    assert result.config.cameras[0].fps == 5.0
    assert result.config.sampling == Config().sampling


def test_a_section_whose_keys_are_all_commented_out_is_the_default(write) -> None:
    assert loaded(write("site:\nhttp:\n" + BROKER)).config.site == Config().site


def test_an_mqtt_version_may_be_written_as_a_number(write) -> None:
    assert loaded(write("mqtt: {broker: embedded, protocol: 5}")).config.mqtt.protocol == "5"


def test_gray_pictures_have_one_channel_without_saying_so(write) -> None:
    result = loaded(write("model: {preprocessing: {colour: gray}}\n" + BROKER))
    assert result.config.model.preprocessing.mean == (0.0,)


# --- every error at once -------------------------------------------------------------------------


def test_every_error_is_named_at_once_with_path_line_value_and_what_is_allowed(write) -> None:
    found = problems(
        write("""\
id: "no blanks please"
site: {line: 1, entreprise: acme}
cameras:
  - name: cam1
    source: "ftp://cam/"
    fps: 0
    lanes:
      - {name: a, region: [0, 0, 64]}
      - {name: b, regon: [0, 0, 64, 64]}
      - region: [0, 0, 64, 64]
  - name: cam1
    source: "sim:"
    width_px: 640
mqtt:
  brokr: mqtt://h
  keepalive_s: true
  tls: {certificate: /nowhere/client.pem}
ablation:
  fractions: [0.5, 0.25]
  workers: {heartbeat_s: 10, threads: many}
""")
    )
    assert {path: problem.place for path, problem in found.items()} == {
        "id": "line 1",
        "site.line": "line 2",
        "site.entreprise": "line 2",
        "cameras[0].source": "line 5",
        "cameras[0].fps": "line 6",
        "cameras[0].lanes[0].region[3]": "line 8",
        "cameras[0].lanes[1].regon": "line 9",
        "cameras[0].lanes[1].region": "line 9",
        "cameras[0].lanes[2].name": "line 10",
        "cameras[1].name": "line 11",
        "cameras[1].height_px": "line 11",
        "mqtt.broker": "line 14",
        "mqtt.brokr": "line 15",
        "mqtt.keepalive_s": "line 16",
        "mqtt.tls.certificate": "line 17",
        "mqtt.tls.key": "line 17",
        "ablation.fractions": "line 19",
        "ablation.workers.heartbeat_s": "line 20",
        "ablation.workers.threads": "line 20",
    }
    assert found["site.entreprise"].nearest == "site.enterprise"
    assert found["cameras[0].fps"].value == "0"
    assert found["cameras[0].fps"].allowed == "a number above 0, up to 1000, or null"
    assert found["ablation.workers.threads"].value == "'many'"
    assert found["ablation.workers.threads"].allowed == "a whole number from 1, up to 64"
    assert "quotes" in found["site.line"].message
    assert "mqtts://HOST:PORT" in found["mqtt.broker"].allowed


def test_ten_faults_of_eight_kinds_are_ten_errors(write) -> None:
    text = """\
id: [a]
cameras:
  - source: "sim:"
    fps: 2000
  - {name: cam2, source: "rtsp://h:x/1"}
  - {name: cam2, source: "sim:"}
mqtt:
  broker: none
  qeue_max: 20
  tls: {certificate: /etc/hostname}
http: {port: true}
ablation:
  workers: {heartbeat_s: 10}
"""
    with pytest.raises(ConfigErrors) as caught:
        load_config(write(text), environment={})
    assert [(problem.path, problem.message) for problem in caught.value.problems] == [
        ("id", "is not allowed"),
        ("cameras[0].name", "is missing"),
        ("cameras[0].fps", "is not allowed"),
        (
            "cameras[1].source",
            "cannot be used: has a port that is not a number from 0 to 65535",
        ),
        ("cameras[2].name", "is taken by another camera or lane"),
        ("mqtt.qeue_max", "is no key"),
        ("mqtt.tls", "has no effect: the broker is not mqtts://"),
        ("mqtt.tls.key", "is missing: a client certificate and its key go together"),
        ("http.port", "is not allowed"),
        ("ablation.workers.heartbeat_s", "is not below heartbeat_timeout_s (5)"),
    ]


def test_a_rule_that_reads_a_wrong_key_is_not_judged_and_all_others_are(write) -> None:
    text = (
        "ablation: {workers: {heartbeat_s: 10, heartbeat_timeout_s: x, devices: []}}\n"
        "cameras: [{name: a, source: 'sim:', lanes: [{name: l}, {name: l, region: 3}, 5]}]\n"
        f"sampling: {{period_s: 0, deadline_s: 80}}\n{BROKER}"
    )
    assert list(problems(write(text))) == [
        "ablation.workers.devices",
        "ablation.workers.heartbeat_timeout_s",
        "cameras[0].lanes[0].region",
        "cameras[0].lanes[1].name",
        "cameras[0].lanes[1].region",
        "cameras[0].lanes[2]",
        "sampling.period_s",
    ]


def test_an_item_of_a_list_that_was_left_empty_is_not_the_default_list(write) -> None:
    assert list(problems(write("cameras:\n  -\n" + BROKER))) == [
        "cameras[0].name",
        "cameras[0].source",
    ]


def test_a_section_made_in_python_names_all_of_its_broken_rules() -> None:
    with pytest.raises(ValidationError, match=r"devices is empty") as caught:
        Workers(heartbeat_s=10, devices=())
    assert "heartbeat_s is not below heartbeat_timeout_s" in str(caught.value)


def test_a_defect_in_a_rule_is_no_broken_rule() -> None:
    class Faulty(Section):
        def rule_wrong(self) -> Iterator[Broken]:
            yield Broken((self.nothing,), "")

    with pytest.raises(AttributeError, match="nothing"):
        Faulty()


def test_errors_come_in_the_order_of_the_file_and_count(write) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_config(write("http: {port: x}\nid: 'a b'\n" + BROKER))
    text = str(caught.value)
    assert text.splitlines()[0].endswith("pitwatch.yaml: 2 errors")
    assert [line.split(":")[0].strip() for line in text.splitlines()[1:]] == ["line 1", "line 2"]


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("camera", "cameras"),
        ("passwrd", "mqtt.password"),
        ("broker", "mqtt.broker"),
        ("cutting_line_deg", "cameras[].cutting_line_deg"),
        ("zzz", ""),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_one_wherever_it_is(
    write, key: str, nearest: str
) -> None:
    problem = problems(write(f"{key}: 1\n{BROKER}"))[key]
    assert problem.nearest == nearest
    assert bool(problem.allowed) == (not nearest)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("cameras: []", "cameras", "empty"),
        ("cameras:", "cameras", "null"),
        ("cameras: {name: a}", "cameras", "not allowed"),
        ("cameras: [5]", "cameras[0]", "not allowed"),
        ("cameras: [{name: agent, source: 'sim:'}]", "cameras[0].name", "reserved"),
        ("cameras: [{name: a, source: 'rtsp://h/1', transport: quic}]",
         "cameras[0].transport", "one of tcp, udp, auto"),
        ("cameras: [{name: a, source: 'sim:', transport: udp}]",
         "cameras[0].transport", "no network camera"),
        ("cameras: [{name: a, source: 'rtsp://joe:a#b@h/1'}]", "cameras[0].source", "%23"),
        ("cameras: [{name: a, source: 'sim:', machine_tolerance_s: 0}]",
         "cameras[0].machine_tolerance_s", "not allowed"),
        ("cameras: [{name: a, source: 'sim:', machine_delay_s: -10.5}]",
         "cameras[0].machine_delay_s", "not allowed"),
        ("cameras: [{name: a, source: 'sim:', machine_wait_s: 2.5}]",
         "cameras[0].machine_wait_s", "not allowed"),
        ("cameras: [{name: a, source: 'sim:', machine_wait_s: .nan}]",
         "cameras[0].machine_wait_s", "not allowed"),
        ("http: 9464", "http", "not allowed"),
        ("http: {port: 70000}", "http.port", "not allowed"),
        ("http: {port: 1.5}", "http.port", "not allowed"),
        ("http: {enabled: maybe}", "http.enabled", "not allowed"),
        ("http: {actions: {token: short}}", "http.actions.token", "not allowed"),
        ("http: {actions: {enabled: true}}", "http.actions.enabled", "is no key"),
        (f"http: {{page: false, actions: {{token: {'a' * 16}}}}}", "http.actions.token",
         "page is false"),
        (f"http: {{token: {'a' * 16}, actions: {{token: {'a' * 16}}}}}", "http.actions.token",
         "whoever may look could act"),
        ("http: {public_url: plant}", "http.public_url", "web address"),
        ("http: {public_url: 'http://[plant'}", "http.public_url", "web address"),
        ("segmentation: {dark_chromaticity: 5}", "segmentation.dark_chromaticity", "not allowed"),
        ("segmentation: {dark_chromaticity: -1}", "segmentation.dark_chromaticity", "not allowed"),
        ("alarms: {limits: {only_dark_s: 0}}", "alarms.limits.only_dark_s", "not allowed"),
        ("alarms: {limits: {only_dark_s: .inf}}", "alarms.limits.only_dark_s", "not allowed"),
        ("sampling: {period_s: .inf}", "sampling.period_s", "not allowed"),
        ("sampling: {uncertain_margin: .nan}", "sampling.uncertain_margin", "not allowed"),
        ("sampling: {period_s: null}", "sampling.period_s", "null"),
        ("sampling: {deadline_s: 80}", "alarms.limits.no_explanation_s", "by design"),
        ("model: {path: /nowhere/m.safetensors}", "model.path", "No such file"),
        ("model: {path: /tmp}", "model.path", "directory"),
        ("model: {format: torchscript, path: /tmp/m.ts}", "model.trust", "program"),
        ("model: {format: factory}", "model.factory", "missing"),
        ("model: {trust: program}", "model.sha256", "missing"),
        ("model: {classes: [a, a]}", "model.classes[1]", "twice"),
        ("model: {preprocessing: {mean: [0.5]}}", "model.preprocessing.mean", "has 1 values"),
        ("model: {preprocessing: {scale: 255}}", "model.preprocessing.scale", "0.0039215686"),
        ("ablation: {workers: {count: 2, devices: [cpu]}}", "ablation.workers.devices", "2 work"),
        ("ablation: {workers: {devices: [gpu]}}", "ablation.workers.devices[0]", "not allowed"),
        ("ablation: {classes: [a]}\nmodel: {classes: [x, y]}", "ablation.classes[0]", "no class"),
        ("state_dir: /proc/pitwatch", "state_dir", "written"),
        ("state_dir: /etc/hostname", "state_dir", "not a folder"),
        ("alarms: {out_of_service: [a b]}", "alarms.out_of_service[0]", "1 to 80 letters"),
        ("alarms: {change_overs: [{at: 6, minutes: 5}]}", "alarms.change_overs[0].at", "HH:MM"),
        ("mqtt: {broker: embedded, password: x}", "mqtt.username", "missing"),
        ("mqtt: {broker: 'mqtt://u:p@h', username: u}", "mqtt.username", "URL"),
        ("mqtt: {broker: 'mqtt://h:0'}", "mqtt.broker", "port 0"),
        ("mqtt: {broker: 'mqtt://h', tls: {ca: /etc/hostname}}", "mqtt.tls", "no effect"),
        ("mqtt: {broker: embedded, embedded_port: 9464}", "mqtt.embedded_port", "HTTP"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_named(write, text: str, path: str, words: str) -> None:
    if "mqtt:" not in text:
        text = f"{text}\n{BROKER}"
    assert words in str(problems(write(text))[path])


@pytest.mark.parametrize(
    ("workers", "path", "words"),
    [
        ("pool: ray", "ray.address", "HOST:PORT"),
        ("pool: dask", "pool", "local, ray"),
        ("ray: {address: 'ray://h:10001'}", "ray.address", "HOST:PORT"),
        ("ray: {gpus: 2}", "ray.gpus", "up to 1"),
        ("ray: {gpus: 0, cpus: 0}", "ray.cpus", "above 0"),
        ("ray: {tls: {ca: /etc/hostname}}", "ray.tls.key", "missing"),
        ("ray: {token_file: /nowhere/t}", "ray.token_file", "No such"),
        (
            "pool: ray, count: 2, devices: [cpu], ray: {address: 'h:1', local_workers: 3}",
            "devices",
            "3 work",
        ),
    ],
)
def test_a_cluster_that_cannot_work_is_named(write, workers: str, path: str, words: str) -> None:
    found = problems(write(f"ablation: {{workers: {{{workers}}}}}\n{BROKER}"))
    assert words in str(found[f"ablation.workers.{path}"])


def test_a_broken_reference_is_one_error_and_not_two(write) -> None:
    found = problems(write("mqtt: {broker: '${ENV:NOWHERE}'}"))
    assert list(found) == ["mqtt.broker"]
    assert str(found["mqtt.broker"]).count("${ENV:NOWHERE}") == 1


@pytest.mark.parametrize(
    "regions",
    [
        "[[0, 0, 100, 100], [0, 0, 100, 100]]",
        "[[0, 0, 100, 100], [40, 0, 100, 100]]",
        "[[0, 0, 200, 200], [10, 10, 20, 20]]",
    ],
)
def test_two_lanes_may_not_read_the_same_fruit(write, regions: str) -> None:
    first, second = yaml.safe_load(regions)
    text = (
        "cameras: [{name: c, source: 'sim:', lanes: "
        f"[{{name: a, region: {first}}}, {{name: b, region: {second}}}]}}]\n"
    )
    assert "twice" in problems(write(text + BROKER))["cameras[0].lanes[1].region"].message


def test_lanes_may_touch_and_overlap_a_little(write) -> None:
    text = (
        "cameras: [{name: c, source: 'sim:', width_px: 200, height_px: 100, lanes: "
        "[{name: a, region: [0, 0, 110, 100]}, {name: b, region: [90, 0, 110, 100]}]}]\n"
    )
    assert len(loaded(write(text + BROKER)).config.cameras[0].lanes) == 2


def test_a_lane_outside_of_the_requested_picture_is_refused(write) -> None:
    text = (
        "cameras: [{name: c, source: 'sim:', width_px: 200, height_px: 100, "
        "lanes: [{name: a, region: [150, 0, 60, 100]}]}]\n"
    )
    assert "beyond" in problems(write(text + BROKER))["cameras[0].lanes[0].region"].message


def test_regions_are_laid_out_in_the_turned_picture(write) -> None:
    text = (
        "cameras: [{name: c, source: 'rtsp://10.0.0.9/1', width_px: 200, height_px: 100, "
        "rotate: 90, lanes: [{name: a, region: [0, 100, 100, 100]}]}]\n"
    )
    config = loaded(write(text + BROKER)).config
    assert config.cameras[0].rotate == 90
    found = problems(write(text.replace("rotate: 90", "rotate: 180") + BROKER))
    assert "beyond" in found["cameras[0].lanes[0].region"].message


@pytest.mark.parametrize(
    ("source", "key", "value", "said"),
    [
        ("/data", "rotate", "45", "45 is not allowed; allowed: one of 0, 90, 180, 270"),
        ("/data", "mirror", "both", "one of none, horizontal, vertical"),
        ("/data", "bit_depth", "11", "11 is not allowed; allowed: one of 8, 10, 12, 14, 16"),
        ("sim:", "rotate", "90", "a real camera"),
        ("sim:", "mirror", "vertical", "a real camera"),
        ("sim:", "bit_depth", "12", "no bit_depth beside this source"),
        ("rtsp://10.0.0.9/1", "bit_depth", "12", "no bit_depth beside this source"),
    ],
)
def test_mounting_and_depth_that_cannot_be(write, source, key, value, said) -> None:
    text = f"cameras: [{{name: c, source: '{source}', {key}: {value}}}]\n"
    assert said in str(problems(write(text + BROKER))[f"cameras[0].{key}"])


@pytest.mark.parametrize(
    ("options", "more", "said"),
    [
        ("watch=1&after=move", "", "cannot be written"),
        ("watch=1&after=delete", f"state_dir: {tempfile.gettempdir()}\n", "cannot be written"),
        ("watch=1", "", "or state_dir"),
        ("watch=1&after=burn", "", "keep, move, delete"),
        ("after=move", "", "without watch=1"),
    ],
)
def test_a_watched_folder_must_take_what_becomes_of_its_pictures(
    write, options: str, more: str, said: str
) -> None:
    text = f"cameras: [{{name: c, source: '/proc?{options}'}}]\n{more}"  # not even root may
    assert said in str(problems(write(text + BROKER))["cameras[0].source"])


def test_a_watched_folder_that_is_only_read_needs_a_state_directory(write, tmp_path) -> None:
    text = f"cameras: [{{name: c, source: '/proc?watch=1'}}]\nstate_dir: {tmp_path}\n"
    assert loaded(write(text + BROKER)).config.cameras[0].source == "/proc?watch=1"


def test_a_folder_that_is_away_is_a_warning(write, tmp_path) -> None:
    text = f"cameras: [{{name: c, source: '{tmp_path}/no?watch=1'}}]\n"
    (warning,) = [each for each in loaded(write(text + BROKER)).warnings if "waited" in each]
    assert warning == f"cameras[0].source is waited for: {tmp_path}/no: No such file or directory"


def test_the_empty_place_of_a_share_that_cannot_be_written_is_waited_for(
    write, tmp_path: Path, monkeypatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(folder))
    file = write(f"cameras: [{{name: c, source: '{folder}?watch=1&after=move'}}]\n{BROKER}")
    (warning,) = [each for each in loaded(file).warnings if "waited" in each]
    assert f"waited for: cannot be written: {folder} is read-only" in warning
    (folder / "a.png").touch()
    assert "cannot be written" in problems(file)["cameras[0].source"].message


@pytest.mark.parametrize(("after", "good"), [("move", False), ("delete", False), ("keep", True)])
def test_two_cameras_share_a_watched_folder_only_if_both_leave_it_as_it_is(
    write, tmp_path: Path, after: str, good: bool
) -> None:
    text = (
        f"cameras:\n  - {{name: a, source: '{tmp_path}?watch=1'}}\n"
        f"  - {{name: b, source: '{tmp_path}/?watch=1&after={after}'}}\n{BROKER}"
    )
    if good:
        assert len(loaded(write(text)).config.cameras) == 2
    else:
        assert "folder of camera 'a'" in problems(write(text))["cameras[1].source"].message


def simulated(text: str) -> str:
    return f"cameras: [{{name: c, {text}}}]\n{BROKER}"


def test_a_simulated_machine_is_told_in_yaml_what_its_url_says(write) -> None:
    text = simulated("source: 'sim:?seed=3', sim: {rate: 120, fault: [black@5+2]}")
    (camera,) = loaded(write(text)).config.cameras
    assert camera.sim == {"rate": 120, "fault": ("black@5+2",)}


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("source: 'sim:', sim: {rat: 5}", "cameras[0].sim", "did you mean rate"),
        ("source: 'sim:', sim: {fault: blck@1}", "cameras[0].sim", "did you mean black"),
        ("source: 'sim:?rate=5', sim: {rate: 6}", "cameras[0].sim", "given twice"),
        ("source: 'sim:', sim: [3]", "cameras[0].sim", "not allowed"),
        ("source: 'rtsp://h/1', sim: {rate: 5}", "cameras[0].sim", "no simulated machine"),
        ("source: 'sim:?lanes=2'", "cameras[0].lanes", "2 lanes side by side"),
        ("source: 'sim:', sim: {lanes: 3}", "cameras[0].lanes", "3 lanes side by side"),
    ],
)
def test_what_a_simulated_machine_cannot_be_told_is_named(
    write, text: str, path: str, words: str
) -> None:
    assert words in problems(write(simulated(text)))[path].message


def test_the_lanes_of_a_simulated_machine_may_be_told_apart(write) -> None:
    lanes = "[{name: a, region: [0, 0, 256, 256]}, {name: b, region: [256, 0, 256, 256]}]"
    config = loaded(write(simulated(f"source: 'sim:?lanes=2', lanes: {lanes}"))).config
    assert len(config.cameras[0].effective_lanes()) == 2


# --- the file itself -----------------------------------------------------------------------------


def test_a_file_that_is_not_there_or_no_file_is_one_clear_error(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(ConfigErrors, match=words):
            load_config(path)
    with pytest.raises(ConfigErrors, match="cannot be read"):
        load_config(Path("a\0b"))


@pytest.mark.parametrize(
    "raw",
    [b"\x00\x01\x02", b"\xff\xfe", b"a:\n\tb: 1", b"#" * 300_000, b"- a\n", b"{", b"a: 1\na: 2"],
)
def test_a_file_that_is_no_configuration_is_a_clear_error(write, raw: bytes) -> None:
    with pytest.raises(ConfigErrors):
        load_config(write(raw))


def test_a_file_without_a_broker_is_an_error_and_empty_is_such_a_file(write) -> None:
    assert list(problems(write(""))) == ["mqtt.broker"]
    assert list(problems(write("mqtt:\n"))) == ["mqtt.broker"]


def test_a_read_only_state_directory_is_an_error(write, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(folder))
    found = problems(write(f"state_dir: {folder}\n{BROKER}"))
    assert "read-only" in found["state_dir"].message


def test_looking_at_a_state_directory_leaves_nothing_behind(write, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    loaded(write(f"state_dir: {folder}\n{BROKER}"))
    assert not folder.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["pitwatch.yaml"]


# --- secrets -------------------------------------------------------------------------------------


def test_secrets_come_from_the_environment_and_from_files(write, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    path = write(
        "mqtt:\n  broker: ${ENV:BROKER}\n  username: u\n  password: ${FILE:password}\n"
        "http: {port: '${ENV:PORT}'}\n" + CAMERA
    )
    result = load_config(path, environment={"BROKER": "mqtts://h", "PORT": "8080"})
    assert result.config.mqtt.password == SecretStr("s3cret")
    assert result.config.mqtt.broker == "mqtts://h"
    assert result.config.http.port == 8080


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("${ENV:NOT_SET}", "not set"),
        ("${ENV:EMPTY}", "empty"),
        ("${FILE:/nowhere}", "No such file"),
        ("${FILE:.}", "directory"),
        ("${FILE:empty}", "empty"),
        ("${FILE:binary}", "UTF-8"),
        ("${FILE:large}", "larger"),
        ("before ${ENV:SET}", "whole value"),
        ("${ENV:SET} after", "whole value"),
        ("${ENV:}", "whole value"),
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error_with_its_path(
    write, tmp_path: Path, value: str, words: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_text("x" * 70_000)
    path = write(f"mqtt: {{broker: embedded, username: u, password: '{value}'}}")
    found = problems(path, environment={"EMPTY": "", "SET": "hunter2"})
    assert words in str(found["mqtt.password"])
    assert "hunter2" not in str(found["mqtt.password"])


SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"mqtt: {{broker: 'mqtt://u:{SECRET}@h:x'}}",
        f"mqtt: {{broker: 'tcp://u:{SECRET}@h'}}",
        f"mqtt: {{broker: embedded, passwrd: {SECRET}}}",
        f"mqtt: {{broker: embedded, password: [{SECRET}]}}",
        f"mqtt: {{broker: embedded, password: {{a: {SECRET}}}}}",
        f"mqtt: {SECRET}",
        f"mqtt: [{SECRET}]",
        f"password: {SECRET}",
        f"cameras: [{{name: 'a b', source: 'rtsp://u:{SECRET}@h:x/1'}}]",
        f"cameras: [{{name: a, source: 'ftp://u:{SECRET}@h/1'}}]",
        f"mqtt: {{broker: embedded, password: {SECRET}, username: 7}}",
        "mqtt: {broker: embedded, keepalive_s: '${ENV:SECRET}'}",
        "cameras: [{name: a, source: '${ENV:SECRET}'}]",
        "model: {path: '${ENV:SECRET}'}",
        "${ENV:SECRET}: 1",
    ],
)
def test_no_error_shows_a_secret(write, text: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_config(write(text), environment={"SECRET": SECRET})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.problems)


def with_secrets(write) -> Loaded:
    return load_config(
        write(
            f"mqtt: {{broker: 'mqtts://h', username: u, password: {SECRET}}}\n"
            f"cameras: [{{name: a, source: 'rtsp://u:{SECRET}@h/1'}}]\n"
        )
    )


def test_effective_values_are_a_configuration_without_its_secrets(write) -> None:
    result = with_secrets(write)
    text = effective_yaml(result.config)
    assert SECRET not in text
    values = yaml.safe_load(text)
    assert values["mqtt"]["password"] == "***"
    assert values["cameras"][0]["source"] == "rtsp://***@h/1"
    assert values["sampling"]["period_s"] == 2.0


def test_no_representation_shows_a_secret(write) -> None:
    result = with_secrets(write)
    for shown in (repr(result), str(result.config), f"{result.config.cameras[0]!r}"):
        assert SECRET not in shown
    assert not any(SECRET in warning for warning in result.warnings)


def test_the_hash_is_of_what_is_effective_and_of_no_secret(write) -> None:
    first = loaded(write("mqtt: {broker: embedded, username: u, password: one}"))
    other = loaded(write("mqtt: {password: two, username: u, broker: embedded}\nid: pitwatch\n"))
    changed = loaded(write("mqtt: {broker: embedded}\nid: line8"))
    assert len(first.sha256) == 64
    assert first.sha256 == other.sha256 != changed.sha256


# --- warnings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BROKER, "no cameras"),
        (BROKER, "state_dir"),
        (CAMERA + "mqtt: {broker: 'mqtt://u:p@127.0.0.1'}", "mqtt.broker holds credentials"),
        (CAMERA + "mqtt: {broker: 'mqtt://u:p@10.0.0.1'}", "readable"),
        ("mqtt: {broker: embedded, username: u, password: p}", "mqtt.password is a secret"),
        (BROKER + "cameras: [{name: a, source: 'rtsp://u:p@h/1'}]", "cameras[0].source holds"),
        (BROKER + f"http: {{host: 0.0.0.0, token: {'t' * 16}}}", "cross the network readable"),
        (BROKER + f"http: {{token: {'t' * 16}}}", "http.token is a secret"),
    ],
)
def test_what_works_and_is_probably_not_meant_is_a_warning(write, text: str, words: str) -> None:
    assert any(words in warning for warning in loaded(write(text)).warnings)


def test_what_comes_by_reference_and_stays_on_this_computer_is_no_warning(
    write, tmp_path: Path
) -> None:
    result = load_config(
        write(
            f"state_dir: {tmp_path}\nmqtt: {{broker: '${{ENV:B}}'}}\n"
            "cameras: [{name: a, source: '${ENV:C}'}]\n"
        ),
        environment={"B": "mqtt://u:p@localhost", "C": "rtsp://u:p@h/1"},
    )
    assert result.warnings == ()


# --- options of the command line -----------------------------------------------------------------


def test_options_replace_what_the_file_says(write, tmp_path: Path) -> None:
    model = tmp_path / "other.safetensors"
    model.touch()
    path = write(
        "cameras: [{name: left, source: 'sim:'}, {name: right, source: 'sim:'}]\n"
        f"model: {{path: {tmp_path}/m.ts, trust: program, sha256: '{'0' * 64}', threads: 3}}\n"
    )
    result = load_config(
        path,
        Overrides(
            sources=("sim:?seed=1", "sim:?seed=2", "sim:?seed=3"),
            broker="mqtt://10.0.0.1:2883",
            http="127.0.0.2:8080",
            model=model,
        ),
    )
    config = result.config
    assert [(c.name, c.source) for c in config.cameras] == [
        ("cam1", "sim:?seed=1"),
        ("cam2", "sim:?seed=2"),
        ("cam3", "sim:?seed=3"),
    ]
    assert config.mqtt.broker == "mqtt://10.0.0.1:2883"
    assert (config.http.host, config.http.port) == ("127.0.0.2", 8080)
    assert (config.model.path, config.model.sha256, config.model.threads) == (model, None, 3)


@pytest.mark.parametrize(
    ("overrides", "path", "option"),
    [
        (Overrides(broker="tcp://h"), "mqtt.broker", "--broker"),
        (Overrides(http="nine"), "http", "--http"),
        (Overrides(http="h:70000"), "http", "--http"),
        (Overrides(sources=("what://x",)), "cameras[0].source", "--source"),
        (Overrides(sources=("sim:", "sim:?sed=1")), "cameras[1].source", "--source"),
        (Overrides(model=Path("/nowhere/m.pt")), "model.path", "--model"),
        (Overrides(model=Path("/etc/hostname.pt2")), "model.trust", "--model"),
    ],
)
def test_an_error_in_an_option_names_the_option(
    overrides: Overrides, path: str, option: str
) -> None:
    problem = problems(None, overrides)[path]
    if path != "model.trust":
        assert problem.place == option


SAID = {"sources": ("sim:",)}


@pytest.mark.parametrize("broker", ["mqtt://10.0.0.1", "mqtts://plant", "mqtt://localhost:1883"])
def test_simulated_fruit_go_to_a_broker_of_others_only_where_it_is_said(write, broker) -> None:
    unsaid = write(f"mqtt: {{broker: '{broker}'}}\n")
    for problem in (problems(unsaid), problems(None, Overrides(broker=broker))):
        assert list(problem) == ["cameras"]
        assert "simulated fruit" in problem["cameras"].message
        assert "--source sim:" in problem["cameras"].allowed
    for config in (
        loaded(unsaid, **SAID).config,
        loaded(None, broker=broker, **SAID).config,
        loaded(write(CAMERA + f"mqtt: {{broker: '{broker}'}}\n")).config,
    ):
        assert (config.cameras[0].source, config.mqtt.broker) == ("sim:", broker)
    for ours in ("none", "embedded"):
        assert loaded(unsaid, broker=ours).config.cameras[0].source == "sim:"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("no_read_rat", "no_read_rate"),
        ("No_Read_Rate", "no_read_rate"),
        ("no_read_rate-left1", "no_read_rate-left"),
        ("camera_lost-cam2", "camera_lost-cam1"),
        ("zzz", ""),
    ],
)
def test_an_alarm_that_there_is_not_cannot_be_out_of_service(write, name, meant) -> None:
    text = """\
cameras:
  - name: cam1
    source: "sim:?lanes=2"
    lanes: [{name: left, region: [0, 0, 256, 256]}, {name: right, region: [256, 0, 256, 256]}]
alarms: {out_of_service: [spool_loss, no_read_rate-right, camera_frozen-cam1, NAME]}
"""
    found = problems(write(text.replace("NAME", name) + BROKER))
    assert list(found) == ["alarms.out_of_service[3]"]
    (problem,) = found.values()
    assert (problem.nearest, problem.place) == (meant, "line 5")
    assert "no_read_rate" in problem.allowed
    loaded(write(text.replace(", NAME", "") + BROKER))


def test_an_alarm_that_there_is_not_is_named_beside_a_camera_without_a_name(write) -> None:
    found = problems(
        write(
            "cameras: [{name: a b, source: 'sim:'}]\n"
            "alarms: {out_of_service: [no_raed_rate, no_read_rate-left, spool_loss]}\n" + BROKER
        )
    )
    assert list(found) == ["cameras[0].name", "alarms.out_of_service[0]"]


def test_a_value_that_is_none_of_a_list_is_told_the_nearest(write) -> None:
    found = problems(
        write(
            "logging: {level: warn}\ncommands: {allow: [ack, shelf]}\n"
            "model: {classes: [background, suture, stem]}\nablation: {classes: [sutur]}\n" + BROKER
        )
    )
    assert {path: problem.nearest for path, problem in found.items()} == {
        "logging.level": "warning",
        "commands.allow[1]": "shelve",
        "ablation.classes[0]": "suture",
    }


def test_everything_that_a_simulated_machine_cannot_be_told_is_named_at_once(write) -> None:
    url = "sim:?rat=5&lanes=99&variety=goldn,pale,blu&fault=blck@3&fault=drop*7"
    more = "{seed: x, empty: 2, fault: [lamp_fad@1]}"
    path = write(
        f"cameras: [{{name: a, source: '{url}'}}, {{name: b, source: 'sim:', sim: {more}}}]\n"
        + BROKER
    )
    with pytest.raises(ConfigErrors) as caught:
        load_config(path, environment={})
    told = [problem.message for problem in caught.value.problems]
    for words in (
        "'rat'; did you mean rate", "lanes=99:", "'goldn'; did you mean golden", "variety 'blu'",
        "'blck'; did you mean black", "strength 7", "seed=x:", "empty=2:", "did you mean lamp_fade",
    ):  # fmt: skip
        assert sum(words in one for one in told) == 1, (words, told)
    assert len(told) == 9


def test_an_option_mends_what_the_file_lacks(write) -> None:
    assert loaded(write("id: x\n"), broker="none").config.mqtt.broker == "none"


def test_a_reference_that_is_not_there_is_named_with_its_variety(tmp_path: Path) -> None:
    file = tmp_path / "line.yaml"
    file.write_text(
        "cameras: [{name: cam1, source: 'sim:'}]\nmqtt: {broker: none}\n"
        "alarms: {reference: {golden: /nowhere/golden.json}}\n"
    )
    with pytest.raises(ConfigErrors, match=r"alarms\.reference\.golden"):
        load_config(file, environment={})


def test_a_file_of_a_later_form_is_refused_by_its_version(tmp_path: Path) -> None:
    file = tmp_path / "later.yaml"
    file.write_text("version: 2\nmqtt: {broker: none}\ncameras: [{name: cam1, source: 'sim:'}]\n")
    with pytest.raises(ConfigErrors) as caught:
        load_config(file)
    (problem,) = caught.value.problems
    assert problem.path == "version"
    assert problem.message.startswith("is of a later version of pitwatch")
